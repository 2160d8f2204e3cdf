from pathlib import Path

import numpy as np
import pytest

from tests.conftest import VERSES
from tests.networks import SMALL, random_network, random_weights
from textgen import checkpoint, network
from textgen.config import ModelConfig
from textgen.errors import TextgenError
from textgen.model import build_model, set_weights
from textgen.network import Gates, Network, Stepper, lstm_step


def test_lstm_step_by_hand() -> None:
    # i = f = o = sigmoid(0) = 1/2 and g = tanh(atanh(0.5)) = 0.5, with c = 1:
    # c' = 0.5 * 1 + 0.5 * 0.5 = 0.75 and h' = 0.5 * tanh(0.75) = 0.317574
    gates = np.array([0, 0, 0, np.arctanh(0.5)], np.float32).reshape(4, 1, 1)
    h, c = np.zeros((1, 1), np.float32), np.ones((1, 1), np.float32)
    lstm_step(Gates.of(gates), h, c)
    assert c[0, 0] == pytest.approx(0.75)
    assert h[0, 0] == pytest.approx(0.317574, abs=1e-6)


def test_gates_do_not_overflow() -> None:
    h, c = np.zeros((1, 1), np.float32), np.ones((1, 1), np.float32)
    with np.errstate(all="raise"):
        gates = np.array([-1e30, 1e30, 1e30, 1e30], np.float32).reshape(4, 1, 1)
        lstm_step(Gates.of(gates), h, c)
    assert (c[0, 0], h[0, 0]) == (1, np.tanh(np.float32(1)))


def from_zero(model: Network, rows: int) -> Stepper:
    """Streams that have read nothing yet."""
    logits = np.zeros((rows, model.vocabulary_size), np.float32)
    return Stepper(model, logits, model.initial_state(rows))


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("table", [0, 2**21], ids=["multiplied", "looked up"])
def test_reading_equals_stepping(layers: int, table: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "LARGEST_TABLE", table)
    monkeypatch.setattr(network, "READ_AT_ONCE", 3)
    model = random_network(ModelConfig(embedding_size=3, rnn_size=8, num_layers=layers))
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
    before = [array.copy() for array in state]
    first, _ = model.read(np.array([[4, 1]]), state)
    again, _ = model.read(np.array([[4, 1]]), state)
    for array, copy in zip(state, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    np.testing.assert_array_equal(first, again)


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


def test_wrong_shapes_are_refused() -> None:
    weights = random_weights(SMALL, 7)
    weights["lstm_2/lstm_cell/bias"] = np.zeros(15, np.float32)
    with pytest.raises(TextgenError, match=r"lstm_2/lstm_cell/bias must have shape \(32,\)"):
        Network(SMALL, weights)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("path", ["embedding/embeddings", "lstm_1/lstm_cell/kernel", "logits/bias"])
def test_weights_that_are_no_numbers_are_refused(path: str, value: float) -> None:
    weights = random_weights(SMALL, 7)
    weights[path].flat[3] = value
    with pytest.raises(TextgenError, match=f"weights {path} hold NaN or infinity"):
        Network(SMALL, weights)
