"""The trained network without TensorFlow: NumPy, explicit state in, explicit state out."""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from textgen.config import ModelConfig
from textgen.errors import TextgenError

Array: TypeAlias = npt.NDArray[np.float32]


class LayerState(NamedTuple):
    """What an LSTM layer remembers: output h and cell c, each (B, H)."""

    h: Array
    c: Array


State: TypeAlias = tuple[LayerState, ...]


class LSTMWeights(NamedTuple):
    """Keras' arrays; the gates stand in the order input, forget, cell, output."""

    kernel: Array
    """(D, 4H)"""
    recurrent_kernel: Array
    """(H, 4H)"""
    bias: Array
    """(4H,)"""


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
        TextgenError: if an array is missing or has another shape.
    """

    def __init__(self, config: ModelConfig, weights: Mapping[str, Array]) -> None:
        vocabulary_size = len(weights["logits/bias"])
        for path, shape in weight_shapes(config, vocabulary_size).items():
            if path not in weights or weights[path].shape != shape:
                received = weights[path].shape if path in weights else "nothing"
                raise TextgenError(f"weights {path} must have shape {shape}. Received: {received}")
        self.config = config
        self.vocabulary_size = vocabulary_size
        self._embeddings = weights["embedding/embeddings"]
        self._layers = [
            LSTMWeights(
                *(weights[f"lstm_{number}/lstm_cell/{name}"] for name in LSTMWeights._fields)
            )
            for number in range(1, config.num_layers + 1)
        ]
        self._output = weights["logits/kernel"], weights["logits/bias"]

    def initial_state(self, batch_size: int) -> State:
        """The state before any token: zeros."""
        zeros = np.zeros((batch_size, self.config.rnn_size), np.float32)
        return tuple(LayerState(zeros, zeros) for _ in self._layers)

    def step(self, ids: npt.NDArray[np.integer], state: State) -> tuple[Array, State]:
        """Read one token per stream.

        Args:
            ids: token ids, (B,).
            state: what `initial_state` or the last `step` returned.

        Returns:
            logits for the next token, (B, V), and the state after `ids`.
        """
        inputs = self._embeddings[ids]
        new_state = []
        for weights, (h, c) in zip(self._layers, state, strict=True):
            projected = inputs @ weights.kernel + weights.bias
            h, c = lstm_step(projected + h @ weights.recurrent_kernel, c)
            new_state.append(LayerState(h, c))
            inputs = h
        kernel, bias = self._output
        return inputs @ kernel + bias, tuple(new_state)

    def read(self, ids: npt.NDArray[np.integer], state: State) -> tuple[Array, State]:
        """Read a text: like `step` for each column of `ids`, with one product per layer.

        Args:
            ids: token ids, (B, T), T at least 1.
            state: the state before them.

        Returns:
            logits for the token after the last, (B, V), and the state after `ids`.
        """
        sequence = self._embeddings[ids]
        new_state = []
        for weights, (h, c) in zip(self._layers, state, strict=True):
            projected = sequence @ weights.kernel + weights.bias
            outputs = np.empty((*ids.shape, self.config.rnn_size), np.float32)
            for t in range(ids.shape[1]):
                h, c = lstm_step(projected[:, t] + h @ weights.recurrent_kernel, c)
                outputs[:, t] = h
            new_state.append(LayerState(h, c))
            sequence = outputs
        kernel, bias = self._output
        return sequence[:, -1] @ kernel + bias, tuple(new_state)


def lstm_step(gates: Array, c: Array) -> tuple[Array, Array]:
    """One step of an LSTM without peepholes (Hochreiter & Schmidhuber 1997, Gers et al. 2000).

    c' = sigmoid(f) * c + sigmoid(i) * tanh(g);  h' = sigmoid(o) * tanh(c')

    Args:
        gates: pre-activations i, f, g, o side by side, (B, 4H).
        c: cell, (B, H).

    Returns:
        h' and c', each (B, H).
    """
    i, f, g, o = np.split(gates, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), written with tanh, which does not overflow."""
    half: Array = np.float32(0.5) * np.tanh(np.float32(0.5) * x) + np.float32(0.5)
    return half
