from pathlib import Path

import numpy as np
import pytest

from tests.conftest import VERSES
from textgen import checkpoint
from textgen.config import ModelConfig
from textgen.errors import TextgenError
from textgen.model import build_model, set_weights
from textgen.network import Network, lstm_step, sigmoid, weight_shapes

SMALL = ModelConfig(embedding_size=3, rnn_size=4, num_layers=2)


def random_network(config: ModelConfig = SMALL, vocabulary_size: int = 7) -> Network:
    rng = np.random.default_rng(3)
    shapes = weight_shapes(config, vocabulary_size)
    return Network(
        config, {path: rng.normal(size=s).astype(np.float32) for path, s in shapes.items()}
    )


def test_lstm_step_by_hand() -> None:
    # i = f = o = sigmoid(0) = 1/2 and g = tanh(atanh(0.5)) = 0.5, with c = 1:
    # c' = 0.5 * 1 + 0.5 * 0.5 = 0.75 and h' = 0.5 * tanh(0.75) = 0.317574
    gates = np.array([[0, 0, np.arctanh(0.5), 0]], np.float32)
    h, c = lstm_step(gates, np.ones((1, 1), np.float32))
    assert c[0, 0] == pytest.approx(0.75)
    assert h[0, 0] == pytest.approx(0.317574, abs=1e-6)


def test_sigmoid_does_not_overflow() -> None:
    with np.errstate(all="raise"):
        assert sigmoid(np.array([-1e30, 0, 1e30], np.float32)).tolist() == [0, 0.5, 1]


def test_reading_equals_stepping() -> None:
    network = random_network()
    ids = np.array([[1, 2, 3, 4, 5], [6, 0, 2, 2, 1]])
    state = network.initial_state(2)
    for column in ids.T:
        logits, state = network.step(column, state)
    read_logits, read_state = network.read(ids, network.initial_state(2))
    np.testing.assert_allclose(read_logits, logits, atol=1e-5)
    np.testing.assert_allclose(read_state, state, atol=1e-5)


def test_a_step_changes_neither_the_state_it_was_given_nor_the_network() -> None:
    network = random_network()
    _, state = network.step(np.array([3]), network.initial_state(1))
    before = np.array(state)
    first, _ = network.step(np.array([4]), state)
    again, _ = network.step(np.array([4]), state)
    np.testing.assert_array_equal(before, state)
    np.testing.assert_array_equal(first, again)


def test_equals_keras_on_trained_weights(trained_dir: Path) -> None:
    metadata, weights = checkpoint.load(trained_dir)
    ids = metadata.tokenizer.encode(VERSES)[:200].reshape(2, 100)
    model = build_model(metadata.model, len(metadata.tokenizer.vocabulary), batch_size=2)
    set_weights(model, weights)
    network = Network(metadata.model, weights)
    state, logits = network.initial_state(2), []
    for column in ids.T:
        step_logits, state = network.step(column, state)
        logits.append(step_logits)
    np.testing.assert_allclose(np.stack(logits, axis=1), model(ids).numpy(), atol=1e-5)


def test_wrong_shapes_are_refused() -> None:
    weights = {p: np.zeros(s, np.float32) for p, s in weight_shapes(SMALL, 7).items()}
    weights["lstm_2/lstm_cell/bias"] = np.zeros(15, np.float32)
    with pytest.raises(TextgenError, match=r"lstm_2/lstm_cell/bias must have shape \(16,\)"):
        Network(SMALL, weights)
