"""A model -> the arrays of its weights alone, by the names that they have in the Keras model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from textgen.export import ExportSettings
from textgen.model.checkpoint import Checkpoint
from textgen.support.files import write_atomic


def write(model: Checkpoint, path: Path, settings: ExportSettings, folder: Path) -> list[str]:
    """Writes the file: the arrays of `weight_shapes`, and the sizes of the model as its metadata.

    Raises:
        TextgenError: where that cannot be.
    """
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array) for name, array in model.weights.items()}
    sizes = json.dumps(model.metadata.model.to_dict())
    write_atomic(path, save(arrays, metadata={"format": "textgen", "model": sizes}))
    return []
