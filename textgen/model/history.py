"""`history.csv` and `history.png`: a run's losses, epoch by epoch, as a table and a picture."""

from __future__ import annotations

import csv
import functools
import io
import math
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import explained, replacing
from textgen.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ("epoch", "step", "seconds", "loss", "val_loss", "learning_rate", "tokens_per_second")
"""In every history; more columns follow in the order in which rows have them."""
RATIO = "update_ratio_"
"""The beginning of the columns of update ratios; the layer's name follows."""
PERPLEXITY, NATS, BITS = "perplexity", "nats_per_character", "bits_per_character"
"""The columns with the selection loss in other measures. Those per character do not depend on what
a token is, so that models of characters, words and others can be compared."""
LARGEST_EXPONENT = 700.0
"""That `math.exp` takes without an error; a loss may be higher where training has diverged."""
SMALLEST_RATIO = 1e-4
"""Of the largest update ratio in the picture: smaller ones fall out of it."""
INSTALL_MATPLOTLIB = "pip install matplotlib"

FILES = ("history.csv", "history.png")

Row = dict[str, float]


def selection_loss(row: Row) -> float:
    """Returns the loss a model is chosen by: the validation loss, or else the training loss.

    It is infinity for a model whose first epoch was not finished.
    """
    return row.get("val_loss", row.get("loss", math.inf))


def perplexity(loss: float) -> float:
    """Returns among how many equally likely tokens a model hesitates, by its loss."""
    return math.inf if loss > LARGEST_EXPONENT else math.exp(loss)


def measures(loss: float, characters_per_token: float, tokenizer: Tokenizer) -> Row:
    """Returns a loss in other measures, by column; perplexity where the tokens are quoted by it.

    Args:
        loss: nats per token.
        characters_per_token: of the text that it was measured on.
        tokenizer: of that text.
    """
    quoted = {PERPLEXITY: perplexity(loss)} if tokenizer.loss_name == PERPLEXITY else {}
    nats = loss / characters_per_token
    return quoted | {NATS: nats, BITS: nats / math.log(2)}


def loss_text(row: Row, tokenizer: Tokenizer, beside: bool = False) -> str:
    """Returns the selection loss of a row for people, in all measures that it has.

    `4.010 nats per word, perplexity 55.1; 0.782 nats, 1.128 bits per character`; where a token is a
    character, `1.503 nats, 2.168 bits per character`.

    Args:
        row: of a history, which may be older than the measures per character.
        tokenizer: of the model.
        beside: whether the loss itself stands before, and is left out.
    """
    loss = selection_loss(row)
    unit = "token" if tokenizer.settings.documents else tokenizer.unit  # ends are tokens too
    per_token = [] if beside else [f"{loss:.3f} nats per {unit}"]
    if tokenizer.loss_name == PERPLEXITY:
        per_token.append(f"perplexity {perplexity(loss):.1f}")
    per_character = list[str]()
    if BITS in row:
        nats, bits = f"{row.get(NATS, loss):.3f} nats", f"{row[BITS]:.3f} bits per character"
        per_character = [nats, bits]
        if tokenizer.loss_name == BITS and nats == f"{loss:.3f} nats":  # which is said once
            per_token, per_character = [], [bits] if beside else [nats, bits]
    return "; ".join(", ".join(part) for part in (per_token, per_character) if part)


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


def read(directory: Path) -> list[Row]:
    """Returns the rows of the `history.csv` in `directory`; none where there is none, or no such.

    What an epoch has not is left out of its row.
    """
    try:
        with (directory / "history.csv").open(encoding="utf-8", newline="") as file:
            return [
                {name: _number(text) for name, text in row.items() if name and text}
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, TypeError, csv.Error):  # not written by a training, or not yet
        return []


def copy(source: Path, target: Path) -> None:
    """Copies the history of one folder, with its picture, in place of that of another.

    Raises TextgenError if the disk does not take it.
    """
    remove(target)
    for name in FILES:
        with explained(target / name):
            if (source / name).exists():
                with replacing(target / name) as path:
                    shutil.copyfile(source / name, path)


def remove(folder: Path) -> None:
    """Takes the history out of a folder. Raises TextgenError where that cannot be."""
    for name in FILES:
        with explained(folder / name):
            (folder / name).unlink(missing_ok=True)


def _number(text: str) -> float:
    return int(text) if text.isdecimal() else float(text)


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
            picture(rows, tokenizer).savefig(path, format="png", dpi=110)


def picture(rows: list[Row], tokenizer: Tokenizer) -> Figure:
    """Returns a figure of matplotlib's: losses, learning rate and update ratios by epoch.

    Raises:
        TextgenError: if there are no rows, or no matplotlib.
    """
    if not rows:
        raise TextgenError("there is no history to draw: no epoch of the training has ended")
    try:
        from matplotlib.figure import Figure  # here, because it takes half a second
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise TextgenError(
            f"a picture needs matplotlib. Install it: {INSTALL_MATPLOTLIB}"
        ) from error

    figure = Figure(figsize=(9, 9), layout="constrained")
    losses, rate, ratios = figure.subplots(3, 1, sharex=True, height_ratios=(3, 1, 2))
    _draw_losses(losses, rows, tokenizer)
    _lines(rate, rows, {"learning_rate": "learning rate"})
    rate.set_ylabel("learning rate")
    rate.set_ylim(bottom=0)
    layers = [name for name in rows[-1] if name.startswith(RATIO)]
    _lines(ratios, rows, {name: name.removeprefix(RATIO) for name in layers})
    ratios.set_ylabel("size of an update /\nsize of the weights")
    if any(row.get(name, 0) > 0 for row in rows for name in layers):
        ratios.set_yscale("log")
        lowest, highest = ratios.get_ylim()
        # Room for what counts: where the learning rate ends at 0, so do the updates.
        ratios.set_ylim(bottom=max(lowest, highest * SMALLEST_RATIO))
    ratios.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    ratios.set_xlabel("epoch")
    ratios.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ratios.set_xlim(rows[0]["epoch"] - 0.5, rows[-1]["epoch"] + 0.5)
    return figure


def _draw_losses(axes: Any, rows: list[Row], tokenizer: Tokenizer) -> None:
    _lines(axes, rows, {"loss": "training", "val_loss": "validation"})
    best = best_of(rows)
    told = re.sub(r"(?<=[,;]) ", "\n", loss_text(best, tokenizer))
    axes.plot(
        best["epoch"], selection_loss(best), "*", color="black", markerfacecolor="none",
        markersize=16, zorder=3, label=f"best: epoch {best['epoch']:g},\n{told}",
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
