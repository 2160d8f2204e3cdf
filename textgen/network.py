"""The trained network without TensorFlow: NumPy, explicit state in, explicit state out.

The weights are rearranged once, when a network is made, so that a step is little more than one
matrix product per layer:

- a layer reads its input and its own last output in one product, [x, h] @ [W; U];
- what the first layer makes of a token is looked up in a table, embeddings @ W + b;
- one tanh serves all four gates, because sigmoid(x) = tanh(x / 2) / 2 + 1/2: the weights of the
  three sigmoid gates are halved beforehand, which is exact in floating point;
- each gate's numbers lie together in memory, (4, B, H), so that no operation skips through it.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from textgen.config import ModelConfig
from textgen.errors import TextgenError

Array: TypeAlias = npt.NDArray[np.float32]
Ids: TypeAlias = npt.NDArray[np.integer]

LARGEST_TABLE = 2**21
"""Numbers in the largest lookup table (8 MB); a larger vocabulary multiplies at every step."""

READ_AT_ONCE = 1024
"""Tokens per row of a long prompt that are read with one product per layer; bounds memory."""


class State(NamedTuple):
    """What the layers remember; L layers of H units."""

    h: Array
    """Outputs, side by side, (B, L x H)."""
    c: Array
    """Cells, (L, B, H)."""


class Layer(NamedTuple):
    """The weights of a layer, gate by gate: i, f, o, g, the first three halved."""

    kernel: Array
    """[W; U], (4, D + H, H); of the first layer U alone, (4, H, H)."""
    bias: Array | None
    """(4, 1, H); none in the first layer, whose input is projected beforehand."""


def weight_shapes(config: ModelConfig, vocabulary_size: int) -> dict[str, tuple[int, ...]]:
    """The shape of every trained array, by its path in the Keras model."""
    width, size = config.rnn_size, config.embedding_size
    shapes: dict[str, tuple[int, ...]] = {"embedding/embeddings": (vocabulary_size, size)}
    for number in range(1, config.num_layers + 1):
        cell = f"lstm_{number}/lstm_cell"
        shapes[f"{cell}/kernel"] = (size if number == 1 else width, 4 * width)
        shapes[f"{cell}/recurrent_kernel"] = (width, 4 * width)
        shapes[f"{cell}/bias"] = (4 * width,)
    shapes["logits/kernel"] = (width, vocabulary_size)
    shapes["logits/bias"] = (vocabulary_size,)
    return shapes


class Network:
    """The function (token ids, state) -> (logits, next state) of a trained model.

    Nothing is changed by a call, so one network serves any number of streams and threads.

    Args:
        config: the sizes of the layers.
        weights: the arrays of `weight_shapes`, by path.

    Raises:
        TextgenError: if an array is missing, has another shape, or holds NaN or infinity.
    """

    def __init__(self, config: ModelConfig, weights: Mapping[str, Array]) -> None:
        _check(config, weights)
        self.config = config
        self.vocabulary_size = len(weights["logits/bias"])
        self.layers: list[Layer] = []
        for number in range(1, config.num_layers + 1):
            cell = f"lstm_{number}/lstm_cell"
            kernel, recurrent_kernel, bias = (
                _by_gate(weights[f"{cell}/{name}"])
                for name in ("kernel", "recurrent_kernel", "bias")
            )
            if number == 1:
                self._kernel, self._bias = kernel, bias
                self.layers.append(Layer(recurrent_kernel, None))
            else:
                self.layers.append(Layer(np.concatenate([kernel, recurrent_kernel], axis=1), bias))
        self._embeddings = weights["embedding/embeddings"]
        small = self.vocabulary_size * 4 * config.rnn_size <= LARGEST_TABLE
        self._table = self._embeddings @ self._kernel + self._bias if small else None
        self.output_kernel = weights["logits/kernel"]
        self.output_bias = weights["logits/bias"]

    def initial_state(self, batch_size: int) -> State:
        """The state before any token: zeros."""
        layers, width = self.config.num_layers, self.config.rnn_size
        return State(
            np.zeros((batch_size, layers * width), np.float32),
            np.zeros((layers, batch_size, width), np.float32),
        )

    def project(self, ids: Ids) -> Array:
        """What the first layer's gates receive from tokens: ids (N,) -> (4, N, H)."""
        if self._table is not None:
            return self._table.take(ids, axis=1)
        projected: Array = self._embeddings[ids] @ self._kernel + self._bias
        return projected

    def read(self, ids: Ids, state: State) -> tuple[Array, State]:
        """Read a text, with one product per layer for the inputs of all its tokens.

        Args:
            ids: token ids, (B, T), T at least 1.
            state: the state before them; it is not changed.

        Returns:
            logits for the token after the last, (B, V), and the state after `ids`.
        """
        h, c = state.h.copy(), state.c.copy()
        for start in range(0, ids.shape[1], READ_AT_ONCE):
            self._read(ids[:, start : start + READ_AT_ONCE], h, c)
        last = h[:, -self.config.rnn_size :]
        return last @ self.output_kernel + self.output_bias, State(h, c)

    def _read(self, ids: Ids, h: Array, c: Array) -> None:
        """Advance h and c over `ids` (B, T), layer by layer."""
        (rows, steps), width = ids.shape, self.config.rnn_size
        sequence = np.empty((steps, rows, width), np.float32)
        gates = Gates.empty(rows, width)
        for number, (kernel, bias) in enumerate(self.layers):
            if bias is None:
                inputs = self.project(ids.T.reshape(-1))
            else:
                inputs = sequence.reshape(-1, width) @ kernel[:, :width] + bias
            recurrent_kernel, output = kernel[:, -width:], _columns(h, number, width)
            for t in range(steps):
                np.matmul(output, recurrent_kernel, out=gates.all)
                np.add(gates.all, inputs[:, t * rows : (t + 1) * rows], out=gates.all)
                lstm_step(gates, output, c[number])
                sequence[t] = output

    def stepper(self, ids: Ids) -> "Stepper":
        """Streams that have read the prompts `ids`, (B, T), and can go on together."""
        return Stepper(self, *self.read(ids, self.initial_state(len(ids))))


