"""The default settings come to what their help says, written out here in plain Keras.

Stock layers, Keras' own optimizer and loss, one `train_on_batch` after another: whatever options
are added, a training that asks for none of them must end with the same weights.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import VERSES, train_on
from textgen.model import checkpoint
from textgen.model.backend import keras
from textgen.model.devices import XLA_SWITCH
from textgen.model.keras_model import build_model, get_weights, reset_state
from textgen.settings.definitions import ModelSettings, TokenizerSettings, TrainingSettings
from textgen.tokens import tokenizer_class
from textgen.tokens.corpus import VocabularyRule, read_corpus
from textgen.training.batches import cut_batches

SEED = 1
EPOCHS = 2


@pytest.mark.parametrize(
    ("tokens", "xla"),
    [("character", "1"), ("word", "0"), pytest.param("word", "1", marks=pytest.mark.slow)],
)
def test_default_settings_train_as_plain_keras_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokens: str, xla: str
) -> None:
    """Both compiled by XLA or both not: it draws other dropout than TensorFlow."""
    monkeypatch.setenv(XLA_SWITCH, xla)
    (tmp_path / "input.txt").write_text(VERSES * 4, encoding="utf-8")
    tokenizer = TokenizerSettings(tokens)
    chosen = tokenizer_class(tokenizer).defaults
    model = ModelSettings.from_given({}, chosen)
    defaults = TrainingSettings.from_given({}, chosen)
    training = replace(defaults, num_epochs=EPOCHS, random_seed=SEED)
    train_on(tmp_path, model, tokenizer, training)
    found = checkpoint.load(tmp_path / "latest").weights
    corpus = read_corpus(tmp_path, VocabularyRule(tokenizer), 0.0)
    vocabulary, ids = len(corpus.tokenizer.vocabulary), np.array(corpus.training.ids)
    before, expected = by_plain_keras(model, training, vocabulary, ids, xla == "1")
    assert found.keys() == expected.keys()
    for path, array in expected.items():
        moved = np.abs(array - before[path]).max()
        np.testing.assert_allclose(found[path], array, atol=0.02 * moved, err_msg=path)


def by_plain_keras(
    model: ModelSettings,
    training: TrainingSettings,
    vocabulary: int,
    ids: np.ndarray,
    jit_compile: bool,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The weights before and after epochs of a pass from each offset."""
    size, length = training.batch_size, training.seq_length
    network = build_model(model, vocabulary, size, SEED, own_layers=False)
    optimizer = keras.optimizers.AdamW(
        beta_2=0.99, weight_decay=training.weight_decay, global_clipnorm=1.0
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(optimizer, loss, jit_compile=jit_compile)
    counts = np.bincount(ids, minlength=vocabulary) + 0.5
    network.get_layer("logits").bias.assign(np.log(counts / counts.sum()))
    before = {path: array.copy() for path, array in get_weights(network).items()}
    offsets = range(0, length, training.seq_step)
    count = cut_batches(ids, size, length, training.seq_step, None).batches_per_pass
    steps, step = EPOCHS * len(offsets) * count, 0
    for start in list(offsets) * EPOCHS:
        reset_state(network)
        inputs, targets = (
            ids[first : first + size * count * length].reshape(size, count, length)
            for first in (start, start + 1)
        )
        for batch in range(count):
            fraction = step / steps
            warm_up = min(1.0, max((step + 1) / 100, fraction / 0.1))
            cosine = 0.5 * (1 + math.cos(math.pi * fraction))
            optimizer.learning_rate.assign(training.learning_rate * warm_up * cosine)
            network.train_on_batch(inputs[:, batch].astype("int32"), targets[:, batch])
            step += 1
    return before, get_weights(network)
