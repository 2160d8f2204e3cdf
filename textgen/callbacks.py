"""What happens around training steps: schedule, state, validation, files, samples, progress."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from textgen import checkpoint, console, plot
from textgen.backend import keras, tf
from textgen.checkpoint import Metadata
from textgen.clock import RunClock
from textgen.config import TrainingConfig
from textgen.errors import TextgenError
from textgen.files import write_atomic
from textgen.generator import Generator
from textgen.history import RATIO, Row, csv_text, in_units, judged
from textgen.model import get_weights, is_finite, reset_state, set_weights
from textgen.schedules import learning_rate

LIVE_TEMPERATURES = (0.2, 0.5, 1.0, 1.2)

SECONDS_BETWEEN_PICTURES = 60.0


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


class UpdateRatios(keras.callbacks.Callback):
    """Adds to each epoch's logs how far its last call of steps moved each layer's weights.

    That is the norm of the change over that of the weights, per step. It is measured out here,
    because within every step it would take a fifth of the step's time. Any call may turn out to
    be the last, so each is preceded by a look at the weights; that is no copy: TensorFlow keeps
    the numbers of a tensor that is held, and gives the variable new ones.

    Args:
        clock: the run's clock, which has counted the steps.
    """

    def __init__(self, clock: RunClock) -> None:
        super().__init__()
        self.clock = clock
        self._step = 0
        self._before: list[Any] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._step, self._before = self.clock.step, self._weights()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        changes: dict[str, list[float]] = {}
        sizes: dict[str, list[float]] = {}
        trained = zip(self.model.trainable_variables, self._before, self._weights(), strict=True)
        for variable, before, now in trained:
            layer, old = variable.path.split("/")[0], before.numpy()
            changes.setdefault(layer, []).append(float(np.linalg.norm(now.numpy() - old)))
            sizes.setdefault(layer, []).append(float(np.linalg.norm(old)))
        steps, self._before = self.clock.step - self._step, []
        for layer, change in changes.items():
            logs[RATIO + layer] = (
                math.hypot(*change) / max(math.hypot(*sizes[layer]), 1e-12) / steps
            )

    def _weights(self) -> list[Any]:
        return [tf.convert_to_tensor(w.value) for w in self.model.trainable_variables]


class DivergenceError(Exception):
    """The loss or a weight is no longer a number, or the loss is absurdly high."""


class Keeper(keras.callbacks.Callback):
    """Writes the best model, the latest model and the history after each epoch.

    Args:
        directory: the data directory.
        metadata: what is known of the model before training.
        twin: a model of stock Keras layers with the same weights, to be written to `model.h5`.
        clock: the run's clock.
        writes: whether to; without, the results are noted only.
    """

    def __init__(
        self,
        directory: Path,
        metadata: Metadata,
        twin: keras.Model,
        clock: RunClock,
        writes: bool = True,
    ) -> None:
        super().__init__()
        self.writes = writes
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
        self._say_details(results)
        if self.writes:
            write_atomic(self.directory / "history.csv", csv_text(self.history).encode())
            self._draw()
        if not self.best or loss < judged(self.best):
            self.best = results
            self.save(self.directory, results)
        self.save(self.directory / "latest", results)

    @staticmethod
    def _say_details(row: Row) -> None:
        ratios = [(n.removeprefix(RATIO), v) for n, v in row.items() if n.startswith(RATIO)]
        sizes = ", ".join(f"{name} {ratio:.2g}" for name, ratio in ratios)
        console.detail(
            f"  gradient norm {row['gradient_norm']:.3g}; updates as a share of weights: {sizes}"
        )

    def _draw(self) -> None:
        """Draw the history, once a minute at most, because that takes half a second."""
        if time.perf_counter() - self._drawn > SECONDS_BETWEEN_PICTURES:
            plot.write(self.directory, self.history, self.metadata.tokenizer.unit)
            self._drawn = time.perf_counter()

    def on_train_end(self, logs: Any = None) -> None:
        if self.writes:
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
        if not self.writes:
            return
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
        name, value = in_units(judged(logs), self.metadata.tokenizer.unit)
        gradient_norm = self.model.optimizer.gradient_norm()
        self.model.optimizer.forget()
        return {
            "epoch": epoch + 1,
            "step": self.clock.step,
            "seconds": round(self.clock.seconds, 2),
            "loss": float(logs["loss"]),
            **({"val_loss": float(logs["val_loss"])} if "val_loss" in logs else {}),
            "learning_rate": float(self.model.optimizer.learning_rate.numpy()),
            "tokens_per_second": round(self.clock.tokens_per_second),
            name: value,
            "gradient_norm": gradient_norm,
            **{name: ratio for name, ratio in logs.items() if name.startswith(RATIO)},
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


ShowSample: TypeAlias = Callable[[str, str, str], None]
"""Shows a sample: a title, a seed and the text after it."""


class LiveSamples(keras.callbacks.Callback):
    """Shows what the model writes after each epoch, at several temperatures.

    Args:
        generator: gives the model as it is now.
        seeds: texts to start from, one per epoch.
        length: tokens per sample.
        show: where they are shown.
    """

    def __init__(
        self,
        generator: Callable[[], Generator],
        seeds: Iterator[str],
        length: int,
        show: list[ShowSample],
    ) -> None:
        super().__init__()
        self.generator, self.seeds, self.length, self.show = generator, seeds, length, show

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        generator, seed = self.generator(), next(self.seeds)
        for temperature in LIVE_TEMPERATURES:
            text = generator.generate(seed, self.length, temperature)
            for show in self.show:
                show(f"epoch {epoch + 1}, diversity {temperature}", seed, text)


def print_sample(title: str, seed: str, text: str) -> None:
    """Show a sample to the person who trains."""
    console.heading(title)
    console.show(console.paint(seed, "cyan", sys.stdout) + text)


class PlainLog(keras.callbacks.Callback):
    """Says a line every so many steps, for logs that are read later.

    Args:
        clock: the run's clock, which has counted the step.
        every: steps between lines.
        unit: what a token is called.
    """

    def __init__(self, clock: RunClock, every: int, unit: str) -> None:
        super().__init__()
        self.clock, self.every, self.unit = clock, every, unit
        self._said = clock.step // every

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        if self.clock.step // self.every == self._said:
            return
        self._said = self.clock.step // self.every
        rate = float(self.model.optimizer.learning_rate.numpy())
        console.say(
            f"step {self.clock.step:,}  loss {logs['loss']:.3f}  learning rate {rate:.2g}"
            f"  {self.clock.tokens_per_second:,.0f} {self.unit}s/s"
            f"  {console.duration(self.clock.seconds_left)} left"
        )


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
