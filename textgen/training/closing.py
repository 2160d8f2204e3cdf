"""What is said when a run has ended: how good the model is, and what to do next."""

import shlex
from pathlib import Path

from textgen.model.checkpoint import Metadata
from textgen.settings.definitions import TrainingSettings
from textgen.training.history import Row, judged

RISE = 1.01
"""A last validation loss of so many times the best one is overfitting."""
GAP = 0.1
"""A validation loss that is by this share above the training loss leaves room for dropout."""
MOST_DROPOUT = 0.5
"""Advised: beyond it a model learns more slowly than it forgets."""
EPOCHS_TO_JUDGE = 3
"""In fewer, the training loss, a mean over its epoch, lags behind and shows nothing."""
SMALLEST_LOSS = 1e-9
"""Nats; a loss below, which may be 0, counts as this where another one is compared with it."""
WASTED = 3
"""Epochs after the best one that are worth a --patience."""


def panel(data_dir: Path, rows: list[Row], metadata: Metadata) -> list[str]:
    """The lines of the closing panel.

    Args:
        data_dir: the data directory.
        rows: the history, at least one epoch.
        metadata: what was trained, and how.
    """
    folder = shlex.quote(str(data_dir))
    best, tokenizer, settings = min(rows, key=judged), metadata.tokenizer, metadata.training
    loss = judged(best)
    lines = [
        f"best: epoch {best['epoch']:.0f} of {rows[-1]['epoch']:.0f}, {loss:.3f} nats per"
        f" {tokenizer.unit}, {tokenizer.loss_text(loss)}"
        + ("" if "val_loss" in best else ", on the training text"),
        f"overfitting: {_overfitting(rows)}",
        *(f"to try: {line}" for line in advice(rows, metadata)),
        f"more text:  python sample.py --data-dir {folder}",
    ]
    out_of_patience = settings.patience and _wasted(rows) >= settings.patience
    if not (out_of_patience or is_overfitted(rows)):
        command = f"python train.py --data-dir {folder} --resume {_longer(settings)}"
        lines.append(f"go on:      {command}")
    return lines


def is_overfitted(rows: list[Row]) -> bool:
    """Whether the validation loss rose again while the training loss fell."""
    best, last = min(rows, key=judged), rows[-1]
    rose = last.get("val_loss", 0.0) > RISE * judged(best)
    return rose and last["loss"] < best["loss"]


def _wasted(rows: list[Row]) -> int:
    """Epochs after the best one."""
    return len(rows) - 1 - rows.index(min(rows, key=judged))


def _overfitting(rows: list[Row]) -> str:
    if "val_loss" not in rows[-1]:
        return "cannot be seen without held-out text"
    if len(rows) == 1:
        return "cannot be seen in one epoch"
    if is_overfitted(rows):
        best = min(rows, key=judged)["epoch"]
        return f"yes, the validation loss rises after epoch {best:.0f}"
    return "none seen"


def advice(rows: list[Row], metadata: Metadata) -> list[str]:
    """What the losses of this run call for, the most useful first."""
    last = rows[-1]
    if last.get("tokens_per_second") == 0:  # which leaves compiling out
        return [f"{_longer(metadata.training)}: this run had hardly time to compile"]
    if "val_loss" not in last:
        return ["--validation-split 0.1, to see when the model learns the text by heart"]
    if is_overfitted(rows):
        rise = _above(last["val_loss"], min(map(judged, rows)))
        found = [_less_by_heart(metadata, f"the validation loss has risen by {rise:.0%}")]
        if not metadata.training.patience and _wasted(rows) >= WASTED:
            found.append(f"--patience {WASTED}: the last {_wasted(rows)} epochs were of no use")
        return found
    if len(rows) < EPOCHS_TO_JUDGE:
        return []
    gap = _above(last["val_loss"], last["loss"])
    if gap > GAP:
        reason = f"the validation loss is {gap:.0%} above the training loss"
        return [_less_by_heart(metadata, reason)]
    return [
        f"a new run with a larger --rnn-size than {metadata.model.rnn_size} and time for as many"
        " epochs: the model does the training text hardly better than the held-out text"
    ]


def _above(loss: float, other: float) -> float:
    """By what share of the other a loss is above it."""
    return loss / max(other, SMALLEST_LOSS) - 1


def _less_by_heart(metadata: Metadata, reason: str) -> str:
    dropout = metadata.model.dropout
    if dropout < MOST_DROPOUT:
        return f"more --dropout than {dropout:g}: {reason}"
    return f"more text, or a smaller --rnn-size than {metadata.model.rnn_size}: {reason}"


def _longer(settings: TrainingSettings) -> str:
    if settings.minutes:
        return f"--minutes {2 * settings.minutes:g}"
    return f"--num-epochs {2 * settings.num_epochs}"
