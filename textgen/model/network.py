"""The trained network without TensorFlow: NumPy, explicit state in, explicit state out.

The weights are rearranged once, when a network is made, so that a step is little more than one
matrix product per layer:

- a layer reads its input and its own last output in one product, [x, h] @ [W; U], and the outputs
  of all layers lie side by side, so that the two need not be brought together first;
- what the first layer makes of a token is looked up in a table, embeddings @ W + b;
- how a cell computes is told in `textgen.model.cells`.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from textgen.model.cells import CELLS, Gates
from textgen.settings.definitions import ModelSettings
from textgen.support.arrays import Array, Ids
from textgen.support.errors import TextgenError

LARGEST_TABLE = 2**21
"""Numbers in the largest lookup table (8 MB); a larger vocabulary multiplies at every step."""

NORM_EPSILON = 0.001
"""Keras' own, in layer normalization."""

READ_AT_ONCE = 1024
"""Tokens per row of a long prompt that are read with one product per layer; bounds memory."""


class State(NamedTuple):
    """What the layers remember; B rows."""

    h: Array
    """Outputs, side by side in the columns that `Network` has planned, (B, N)."""
    c: tuple[Array, ...]
    """The cells of each LSTM layer, (B, H); other layers have none."""

    def copy(self) -> "State":
        """A state of one's own."""
        return State(self.h.copy(), tuple(c.copy() for c in self.c))

    def select(self, rows: Ids) -> "State":
        """These rows, in this order."""
        return State(self.h[rows], tuple(c[rows] for c in self.c))

    def join(self, other: "State") -> "State":
        """The rows of `other` after one's own."""
        cells = zip(self.c, other.c, strict=True)
        return State(
            np.concatenate([self.h, other.h]), tuple(np.concatenate(pair) for pair in cells)
        )


class Layer(NamedTuple):
    """The weights of a layer, gate by gate as its cell has them, and its place in `State.h`."""

    kernel: Array
    """[W; U], (gates, D + H, H); of the first layer U alone, (gates, H, H)."""
    bias: Array | None
    """(gates, 1, H); none in the first layer, whose input is projected beforehand."""
    reads: slice
    """The columns of its input and its own last output (in the first layer, of that alone)."""
    gives: slice
    """The columns of its output."""
    after: "After | None"
    """What is done to the output before the next layer reads it."""


class After(NamedTuple):
    """Normalization of a layer's output, addition of its input, or both."""

    reads: slice
    """The columns of the layer's input."""
    gives: slice
    """The columns of the result."""
    adds: bool
    """Whether the input is added."""
    gamma: Array | None
    """(H,), scale after normalization."""
    beta: Array | None
    """(H,), shift after normalization."""

    def apply(self, output: Array, inputs: Array) -> Array:
        """The result for a layer's output and input, (..., H)."""
        if self.gamma is not None:
            output = layer_norm(output, self.gamma, self.beta)
        return output + inputs if self.adds else output


def layer_norm(x: Array, gamma: Array, beta: Array | None) -> Array:
    """Layer normalization over the last axis (Ba et al. 2016), as Keras computes it.

    (x - mean) / sqrt(variance + epsilon) * gamma + beta
    """
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    normalized: Array = centred / np.sqrt(variance + np.float32(NORM_EPSILON)) * gamma + beta
    return normalized


def weight_shapes(settings: ModelSettings, vocabulary_size: int) -> dict[str, tuple[int, ...]]:
    """The shape of every trained array, by its path in the Keras model."""
    kind, size = CELLS[settings.cell], settings.embedding_size or vocabulary_size
    width = settings.rnn_size
    shapes: dict[str, tuple[int, ...]] = {"embedding/embeddings": (vocabulary_size, size)}
    for number in range(1, settings.num_layers + 1):
        cell = kind.path(number)
        shapes[f"{cell}/kernel"] = (size, kind.blocks * width)
        shapes[f"{cell}/recurrent_kernel"] = (width, kind.blocks * width)
        shapes[f"{cell}/bias"] = kind.bias_shape(width)
        if settings.layer_norm:
            shapes[f"norm_{number}/gamma"] = shapes[f"norm_{number}/beta"] = (width,)
        size = width
    shapes["logits/kernel"] = (size, vocabulary_size)
    shapes["logits/bias"] = (vocabulary_size,)
    return shapes