class Stepper:
    """Streams that advance together: their state, and the buffers that a step needs.

    Args:
        network: the network, which may be shared.
        logits: for the next token of each stream, (B, V).
        state: what the streams have read.

    Attributes:
        logits: for the next token of each stream, (B, V); a step writes them anew.
    """

    def __init__(self, network: Network, logits: Array, state: State) -> None:
        self._network = network
        self._set(logits, state)

    def _set(self, logits: Array, state: State) -> None:
        width = self._network.config.rnn_size
        self.logits, self._state = logits, state
        self._gates = Gates.empty(len(logits), width)
        self._views = []
        for number, layer in enumerate(self._network.layers):
            read = state.h[:, max(number - 1, 0) * width : (number + 1) * width]
            self._views.append((layer, read, _columns(state.h, number, width), state.c[number]))

    def step(self, ids: Ids) -> None:
        """Read one token per stream, ids (B,)."""
        gates, network = self._gates, self._network
        for (kernel, bias), inputs, h, c in self._views:
            np.matmul(inputs, kernel, out=gates.all)
            np.add(gates.all, network.project(ids) if bias is None else bias, out=gates.all)
            lstm_step(gates, h, c)
        np.matmul(h, network.output_kernel, out=self.logits)
        self.logits += network.output_bias

    def select(self, rows: Ids) -> None:
        """Go on with these rows, in this order; a row may be named more than once."""
        self._set(self.logits[rows], State(self._state.h[rows], self._state.c[:, rows]))

    def join(self, other: "Stepper") -> None:
        """Take over the streams of another stepper of the same network, after one's own."""
        h = np.concatenate([self._state.h, other._state.h])
        c = np.concatenate([self._state.c, other._state.c], axis=1)
        self._set(np.concatenate([self.logits, other.logits]), State(h, c))


class Gates(NamedTuple):
    """The buffer of a step, and views of its parts."""

    all: Array
    """(4, B, H)"""
    sigmoids: Array
    """The first three gates."""
    i: Array
    """(B, H), like f, o and g."""
    f: Array
    o: Array
    g: Array

    @classmethod
    def of(cls, array: Array) -> "Gates":
        """Views of an array (4, B, H)."""
        return cls(array, array[:3], *array)

    @classmethod
    def empty(cls, rows: int, width: int) -> "Gates":
        """A new buffer."""
        return cls.of(np.empty((4, rows, width), np.float32))


def lstm_step(gates: Gates, h: Array, c: Array) -> None:
    """One step of an LSTM without peepholes (Hochreiter & Schmidhuber 1997, Gers et al. 2000).

    c' = sigmoid(f) * c + sigmoid(i) * tanh(g);  h' = sigmoid(o) * tanh(c')

    Args:
        gates: i/2, f/2, o/2 and g before activation; used up.
        h: receives the output h', (B, H).
        c: the cell, (B, H), which becomes c'.
    """
    everything, sigmoids, i, f, o, g = gates
    np.tanh(everything, out=everything)
    sigmoids *= HALF
    sigmoids += HALF
    c *= f
    i *= g
    c += i
    np.tanh(c, out=h)
    h *= o


HALF = np.array(0.5, np.float32)  # an array spares NumPy the conversion at every step


def _by_gate(weights: Array) -> Array:
    """Keras' (N, 4H) or (4H,), gates i, f, g, o, as (4, N, H): i/2, f/2, o/2, g."""
    i, f, g, o = np.split(np.atleast_2d(weights), 4, axis=-1)
    return np.stack([HALF * i, HALF * f, HALF * o, g])


def _columns(h: Array, number: int, width: int) -> Array:
    """The outputs of one layer: a view of h (B, L x H), of shape (B, H)."""
    return h[:, number * width : (number + 1) * width]


def _check(config: ModelConfig, weights: Mapping[str, Array]) -> None:
    for path, shape in weight_shapes(config, len(weights["logits/bias"])).items():
        if path not in weights or weights[path].shape != shape:
            received = weights[path].shape if path in weights else "nothing"
            raise TextgenError(f"weights {path} must have shape {shape}. Received: {received}")
        if not np.isfinite(weights[path]).all():
            raise TextgenError(
                f"weights {path} hold NaN or infinity: training went wrong. Train again, with a"
                " lower --learning-rate"
            )
