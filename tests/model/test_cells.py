from typing import Any

import numpy as np
import pytest

from textgen.model.cells import CELLS
from textgen.settings.definitions import CELL_NAMES


def step(cell: str, gates: list[float], h: Any, c: Any) -> None:
    """One step of a cell of one unit, whose gates have received these numbers."""
    buffer = CELLS[cell].buffer(1, 1)
    buffer.all[:, 0, 0] = gates
    CELLS[cell].step(buffer, h, c)


def test_every_choice_of_the_setting_is_a_cell_and_every_cell_a_choice() -> None:
    assert set(CELLS) == set(CELL_NAMES)


@pytest.mark.parametrize("name", CELLS)
def test_halved_gates_stand_first(name: str) -> None:
    sigmoids = [gate.sigmoid for gate in CELLS[name].gates]
    assert sigmoids == sorted(sigmoids, reverse=True)


def test_lstm_step_by_hand() -> None:
    # i = f = o = sigmoid(0) = 1/2 and g = tanh(atanh(0.5)) = 0.5, with c = 1:
    # c' = 0.5 * 1 + 0.5 * 0.5 = 0.75 and h' = 0.5 * tanh(0.75) = 0.317574
    h, c = np.zeros((1, 1), np.float32), np.ones((1, 1), np.float32)
    step("lstm", [0, 0, 0, np.arctanh(0.5)], h, c)
    assert c[0, 0] == pytest.approx(0.75)
    assert h[0, 0] == pytest.approx(0.317574, abs=1e-6)


def test_gates_do_not_overflow() -> None:
    h, c = np.zeros((1, 1), np.float32), np.ones((1, 1), np.float32)
    with np.errstate(all="raise"):
        step("lstm", [-1e30, 1e30, 1e30, 1e30], h, c)
    assert (c[0, 0], h[0, 0]) == (1, np.tanh(np.float32(1)))


def test_gru_step_by_hand() -> None:
    # z = r = sigmoid(0) = 1/2, g = tanh(0.25 + 0.5 * 0.5) = tanh(0.5) = 0.462117, with h = 1:
    # h' = 0.462117 + 0.5 * (1 - 0.462117) = 0.731059
    h = np.ones((1, 1), np.float32)
    step("gru", [0, 0, 0.5, 0.25], h, None)
    assert h[0, 0] == pytest.approx(0.731059, abs=1e-6)


def test_rnn_step_by_hand() -> None:
    h = np.ones((1, 1), np.float32)
    step("rnn", [0.5], h, None)
    assert h[0, 0] == pytest.approx(0.462117, abs=1e-6)
