"""`model.h5` + `model.pkl`: safe, atomic, versioned reading and writing.

`model.h5` is Keras' own file of a model of stock layers, so plain Keras opens it. `model.pkl` is a
pickle of built-in values alone. Reading executes nothing: the pickle is opened by a reader that
knows no names, and of the HDF5 file only the arrays are taken that the metadata calls for.

Both files carry the same `model_id`. While a pair is replaced there is a moment with the new
`model.pkl` beside the old `model.h5`; for that moment it describes both models.
"""

import math
import pickle
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from textgen import tokenizers
from textgen.config import ModelConfig, TrainingConfig
from textgen.errors import TextgenError
from textgen.files import replacing, write_atomic
from textgen.network import Array, weight_shapes
from textgen.tokenizers import Tokenizer

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Metadata:
    """What has to be known of a model besides its weights."""

    model: ModelConfig
    tokenizer: Tokenizer
    training: TrainingConfig
    results: dict[str, float]
    """Epoch, step, seconds and losses at the moment of writing."""
    line_starts: list[str] = field(default_factory=list)
    """Beginnings of some lines of the corpus, to start samples with."""

    def to_dict(self) -> dict[str, Any]:
        """Built-in values only."""
        return {
            "format_version": FORMAT_VERSION,
            "model": self.model.to_dict(),
            "tokenizer": tokenizers.to_metadata(self.tokenizer),
            "training": self.training.to_dict(),
            "results": dict(self.results),
            "line_starts": list(self.line_starts),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Metadata":
        """The inverse of `to_dict`.

        Raises:
            TextgenError, KeyError, TypeError: on values that `to_dict` does not give.
        """
        return cls(
            model=ModelConfig.from_dict(values["model"]),
            tokenizer=tokenizers.from_metadata(values["tokenizer"]),
            training=TrainingConfig.from_dict(values["training"]),
            results=values["results"],
            line_starts=values["line_starts"],
        )


def judged(results: dict[str, float]) -> float:
    """The loss a model is chosen by: the validation loss, or else the training loss.

    Infinity for a model whose first epoch was not finished.
    """
    return results.get("val_loss", results.get("loss", math.inf))


class Checkpoint(NamedTuple):
    """A model as read from a folder."""

    metadata: Metadata
    weights: dict[str, Array]
    """The arrays of `textgen.network.weight_shapes`."""


def save(directory: Path, metadata: Metadata, write_model: Callable[[Path], None]) -> None:
    """Replace the pair in `directory`; whoever reads it meanwhile sees the old or the new one.

    Args:
        directory: a folder, made if missing.
        metadata: what goes into `model.pkl`, and without the vocabulary into `model.yaml`.
        write_model: writes a Keras HDF5 model to the path it is given.

    Raises:
        OSError: if the disk does not take the files; the old pair is left as it was.
    """
    directory.mkdir(parents=True, exist_ok=True)
    new = metadata.to_dict() | {"model_id": uuid.uuid4().hex}
    with replacing(directory / "model.h5") as path:
        write_model(path)
        with h5py.File(path, "a") as file:
            file.attrs["model_id"] = new["model_id"]
        both = new | {"replaces": _current(directory)}
        write_atomic(directory / "model.pkl", pickle.dumps(both, protocol=4))
    write_atomic(directory / "model.pkl", pickle.dumps(new, protocol=4))
    write_atomic(directory / "model.yaml", _readable(new).encode())


def load(directory: Path) -> Checkpoint:
    """Read the pair in `directory`.

    Raises:
        TextgenError: if a file is missing, broken, of a newer format, or not of one pair.
    """
    missing = [name for name in ("model.h5", "model.pkl") if not (directory / name).is_file()]
    if len(missing) == 2:
        raise TextgenError(
            f"no model in {directory}. Train one: python train.py --data-dir {directory}"
        )
    if missing:
        raise TextgenError(
            f"{directory / missing[0]} is missing; a model is the pair model.h5 and model.pkl."
            " Copy it from where the other came from, or train again"
        )
    # The HDF5 file is opened first: whichever model it holds, the metadata read after it knows it.
    with _open(directory / "model.h5") as file:
        path = directory / "model.pkl"
        metadata = _parse(_matching(_unpickle(path), file.attrs.get("model_id"), directory), path)
        shapes = weight_shapes(metadata.model, len(metadata.tokenizer.vocabulary))
        weights = {name: _array(file, name, shape) for name, shape in shapes.items()}
    return Checkpoint(metadata, weights)


class _BuiltinsOnly(pickle.Unpickler):
    """Reads dict, list, tuple, str, int, float, bool, None; every other object is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it asks for an object of another file")


def _unpickle(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            values = _BuiltinsOnly(file).load()
    except OSError as error:
        raise TextgenError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # a broken pickle may raise almost anything
        raise TextgenError(
            f"{path} is not metadata of a textgen model ({error}). Train again, or copy an intact"
            " file"
        ) from error
    if not isinstance(values, dict) or not isinstance(values.get("format_version"), int):
        raise TextgenError(f"{path} is not metadata of a textgen model. Train again")
    if values["format_version"] > FORMAT_VERSION:
        raise TextgenError(
            f"{path} has format {values['format_version']}, and this textgen reads up to"
            f" {FORMAT_VERSION}. Use the newer textgen that wrote it"
        )
    return values


def _matching(values: dict[str, Any], model_id: Any, directory: Path) -> dict[str, Any]:
    """Those of one or two descriptions that have `model_id`."""
    for candidate in (values, values.get("replaces")):
        if isinstance(candidate, dict) and candidate.get("model_id") == model_id is not None:
            return candidate
    raise TextgenError(
        f"model.h5 and model.pkl in {directory} belong to different models. Copy both from the"
        " same place, or train again"
    )


def _current(directory: Path) -> dict[str, Any] | None:
    """The description of the `model.h5` now in place, if there is a whole pair."""
    try:
        with _open(directory / "model.h5") as file:
            values = _unpickle(directory / "model.pkl")
            found = _matching(values, file.attrs.get("model_id"), directory)
    except TextgenError:
        return None
    return {name: value for name, value in found.items() if name != "replaces"}


def _parse(values: dict[str, Any], path: Path) -> Metadata:
    try:
        return Metadata.from_dict(values)
    except (TextgenError, KeyError, TypeError) as error:
        raise TextgenError(
            f"{path} is damaged ({error}). Train again, or copy an intact file"
        ) from error


def _open(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise TextgenError(
            f"{path} cannot be read as an HDF5 file. Train again, or copy an intact file"
        ) from error


def _array(file: h5py.File, name: str, shape: tuple[int, ...]) -> Array:
    """The array of weight `name`, copied out of the file."""
    dataset = file.get(f"model_weights/{name.split('/', maxsplit=1)[0]}/{name}")
    found = isinstance(dataset, h5py.Dataset) and (dataset.shape, dataset.dtype) == (
        shape, np.dtype(np.float32),
    )  # fmt: skip
    if not found or dataset.is_virtual or dataset.external:
        raise TextgenError(
            f"{file.filename} has no float32 array {name} of shape {shape}, which its metadata"
            " calls for. Train again, or copy an intact file"
        )
    array: Array = dataset[...]
    return array


def _readable(values: dict[str, Any]) -> str:
    """The metadata for a person: YAML without the vocabulary and the line starts."""
    import yaml  # here, because only writing needs it

    tokenizer = values["tokenizer"]
    shown = {name: value for name, value in values.items() if name != "line_starts"}
    shown["tokenizer"] = tokenizer["config"] | {"vocabulary_size": len(tokenizer["vocabulary"])}
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True)
