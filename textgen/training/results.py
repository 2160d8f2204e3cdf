"""What a run leaves in its data directory after each epoch, for people and for generating.

The losses, epoch by epoch, as `history.csv` and as a picture; and the models: the best, the latest,
and the one before.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import math
import shutil
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from textgen.model import checkpoint
from textgen.model.checkpoint import Metadata
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import replacing, write_atomic
from textgen.tokens.tokenizer import Tokenizer

COLUMNS = ("epoch", "step", "seconds", "loss", "val_loss", "learning_rate", "tokens_per_second")
"""In every history; more columns follow in the order in which rows have them."""
RATIO = "update_ratio_"
"""The beginning of the columns of update ratios; the layer's name follows."""
SMALLEST_RATIO = 1e-4
"""Of the largest update ratio in the picture: smaller ones fall out of it."""
INSTALL_MATPLOTLIB = "pip install matplotlib"

PAIR = ("model.h5", "model.pkl")
SECONDS_BETWEEN_PICTURES = 60.0
"""Drawing one takes half a second."""

Row = dict[str, float]


def selection_loss(row: Row) -> float:
    """Returns the loss a model is chosen by: the validation loss, or else the training loss.

    It is infinity for a model whose first epoch was not finished.
    """
    return row.get("val_loss", row.get("loss", math.inf))


def best_of(rows: Sequence[Row]) -> Row:
    """Returns the row of the best epoch; the first of equals; empty before there is one."""
    return min(rows, key=selection_loss, default={})


def epochs_since_best(rows: Sequence[Row]) -> int:
    """Returns how many epochs came after the best one."""
    return len(rows) - 1 - rows.index(best_of(rows))


def csv_text(rows: list[Row]) -> str:
    """Returns the text of `history.csv`."""
    columns = dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)])
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


