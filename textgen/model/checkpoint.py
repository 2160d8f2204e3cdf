"""`model.h5` + `model.pkl`: safe, atomic, versioned reading and writing.

`model.h5` is Keras' own file of a model of stock layers, so plain Keras opens it. `model.pkl` is a
pickle of built-in values alone. Reading executes nothing: `safe_pickle` takes no names, every field
is checked before it is used, and `weights_file` takes only the arrays that the fields call for.

Both files carry the same `model_id`. While a pair is replaced there is a moment with the new
`model.pkl` beside the old `model.h5`; for that moment it describes both models.
"""

import reprlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, Self

import h5py

from textgen.model import safe_pickle
from textgen.model.architecture import Array, weight_shapes
from textgen.model.weights_file import WeightsFile
from textgen.settings.definitions import ModelSettings, TrainingSettings
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import make_folder, replacing, write_atomic
from textgen.tokens import tokenizer_from_dict
from textgen.tokens.tokenizer import Tokenizer

PAIR = ("model.h5", "model.pkl")
"""The files of a model, which belong together."""
FORMAT_VERSION = 3
"""Raise it when a textgen of before the change could not read, or would misread, what is written
after it; add a pair that the last version made to `tests/data/`."""
MAX_TEXT = 1000
"""Characters of a name or of a line start."""


