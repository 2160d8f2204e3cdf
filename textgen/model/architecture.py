"""The network as both engines have it: its cells and layers, their names, the shapes of weights.

    token ids (B, T) -> embedding (B, T, D) -> num_layers x [cell, norm, + input] (B, T, H)
        -> logits (B, T, V)

`textgen.model.keras_model` builds it in Keras, to train; `textgen.model.network` in NumPy, to
generate. Arrays go by their paths in the Keras model, such as `lstm_1/lstm_cell/kernel`.

A cell has its NumPy step and entry in `CELLS` here, and its Keras layers in `LAYERS` of
`textgen.model.recurrent`, so that nothing here imports TensorFlow; its other places are listed in
docs/architecture.md.

A step takes what all gates receive in one array, (gates, B, H), where each gate's numbers lie
together, so that no operation skips through memory. One tanh serves all gates of an LSTM, because
sigmoid(x) = tanh(x / 2) / 2 + 1/2: the weights of sigmoid gates are halved beforehand, which is
exact in floating point.

Shapes: B batch, T time, V vocabulary, D input size, N rows of a kernel, H hidden size.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from textgen.settings.definitions import ModelSettings

Array: TypeAlias = npt.NDArray[np.float32]
"""Weights, states, logits."""

NORM_EPSILON = 0.001
"""Added to the variance in layer normalization; Keras' default."""
HALF = np.array(0.5, np.float32)  # an array spares NumPy the conversion at every step


class Gates(NamedTuple):
    """The buffer that a step works in, and views of its parts."""

    all: Array
    """(gates, B, H)"""
    sigmoids: Array
    """The gates that stand first and whose weights were halved, (sigmoids, B, H)."""
    parts: tuple[Array, ...]
    """Each gate, (B, H)."""


def lstm_step(gates: Gates, h: Array, c: Array) -> None:
    """Makes one step of an LSTM without peepholes.

    c' = sigmoid(f) * c + sigmoid(i) * tanh(g);  h' = sigmoid(o) * tanh(c')

    Source: Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000.

    Args:
        gates: i/2, f/2, o/2 and g before activation; used up.
        h: receives the output h', (B, H).
        c: the memory, (B, H), which becomes c'.
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
    """Makes one step of a GRU whose reset gate comes after the product, as in Keras.

    g = tanh(x + sigmoid(r) * v);  h' = g + sigmoid(z) * (h - g)

    Source: Cho et al. 2014.

    Args:
        gates: z/2, r/2, and the candidate's share v of the last output and x of the input, before
            activation; used up.
        h: the last output, (B, H), which becomes h'.
        c: a GRU has no memory beside its output.
    """
    _, sigmoids, (z, r, v, x) = gates
    np.tanh(sigmoids, out=sigmoids)
    sigmoids *= HALF
    sigmoids += HALF
    v *= r
    v += x
    np.tanh(v, out=v)
    h -= v
    h *= z
    h += v


def rnn_step(gates: Gates, h: Array, c: None) -> None:
    """Makes one step of a simple recurrent network (Elman 1990): h' = tanh(gate)."""
    np.tanh(gates.all[0], out=h)


class Gate(NamedTuple):
    """A gate of a step, as it is made from Keras' weights."""

    block: int
    """Which H columns of Keras' kernels it has, from 0."""
    sigmoid: bool = False
    """Whether its weights are halved; such gates stand first."""
    reads_input: bool = True
    """Whether it receives x @ W + b; else zeros."""
    reads_output: bool = True
    """Whether it receives h @ U, of the layer's last output; else zeros."""


class Cell(NamedTuple):
    """A kind of cell: how it steps, and how its gates are made from Keras' weights.

    All gates come of one product per step, [x, h] @ [W; U] + b. A gate that acts on a part of it
    gets that part as a gate of its own, as the candidate of the GRU does.

    Example:
        >>> cell = CELLS["gru"]
        >>> cell.blocks, cell.bias_shape(8), cell.has_memory
        (3, (2, 24), False)
    """

    keras_name: str
    """The name that the cell has in its Keras layer, `lstm_cell`."""
    step: Callable[..., None]
    """`step(gates, h, c)` changes h and c, (B, H), in place; c is None without memory."""
    gates: tuple[Gate, ...]
    """In the order in which `step` takes them."""
    biases: int = 1
    """Rows of Keras' bias: 2 if h @ U has one of its own, else 1, which makes it no matrix."""
    has_memory: bool = False
    """Whether it has a state c beside its output h."""

    @property
    def blocks(self) -> int:
        """How many times H Keras' kernels are wide."""
        return 1 + max(gate.block for gate in self.gates)

    def bias_shape(self, size: int) -> tuple[int, ...]:
        """Returns the shape of Keras' bias for `size` units."""
        shape = (self.biases, self.blocks * size)
        return shape if self.biases > 1 else shape[1:]

    def buffer(self, rows: int, size: int) -> Gates:
        """Returns the buffer of a step, (gates, rows, size), not filled."""
        gates = np.empty((len(self.gates), rows, size), np.float32)
        return Gates(gates, gates[: sum(gate.sigmoid for gate in self.gates)], tuple(gates))

    def by_gate(self, kernel: Array, recurrent: Array, bias: Array) -> tuple[Array, Array, Array]:
        """Returns Keras' weights gate by gate, those of sigmoid gates halved.

        Args:
            kernel: (D, blocks x H), D the size of the input.
            recurrent: (H, blocks x H).
            bias: (blocks x H,), or (2, blocks x H): the input's and the last output's.

        Returns:
            kernel (gates, D, H), recurrent kernel (gates, H, H), and bias (gates, 1, H).
        """
        of_input, *of_output = np.reshape(bias, (self.biases, -1))
        both = self._arranged(of_input, [gate.reads_input for gate in self.gates])
        for row in of_output:
            both = both + self._arranged(row, [gate.reads_output for gate in self.gates])
        return (
            self._arranged(kernel, [gate.reads_input for gate in self.gates]),
            self._arranged(recurrent, [gate.reads_output for gate in self.gates]),
            both,
        )

    def _arranged(self, weights: Array, is_read: list[bool]) -> Array:
        """Returns weights (N, blocks x H) as (gates, N, H), with zeros where nothing is read."""
        blocks = np.split(np.atleast_2d(weights), self.blocks, axis=-1)  # (N, H) each
        return np.stack(
            [
                blocks[gate.block] * (HALF if gate.sigmoid else np.float32(1))
                if reads
                else np.zeros_like(blocks[gate.block])
                for gate, reads in zip(self.gates, is_read, strict=True)
            ]
        )


