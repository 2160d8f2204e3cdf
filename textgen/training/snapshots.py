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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from textgen.model.backend import keras, tf
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import sync_file
from textgen.training.clock import RunClock
from textgen.training.workers import Cluster
from textgen.training.workspace import work_folder

FORMAT_VERSION = 3
KEPT = 2
SECONDS = 50.0
"""Wall time between snapshots; one more call of steps, and it is still within a minute."""
DAMAGED = (tf.errors.OpError, IndexError, RuntimeError, ValueError)
"""What TensorFlow raises on a checkpoint that was cut short or changed."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands, in built-in values."""

    run: dict[str, Any]
    """What does not change: `tokenizer`, `model`, `training` and `texts`, the texts' hashes."""
    clock: dict[str, float | None]
    """See `clock.RunClock.state`."""
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
        model: compiled; its optimizer is built here.
        cluster: the workers.
    """

    def __init__(self, data_dir: Path, model: keras.Model, cluster: Cluster | None = None) -> None:
        self.folder, self.cluster = _folder(data_dir), cluster or Cluster()
        self._progress = tf.Variable("", dtype=tf.string)
        self._own, self._model = _variables(model), model
        self._whole = {} if self.cluster.count == 1 else _whole(self._own, self.cluster.count)
        stored = self._own | self._whole
        self._checkpoint = tf.train.Checkpoint(progress=self._progress, variables=stored)
        self._manager: Any = None

    def begin(self) -> None:
        """Forget the snapshots of another run; all workers start from what the chief has."""
        if self.cluster.is_chief:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._manage([])
        self._share()

    def restore(self) -> Progress:
        """Give the variables, on all workers, the values of the newest snapshot that is whole.

        Raises:
            TextgenError: if none is.
        """
        text = self.cluster.by_chief(self._read)
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
            whole.assign(self.cluster.joined(self._own[name].numpy()))
        if not self.cluster.is_chief:
            return
        self._progress.assign(progress.to_json())
        with self._explained():
            prefix = Path(self._manager.save())
            for path in [*self.folder.glob(f"{prefix.name}.*"), self.folder / "checkpoint"]:
                sync_file(path)

    def _share(self) -> None:
        """Give all workers the chief's values, each its rows of the recurrent state.

        Each draws dropout of its own: the random generators have the chief's seeds plus the
        worker's number.
        """
        if self.cluster.count == 1:
            return
        for name, variable in (self._own | self._whole).items():
            variable.assign(self.cluster.from_chief(variable.numpy()))
            if name in self._whole:
                rows = self.cluster.rows(variable.shape[0])
                self._own[name].assign(variable[rows])
        for layer in self._model.layers:
            for seed in layer.variables:
                if seed.path.endswith("seed_generator_state"):
                    seed.assign_add(np.array([self.cluster.index, 0]))

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


class Saver(keras.callbacks.Callback):
    """Saves a snapshot when one is due.

    It does so before a call of steps, when everything that belongs to the steps before is done.

    Args:
        save: saves one.
        clock: the run's clock.
        every: steps between snapshots; None for by time alone.
    """

    def __init__(self, save: Callable[[], None], clock: RunClock, every: int | None) -> None:
        super().__init__()
        self.save, self.clock, self.every = save, clock, every
        self._saved_step, self._saved_at = clock.step, clock.seconds

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        steps = self.clock.step - self._saved_step
        if self.clock.seconds - self._saved_at >= SECONDS or (self.every and steps >= self.every):
            self.save()
            self._saved_step, self._saved_at = self.clock.step, self.clock.seconds


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


def _variables(model: keras.Model) -> dict[str, tf.Variable]:
    """Every variable that training changes, by layer and position.

    Keras' own paths will not do: they number optimizers and random generators by how many the
    process has made before.
    """
    model.optimizer.build(model.trainable_variables)
    owned = {layer.name: layer.variables for layer in model.layers}
    states = {f"{layer.name}/state": getattr(layer, "states", None) or [] for layer in model.layers}
    more = {"optimizer": model.optimizer.variables, "metrics": model.metrics_variables}
    return {
        f"{owner}/{position}": variable.value
        for owner, variables in (owned | states | more).items()
        for position, variable in enumerate(variables)
    }
