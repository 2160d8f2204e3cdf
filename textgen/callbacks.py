"""What happens around training steps: schedule, state, validation, files, samples, progress."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textgen import checkpoint, console, plot
from textgen.backend import keras
from textgen.checkpoint import Metadata
from textgen.config import TrainingConfig
from textgen.errors import TextgenError
from textgen.files import write_atomic
from textgen.generator import Generator
from textgen.history import RATIO, csv_text, in_units, judged
from textgen.model import get_weights, is_finite, reset_state, set_weights
from textgen.schedules import learning_rate

LIVE_TEMPERATURES = (0.2, 0.5, 1.0, 1.2)

SECONDS_BETWEEN_PICTURES = 60.0


@dataclass
class RunClock:
    """How far a run has come: in steps, in seconds, and as a fraction of the whole.

    Args:
        total_steps: the steps of all epochs, if the run is measured in epochs.
        total_seconds: the wall time of the run, if it is measured in time. It includes
            compiling, validation and the writing of files.
        tokens_per_step: tokens that one step trains on (B x T).
        validation_steps: batches of the validation text.
    """

    total_steps: int | None
    total_seconds: float | None
    tokens_per_step: int
    validation_steps: int = 0
    step: int = 0
    step_ended: float = 0.0
    """When the last step ended, in seconds."""
    compiled: float = 0.0
    """When the first call of steps ended, which includes compiling; the schedule starts there."""
    epoch_work: float | None = None
    """Seconds that the work after an epoch took at least: validation and writing files."""
    _start: float = field(default_factory=time.perf_counter)
    _running: bool = False
    """Whether this process has ended a call of steps; its first one includes compiling."""
    _epoch_start: tuple[int, float] = (0, 0.0)

    def state(self) -> dict[str, float | None]:
        """What a resumed run needs: built-in values for `restore`."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "compiled": self.compiled,
            "epoch_work": self.epoch_work,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state` of an earlier process."""
        self.step, self.compiled = state["step"], state["compiled"]
        self.epoch_work = state["epoch_work"]
        self.restart(state["seconds"])

    def restart(self, seconds: float = 0.0) -> None:
        """Count time from now on, after `seconds` of earlier processes."""
        self._start = time.perf_counter() - seconds

    def begin_epoch(self) -> None:
        if self._running:
            work = self.seconds - self.step_ended
            self.epoch_work = min(work, self.epoch_work or work)
        self._epoch_start = (self.step, self.seconds)

    def count_steps(self, count: int) -> None:
        self.step, self.step_ended = self.step + count, self.seconds
        if not self._running:
            self._running = True
            self.compiled = self.compiled or self.step_ended
            self._epoch_start = (self.step, self.step_ended)

    @property
    def reserved(self) -> float:
        """Seconds to keep for the work after the last step.

        They are what it took after an earlier epoch. Before there is one: a second to compile
        and write files, and a third of a training step per validation batch.
        """
        if self.epoch_work is not None:
            return self.epoch_work
        speed = self.tokens_per_second
        return 1 + self.validation_steps * self.tokens_per_step / speed / 3 if speed else 1.0

    @property
    def tokens_per_second(self) -> float:
        """The speed of this epoch's steps; compiling and validation do not count."""
        step, seconds = self._epoch_start
        elapsed = self.step_ended - seconds
        return (self.step - step) * self.tokens_per_step / elapsed if elapsed > 0 else 0.0

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._start

    @property
    def fraction(self) -> float:
        """0 until the first step ended, 1 when the last one has."""
        if self.step == 0:
            return 0.0
        if self.total_seconds is None:
            return min(1.0, self.step / self.total_steps) if self.total_steps else 1.0
        available = self.total_seconds - self.reserved - self.compiled
        return min(1.0, (self.seconds - self.compiled) / available) if available > 0 else 1.0

    @property
    def seconds_left(self) -> float:
        if self.total_seconds is not None:
            return max(0.0, self.total_seconds - self.seconds)
        return self.seconds * (1 - self.fraction) / self.fraction if self.fraction else math.inf


class Schedule(keras.callbacks.Callback):
    """Counts steps, sets the learning rate before each, and ends the run when it is complete.

    Args:
        clock: the run's clock.
        config: gives the schedule.
        losses: gives the losses of the epochs so far.
    """

    def __init__(
        self, clock: RunClock, config: TrainingConfig, losses: Callable[[], list[float]]
    ) -> None:
        super().__init__()
        self.clock, self.config, self.losses = clock, config, losses
        self.factor = 1.0
        """What the peak is multiplied by; lower after training has diverged."""
        self._first = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.clock.begin_epoch()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._first = batch
        losses = self.losses()
        rate = learning_rate(self.config, self.clock.step, self.clock.fraction, len(losses), losses)
        self.model.optimizer.learning_rate.assign(rate * self.factor)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.clock.count_steps(batch - self._first + 1)
        if self.clock.fraction >= 1:
            self.model.stop_training = True


class StateReset(keras.callbacks.Callback):
    """Recurrent state is zero where a pass over the text starts."""

    def __init__(self, clock: RunClock, batches_per_pass: int) -> None:
        super().__init__()
        self.clock, self.batches_per_pass = clock, batches_per_pass

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.clock.step % self.batches_per_pass == 0:
            reset_state(self.model)


class Validation(keras.callbacks.Callback):
    """Adds `val_loss`, nats per token over the whole validation text, to each epoch's logs."""

    def __init__(self, evaluate: Callable[[], float]) -> None:
        super().__init__()
        self.evaluate = evaluate

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        logs["val_loss"] = self.evaluate()


class DivergenceError(Exception):
    """The loss or a weight is no longer a number, or the loss is absurdly high."""


class Keeper(keras.callbacks.Callback):
    """Writes the best model, the latest model and the history after each epoch.

    Args:
        directory: the data directory.
        metadata: what is known of the model before training.
        twin: a model of stock Keras layers with the same weights, to be written to `model.h5`.
        clock: the run's clock.
    """

    def __init__(
        self, directory: Path, metadata: Metadata, twin: keras.Model, clock: RunClock
    ) -> None:
        super().__init__()
        self.directory, self.metadata, self.twin, self.clock = directory, metadata, twin, clock
        self.history: list[dict[str, float]] = []
        self.best: dict[str, float] = {}
        self._drawn = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        self._refuse_divergence(logs["loss"])

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        loss = judged(logs)
        self._refuse_divergence(loss if is_finite(self.model) else math.nan)
        results = self._results(epoch, logs)
        self.history.append(results)
        write_atomic(self.directory / "history.csv", csv_text(self.history).encode())
        self._draw()
        if not self.best or loss < judged(self.best):
            self.best = results
            self.save(self.directory, results)
        self.save(self.directory / "latest", results)

    def _draw(self) -> None:
        """Draw the history, once a minute at most, because that takes half a second."""
        if time.perf_counter() - self._drawn > SECONDS_BETWEEN_PICTURES:
            plot.write(self.directory, self.history, self.metadata.tokenizer.unit)
            self._drawn = time.perf_counter()

    def on_train_end(self, logs: Any = None) -> None:
        plot.write(self.directory, self.history, self.metadata.tokenizer.unit)

    def _refuse_divergence(self, loss: float) -> None:
        """Stop where the loss is no number, or ten times that of knowing nothing."""
        if not loss < 10 * math.log(len(self.metadata.tokenizer.vocabulary)):
            raise DivergenceError(
                f"training diverged at step {self.clock.step:,} (loss {loss:.3g})"
            )

    @property
    def epochs_since_best(self) -> int:
        return len(self.history) - 1 - self.history.index(self.best)

    def save_unfinished(self) -> None:
        """Keep what an unfinished epoch has learned, as the best model if there is no other."""
        unfinished: dict[str, float] = {"epoch": 0, "step": self.clock.step}
        results = self.history[-1] if self.history else unfinished
        if not self.best:
            self.save(self.directory, results)
        self.save(self.directory / "latest", results)

    def save(self, directory: Path, results: dict[str, float]) -> None:
        set_weights(self.twin, get_weights(self.model))
        metadata = Metadata(**{**vars(self.metadata), "results": results})
        try:
            checkpoint.save(directory, metadata, self.twin.save)
        except (OSError, RuntimeError) as error:  # h5py raises either on a full disk
            raise TextgenError(
                f"cannot write the model to {directory} ({error}). Free some space, then go on with"
                " --resume; the model before is intact"
            ) from error

    def _results(self, epoch: int, logs: dict[str, float]) -> dict[str, float]:
        unit, record = self.metadata.tokenizer.unit, self.model.optimizer.record()
        self.model.optimizer.forget()
        name, value = in_units(judged(logs), unit)
        return {
            "epoch": epoch + 1,
            "step": self.clock.step,
            "seconds": round(self.clock.seconds, 2),
            "loss": float(logs["loss"]),
            **({"val_loss": float(logs["val_loss"])} if "val_loss" in logs else {}),
            "learning_rate": float(self.model.optimizer.learning_rate.numpy()),
            "tokens_per_second": round(self.clock.tokens_per_second),
            name: value,
            "gradient_norm": record.gradient_norm,
            **{RATIO + layer: ratio for layer, ratio in record.update_ratios.items()},
        }


class Patience(keras.callbacks.Callback):
    """Ends the run after `epochs` epochs in which `keeper` saw no better model."""

    def __init__(self, keeper: Keeper, epochs: int) -> None:
        super().__init__()
        self.keeper, self.epochs = keeper, epochs

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.keeper.epochs_since_best >= self.epochs:
            console.say(f"no better model in {self.epochs} epochs (--patience): stopping")
            self.model.stop_training = True


class LiveSamples(keras.callbacks.Callback):
    """Prints what the model writes after each epoch, at several temperatures.

    Args:
        generator: gives the model as it is now.
        seeds: texts to start from, one per epoch.
        length: tokens per sample.
    """

    def __init__(
        self, generator: Callable[[], Generator], seeds: Iterator[str], length: int
    ) -> None:
        super().__init__()
        self.generator, self.seeds, self.length = generator, seeds, length

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        generator, seed = self.generator(), next(self.seeds)
        for temperature in LIVE_TEMPERATURES:
            console.heading(f"epoch {epoch + 1}, diversity {temperature}")
            text = generator.generate(seed, self.length, temperature)
            console.show(console.paint(seed, "cyan", sys.stdout) + text)


class ProgressBar(keras.callbacks.Callback):
    """One bar for the whole run, and a line for each epoch that ended.

    Args:
        clock: the run's clock.
        num_epochs: shown beside the epoch's number, if the run is measured in epochs.
        unit: what a token is called; words are judged by perplexity, characters by bits.
    """

    def __init__(self, clock: RunClock, num_epochs: int | None, unit: str) -> None:
        super().__init__()
        self.clock, self.num_epochs, self.unit = clock, num_epochs, unit
        self._epoch, self._validation = "", ""

    def on_train_begin(self, logs: Any = None) -> None:
        self._bar = console.bar("{percentage:3.0f}%|{bar:20}| {desc}")
        self._bar.set_description_str("compiling ...")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = f"epoch {epoch + 1}" + (f"/{self.num_epochs}" if self.num_epochs else "")

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        left = console.duration(self.clock.seconds_left)
        self._bar.set_description_str(
            f"{self._epoch}  loss {logs['loss']:.3f}{self._validation}  {self._speed()}"
            f"  {left} left",
            refresh=False,
        )
        self._bar.update(self.clock.fraction - self._bar.n)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if "val_loss" in logs:
            self._validation = f"  validation {logs['val_loss']:.3f}"
        console.say(
            f"{self._epoch}  loss {logs['loss']:.3f}{self._validation}"
            f"  ({in_field_units(judged(logs), self.unit)})  {self._speed()}"
            f"  {console.duration(self.clock.seconds)}"
        )

    def on_train_end(self, logs: Any = None) -> None:
        self._bar.close()

    def _speed(self) -> str:
        return f"{self.clock.tokens_per_second:,.0f} {self.unit}s/s"


def in_field_units(loss: float, unit: str) -> str:
    """A loss in nats per token as its field quotes it, for people."""
    name, value = in_units(loss, unit)
    return f"perplexity {value:.1f}" if unit == "word" else f"{value:.3f} {name.replace('_', ' ')}"
