"""A model -> Keras' own file of a model without state: token ids (B, T) -> logits (B, T, V).

Each call begins with an empty memory. Its layers are Keras' own (but for cells that Keras lacks),
so that plain Keras loads it, goes on training it, or looks into it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from textgen.export import ExportSettings
from textgen.model.checkpoint import Checkpoint
from textgen.support.errors import TextgenError
from textgen.support.files import explained, replacing

if TYPE_CHECKING:
    from textgen.model.backend import keras


def write(model: Checkpoint, path: Path, settings: ExportSettings, folder: Path) -> list[str]:
    """Writes the file. Raises TextgenError where that cannot be."""
    if path.suffix != ".keras":
        raise TextgenError(f"a file of Keras ends in .keras. Received: {path.name}")
    made = stateless(model)
    with explained(path), replacing(path) as unfinished:
        made.save(unfinished)
    return []


def stateless(model: Checkpoint) -> keras.Model:
    """Returns the model as a function of token ids alone."""
    from textgen.model.backend import keras
    from textgen.model.keras_model import build_model_to_save, set_weights

    stateful = build_model_to_save(model.metadata.model, len(model.metadata.tokenizer.vocabulary))

    def without_state(layer: Any) -> Any:
        config = layer.get_config()
        return type(layer).from_config(
            config | ({"stateful": False} if "stateful" in config else {})
        )

    ids = keras.Input((None,), dtype="int32", name="ids")
    made = keras.models.clone_model(stateful, input_tensors=ids, clone_function=without_state)
    set_weights(made, model.weights)
    return made
