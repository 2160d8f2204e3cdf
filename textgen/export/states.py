"""The state of a network as named arrays: what the graphs of other runtimes take and give."""

from textgen.model.architecture import CELLS, describe_layers
from textgen.settings.definitions import ModelSettings

NEXT = "next_"
"""Stands before the name of a state that comes out."""


def state_names(settings: ModelSettings) -> list[list[str]]:
    """Returns the names of each layer's states, (B, H) each; all are zeros before the first token.

    Example:
        >>> state_names(ModelSettings(num_layers=2))
        [['h_1', 'c_1'], ['h_2', 'c_2']]
    """
    kinds = "hc" if CELLS[settings.cell].has_memory else "h"
    return [[f"{kind}_{layer.number}" for kind in kinds] for layer in describe_layers(settings)]