CELLS = {
    "lstm": Cell(  # Keras' blocks: i, f, g, o
        "lstm_cell", lstm_step, has_memory=True,
        gates=(Gate(0, sigmoid=True), Gate(1, sigmoid=True), Gate(3, sigmoid=True), Gate(2)),
    ),
    "gru": Cell(  # Keras' blocks: z, r, candidate
        "gru_cell", gru_step, biases=2,
        gates=(
            Gate(0, sigmoid=True), Gate(1, sigmoid=True),
            Gate(2, reads_input=False), Gate(2, reads_output=False),
        ),
    ),
    "rnn": Cell("simple_rnn_cell", rnn_step, gates=(Gate(0),)),
}  # fmt: skip
"""By `ModelSettings.cell`."""


class LayerDescription(NamedTuple):
    """A recurrent layer, and what is done to its output before the next layer reads it."""

    number: int
    """From 1."""
    name: str
    """Its name in Keras, `lstm_1`."""
    cell_path: str
    """Where its weights are: `lstm_1/lstm_cell`."""
    norm_name: str | None
    """The name of the normalization of its output, `norm_1`, if there is one."""
    is_residual: bool
    """Whether its input is added to its output, after normalization (He et al. 2016)."""


def describe_layers(settings: ModelSettings) -> list[LayerDescription]:
    """Returns the recurrent layers, in order.

    The first is never residual: it reads token vectors, which are no layer's work.

    Example:
        >>> describe_layers(ModelSettings(num_layers=2, cell="gru", residual=True))[1]
        LayerDescription(number=2, name='gru_2', cell_path='gru_2/gru_cell', norm_name=None, \
is_residual=True)
    """
    return [
        LayerDescription(
            number,
            name=f"{settings.cell}_{number}",
            cell_path=f"{settings.cell}_{number}/{CELLS[settings.cell].keras_name}",
            norm_name=f"norm_{number}" if settings.layer_norm else None,
            is_residual=settings.residual and number > 1,
        )
        for number in range(1, settings.num_layers + 1)
    ]


def weight_shapes(settings: ModelSettings, vocabulary_size: int) -> dict[str, tuple[int, ...]]:
    """Returns the shape of every trained array, by path.

    Tied weights are there twice, as `embedding/embeddings` and transposed as `logits/kernel`.
    """
    cell, size = CELLS[settings.cell], settings.rnn_size  # H
    input_size = settings.embedding_size or vocabulary_size  # D of the first layer
    shapes: dict[str, tuple[int, ...]] = {"embedding/embeddings": (vocabulary_size, input_size)}
    for layer in describe_layers(settings):
        shapes[f"{layer.cell_path}/kernel"] = (input_size, cell.blocks * size)
        shapes[f"{layer.cell_path}/recurrent_kernel"] = (size, cell.blocks * size)
        shapes[f"{layer.cell_path}/bias"] = cell.bias_shape(size)
        if layer.norm_name:
            shapes[f"{layer.norm_name}/gamma"] = (size,)
            shapes[f"{layer.norm_name}/beta"] = (size,)
        input_size = size
    shapes["logits/kernel"] = (size, vocabulary_size)
    shapes["logits/bias"] = (vocabulary_size,)
    return shapes


def weights_per_layer(settings: ModelSettings, vocabulary_size: int) -> dict[str, int]:
    """Returns how many weights each layer learns, by Keras' name."""
    counts: dict[str, int] = {}
    for path, shape in weight_shapes(settings, vocabulary_size).items():
        name = path.split("/")[0]
        is_fixed = name == "embedding" and not settings.embedding_size
        is_shared = path == "logits/kernel" and settings.is_tied
        count = 0 if is_fixed or is_shared else math.prod(shape)
        counts[name] = counts.get(name, 0) + count
    return counts
