import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import VERSES
from tests.networks import SMALL, random_network, random_weights
from textgen.generation.sampling import log_softmax
from textgen.model import checkpoint, network
from textgen.model.keras_model import build_model, set_weights
from textgen.model.network import Network, Stepper
from textgen.settings.definitions import CELL_NAMES, ModelSettings


def from_zero(model: Network, rows: int) -> Stepper:
    """Streams that have read nothing yet."""
    logits = np.zeros((rows, model.vocabulary_size), np.float32)
    return Stepper(model, logits, model.initial_state(rows))


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("table", [0, 2**21], ids=["multiplied", "looked up"])
def test_reading_equals_stepping(layers: int, table: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "LARGEST_TABLE", table)
    monkeypatch.setattr(network, "READ_AT_ONCE", 3)
    model = random_network(ModelSettings(embedding_size=3, rnn_size=8, num_layers=layers))
    ids = np.array([[1, 2, 3, 4, 5], [6, 0, 2, 2, 1]])
    stepper = from_zero(model, 2)
    for column in ids.T:
        stepper.step(column)
    read = model.stepper(ids)
    np.testing.assert_allclose(read.logits, stepper.logits, atol=1e-5)
    for each in (read, stepper):
        each.step(np.array([3, 4]))
    np.testing.assert_allclose(read.logits, stepper.logits, atol=1e-5)


def test_reading_changes_neither_the_state_it_was_given_nor_the_network() -> None:
    model = random_network()
    _, state = model.read(np.array([[3]]), model.initial_state(1))
    before = state.copy()
    first, _ = model.read(np.array([[4, 1]]), state)
    again, _ = model.read(np.array([[4, 1]]), state)
    np.testing.assert_array_equal(state.h, before.h)
    np.testing.assert_array_equal(state.c, before.c)
    np.testing.assert_array_equal(first, again)


def test_the_probabilities_of_a_text_are_those_of_stepping(monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks of any size, and going on from the state that was returned."""
    monkeypatch.setattr(network, "SCORED_AT_ONCE", 4)
    monkeypatch.setattr(network, "LOGITS_AT_ONCE", 21)
    model = random_network()
    ids = np.array([[1, 2, 3, 4, 5], [6, 0, 2, 2, 1]])
    targets = np.array([[2, 3, 4, 5, 0], [0, 2, 2, 1, 6]])
    before = model.initial_state(2)
    first, state = model.log_probabilities(ids[:, :3], targets[:, :3], before)
    rest, _ = model.log_probabilities(ids[:, 3:], targets[:, 3:], state)
    assert not before.h.any()
    stepper, expected = from_zero(model, 2), []
    for column, wanted in zip(ids.T, targets.T, strict=True):
        stepper.step(column)
        expected.append(log_softmax(stepper.logits)[[0, 1], wanted])
    found = np.concatenate([first, rest], axis=1)
    np.testing.assert_allclose(found, np.stack(expected, axis=1), atol=1e-5)


def test_streams_join_leave_and_repeat() -> None:
    model = random_network()
    together = model.stepper(np.array([[1, 2], [3, 4]]))
    together.join(model.stepper(np.array([[5, 6]])))
    together.step(np.array([1, 2, 3]))
    together.select(np.array([2, 0, 0]))
    together.step(np.array([4, 5, 6]))
    for row, ids in enumerate([[5, 6, 3, 4], [1, 2, 1, 5], [1, 2, 1, 6]]):
        alone = model.stepper(np.array([ids])).logits[0]
        np.testing.assert_allclose(together.logits[row], alone, atol=1e-5)


def test_equals_keras_on_trained_weights(trained_dir: Path) -> None:
    metadata, weights = checkpoint.load(trained_dir)
    ids = metadata.tokenizer.encode(VERSES)[:200].reshape(2, 100)
    model = build_model(metadata.model, len(metadata.tokenizer.vocabulary), batch_size=2)
    set_weights(model, weights)
    stepper, logits = from_zero(Network(metadata.model, weights), 2), []
    for column in ids.T:
        stepper.step(column)
        logits.append(stepper.logits.copy())
    np.testing.assert_allclose(np.stack(logits, axis=1), model(ids).numpy(), atol=1e-5)


STRUCTURES: dict[str, dict[str, Any]] = {
    "plain": {"num_layers": 3},
    "one-hot": {"embedding_size": 0, "rnn_size": 7, "num_layers": 1},
    "residual": {"num_layers": 4, "residual": True},
    "normalized": {"layer_norm": True},
    "everything": {"rnn_size": 3, "residual": True, "layer_norm": True, "tie_weights": True},
}
"""Beside `SMALL`."""


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_every_cell_in_every_structure_equals_keras(cell: str, structure: str) -> None:
    """On random weights, text read at once and token by token, from and to a carried state."""
    settings = dataclasses.replace(SMALL, cell=cell, **STRUCTURES[structure])
    weights = random_weights(settings, 7, scale=0.5)
    if settings.is_tied:
        weights["logits/kernel"] = weights["embedding/embeddings"].T
    model = build_model(settings, 7, batch_size=2)
    set_weights(model, weights)
    ids = np.array([[1, 2, 3, 4, 5], [6, 0, 2, 2, 1]])
    expected = model(ids).numpy()
    stepper = Network(settings, weights).stepper(ids[:, :2])
    logits = [stepper.logits.copy()]
    for column in ids.T[2:]:
        stepper.step(column)
        logits.append(stepper.logits.copy())
    np.testing.assert_allclose(np.stack(logits, axis=1), expected[:, 1:], atol=1e-5)
    stepper.select(np.array([1, 0]))
    stepper.join(Network(settings, weights).stepper(ids[:1]))
    stepper.step(np.array([1, 3, 3]))
    continued = model(np.array([[3], [1]])).numpy()[::-1, 0]
    np.testing.assert_allclose(stepper.logits[:2], continued, atol=1e-5)
    np.testing.assert_allclose(stepper.logits[2], continued[1], atol=1e-5)