@dataclass(frozen=True)
class Setup:
    """The settings of a model and of its training, and its tokenizer.

    As a plain dict it stands in `model.pkl` and in snapshots, and goes to other processes.
    """

    model: ModelSettings
    tokenizer: Tokenizer
    training: TrainingSettings

    def to_dict(self) -> dict[str, Any]:
        """Returns built-in values only."""
        return {
            "model": self.model.to_dict(),
            "tokenizer": self.tokenizer.to_dict(),
            "training": self.training.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Returns the inverse of `to_dict`; other names in `values` are left alone.

        Raises:
            TextgenError: on values that `to_dict` does not give.
        """
        missing = [part.name for part in fields(cls) if part.name not in values]
        if missing:
            raise TextgenError(f"it has no {missing[0]}")
        return cls(**cls._parts(values))

    @classmethod
    def _parts(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "model": ModelSettings.from_dict(values["model"]),
            "tokenizer": tokenizer_from_dict(values["tokenizer"]),
            "training": TrainingSettings.from_dict(values["training"]),
        }

    @property
    def settings(self) -> dict[str, Any]:
        """All settings by name, as built-in values."""
        parts = (self.tokenizer.settings, self.model, self.training)
        return {name: value for part in parts for name, value in part.to_dict().items()}


@dataclass(frozen=True)
class Metadata(Setup):
    """Everything that is known of a model besides its weights."""

    results: dict[str, float]
    """Epoch, step, seconds and losses at the moment of writing."""
    line_starts: list[str] = field(default_factory=list)
    """Beginnings of some lines of the corpus, to start samples with."""

    def to_dict(self) -> dict[str, Any]:
        """Returns built-in values only."""
        return {
            "format_version": FORMAT_VERSION,
            **super().to_dict(),
            "results": dict(self.results),
            "line_starts": list(self.line_starts),
        }

    @classmethod
    def _parts(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return super()._parts(values) | {
            "results": _results(values["results"]),
            "line_starts": _line_starts(values["line_starts"]),
        }


class Checkpoint(NamedTuple):
    """A model as read from a folder."""

    metadata: Metadata
    weights: dict[str, Array]
    """The arrays of `textgen.model.architecture.weight_shapes`."""


def save(directory: Path, metadata: Metadata, write_model: Callable[[Path], object]) -> None:
    """Replace the pair in `directory`; whoever reads it meanwhile sees the old or the new one.

    Args:
        directory: a folder, made if missing.
        metadata: what goes into `model.pkl`, and without the vocabulary into `model.yaml`.
        write_model: writes a Keras HDF5 model to the path it is given.

    Raises:
        TextgenError: if the disk does not take the files; the old pair is left as it was.
    """
    make_folder(directory)
    new = metadata.to_dict() | {"model_id": uuid.uuid4().hex}
    try:
        with replacing(directory / "model.h5") as path:
            write_model(path)
            with h5py.File(path, "a") as file:
                file.attrs["model_id"] = new["model_id"]
            both = new | {"replaces": _current(directory)}
            write_atomic(directory / "model.pkl", safe_pickle.dumps(both))
    except (OSError, RuntimeError) as error:  # h5py raises either on a full disk
        raise TextgenError(
            f"cannot write the model to {directory} ({error}); the one before is intact. Free some"
            " space"
        ) from error
    write_atomic(directory / "model.pkl", safe_pickle.dumps(new))
    write_atomic(directory / "model.yaml", _readable(new).encode())


def files_of(directory: Path) -> list[Path]:
    """Returns the files in a data directory that nothing else may replace: model and texts."""
    texts = [path for name in ("input", "validate") for path in directory.glob(f"{name}.txt*")]
    return [*(directory / name for name in (*PAIR, "model.yaml", "history.csv")), *texts]


def load(directory: Path) -> Checkpoint:
    """Read the pair in `directory`.

    Raises:
        TextgenError: if a file is missing, broken, of a newer format, or not of one pair.
    """
    try:
        is_file = directory.is_file()
        missing = [name for name in PAIR if not (directory / name).is_file()]
    except OSError as error:  # a name that is too long, a folder that is another user's
        shown = reprlib.repr(str(directory))
        raise TextgenError(
            f"the folder {shown} cannot be read ({error.strerror}). Give another"
        ) from error
    if is_file:
        raise TextgenError(f"{directory} is a file: give its folder, {directory.parent}")
    if len(missing) == 2:
        raise TextgenError(
            f"no model in {directory}. Train one:"
            f" {console.command_line('train', data_dir=directory)}"
        )
    if missing:
        raise TextgenError(
            f"{directory / missing[0]} is missing; a model is the pair model.h5 and model.pkl."
            " Copy it from where the other came from, or train again"
        )
    # The HDF5 file is opened first: whichever model it holds, the metadata read after it knows it.
    with WeightsFile(directory / "model.h5") as file:
        path = directory / "model.pkl"
        metadata = _parse(_matching(_unpickle(path), file.text("model_id"), directory), path)
        shapes = weight_shapes(metadata.model, len(metadata.tokenizer.vocabulary))
        arrays = file.arrays({_place(name): shape for name, shape in shapes.items()})
    return Checkpoint(metadata, {name: arrays[_place(name)] for name in shapes})


def _place(name: str) -> str:
    """Where Keras puts weight `name` in its file."""
    return f"model_weights/{name.split('/')[0]}/{name}"


def _unpickle(path: Path) -> dict[str, Any]:
    data = read_bytes(path)
    try:
        values = safe_pickle.loads(data)
    except safe_pickle.PickleError as error:
        if is_keras_text_generation(data):
            raise TextgenError(
                f"{path} is of keras-text-generation. Convert the model, which runs nothing in it:"
                f" {console.command_line('convert', path.parent)}"
            ) from error
        raise TextgenError(
            f"{path} is not metadata of a textgen model: {error}. Train again, or copy an intact"
            " file"
        ) from error
    version = values.get("format_version") if isinstance(values, dict) else None
    if type(version) is not int or version < 1:
        raise TextgenError(f"{path} is not metadata of a textgen model. Train again")
    if version > FORMAT_VERSION:
        raise TextgenError(
            f"{path} has format {version}, and this textgen reads up to {FORMAT_VERSION}. Use the"
            " newer textgen that wrote it"
        )
    return values  # type: ignore[no-any-return]


def is_keras_text_generation(data: bytes) -> bool:
    """Returns whether `data` is that project's pickle, which begins with the name `MetaModel`."""
    return b"MetaModel" in data[:200]


def read_bytes(path: Path) -> bytes:
    """The bytes of a `model.pkl`, or as many as `safe_pickle` needs to refuse it."""
    try:
        with path.open("rb") as file:
            return file.read(safe_pickle.MAX_BYTES + 1)
    except OSError as error:
        raise TextgenError(
            f"cannot read {path} ({error.strerror}): check its permissions"
        ) from error


def _matching(values: dict[str, Any], model_id: str | None, directory: Path) -> dict[str, Any]:
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
        with WeightsFile(directory / "model.h5") as file:
            values = _unpickle(directory / "model.pkl")
            found = _matching(values, file.text("model_id"), directory)
    except TextgenError:
        return None
    return {name: value for name, value in found.items() if name != "replaces"}


def _parse(values: dict[str, Any], path: Path) -> Metadata:
    try:
        return Metadata.from_dict(values)
    except TextgenError as error:
        raise TextgenError(
            f"{path} is damaged: {error}. Train again, or copy an intact file"
        ) from error


def _results(values: Any) -> dict[str, float]:
    if not (
        isinstance(values, dict)
        and all(map(_is_short_text, values))
        and all(type(value) in (int, float) for value in values.values())
    ):
        raise TextgenError("its results are not numbers by name")
    return values


def _line_starts(values: Any) -> list[str]:
    if not (isinstance(values, list) and all(map(_is_short_text, values))):
        raise TextgenError(f"its line starts are not texts of up to {MAX_TEXT} characters")
    return values


def _is_short_text(value: Any) -> bool:
    return type(value) is str and len(value) <= MAX_TEXT


def _readable(values: dict[str, Any]) -> str:
    """The metadata for a person: YAML without the vocabulary and the line starts."""
    import yaml  # here, because only writing needs it

    tokenizer = values["tokenizer"]
    shown = {name: value for name, value in values.items() if name != "line_starts"}
    shown["tokenizer"] = tokenizer["config"] | {"vocabulary_size": len(tokenizer["vocabulary"])}
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True)
