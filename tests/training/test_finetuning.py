import collections
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import VERSES
from textgen.generation.generator import Generator
from textgen.model import checkpoint
from textgen.model.architecture import weight_shapes
from textgen.model.network import Network
from textgen.settings.definitions import CELL_NAMES, ModelSettings
from textgen.training import finetuning


def test_new_rows_are_near_the_mean_of_the_old_ones() -> None:
    rows = np.array([[1.0, 0.0], [3.0, 0.0], [5.0, 0.0]], np.float32)  # deviation 1.63, 0
    new = finetuning.extended(rows, 1000, np.random.default_rng(0))
    assert new.dtype == np.float32
    np.testing.assert_array_equal(new[:3], rows)
    assert new[3:, 0].mean() == pytest.approx(3, abs=0.02)
    assert new[3:, 0].std() == pytest.approx(0.163, abs=0.02)
    assert (new[3:, 1] == 0).all()


def test_an_extended_model_predicts_old_tokens_as_before(trained_dir: Path) -> None:
    origin, weights = checkpoint.load(trained_dir)
    tokenizer = origin.tokenizer.extended(collections.Counter("żółw " + VERSES))
    old, new = origin.tokenizer.vocabulary, tokenizer.vocabulary
    assert new[: len(old)] == old
    assert set(new[len(old) :]) == set("żółw") - set(old)
    more, rng = len(new) - len(old), np.random.default_rng(1)
    before = Generator.load(trained_dir).network
    after = Network(origin.model, finetuning.with_new_tokens(weights, more, origin.model, rng))
    ids = np.array([tokenizer.encode("The river")])
    logits, _ = before.read(ids, before.initial_state(1))
    longer, _ = after.read(ids, after.initial_state(1))
    np.testing.assert_allclose(longer[:, : len(old)], logits, atol=1e-5)
    assert longer[0, len(old) :].max() < logits.max()


def test_tied_weights_stay_tied() -> None:
    rng = np.random.default_rng(0)
    embedding = rng.normal(size=(5, 3)).astype(np.float32)
    weights = {
        "embedding/embeddings": embedding,
        "logits/kernel": embedding.T,
        "logits/bias": np.zeros(5, np.float32),
    }
    model = ModelSettings(embedding_size=3, rnn_size=3, tie_weights=True)
    new = finetuning.with_new_tokens(weights, 2, model, rng)
    assert new["logits/bias"].shape == (7,)
    np.testing.assert_array_equal(new["logits/kernel"].T, new["embedding/embeddings"])


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_one_hot_tokens_are_extended_too(cell: str) -> None:
    model = ModelSettings(embedding_size=0, rnn_size=3, cell=cell)
    rng = np.random.default_rng(0)
    shapes = weight_shapes(model, 5)
    weights = {path: rng.normal(size=shape).astype(np.float32) for path, shape in shapes.items()}
    weights["embedding/embeddings"] = np.eye(5, dtype=np.float32)
    before = Network(model, weights)
    after = Network(model, finetuning.with_new_tokens(weights, 2, model, rng))
    ids = np.array([[1, 4, 2]])
    logits, _ = before.read(ids, before.initial_state(1))
    longer, _ = after.read(ids, after.initial_state(1))
    np.testing.assert_allclose(longer[:, :5], logits, atol=1e-5)
    assert after.read(ids + 2, after.initial_state(1))[0].shape == (1, 7)
