from pathlib import Path

import numpy as np
import pytest

from tests.conftest import VERSES
from textgen import finetuning
from textgen.generator import Generator
from textgen.network import Network
from textgen.tokenizers import Tokenizer, count, extended


def test_new_rows_are_near_the_mean_of_the_old_ones() -> None:
    rows = np.array([[1.0, 0.0], [3.0, 0.0], [5.0, 0.0]], np.float32)  # deviation 1.63, 0
    new = finetuning.extended(rows, 1000, np.random.default_rng(0))
    assert new.dtype == np.float32
    np.testing.assert_array_equal(new[:3], rows)
    assert new[3:, 0].mean() == pytest.approx(3, abs=0.02)
    assert new[3:, 0].std() == pytest.approx(0.163, abs=0.02)
    assert (new[3:, 1] == 0).all()


def longer(origin: finetuning.Origin, text: str) -> Tokenizer:
    return extended(origin.tokenizer, count(text, origin.tokenizer.config))


def test_an_extended_model_predicts_old_tokens_as_before(trained_dir: Path) -> None:
    origin = finetuning.load(trained_dir)
    tokenizer = longer(origin, "żółw " + VERSES)
    old, new = origin.tokenizer.vocabulary, tokenizer.vocabulary
    assert new[: len(old)] == old
    assert set(new[len(old) :]) == set("żółw") - set(old)
    before = Generator.load(trained_dir).network
    after = Network(origin.model, origin.weights_for(tokenizer, 1))
    ids = np.array([tokenizer.encode("The river")])
    logits, _ = before.read(ids, before.initial_state(1))
    extended, _ = after.read(ids, after.initial_state(1))
    np.testing.assert_allclose(extended[:, : len(old)], logits, atol=1e-5)
    assert extended[0, len(old) :].max() < logits.max()


def test_tied_weights_stay_tied(trained_dir: Path) -> None:
    origin = finetuning.load(trained_dir)
    size = origin.model.rnn_size
    embedding = np.random.default_rng(0).normal(size=(len(origin.tokenizer.vocabulary), size))
    tied = origin._replace(
        model=type(origin.model)(embedding_size=size, rnn_size=size, tie_weights=True),
        weights=origin.weights
        | {"embedding/embeddings": embedding.astype(np.float32), "logits/kernel": embedding.T},
    )
    weights = tied.weights_for(longer(tied, "ż" + VERSES), 1)
    np.testing.assert_array_equal(weights["logits/kernel"].T, weights["embedding/embeddings"])