class Network:
    """The function (token ids, state) -> (logits, next state) of a trained model.

    Nothing is changed by a call, so one network serves any number of streams and threads.

    Args:
        settings: the sizes of the layers.
        weights: the arrays of `weight_shapes`, by path.

    Raises:
        TextgenError: if an array is missing, has another shape, or holds NaN or infinity.
    """

    def __init__(self, settings: ModelSettings, weights: Mapping[str, Array]) -> None:
        _check(settings, weights)
        self.settings, self.cell = settings, CELLS[settings.cell]
        self.vocabulary_size = len(weights["logits/bias"])
        self._embeddings = weights["embedding/embeddings"]
        self.layers: list[Layer] = []
        end = slice(0, 0)
        for number in range(1, settings.num_layers + 1):
            layer = self._layer(number, weights, end)
            self.layers.append(layer)
            end = (layer.after or layer).gives
        self._output = end
        gates, _, width = self._kernel.shape
        small = gates * self.vocabulary_size * width <= LARGEST_TABLE
        self._table = self._embeddings @ self._kernel + self._bias if small else None
        self.output_kernel = weights["logits/kernel"]
        self.output_bias = weights["logits/bias"]

    def _layer(self, number: int, weights: Mapping[str, Array], inputs: slice) -> Layer:
        """Layer `number`, from 1, whose input stands in the columns `inputs`.

        Its output follows at once, so that it reads input and last output as one. What the first
        layer does with its input is kept for `project`.
        """
        path = self.cell.path(number)
        kernel, recurrent_kernel, bias = self.cell.by_gate(
            weights[f"{path}/kernel"], weights[f"{path}/recurrent_kernel"], weights[f"{path}/bias"]
        )
        gives = slice(inputs.stop, inputs.stop + self.settings.rnn_size)
        after = self._after(number, weights, inputs, gives)
        if number == 1:
            self._kernel, self._bias = kernel, bias
            return Layer(recurrent_kernel, None, gives, gives, after)
        both = np.concatenate([kernel, recurrent_kernel], axis=1)
        return Layer(both, bias, slice(inputs.start, gives.stop), gives, after)

    def _after(
        self, number: int, weights: Mapping[str, Array], inputs: slice, gives: slice
    ) -> After | None:
        adds = self.settings.is_residual(number - 1)
        if not adds and not self.settings.layer_norm:
            return None
        columns = slice(gives.stop, gives.stop + self.settings.rnn_size)
        gamma, beta = (weights.get(f"norm_{number}/{name}") for name in ("gamma", "beta"))
        return After(inputs, columns, adds, gamma, beta)

    def initial_state(self, batch_size: int) -> State:
        """The state before any token: zeros."""
        memories = self.settings.num_layers if self.cell.has_memory else 0
        cells = np.zeros((memories, batch_size, self.settings.rnn_size), np.float32)
        return State(np.zeros((batch_size, self._output.stop), np.float32), tuple(cells))

    def buffer(self, rows: int) -> Gates:
        """What a step of a layer works in; all layers share one."""
        return Gates.of(np.empty((self._kernel.shape[0], rows, self.settings.rnn_size), np.float32))

    def project(self, ids: Ids) -> Array:
        """What the first layer's gates receive from tokens: ids (N,) -> (gates, N, H)."""
        if self._table is not None:
            return self._table.take(ids, axis=1)
        projected: Array = self._embeddings[ids] @ self._kernel + self._bias
        return projected

    def output(self, state: State) -> Array:
        """What the logits are computed from: a view of `state.h`, (B, H)."""
        return state.h[:, self._output]

    def read(self, ids: Ids, state: State) -> tuple[Array, State]:
        """Read a text, with one product per layer for the inputs of all its tokens.

        Args:
            ids: token ids, (B, T), T at least 1.
            state: the state before them; it is not changed.

        Returns:
            logits for the token after the last, (B, V), and the state after `ids`.
        """
        state = state.copy()
        for start in range(0, ids.shape[1], READ_AT_ONCE):
            self._read(ids[:, start : start + READ_AT_ONCE], state)
        return self.output(state) @ self.output_kernel + self.output_bias, state

    def _read(self, ids: Ids, state: State) -> None:
        """Advance `state` over `ids` (B, T), layer by layer."""
        rows, steps = ids.shape
        gates = self.buffer(rows)
        sequence = np.empty((steps, rows, 0), np.float32)
        for number, layer in enumerate(self.layers):
            if layer.bias is None:
                inputs = self.project(ids.T.reshape(-1))
            else:
                width = sequence.shape[2]
                inputs = sequence.reshape(-1, width) @ layer.kernel[:, :width] + layer.bias
            cells = state.c[number] if self.cell.has_memory else None
            outputs = self._run(layer, inputs, state.h[:, layer.gives], cells, gates)
            if layer.after is not None:
                outputs = layer.after.apply(outputs, sequence)
                state.h[:, layer.after.gives] = outputs[-1]
            sequence = outputs

    def _run(self, layer: Layer, inputs: Array, h: Array, c: Array | None, gates: Gates) -> Array:
        """The outputs of a layer, (T, B, H), for projected inputs (gates, T x B, H)."""
        rows, width = h.shape
        recurrent_kernel = layer.kernel[:, -width:]
        outputs = np.empty((inputs.shape[1] // rows, rows, width), np.float32)
        for t in range(len(outputs)):
            np.matmul(h, recurrent_kernel, out=gates.all)
            np.add(gates.all, inputs[:, t * rows : (t + 1) * rows], out=gates.all)
            self.cell.step(gates, h, c)
            outputs[t] = h
        return outputs

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
        self.logits, self._state = logits, state
        network, h = self._network, state.h
        cells = state.c if network.cell.has_memory else (None,) * len(network.layers)
        gates = network.buffer(len(h))
        self._views = [
            (layer.kernel, layer.bias, h[:, layer.reads], h[:, layer.gives], c, gates, layer.after)
            for layer, c in zip(network.layers, cells, strict=True)
        ]
        self._output = network.output(state)

    def step(self, ids: Ids) -> None:
        """Read one token per stream, ids (B,)."""
        network = self._network
        cell_step = network.cell.step
        for kernel, bias, inputs, h, c, gates, after in self._views:
            np.matmul(inputs, kernel, out=gates.all)
            np.add(gates.all, network.project(ids) if bias is None else bias, out=gates.all)
            cell_step(gates, h, c)
            if after is not None:
                everything = self._state.h
                everything[:, after.gives] = after.apply(h, everything[:, after.reads])
        np.matmul(self._output, network.output_kernel, out=self.logits)
        self.logits += network.output_bias

    def read(self, ids: Ids) -> None:
        """Read more of a text, ids (B, T), T at least 1."""
        self._set(*self._network.read(ids, self._state))

    def select(self, rows: Ids) -> None:
        """Go on with these rows, in this order; a row may be named more than once."""
        self._set(self.logits[rows], self._state.select(rows))

    def join(self, other: "Stepper") -> None:
        """Take over the streams of another stepper of the same network, after one's own."""
        logits = np.concatenate([self.logits, other.logits])
        self._set(logits, self._state.join(other._state))


def _check(settings: ModelSettings, weights: Mapping[str, Array]) -> None:
    for path, shape in weight_shapes(settings, len(weights["logits/bias"])).items():
        if path not in weights or weights[path].shape != shape:
            received = weights[path].shape if path in weights else "nothing"
            raise TextgenError(f"weights {path} must have shape {shape}. Received: {received}")
        if not np.isfinite(weights[path]).all():
            raise TextgenError(
                f"weights {path} hold NaN or infinity: training went wrong. Train again, with a"
                " lower --learning-rate"
            )
