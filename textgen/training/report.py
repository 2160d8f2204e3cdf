"""Tells people of a run: its sizes before, its progress, and how good the model is at the end."""

from __future__ import annotations

from pathlib import Path

from textgen.model.architecture import weights_per_layer
from textgen.model.checkpoint import Metadata
from textgen.model.history import RATIO, Row, best_of, epochs_since_best, loss_text, selection_loss
from textgen.settings.definitions import ModelSettings, TrainingSettings
from textgen.support import console
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


class Progress:
    """Shows a run while it lasts: a bar for the whole, a line for each epoch, lines for logs.

    The bar stands until `close`.

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
        self._bar = console.bar("{percentage:3.0f}%|{bar:20}| {desc}")
        self._bar.set_description_str("compiling ...")

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()

    def show_steps(self, epoch: int, loss: float, learning_rate: float) -> None:
        """Show how a call of steps of an epoch, counted from 1, went."""
        left = console.duration(self.clock.seconds_left)
        self._bar.set_description_str(
            f"{self._name(epoch)}  loss {loss:.3f}{self._validation}{self._speed()}  {left} left",
            refresh=False,
        )
        self._bar.update(self.clock.fraction - self._bar.n)
        if self._logs_due() > self._printed:
            self._printed = self._logs_due()
            console.say(
                f"step {self.clock.step:,}  loss {loss:.3f}  learning rate {learning_rate:.2g}"
                f"  {self.clock.tokens_per_second:,.0f} {self.tokenizer.unit}s/s  {left} left"
            )

    def show_epoch(self, row: Row) -> None:
        """Show how an epoch went."""
        if "val_loss" in row:
            self._validation = f"  validation {row['val_loss']:.3f}"
        console.say(
            f"{self._name(int(row['epoch']))}  loss {row['loss']:.3f}{self._validation}"
            f"  ({loss_text(row, self.tokenizer, beside=True)}){self._speed()}"
            f"  {console.duration(row['seconds'])}"
        )
        ratios = [(n.removeprefix(RATIO), v) for n, v in row.items() if n.startswith(RATIO)]
        sizes = ", ".join(f"{name} {ratio:.2g}" for name, ratio in ratios)
        console.detail(
            f"  gradient norm {row['gradient_norm']:.3g}; updates as a share of weights: {sizes}"
        )

    def _name(self, epoch: int) -> str:
        return f"epoch {epoch}" + (f"/{self.most_epochs}" if self.most_epochs else "")

    def _speed(self) -> str:
        """Returns nothing while compiling, when it is not known yet."""
        speed = self.clock.tokens_per_second
        return f"  {speed:,.0f} {self.tokenizer.unit}s/s" if speed else ""

    def _logs_due(self) -> int:
        return self.clock.step // self.print_every if self.print_every else 0


def closing_report(data_dir: Path, rows: list[Row], metadata: Metadata) -> list[str]:
    """Returns what is said when a run has ended: how good the model is, and what to do next.

    Args:
        data_dir: the data directory.
        rows: the history, at least one epoch.
        metadata: what was trained, and how.
    """
    best, settings = best_of(rows), metadata.training
    lines = [
        f"best: epoch {best['epoch']:.0f} of {rows[-1]['epoch']:.0f},"
        f" {loss_text(best, metadata.tokenizer)}"
        + ("" if "val_loss" in best else ", on the training text"),
        f"overfitting: {_overfitting(rows)}",
        *(f"to try: {line}" for line in advice(rows, metadata)),
        f"more text:  {console.command_line('sample', data_dir=data_dir)}",
    ]
    out_of_patience = settings.patience and epochs_since_best(rows) >= settings.patience
    if not (out_of_patience or is_overfitted(rows)):
        longer = _longer(settings, rows[-1])
        command = console.command_line("train", data_dir=data_dir, resume=True, **longer)
        lines.append(f"go on:      {command}")
    return lines


def is_overfitted(rows: list[Row]) -> bool:
    """Whether the validation loss rose again while the training loss fell."""
    best, last = best_of(rows), rows[-1]
    rose = last.get("val_loss", 0.0) > RISE * selection_loss(best)
    return rose and last["loss"] < best["loss"]


def _overfitting(rows: list[Row]) -> str:
    if "val_loss" not in rows[-1]:
        return "cannot be seen without held-out text"
    if len(rows) == 1:
        return "cannot be seen in one epoch"
    if is_overfitted(rows):
        best = best_of(rows)["epoch"]
        return f"yes, the validation loss rises after epoch {best:.0f}"
    gap = _gap(rows)
    return f"some, the validation loss is {gap:.0%} above the training loss" if gap else "none seen"


def _gap(rows: list[Row]) -> float:
    """Returns by which share the validation loss is above the training loss; 0 where that says
    nothing: within `GAP`, or in epochs too few to judge.
    """
    if len(rows) < EPOCHS_TO_JUDGE:
        return 0.0
    gap = _above(rows[-1]["val_loss"], rows[-1]["loss"])
    return gap if gap > GAP else 0.0


def advice(rows: list[Row], metadata: Metadata) -> list[str]:
    """Returns what the losses of this run call for, the most useful first."""
    last = rows[-1]
    if last.get("tokens_per_second") == 0:  # which leaves compiling out
        longer = _longer(metadata.training, last).items()
        shown = " ".join(f"`{name}={value:g}`" for name, value in longer)
        return [f"{shown}: this run had hardly time to compile"]
    if "val_loss" not in last:
        return ["`validation_split=0.1`, to see when the model learns the text by heart"]
    if is_overfitted(rows):
        rise = _above(last["val_loss"], selection_loss(best_of(rows)))
        found = [_less_by_heart(metadata, f"the validation loss has risen by {rise:.0%}")]
        if not metadata.training.patience and epochs_since_best(rows) >= WASTED:
            found.append(
                f"`patience={WASTED}`: the last {epochs_since_best(rows)} epochs were of no use"
            )
        return found
    if len(rows) < EPOCHS_TO_JUDGE:
        return []
    if _gap(rows):
        return [_less_by_heart(metadata, "the model learns the text by heart")]
    return [
        f"a new run with a larger `rnn_size` than {metadata.model.rnn_size} and time for as many"
        " epochs: the model does the training text hardly better than the held-out text"
    ]


def _above(loss: float, other: float) -> float:
    return loss / max(other, SMALLEST_LOSS) - 1


def _less_by_heart(metadata: Metadata, reason: str) -> str:
    dropout = metadata.model.dropout
    if dropout < MOST_DROPOUT:
        return f"more `dropout` than {dropout:g}: {reason}"
    return f"more text, or a smaller `rnn_size` than {metadata.model.rnn_size}: {reason}"


def _longer(settings: TrainingSettings, last: Row) -> dict[str, float]:
    """Returns limits twice as large as those of a run, or as what its last row says was done."""
    longer = dict[str, float]()
    if settings.minutes:
        done = float(f"{last['seconds'] / 60:.2g}")  # not exactly: a run of 2 minutes ends before
        longer["minutes"] = 2 * max(settings.minutes, done)
    if settings.most_epochs:
        longer["num_epochs"] = 2 * max(settings.most_epochs, int(last["epoch"]))
    return longer
