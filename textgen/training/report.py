"""Tells people of a run: its sizes before, its progress, and how good the model is at the end."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from textgen.model.architecture import weights_per_layer
from textgen.model.checkpoint import Metadata
from textgen.model.history import (
    NATS,
    PERPLEXITY,
    RATIO,
    Row,
    best_of,
    epochs_since_best,
    loss_text,
    selection_loss,
)
from textgen.settings.definitions import (
    EPOCHS,
    ModelSettings,
    TrainingSettings,
)
from textgen.settings.request import MORE
from textgen.support import console
from textgen.support.files import LATEST
from textgen.tokens.tokenizer import Tokenizer
from textgen.training import sizing
from textgen.training.batches import pass_offsets
from textgen.training.schedule import RunClock

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
MORE_DROPOUT = 0.2
"""How much more is advised."""
BY_HEART = 0.3
"""Nats per character of the training text below which a model knows it by heart: 0.43 bits, where
English that is not known costs a reader 0.6 at least (Shannon 1951)."""
FEW_TIMES = 8
"""That each word stands in a text, on average, which are too few to learn words from; in Twain's
two novels it is 14."""
WASTED = 3
"""Epochs after the best one that are worth a limit of patience."""


def print_summary(metadata: Metadata, known: float, tokens: int, documents: int = 0) -> None:
    """Says what is about to be trained.

    Args:
        metadata: its settings.
        known: the share of the text that is in the vocabulary.
        tokens: in an epoch.
        documents: that the text is made of, where it is many.
    """
    model, settings, tokenizer = metadata.model, metadata.training, metadata.tokenizer
    size = len(tokenizer.vocabulary)
    different = size - 1 - len(tokenizer.marks)
    console.say(
        f"vocabulary: {different:,} different {tokenizer.unit}s, which are {known:.1%} of the text"
    )
    folds = tokenizer.folded("A", tokenizer.settings) != "A"
    has_letters = any(token.upper() != token for token in tokenizer.vocabulary)  # of two cases
    if folds and has_letters and not tokenizer.settings.lowercase:  # which was asked for
        console.say("letters are read and written in lower case; `pristine_input` keeps capitals")
    if documents:
        labels = console.listed(tokenizer.labels)
        console.say(f"documents: {documents:,}" + (f", with the labels {labels}" if labels else ""))
    for line in summary(model, settings, size, tokens, tokenizer.unit):
        console.say(line)
    for name, value in (model.to_dict() | settings.to_dict()).items():
        console.detail(f"  {name}: {value}")


def summary(
    model: ModelSettings, settings: TrainingSettings, vocabulary_size: int, tokens: int, unit: str
) -> list[str]:
    """Returns lines that tell weights, memory and the length of the run.

    Args:
        model: the sizes of the layers.
        settings: how they are trained.
        vocabulary_size: V.
        tokens: in an epoch.
        unit: what a token is called.
    """
    counts = weights_per_layer(model, vocabulary_size)
    layers = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    memory = sizing.memory_needed(model, settings, vocabulary_size) / 2**20
    return [
        f"{sum(counts.values()):,} weights: {layers}",
        f"about {memory:,.0f} MiB of memory beside TensorFlow's own; {tokens:,} {unit}s per epoch"
        f"{_readings(settings)}; {settings.length}",
    ]


def _readings(settings: TrainingSettings) -> str:
    passes = len(pass_offsets(settings.seq_length, settings.seq_step))
    if passes == 1 or settings.steps_per_epoch:
        return ""
    return f", which reads the text {'twice' if passes == 2 else f'{passes} times'}"


LONGEST_SILENCE = 60.0
"""Seconds after which a line is printed where there is no bar."""
LINES_APART = 1.05
"""The time of a run by which a line comes after that of the one before, where epochs are many."""


class Progress:
    """Shows a run while it lasts: a bar for the whole, a line for each epoch, lines for logs.

    Of more than `EPOCHS` epochs not every one has a line, and where no bar is seen, a long epoch
    has some within. The bar stands until `close`.

    Args:
        clock: the run's clock, which has counted the steps.
        settings: say how long the run is, and how often a line for logs is printed.
        tokenizer: says what a token is called, and how a loss is quoted.
    """

    def __init__(self, clock: RunClock, settings: TrainingSettings, tokenizer: Tokenizer) -> None:
        self.clock, self.tokenizer = clock, tokenizer
        self.most_epochs = settings.most_epochs
        self.print_every = settings.print_every
        self._validation = ""
        self._printed = self._logs_due()
        self._epochs = 0
        self._said = 0.0
        """When a line was printed, in seconds of the run."""
        self._untold: Row = {}
        self._bar = console.bar("{percentage:3.0f}%|{bar:20}| {desc}")
        self._bar.set_description_str("compiling ...")

    def close(self) -> None:
        """Tell the last epoch, if that was not done yet, and take the bar away."""
        if self._untold:
            self._tell_epoch(self._untold)
        self._bar.close()

    def show_steps(self, epoch: int, loss: float, learning_rate: float) -> None:
        """Show how a call of steps of an epoch, counted from 1, went."""
        speed = self._speed()
        if speed:
            speed += f"  {console.duration(self.clock.seconds_left)} left"
        self._bar.set_description_str(
            f"{self._name(epoch)}  loss {loss:.3f}{self._validation}{speed}", refresh=False
        )
        self._bar.update(self.clock.fraction - self._bar.n)
        silent = self.clock.seconds - self._said
        if self._logs_due() > self._printed or (self._bar.disable and silent > LONGEST_SILENCE):
            self._printed, self._said = self._logs_due(), self.clock.seconds
            console.say(
                f"step {self.clock.step:,}  loss {loss:.3f}  learning rate {learning_rate:.2g}"
                f"{speed}"
            )

    def show_epoch(self, row: Row) -> None:
        """Show how an epoch went."""
        if "val_loss" in row:
            self._validation = f"  validation {row['val_loss']:.3f}"
        self._epochs += 1
        if self._epochs > EPOCHS and row["seconds"] < self._said * LINES_APART:
            self._untold = row
        else:
            self._untold, self._said = {}, row["seconds"]
            self._tell_epoch(row)

    def _tell_epoch(self, row: Row) -> None:
        console.say(
            f"{self._name(row['epoch'])}  loss {row['loss']:.3f}{self._validation}"
            f"  ({loss_text(row, self.tokenizer, beside=True)}){self._speed()}"
            f"  {console.duration(row['seconds'])}"
        )
        ratios = [(n.removeprefix(RATIO), v) for n, v in row.items() if n.startswith(RATIO)]
        sizes = ", ".join(f"{name} {ratio:.2g}" for name, ratio in ratios)
        console.detail(
            f"  gradient norm {row['gradient_norm']:.3g}; updates as a share of weights: {sizes}"
        )

    def _name(self, epoch: float) -> str:
        return f"epoch {epoch:g}" + (f"/{self.most_epochs}" if self.most_epochs else "")

    def _speed(self) -> str:
        """Returns nothing while compiling, when it is not known yet."""
        speed = self.clock.tokens_per_second
        return f"  {speed:,.0f} {self.tokenizer.unit}s/s" if speed else ""

    def _logs_due(self) -> int:
        return self.clock.step // self.print_every if self.print_every else 0


def closing_report(
    data_dir: Path, rows: list[Row], metadata: Metadata, num_tokens: int | None = None
) -> list[str]:
    """Returns what is said when a run has ended: how good the model is, and what to do next.

    Args:
        data_dir: the data directory.
        rows: the history, at least one epoch.
        metadata: what was trained, and how.
        num_tokens: of the training text, where that is known.
    """
    best, settings = best_of(rows), metadata.training
    lines = [
        f"best: epoch {best['epoch']:g} of {rows[-1]['epoch']:g},"
        f" {loss_text(best, metadata.tokenizer)}"
        + ("" if "val_loss" in best else ", on the training text"),
        f"overfitting: {_overfitting(rows)}",
        *(f"to try:     {line}" for line in advice(data_dir, rows, metadata, num_tokens)),
        f"more text:  {console.command_line('sample', data_dir=data_dir)}",
    ]
    if rows[-1] is not best:
        newest = console.command_line("sample", data_dir=data_dir / LATEST)
        lines.append(f"the newest, of epoch {rows[-1]['epoch']:g}: {newest}")
    out_of_patience = settings.patience and epochs_since_best(rows) >= settings.patience
    longer = _longer(data_dir, settings, rows[-1])
    if not (out_of_patience or is_overfitted(rows) or any(longer in line for line in lines)):
        lines.append(f"go on:      {longer}")
    return lines


def is_overfitted(rows: list[Row]) -> bool:
    """Whether the validation loss rose again while the training loss fell."""
    best, last = best_of(rows), rows[-1]
    rose = last.get("val_loss", 0.0) > RISE * selection_loss(best)
    return rose and last["loss"] < best["loss"]


def _overfitting(rows: list[Row]) -> str:
    last = rows[-1]
    if "val_loss" not in last:
        if last.get(NATS, math.inf) < BY_HEART:
            return "the text is known by heart: what the model writes will mostly be copied from it"
        return "cannot be seen without held-out text"
    if is_overfitted(rows):
        best = best_of(rows)["epoch"]
        return f"yes, the validation loss rises after epoch {best:g}"
    if len(rows) < EPOCHS_TO_JUDGE:
        return "cannot be seen yet"
    gap = _gap(rows)
    if not gap:
        return "none seen"
    told = f"the validation loss is {gap:.0%} above the training loss"
    if last["loss"] < last["val_loss"] / 2:
        return f"yes, {told}: the text is known by heart"
    return f"some, {told}"


def _gap(rows: list[Row]) -> float:
    """Returns by which share the validation loss is above the training loss; 0 where that says
    nothing: within `GAP`, or in epochs too few to judge.
    """
    if len(rows) < EPOCHS_TO_JUDGE:
        return 0.0
    gap = _above(rows[-1]["val_loss"], rows[-1]["loss"])
    return gap if gap > GAP else 0.0


def advice(
    data_dir: Path, rows: list[Row], metadata: Metadata, num_tokens: int | None = None
) -> list[str]:
    """Returns what the losses of this run call for, each with its command, the most useful first.

    Args: see `closing_report`.
    """
    last, settings, tokenizer = rows[-1], metadata.training, metadata.tokenizer
    if settings.minutes and len(rows) == 1 and last.get("tokens_per_second") == 0:
        return [f"this run had hardly time to compile: {_longer(data_dir, settings, last, 1.0)}"]
    found = list[str]()
    size = len(tokenizer.vocabulary) - 1 - len(tokenizer.marks)
    is_few = num_tokens is not None and num_tokens < FEW_TIMES * size
    if is_few and tokenizer.loss_name == PERPLEXITY and not settings.init_from:
        found.append(
            f"{num_tokens or 0:,} {tokenizer.unit}s are few to learn {size:,} different ones from;"
            f" characters need less text: {_by_characters(data_dir, metadata)}"
        )
    if "val_loss" not in last:
        share = _new_run(data_dir, validation_split=0.1)
        return [*found, f"text held out, to see when the model learns by heart: {share}"]
    if is_overfitted(rows):
        rise = _above(last["val_loss"], selection_loss(best_of(rows)))
        found += _less_by_heart(data_dir, metadata, f"the validation loss has risen by {rise:.0%}")
        if not settings.patience and epochs_since_best(rows) >= WASTED:
            since = last["epoch"] - best_of(rows)["epoch"]
            found.append(
                f"the last {since:.3g} epochs were of no use, and patience ends them:"
                f" {_new_run(data_dir, patience=WASTED)}"
            )
    elif _gap(rows):
        found += _less_by_heart(data_dir, metadata, "the model learns the text by heart")
    elif len(rows) >= EPOCHS_TO_JUDGE:
        found.append(
            "the model does the training text hardly better than the held-out text, so a larger one"
            f" may do both better: {_larger(data_dir, metadata)}"
        )
    return found


def _above(loss: float, other: float) -> float:
    return loss / max(other, SMALLEST_LOSS) - 1


def _less_by_heart(data_dir: Path, metadata: Metadata, reason: str) -> list[str]:
    dropout = metadata.model.dropout
    if dropout >= MOST_DROPOUT:
        return [f"{reason}: more text, or a new run with a smaller `rnn_size`"]
    more = round(min(MOST_DROPOUT, dropout + MORE_DROPOUT), 2)
    return [f"{reason}, and dropout helps against that: {_new_run(data_dir, dropout=more)}"]


def _larger(data_dir: Path, metadata: Metadata) -> str:
    """Returns a run with a larger model, and the time for it."""
    model, settings = metadata.model, metadata.training
    size = -(-3 * model.rnn_size // 2)
    changes: dict[str, Any] = {"rnn_size": size}
    if model.is_tied:
        changes["embedding_size"] = size
    if settings.minutes:
        changes["minutes"] = 2 * settings.minutes
    return _new_run(data_dir, **changes)


def _new_run(data_dir: Path, **changes: Any) -> str:
    """Returns how to begin a run like the one that has ended, but for some settings."""
    if console.in_command():
        return console.command_line("train", config=data_dir / "model.yaml", **changes)
    shown = " ".join(f"`{name}={value}`" for name, value in changes.items())
    return f"a new run with {shown}"


def _by_characters(data_dir: Path, metadata: Metadata) -> str:
    """Returns a run on the same text by characters, of the same length."""
    settings = metadata.training
    return console.command_line(
        "train",
        data_dir=data_dir,
        pristine_input=True,
        documents=metadata.tokenizer.settings.documents,
        validation_split=settings.validation_split or None,
        minutes=settings.minutes,
        num_epochs=settings.num_epochs,
    )


def _longer(data_dir: Path, settings: TrainingSettings, last: Row, least: float = 0.0) -> str:
    """Returns how to go on for as long as a run was to be, or as its last row says that it was.

    That is for at least so many minutes, if minutes end it.
    """
    more = dict[str, str]()
    if settings.minutes:
        done = float(f"{last['seconds'] / 60:.2g}")  # not exactly: a run of 2 minutes ends before
        more["minutes"] = f"{MORE}{max(settings.minutes, done, least):g}"
    if settings.most_epochs:
        more["num_epochs"] = f"{MORE}{max(settings.most_epochs, math.ceil(last['epoch']))}"
    return console.command_line("train", data_dir=data_dir, resume=True, **more)
