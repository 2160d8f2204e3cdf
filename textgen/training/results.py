"""The models that a run leaves in its data directory: the best, the latest, and the one before."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from textgen.model import checkpoint, history
from textgen.model.checkpoint import Metadata
from textgen.model.history import Row, best_of, loss_text, selection_loss
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import LATEST, PREVIOUS, write_atomic

SECONDS_BETWEEN_PICTURES = 60.0
"""Drawing one takes half a second."""


class BestCheckpoint:
    """Writes the best model, the latest one and the history of a run.

    Args:
        directory: the data directory.
        metadata: what is known of the model before training.
        model: is trained, of Keras.
        writes: whether to; one of several workers does.
    """

    def __init__(self, directory: Path, metadata: Metadata, model: Any, writes: bool) -> None:
        self.directory, self.metadata, self.model = directory, metadata, model
        self.writes = writes
        from textgen.model.keras_model import build_model_to_save  # only training has TensorFlow

        self._model_to_save = build_model_to_save(
            metadata.model, len(metadata.tokenizer.vocabulary)
        )
        self._drawn = time.perf_counter()

    def keep(self, rows: list[Row]) -> None:
        """Write what an epoch has learned, whose row is the last one."""
        if not self.writes:
            return
        write_atomic(self.directory / "history.csv", history.csv_text(rows).encode())
        if time.perf_counter() - self._drawn > SECONDS_BETWEEN_PICTURES:
            self.draw(rows)
        if rows[-1] is best_of(rows):
            self._save(self.directory, rows[-1])
        self._save(self.directory / LATEST, rows[-1])

    def keep_unfinished(self, rows: Sequence[Row], step: int) -> None:
        """Write what an unfinished epoch has learned, as the best model if there is no other."""
        if not self.writes:
            return
        if not rows:
            self._save(self.directory, {"epoch": 0, "step": step})
            history.remove(self.directory)  # that of the model before
        self._save(self.directory / LATEST, rows[-1] if rows else {"epoch": 0, "step": step})

    def draw(self, rows: list[Row]) -> None:
        """Draw the history."""
        if self.writes:
            history.draw(self.directory, rows, self.metadata.tokenizer)
            self._drawn = time.perf_counter()

    def _save(self, directory: Path, results: Row) -> None:
        from textgen.model.keras_model import get_weights, set_weights, write_h5

        set_weights(self._model_to_save, get_weights(self.model))
        metadata = dataclasses.replace(self.metadata, results=results)
        try:
            checkpoint.save(directory, metadata, partial(write_h5, self._model_to_save))
        except TextgenError as error:
            raise TextgenError(f"{error}, then go on with `resume`") from error


def keep_previous(data_dir: Path) -> None:
    """Copies the model of `data_dir` to `previous/`, before a new run replaces it.

    A better model of the same tokens that is there already stays, so that a bad run in between
    does no harm. Files that are no model are moved, but not over a model.
    """
    if not any((data_dir / name).exists() for name in checkpoint.PAIR):
        return
    previous = data_dir / PREVIOUS
    kept = _model_in(previous)
    try:
        current = checkpoint.load(data_dir).metadata
    except TextgenError as error:
        folder = previous / "unreadable" if kept else previous
        console.warn(f"the old files are put into {folder} as they are: {error}")
        _move_pair(data_dir, folder)
        return
    if kept is not None and _is_better(kept, current):
        console.say(
            f"the model that was here {_described(current)} is replaced; a better one"
            f" {_described(kept)} stays in {previous}"
        )
        return
    checkpoint.save(previous, current, partial(shutil.copyfile, data_dir / "model.h5"))
    history.copy(data_dir, previous)
    console.say(f"the model that was here {_described(current)} is kept in {previous}")


def better_previous(data_dir: Path) -> str | None:
    """Returns by how much the model in `previous/` is better than the one that a run has left."""
    kept, current = _model_in(data_dir / PREVIOUS), _model_in(data_dir)
    if kept is None or current is None or not _is_better(kept, current):
        return None
    losses = (selection_loss(one.results) for one in (kept, current))
    kind = "validation loss" if "val_loss" in current.results else "loss"
    return "{} {:.3f}, this one {:.3f}".format(kind, *losses)


def _described(model: Metadata) -> str:
    """Returns how good a model is, in brackets."""
    if not model.results.get("epoch"):
        return "(of an unfinished epoch)"
    return f"({loss_text(model.results, model.tokenizer)}, epoch {model.results['epoch']:g})"


def _model_in(folder: Path) -> Metadata | None:
    try:
        return checkpoint.load(folder).metadata
    except TextgenError:
        return None


def _move_pair(data_dir: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in checkpoint.PAIR:
        if (data_dir / name).exists():
            (data_dir / name).replace(folder / name)


def _is_better(kept: Metadata, current: Metadata) -> bool:
    alike = kept.tokenizer.vocabulary == current.tokenizer.vocabulary and (
        "val_loss" in kept.results
    ) == ("val_loss" in current.results)
    return alike and selection_loss(kept.results) < selection_loss(current.results)