@functools.cache
def has_matplotlib() -> bool:
    """Whether matplotlib is installed; says once how to get it."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        console.say(f"without matplotlib there is no history.png. To get it: {INSTALL_MATPLOTLIB}")
        return False
    return True


def draw(directory: Path, rows: list[Row], tokenizer: Tokenizer) -> None:
    """Draw `rows` into `history.png` of `directory`, if matplotlib is there and rows are."""
    if rows and has_matplotlib():
        with replacing(directory / "history.png") as path:
            _draw(path, rows, tokenizer)


def _draw(path: Path, rows: list[Row], tokenizer: Tokenizer) -> None:
    from matplotlib.figure import Figure  # here, because it takes half a second
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 9), layout="constrained")
    losses, rate, ratios = figure.subplots(3, 1, sharex=True, height_ratios=(3, 1, 2))
    _draw_losses(losses, rows, tokenizer)
    _lines(rate, rows, {"learning_rate": "learning rate"})
    rate.set_ylabel("learning rate")
    rate.set_ylim(bottom=0)
    layers = [name for name in rows[-1] if name.startswith(RATIO)]
    _lines(ratios, rows, {name: name.removeprefix(RATIO) for name in layers})
    ratios.set_ylabel("size of an update /\nsize of the weights")
    ratios.set_yscale("log")
    lowest, highest = ratios.get_ylim()
    # Room for what counts: where the learning rate ends at 0, so do the updates.
    ratios.set_ylim(bottom=max(lowest, highest * SMALLEST_RATIO))
    ratios.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    ratios.set_xlabel("epoch")
    ratios.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ratios.set_xlim(rows[0]["epoch"] - 0.5, rows[-1]["epoch"] + 0.5)
    figure.savefig(path, format="png", dpi=110)


def _draw_losses(axes: Any, rows: list[Row], tokenizer: Tokenizer) -> None:
    _lines(axes, rows, {"loss": "training", "val_loss": "validation"})
    best = best_of(rows)
    loss = selection_loss(best)
    axes.plot(
        best["epoch"], loss, "*", color="black", markerfacecolor="none", markersize=16, zorder=3,
        label=f"best: epoch {best['epoch']:.0f},\n{loss:.3f} nats,\n{tokenizer.loss_text(loss)}",
    )  # fmt: skip
    axes.set_ylabel(f"loss, nats per {tokenizer.unit}")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def _lines(axes: Any, rows: list[Row], labels: dict[str, str]) -> None:
    """One line per column of `labels`; with few epochs, their points are marked."""
    marker = "o" if len(rows) < 20 else ""
    for column, label in labels.items():
        values = [row.get(column, math.nan) for row in rows]
        if not all(map(math.isnan, values)):
            axes.plot([row["epoch"] for row in rows], values, label=label, marker=marker)
    axes.grid(alpha=0.3)


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
        write_atomic(self.directory / "history.csv", csv_text(rows).encode())
        if time.perf_counter() - self._drawn > SECONDS_BETWEEN_PICTURES:
            self.draw(rows)
        if rows[-1] is best_of(rows):
            self._save(self.directory, rows[-1])
        self._save(self.directory / "latest", rows[-1])

    def keep_unfinished(self, rows: Sequence[Row], step: int) -> None:
        """Write what an unfinished epoch has learned, as the best model if there is no other."""
        if not self.writes:
            return
        if not rows:
            self._save(self.directory, {"epoch": 0, "step": step})
        self._save(self.directory / "latest", rows[-1] if rows else {"epoch": 0, "step": step})

    def draw(self, rows: list[Row]) -> None:
        """Draw the history."""
        if self.writes:
            draw(self.directory, rows, self.metadata.tokenizer)
            self._drawn = time.perf_counter()

    def _save(self, directory: Path, results: Row) -> None:
        from textgen.model.keras_model import get_weights, set_weights

        set_weights(self._model_to_save, get_weights(self.model))
        metadata = dataclasses.replace(self.metadata, results=results)
        try:
            checkpoint.save(directory, metadata, self._model_to_save.save)
        except TextgenError as error:
            raise TextgenError(f"{error}, then go on with `resume`") from error


def keep_previous(data_dir: Path) -> None:
    """Copies the model of `data_dir` to `previous/`, before a new run replaces it.

    A better model of the same tokens that is there already stays, so that a bad run in between
    does no harm. Files that are no model are moved, but not over a model.
    """
    if not any((data_dir / name).exists() for name in PAIR):
        return
    previous = data_dir / "previous"
    kept = _model_in(previous)
    try:
        current = checkpoint.load(data_dir).metadata
    except TextgenError as error:
        folder = previous / "unreadable" if kept else previous
        console.warn(f"the old files are put into {folder} as they are: {error}")
        _move_pair(data_dir, folder)
        return
    if kept is None or not _is_better(kept, current):
        checkpoint.save(previous, current, partial(shutil.copyfile, data_dir / "model.h5"))


def better_previous(data_dir: Path) -> str | None:
    """Returns by how much the model in `previous/` is better than the one that a run has left."""
    kept, current = _model_in(data_dir / "previous"), _model_in(data_dir)
    if kept is None or current is None or not _is_better(kept, current):
        return None
    losses = (selection_loss(one.results) for one in (kept, current))
    kind = "validation loss" if "val_loss" in current.results else "loss"
    return "{} {:.3f}, this one {:.3f}".format(kind, *losses)


def _model_in(folder: Path) -> Metadata | None:
    try:
        return checkpoint.load(folder).metadata
    except TextgenError:
        return None


def _move_pair(data_dir: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in PAIR:
        if (data_dir / name).exists():
            (data_dir / name).replace(folder / name)


def _is_better(kept: Metadata, current: Metadata) -> bool:
    alike = kept.tokenizer.vocabulary == current.tokenizer.vocabulary and (
        "val_loss" in kept.results
    ) == ("val_loss" in current.results)
    return alike and selection_loss(kept.results) < selection_loss(current.results)
