"""The trained network without TensorFlow: NumPy, explicit state in, explicit state out.

The weights are rearranged once, when a network is made, so that a step is little more than one
matrix product per layer:

- a layer reads its input and its own last output in one product, [x, h] @ [W; U], and the outputs
  of all layers lie side by side, so that the two need not be brought together first;
- what the first layer makes of a token is looked up in a table, embeddings @ W + b;
- how a cell computes is told in `textgen.model.architecture`.

Shapes: B batch, T time, V vocabulary size, D input size of a layer, H its size; C columns of
`State.h`; "gates" as the cell has them.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from textgen.model.architecture import (
    CELLS,
    NORM_EPSILON,
    Array,
    Gates,
    LayerDescription,
    describe_layers,
)
from textgen.settings.definitions import ModelSettings
from textgen.tokens.tokenizer import Ids

LARGEST_TABLE = 2**21
"""Numbers in the largest lookup table (8 MB); a larger vocabulary multiplies at every step."""

READ_AT_ONCE = 1024
"""Tokens per row of a long prompt that are read with one product per layer; bounds memory."""

SCORED_AT_ONCE = 2**13
"""Tokens of all rows together that are scored with one product per layer; bounds memory."""

LOGITS_AT_ONCE = 2**21
"""Logits that are there at a time while tokens are scored (8 MB): more leave the processor's cache.
"""


class State(NamedTuple):
    """The recurrent state of B streams."""

    h: Array
    """Outputs, side by side in the columns that `Network` has planned, (B, C)."""
    c: tuple[Array, ...]
    """The memory of each LSTM layer, (B, H); other layers have none."""

    def copy(self) -> "State":
        """Returns a copy that shares no array."""
        return State(self.h.copy(), tuple(c.copy() for c in self.c))

    def select(self, rows: Ids) -> "State":
        """Returns these rows, in this order."""
        return State(self.h[rows], tuple(c[rows] for c in self.c))

    def join(self, other: "State") -> "State":
        """Returns the rows of both, those of `other` last."""
        memories = zip(self.c, other.c, strict=True)
        return State(
            np.concatenate([self.h, other.h]), tuple(np.concatenate(pair) for pair in memories)
        )


class NormAndResidual(NamedTuple):
    """Normalization of a layer's output, addition of its input, or both."""

    input_columns: slice
    """Of `State.h`: the layer's input."""
    output_columns: slice
    """Of `State.h`: the result, which the next layer reads."""
    is_residual: bool
    """Whether the input is added."""
    gamma: Array | None
    """(H,), scale after normalization; None without it."""
    beta: Array | None
    """(H,), shift after normalization."""

    def apply(self, output: Array, inputs: Array) -> Array:
        """Returns the result for a layer's output and input, (..., H)."""
        if self.gamma is not None:
            output = layer_norm(output, self.gamma, self.beta)
        return output + inputs if self.is_residual else output


class Layer(NamedTuple):
    """A recurrent layer: its weights, gate by gate, and its place in `State.h`."""

    kernel: Array
    """[W; U], (gates, D + H, H); of the first layer U alone, (gates, H, H)."""
    bias: Array | None
    """(gates, 1, H); None in the first layer, whose input is projected beforehand."""
    input_columns: slice
    """Of `State.h`: its input and its own last output (in the first layer, the latter alone)."""
    output_columns: slice
    """Of `State.h`: its output."""
    norm_and_residual: NormAndResidual | None
    """The normalization and the residual connection between this layer and the next."""


def layer_norm(x: Array, gamma: Array, beta: Array | None) -> Array:
    """Returns x, (..., H), normalized over the last axis (Ba et al. 2016), as Keras computes it.

    (x - mean) / sqrt(variance + epsilon) * gamma + beta
    """
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)  # (..., 1)
    normalized: Array = centred / np.sqrt(variance + np.float32(NORM_EPSILON)) * gamma + beta
    return normalized


