"""The network as both engines have it: its layers, their names and the shapes of their weights.

    token ids (B, T) -> embedding (B, T, D) -> num_layers x [cell, norm, + input] (B, T, H)
        -> logits (B, T, V)

`textgen.model.keras_model` builds it in Keras, to train; `textgen.model.network` in NumPy, to
generate. Arrays go by their paths in the Keras model, such as `lstm_1/lstm_cell/kernel`.
"""

from typing import NamedTuple

from textgen.model.cells import CELLS
from textgen.settings.definitions import ModelSettings

NORM_EPSILON = 0.001
"""Added to the variance in layer normalization; Keras' default."""


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
