"""The full state of a training run on disk, so that it can go on exactly where it was.

A snapshot is one `tf.train.Checkpoint`: every variable of model, optimizer and running loss, and
beside them, as one JSON string, the run's plain facts (`Progress`). Being one checkpoint, the two
cannot get out of step, whenever a crash comes. The newest two snapshots are kept: the older one
was on the disk before the newer was begun.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textgen.model.backend import tf
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import sync_file
from textgen.support.workspace import work_folder
from textgen.training.workers import SingleProcess

FORMAT_VERSION = 3
KEPT = 2
DAMAGED = (tf.errors.OpError, IndexError, RuntimeError, ValueError)
"""What TensorFlow raises on a checkpoint that was cut short or changed."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands, in built-in values."""

    run: dict[str, Any]
    """What does not change: `tokenizer`, `model`, `training` and `texts`, the texts' hashes."""
    clock: dict[str, float | None]
    """See `schedule.RunClock.state`."""
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, float] = field(default_factory=dict)
    rate_factor: float = 1.0
    """What the learning rate is multiplied by: 0.5 once training has diverged."""
    complete: bool = False

    def to_json(self) -> str:
        return json.dumps({"format_version": FORMAT_VERSION, **dataclasses.asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Progress:
        values = json.loads(text)
        if values.pop("format_version") != FORMAT_VERSION:
            raise TextgenError(
                "the interrupted run is of another version of textgen. Resume it with that one,"
                " or start again without --resume"
            )
        return cls(**values)


def stored_progress(data_dir: Path) -> Progress | None:
    """How far the run in `data_dir` has come, or None where there is no run to go on with."""
    text = tf.Variable("", dtype=tf.string)
    for prefix in _prefixes(_folder(data_dir)):
        try:
            status = tf.train.Checkpoint(progress=text).read(prefix)
            status.assert_existing_objects_matched().expect_partial()
        except DAMAGED:
            continue
        return Progress.from_json(text.numpy().decode())
    return None


class Snapshots:
    """Writes and reads the snapshots of a run in `.textgen/checkpoints`.

    Where several machines train together, only the chief does so. A snapshot is the same for any
    number of workers: it has the recurrent state of the whole batch.

    Args:
        data_dir: the data directory.
        variables: everything that training changes, by name; see `TrainStep.variables`.
        workers: the processes that train together.
    """

    def __init__(
        self,
        data_dir: Path,
        variables: dict[str, tf.Variable],
        workers: SingleProcess | None = None,
    ) -> None:
        self.folder, self.workers = _folder(data_dir), workers or SingleProcess()
        self._progress = tf.Variable("", dtype=tf.string)
        self._own = variables
        self._whole = {} if self.workers.count == 1 else _whole(self._own, self.workers.count)
        stored = self._own | self._whole
        self._checkpoint = tf.train.Checkpoint(progress=self._progress, variables=stored)
        self._manager: Any = None

    def begin(self) -> None:
        """Forget the snapshots of another run; all workers start from what the chief has."""
        if self.workers.is_chief:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._manage([])
        self._share()

    def restore(self) -> Progress:
        """Give the variables, on all workers, the values of the newest snapshot that is whole.

        Raises:
            TextgenError: if none is.
        """
        text = self.workers.by_chief(self._read)
        self._share()
        return Progress.from_json(text)

    def _read(self) -> str:
        prefixes = _prefixes(self.folder)
        for age, prefix in enumerate(prefixes):
            try:
                self._checkpoint.restore(prefix).assert_consumed()
            except DAMAGED:
                console.warn(f"{prefix} was cut short; going on from the one before")
                continue
            self._manage(prefixes[age:])
            return str(self._progress.numpy().decode())
        raise TextgenError(
            f"no snapshot in {self.folder} is whole. Start again without --resume; the models in"
            f" {self.folder.parent.parent} are not affected"
        )

    def save(self, progress: Progress) -> None:
        """Write a snapshot and remove the oldest beyond two.

        Raises:
            TextgenError: if the disk does not take it; the snapshots before are left as they were.
        """
        for name, whole in self._whole.items():
            whole.assign(self.workers.joined(self._own[name].numpy()))
        if not self.workers.is_chief:
            return
        self._progress.assign(progress.to_json())
        with self._explained():
            prefix = Path(self._manager.save())
            for path in [*self.folder.glob(f"{prefix.name}.*"), self.folder / "checkpoint"]:
                sync_file(path)

    def _share(self) -> None:
        """Give all workers the chief's values, each its rows of the recurrent state."""
        if self.workers.count == 1:
            return
        for name, variable in (self._own | self._whole).items():
            variable.assign(self.workers.from_chief(variable.numpy()))
            if name in self._whole:
                rows = self.workers.rows(variable.shape[0])
                self._own[name].assign(variable[rows])

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """TensorFlow's own errors, and the system's, as one that says what to do."""
        try:
            yield
        except (tf.errors.OpError, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise TextgenError(
                f"cannot write the training state to {self.folder} ({reason}). Free some space,"
                " then go on with --resume; nothing up to the last snapshot is lost"
            ) from error

    def _manage(self, prefixes: list[str]) -> None:
        """Keep the snapshots `prefixes` (newest first) and remove what crashes left of others."""
        whole = tuple(f"{Path(prefix).name}." for prefix in prefixes[:KEPT])
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif not whole or not path.name.startswith(whole):
                path.unlink()
        if prefixes:
            kept = prefixes[:KEPT][::-1]
            times = [float(number) for number in range(1, len(kept) + 1)]
            with self._explained():
                tf.compat.v1.train.update_checkpoint_state(
                    self.folder,
                    prefixes[0],
                    kept,
                    all_model_checkpoint_timestamps=times,  # without these it never removes them
                    last_preserved_timestamp=0.0,
                )
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, self.folder, max_to_keep=KEPT, checkpoint_name="state"
        )


def _whole(own: dict[str, tf.Variable], count: int) -> dict[str, tf.Variable]:
    """A variable (B, H) for each state (B / K, H)."""
    return {
        name: tf.Variable(tf.zeros((count * variable.shape[0], variable.shape[1])))
        for name, variable in own.items()
        if "/state/" in name
    }


def _folder(data_dir: Path) -> Path:
    return work_folder(data_dir) / "checkpoints"


def _prefixes(folder: Path) -> list[str]:
    """The snapshots in `folder`, newest first. TensorFlow's own list may lack the newest."""
    found = folder.glob("state-*.index")
    numbered = {int(path.stem.removeprefix("state-")): str(path.with_suffix("")) for path in found}
    return [numbered[number] for number in sorted(numbered, reverse=True)]