class Network:
    """The function (token ids, state) -> (logits, next state) of a trained model.

    Nothing is changed by a call, so one network serves any number of streams and threads.

    Args:
        settings: the sizes of the layers.
        weights: the arrays of `textgen.model.architecture.weight_shapes`, by path.

    Attributes:
        multiplications: that the recurrent layers make per token.
    """

    def __init__(self, settings: ModelSettings, weights: Mapping[str, Array]) -> None:
        self.settings, self.cell = settings, CELLS[settings.cell]
        self.vocabulary_size = len(weights["logits/bias"])
        self._embeddings = weights["embedding/embeddings"]  # (V, D)
        self.layers: list[Layer] = []
        columns = slice(0, 0)  # of the input of the next layer
        for description in describe_layers(settings):
            layer = self._layer(description, weights, columns)
            self.layers.append(layer)
            columns = (layer.norm_and_residual or layer).output_columns
        self._output_columns = columns
        gates, _, size = self._kernel.shape
        small = gates * self.vocabulary_size * size <= LARGEST_TABLE
        self._table = self._embeddings @ self._kernel + self._bias if small else None  # gates, V, H
        self.output_kernel = weights["logits/kernel"]  # (H, V)
        self.output_bias = weights["logits/bias"]  # (V,)
        self.multiplications = sum(layer.kernel.size for layer in self.layers)

    def _layer(
        self, description: LayerDescription, weights: Mapping[str, Array], inputs: slice
    ) -> Layer:
        """Returns the layer whose input stands in the columns `inputs`.

        Its output follows at once, so that it reads input and last output as one. The weights that
        the first layer's input is multiplied with are kept for `project`.
        """
        path, size = description.cell_path, self.settings.rnn_size
        kernel, recurrent_kernel, bias = self.cell.by_gate(
            weights[f"{path}/kernel"], weights[f"{path}/recurrent_kernel"], weights[f"{path}/bias"]
        )
        outputs = slice(inputs.stop, inputs.stop + size)
        norm_and_residual, gamma, beta = None, None, None
        if description.norm_name:
            gamma, beta = (weights[f"{description.norm_name}/{name}"] for name in ("gamma", "beta"))
        if description.norm_name or description.is_residual:
            result = slice(outputs.stop, outputs.stop + size)
            norm_and_residual = NormAndResidual(
                inputs, result, description.is_residual, gamma, beta
            )
        if description.number == 1:
            self._kernel, self._bias = kernel, bias  # (gates, D, H), (gates, 1, H)
            return Layer(recurrent_kernel, None, outputs, outputs, norm_and_residual)
        both = np.concatenate([kernel, recurrent_kernel], axis=1)  # (gates, D + H, H)
        return Layer(both, bias, slice(inputs.start, outputs.stop), outputs, norm_and_residual)

    def initial_state(self, batch_size: int) -> State:
        """Returns the state before any token: zeros."""
        memories = self.settings.num_layers if self.cell.has_memory else 0
        c = np.zeros((memories, batch_size, self.settings.rnn_size), np.float32)
        return State(np.zeros((batch_size, self._output_columns.stop), np.float32), tuple(c))

    def buffer(self, rows: int) -> Gates:
        """Returns what a step of a layer works in, (gates, rows, H); all layers share one."""
        return self.cell.buffer(rows, self.settings.rnn_size)

    def project(self, ids: Ids) -> Array:
        """Returns what the first layer's gates receive from tokens: ids (N,) -> (gates, N, H)."""
        if self._table is not None:
            return self._table.take(ids, axis=1)
        projected: Array = self._embeddings[ids] @ self._kernel + self._bias
        return projected

    def output(self, state: State) -> Array:
        """Returns what the logits are computed from: a view of `state.h`, (B, H)."""
        return state.h[:, self._output_columns]

    def read(self, ids: Ids, state: State) -> tuple[Array, State]:
        """Reads a text, with one product per layer for the inputs of all its tokens.

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

    def log_probabilities(
        self, ids: Ids, targets: Ids, state: State
    ) -> tuple[npt.NDArray[np.float64], State]:
        """Reads a text and tells how probable some token is after each of its tokens.

        Args:
            ids: token ids, (B, T).
            targets: a token id for each, (B, T): whose probability after it is wanted.
            state: the state before them; it is not changed.

        Returns:
            The log-probabilities of `targets`, (B, T), in nats, and the state after `ids`.
        """
        state = state.copy()
        rows, length = ids.shape
        found = np.empty((length, rows))  # (T, B)
        steps = max(1, SCORED_AT_ONCE // rows)
        for start in range(0, length, steps):
            block = slice(start, start + steps)
            outputs = self._read(ids[:, block], state)  # (t, B, H)
            scored = self._score(outputs.reshape(-1, outputs.shape[2]), targets[:, block].T.ravel())
            found[block] = scored.reshape(-1, rows)
        return found.T, state

    def _score(self, outputs: Array, targets: Ids) -> npt.NDArray[np.float64]:
        """Returns the log-probabilities (N,) of `targets` (N,), given what logits are made of."""
        found = np.empty(len(targets))
        size = max(1, LOGITS_AT_ONCE // self.vocabulary_size)
        for start in range(0, len(targets), size):
            block = slice(start, start + size)
            logits = outputs[block] @ self.output_kernel  # (n, V)
            logits += self.output_bias
            logits -= logits.max(axis=1, keepdims=True)
            found[block] = logits[np.arange(len(logits)), targets[block]]
            found[block] -= np.log(np.exp(logits, out=logits).sum(axis=1))
        return found

    def _read(self, ids: Ids, state: State) -> Array:
        """Advances `state` over `ids` (B, T), layer by layer; returns the outputs, (T, B, H)."""
        rows, steps = ids.shape
        gates = self.buffer(rows)
        sequence = np.empty((steps, rows, 0), np.float32)
        for number, layer in enumerate(self.layers):
            if layer.bias is None:
                inputs = self.project(ids.T.reshape(-1))  # (gates, T x B, H)
            else:
                size = sequence.shape[2]  # D
                inputs = sequence.reshape(-1, size) @ layer.kernel[:, :size] + layer.bias
            c = state.c[number] if self.cell.has_memory else None
            outputs = self._run(layer, inputs, state.h[:, layer.output_columns], c, gates)
            if layer.norm_and_residual is not None:
                outputs = layer.norm_and_residual.apply(outputs, sequence)
                state.h[:, layer.norm_and_residual.output_columns] = outputs[-1]
            sequence = outputs  # (T, B, H)
        return sequence

    def _run(self, layer: Layer, inputs: Array, h: Array, c: Array | None, gates: Gates) -> Array:
        """Returns the outputs of a layer, (T, B, H), for projected inputs (gates, T x B, H)."""
        rows, size = h.shape
        recurrent_kernel = layer.kernel[:, -size:]  # (gates, H, H)
        outputs = np.empty((inputs.shape[1] // rows, rows, size), np.float32)
        for t in range(len(outputs)):
            np.matmul(h, recurrent_kernel, out=gates.all)
            np.add(gates.all, inputs[:, t * rows : (t + 1) * rows], out=gates.all)
            self.cell.step(gates, h, c)
            outputs[t] = h
        return outputs

    def stepper(self, ids: Ids) -> "Stepper":
        """Returns streams that have read the prompts `ids`, (B, T), and can go on together."""
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
        memories = state.c if network.cell.has_memory else (None,) * len(network.layers)
        gates = network.buffer(len(h))
        self._views = [
            (
                layer.kernel, layer.bias, h[:, layer.input_columns], h[:, layer.output_columns],
                c, gates, layer.norm_and_residual,
            )
            for layer, c in zip(network.layers, memories, strict=True)
        ]  # fmt: skip
        self._output = network.output(state)

    def step(self, ids: Ids) -> None:
        """Reads one token per stream, ids (B,)."""
        network = self._network
        cell_step = network.cell.step
        for kernel, bias, inputs, h, c, gates, then in self._views:
            np.matmul(inputs, kernel, out=gates.all)  # (B, D + H) @ (gates, D + H, H)
            np.add(gates.all, network.project(ids) if bias is None else bias, out=gates.all)
            cell_step(gates, h, c)
            if then is not None:
                columns = self._state.h
                columns[:, then.output_columns] = then.apply(h, columns[:, then.input_columns])
        np.matmul(self._output, network.output_kernel, out=self.logits)
        self.logits += network.output_bias

    def read(self, ids: Ids) -> None:
        """Reads more of a text, ids (B, T), T at least 1."""
        self._set(*self._network.read(ids, self._state))

    def select(self, rows: Ids) -> None:
        """Goes on with these rows, in this order; a row may be named more than once."""
        self._set(self.logits[rows], self._state.select(rows))

    def copy(self) -> "Stepper":
        """Returns the same streams, which go on apart."""
        return Stepper(self._network, self.logits.copy(), self._state.copy())

    def join(self, other: "Stepper") -> None:
        """Takes over the streams of another stepper of the same network, after its own."""
        logits = np.concatenate([self.logits, other.logits])
        self._set(logits, self._state.join(other._state))
