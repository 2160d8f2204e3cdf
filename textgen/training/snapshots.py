"""The full state of a training run on disk, so that it can go on exactly where it was.

A snapshot is one file of NumPy's, `state-N.npz`: every variable of model, optimizer and running
loss, and beside them, as JSON, the run's plain facts (`Stored`). Being one file, the two cannot
get out of step, whenever a crash comes, and a zip file has a checksum of each of its parts. The
newest two snapshots are kept: the older one was on the disk before the newer was begun.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import struct
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from textgen.model.backend import tf
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import replacing, work_folder
from textgen.training.workers import SingleProcess

Values = dict[str, npt.NDArray[Any]]
"""By name of the variable; "progress" is the JSON of `Stored` in UTF-8."""

FORMAT_VERSION = 3
"""Of `Stored`."""
KEPT = 2
NAME = re.compile(r"state-(\d+)\.(npz|index)")
"""Of a snapshot; ".index" belongs to a `tf.train.Checkpoint`, which textgen wrote before."""
STATE = "/state/"
"""The mark in the names of recurrent states, of which each worker has some rows."""
DAMAGED = (
    OSError, EOFError, KeyError, ValueError, RuntimeError, IndexError, struct.error,
    zipfile.BadZipFile, tf.errors.OpError,
)  # fmt: skip
"""Errors that are raised on a snapshot that was cut short or changed."""


@dataclass(frozen=True)
class Stored:
    """Where a run stands, in built-in values."""

    run: dict[str, Any]
    """Facts that do not change: `tokenizer`, `model`, `training` and `texts`, the texts' hashes."""
    clock: dict[str, float | None]
    """See `schedule.RunClock.state`."""
    history: list[dict[str, float]] = field(default_factory=list)
    rate_factor: float = 1.0
    """Factor of the learning rate: 0.5 once training has diverged."""
    complete: bool = False

    def to_json(self) -> str:
        return json.dumps({"format_version": FORMAT_VERSION, **dataclasses.asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Stored:
        values = json.loads(text)
        if values.pop("format_version") != FORMAT_VERSION:
            raise TextgenError(
                "the interrupted run is of another version of textgen. Resume it with that one,"
                " or start again without `resume`"
            )
        values.pop("best", None)  # which snapshots of before had
        return cls(**values)


def stored_progress(data_dir: Path) -> Stored | None:
    """Returns how far the run in `data_dir` has come, or None where there is none to go on with."""
    for path in _snapshots(_folder(data_dir)):
        try:
            text = _text(_read(path))
        except DAMAGED:
            continue
        return Stored.from_json(text)
    return None


class Snapshots:
    """Writes and reads the snapshots of a run in `.textgen/checkpoints`.

    Where several machines train together, only the chief does so. A snapshot is the same for any
    number of workers: it has the recurrent state of the whole batch.

    Args:
        data_dir: the data directory.
        variables: everything that training changes, by name.
        workers: the processes that train together.
    """

    def __init__(
        self,
        data_dir: Path,
        variables: dict[str, tf.Variable],
        workers: SingleProcess | None = None,
    ) -> None:
        self.folder, self.variables = _folder(data_dir), variables
        self.workers = workers or SingleProcess()

    def begin(self) -> None:
        """Removes the snapshots of another run; all workers start from what the chief has."""
        if self.workers.is_chief:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True, exist_ok=True)
        self._assign(self._values())

    def restore(self) -> Stored:
        """Gives the variables, on all workers, the values of the newest snapshot that is whole.

        Raises:
            TextgenError: if none is.
        """
        values = self._values()  # what the chief reads takes their place
        text = self.workers.by_chief(lambda: self._read_newest(values))
        self._assign(values)
        return Stored.from_json(text)

    def _read_newest(self, values: Values) -> str:
        """Fills `values` from a snapshot, and removes all others but the one before it."""
        paths = _snapshots(self.folder)
        for age, path in enumerate(paths):
            try:
                found = _read(path)
                values.update({name: found[name] for name in values})
            except DAMAGED:
                console.warn(f"{path} is damaged; going on from the one before")
                continue
            self._keep(paths[age : age + KEPT])
            return _text(found)
        raise TextgenError(
            f"no snapshot in {self.folder} is whole. Start again without `resume`; the models in"
            f" {self.folder.parent.parent} are not affected"
        )

    def save(self, progress: Stored) -> None:
        """Writes a snapshot and removes the oldest beyond two.

        Raises:
            TextgenError: if the disk does not take it; the snapshots before are left as they were.
        """
        values = self._values()
        if not self.workers.is_chief:
            return
        values["progress"] = np.frombuffer(progress.to_json().encode(), np.uint8)
        try:
            paths = _snapshots(self.folder)
            path = self.folder / f"state-{_number(paths[0]) + 1 if paths else 1}.npz"
            with replacing(path) as temporary:
                np.savez(temporary, **values)  # type: ignore[arg-type]
            self._keep([path, *paths][:KEPT])
        except OSError as error:
            is_kept = bool(_snapshots(self.folder))
            mend = "go on with `resume`; nothing up to the last snapshot is lost"
            raise TextgenError(
                f"cannot write the training state to {self.folder} ({error.strerror or error})."
                f" Free some space, then {mend if is_kept else 'begin again'}"
            ) from error

    def _values(self) -> Values:
        """Returns the values of the variables; recurrent states with the rows of all workers."""
        values = {name: variable.numpy() for name, variable in self.variables.items()}
        states = {name: self.workers.joined(values[name]) for name in values if STATE in name}
        return values | states

    def _assign(self, values: Values) -> None:
        """Gives all workers the chief's values, each its rows of the recurrent states."""
        for name, variable in self.variables.items():
            value = self.workers.from_chief(values[name])
            variable.assign(value[self.workers.rows(len(value))] if STATE in name else value)

    def _keep(self, paths: list[Path]) -> None:
        """Removes everything else from the folder, also what crashes left."""
        kept = {path.stem for path in paths}
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name.partition(".")[0] not in kept:
                path.unlink()


def _snapshots(folder: Path) -> list[Path]:
    """Returns the snapshots in `folder`, newest first."""
    found = (path for path in folder.glob("*") if NAME.fullmatch(path.name))
    return sorted(found, key=_number, reverse=True)


def _number(path: Path) -> int:
    return int(path.stem.removeprefix("state-"))


def _folder(data_dir: Path) -> Path:
    return work_folder(data_dir) / "checkpoints"


def _text(values: Values) -> str:
    return values["progress"].tobytes().decode()


def _read(path: Path) -> Values:
    """Returns all of a snapshot. Raises one of DAMAGED if it is not whole."""
    if path.suffix == ".index":
        return _read_tensorflow(str(path.with_suffix("")))
    with zipfile.ZipFile(path) as file:
        if file.testzip():
            raise zipfile.BadZipFile
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _read_tensorflow(prefix: str) -> Values:
    """Returns all of a snapshot that textgen wrote when it used `tf.train.Checkpoint`."""
    reader = tf.train.load_checkpoint(prefix)
    values, end = {}, "/.ATTRIBUTES/VARIABLE_VALUE"
    for key in reader.get_variable_to_shape_map():
        if key.startswith("variables/"):
            name = key.removeprefix("variables/").removesuffix(end).replace(".S", "/")
            values[name] = reader.get_tensor(key)
    progress = reader.get_tensor("progress" + end)
    return values | {"progress": np.frombuffer(progress, np.uint8)}
