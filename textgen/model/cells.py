"""The recurrent cells in NumPy: LSTM, GRU and the simple recurrent network, step by step.

A step takes what all gates receive in one array, (gates, B, H), where each gate's numbers lie
together, so that no operation skips through memory. One tanh serves all gates of an LSTM, because
sigmoid(x) = tanh(x / 2) / 2 + 1/2: the weights of sigmoid gates are halved beforehand, which is
exact in floating point.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from textgen.support.arrays import Array

HALF = np.array(0.5, np.float32)  # an array spares NumPy the conversion at every step


class Gates(NamedTuple):
    """The buffer of a step, and views of its parts; a cell with fewer gates has fewer parts."""

    all: Array
    """(gates, B, H)"""
    sigmoids: Array
    """The gates whose weights were halved."""
    parts: tuple[Array, ...]
    """(B, H) each."""

    @classmethod
    def of(cls, array: Array) -> "Gates":
        """Views of an array (gates, B, H)."""
        return cls(array, array[:3], tuple(array))


def lstm_step(gates: Gates, h: Array, c: Array) -> None:
    """One step of an LSTM without peepholes (Hochreiter & Schmidhuber 1997, Gers et al. 2000).

    c' = sigmoid(f) * c + sigmoid(i) * tanh(g);  h' = sigmoid(o) * tanh(c')

    Args:
        gates: i/2, f/2, o/2 and g before activation; used up.
        h: receives the output h', (B, H).
        c: the cell, (B, H), which becomes c'.
    """
    everything, sigmoids, (i, f, o, g) = gates
    np.tanh(everything, out=everything)
    sigmoids *= HALF
    sigmoids += HALF
    c *= f
    i *= g
    c += i
    np.tanh(c, out=h)
    h *= o


def gru_step(gates: Gates, h: Array, c: None) -> None:
    """One step of a GRU (Cho et al. 2014) whose reset gate comes after the product, as in Keras.

    g = tanh(x + sigmoid(r) * v);  h' = g + sigmoid(z) * (h - g)

    Args:
        gates: z/2, r/2, and the candidate's share v of the last output and x of the input, before
            activation; used up.
        h: the last output, (B, H), which becomes h'.
        c: a GRU has no memory beside its output.
    """
    z, r, v, x = gates.parts
    update_and_reset = gates.all[:2]
    np.tanh(update_and_reset, out=update_and_reset)
    update_and_reset *= HALF
    update_and_reset += HALF
    v *= r
    v += x
    np.tanh(v, out=v)
    h -= v
    h *= z
    h += v


def rnn_step(gates: Gates, h: Array, c: None) -> None:
    """One step of a simple recurrent network (Elman 1990): h' = tanh(gate)."""
    np.tanh(gates.all[0], out=h)


def _lstm_by_gate(kernel: Array, recurrent: Array, bias: Array) -> tuple[Array, Array, Array]:
    """Keras' (N, 4H) or (4H,), gates i, f, g, o, as (4, N, H): i/2, f/2, o/2, g."""
    i, f, g, o = 0, 1, 2, 3

    def arranged(weights: Array) -> Array:
        blocks = np.split(np.atleast_2d(weights), 4, axis=-1)
        return np.stack([HALF * blocks[i], HALF * blocks[f], HALF * blocks[o], blocks[g]])

    return arranged(kernel), arranged(recurrent), arranged(bias)


def _gru_by_gate(kernel: Array, recurrent: Array, bias: Array) -> tuple[Array, Array, Array]:
    """Keras' (N, 3H), gates z, r, h, and bias (2, 3H) as (4, N, H): z/2, r/2, v, x.

    The candidate takes its input and the last output apart, so each has zeros for the other.
    """

    def arranged(weights: Array, last: int) -> Array:
        z, r, candidate = np.split(np.atleast_2d(weights), 3, axis=-1)
        pair = [np.zeros_like(candidate), np.zeros_like(candidate)]
        pair[last] = candidate
        return np.stack([HALF * z, HALF * r, *pair])

    return (
        arranged(kernel, 1),
        arranged(recurrent, 0),
        arranged(bias[0], 1) + arranged(bias[1], 0),
    )


def _rnn_by_gate(kernel: Array, recurrent: Array, bias: Array) -> tuple[Array, Array, Array]:
    """Keras' (N, H) and (H,) as (1, N, H)."""
    return kernel[None], recurrent[None], bias[None, None]


class Cell(NamedTuple):
    """What `textgen.model.network` has to know of a kind of cell."""

    name: str
    """Its layers' name in the Keras model, without their number."""
    keras_cell: str
    """The name that Keras gives the cell in such a layer."""
    blocks: int
    """How many times H Keras' kernels are wide."""
    biases: int
    """Rows of Keras' bias; where there is one, it is no matrix."""
    has_memory: bool
    """Whether it has a state c beside its output h."""
    step: Callable[..., None]
    by_gate: Callable[[Array, Array, Array], tuple[Array, Array, Array]]
    """Keras' kernel, recurrent kernel and bias, gate by gate as `step` takes them."""

    def path(self, number: int) -> str:
        """Where the weights of layer `number`, from 1, are in the Keras model."""
        return f"{self.name}_{number}/{self.keras_cell}"

    def bias_shape(self, width: int) -> tuple[int, ...]:
        """The shape of Keras' bias for `width` units."""
        shape = (self.biases, self.blocks * width)
        return shape if self.biases > 1 else shape[1:]


CELLS = {
    "lstm": Cell("lstm", "lstm_cell", 4, 1, True, lstm_step, _lstm_by_gate),
    "gru": Cell("gru", "gru_cell", 3, 2, False, gru_step, _gru_by_gate),
    "rnn": Cell("rnn", "simple_rnn_cell", 1, 1, False, rnn_step, _rnn_by_gate),
}
"""By `ModelSettings.cell`."""
