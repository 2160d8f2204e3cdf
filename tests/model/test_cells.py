import numpy as np
import pytest

from textgen.model.cells import Gates, gru_step, lstm_step, rnn_step


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


def test_gru_step_by_hand() -> None:
    # z = r = sigmoid(0) = 1/2, g = tanh(0.25 + 0.5 * 0.5) = tanh(0.5) = 0.462117, with h = 1:
    # h' = 0.462117 + 0.5 * (1 - 0.462117) = 0.731059
    gates = np.array([0, 0, 0.5, 0.25], np.float32).reshape(4, 1, 1)
    h = np.ones((1, 1), np.float32)
    gru_step(Gates.of(gates), h, None)
    assert h[0, 0] == pytest.approx(0.731059, abs=1e-6)


def test_rnn_step_by_hand() -> None:
    h = np.ones((1, 1), np.float32)
    rnn_step(Gates.of(np.full((1, 1, 1), 0.5, np.float32)), h, None)
    assert h[0, 0] == pytest.approx(0.462117, abs=1e-6)
