"""A model -> the arrays of its weights alone, by the names that they have in the Keras model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from textgen.export import ExportSettings
from textgen.model.checkpoint import Checkpoint
from textgen.support.files import explained, replacing


def write(model: Checkpoint, path: Path, settings: ExportSettings, folder: Path) -> list[str]:
    """Writes the file: the arrays of `weight_shapes`, and the sizes of the model as its metadata.

    Raises:
        TextgenError: where that cannot be.
    """
    from safetensors.numpy import save_file

    arrays = {name: np.ascontiguousarray(array) for name, array in model.weights.items()}
    sizes = json.dumps(model.metadata.model.to_dict())
    with explained(path), replacing(path) as unfinished:
        save_file(arrays, unfinished, metadata={"format": "textgen", "model": sizes})
    return []
