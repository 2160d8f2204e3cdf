"""The losses of a run, epoch by epoch: the rows of `history.csv`, and the picture of them."""

import csv
import functools
import io
import math
from pathlib import Path
from typing import Any

from textgen.support import console
from textgen.support.files import write_atomic
from textgen.tokens.tokenizer import Tokenizer

COLUMNS = ("epoch", "step", "seconds", "loss", "val_loss", "learning_rate", "tokens_per_second")
"""In every history; more columns follow in the order in which rows have them."""
RATIO = "update_ratio_"
"""The beginning of the columns of update ratios; the layer's name follows."""
SMALLEST_RATIO = 1e-4
"""Of the largest update ratio in the picture: smaller ones fall out of it."""
INSTALL_MATPLOTLIB = "pip install matplotlib"

Row = dict[str, float]


def selection_loss(row: Row) -> float:
    """Returns the loss a model is chosen by: the validation loss, or else the training loss.

    It is infinity for a model whose first epoch was not finished.
    """
    return row.get("val_loss", row.get("loss", math.inf))


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
        write_atomic(directory / "history.png", _png(rows, tokenizer))


def _png(rows: list[Row], tokenizer: Tokenizer) -> bytes:
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
    _limit_decades(ratios)
    ratios.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    ratios.set_xlabel("epoch")
    ratios.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ratios.set_xlim(rows[0]["epoch"] - 0.5, rows[-1]["epoch"] + 0.5)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()


def _draw_losses(axes: Any, rows: list[Row], tokenizer: Tokenizer) -> None:
    _lines(axes, rows, {"loss": "training", "val_loss": "validation"})
    best = min(rows, key=selection_loss)
    loss = selection_loss(best)
    axes.plot(
        best["epoch"], loss, "*", color="black", markerfacecolor="none", markersize=16, zorder=3,
        label=f"best: epoch {best['epoch']:.0f},\n{loss:.3f} nats,\n{tokenizer.loss_text(loss)}",
    )  # fmt: skip
    axes.set_ylabel(f"loss, nats per {tokenizer.unit}")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def _limit_decades(axes: Any) -> None:
    """Leave room for what counts: where the learning rate ends at 0, so do the updates."""
    lowest, highest = axes.get_ylim()
    axes.set_ylim(bottom=max(lowest, highest * SMALLEST_RATIO))


def _lines(axes: Any, rows: list[Row], labels: dict[str, str]) -> None:
    """One line per column of `labels`; with few epochs, their points are marked."""
    marker = "o" if len(rows) < 20 else ""
    for column, label in labels.items():
        values = [row.get(column, math.nan) for row in rows]
        if not all(map(math.isnan, values)):
            axes.plot([row["epoch"] for row in rows], values, label=label, marker=marker)
    axes.grid(alpha=0.3)
