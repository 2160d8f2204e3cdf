from typing import Any

import numpy as np
import pytest

from textgen.model.architecture import CELLS, describe_layers, weight_shapes
from textgen.settings.definitions import CELL_NAMES, ModelSettings


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


@pytest.mark.parametrize(
    ("residual", "expected"), [(True, [False, True, True]), (False, 3 * [False])]
)
def test_the_first_layer_is_never_residual(residual: bool, expected: list[bool]) -> None:
    settings = ModelSettings(num_layers=3, residual=residual)
    assert [layer.is_residual for layer in describe_layers(settings)] == expected


def test_shapes_of_an_lstm_by_hand() -> None:
    settings = ModelSettings(embedding_size=3, rnn_size=4, num_layers=2, layer_norm=True)
    assert weight_shapes(settings, 7) == {
        "embedding/embeddings": (7, 3),
        "lstm_1/lstm_cell/kernel": (3, 16),
        "lstm_1/lstm_cell/recurrent_kernel": (4, 16),
        "lstm_1/lstm_cell/bias": (16,),
        "norm_1/gamma": (4,),
        "norm_1/beta": (4,),
        "lstm_2/lstm_cell/kernel": (4, 16),
        "lstm_2/lstm_cell/recurrent_kernel": (4, 16),
        "lstm_2/lstm_cell/bias": (16,),
        "norm_2/gamma": (4,),
        "norm_2/beta": (4,),
        "logits/kernel": (4, 7),
        "logits/bias": (7,),
    }


def test_one_hot_input_and_two_rows_of_bias() -> None:
    shapes = weight_shapes(ModelSettings(embedding_size=0, rnn_size=4, num_layers=1, cell="gru"), 7)
    assert shapes["gru_1/gru_cell/kernel"] == (7, 12)
    assert shapes["gru_1/gru_cell/bias"] == (2, 12)
