"""What a person sees of a run while it lasts: a progress bar, lines for logs, samples."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from textgen.generation.generator import Generator
from textgen.model.backend import keras
from textgen.model.checkpoint import Metadata
from textgen.model.keras_model import get_weights
from textgen.model.network import Network
from textgen.support import console
from textgen.tokens.tokenizer import Tokenizer
from textgen.training.clock import RunClock
from textgen.training.history import judged

LIVE_TEMPERATURES = (0.2, 0.5, 1.0, 1.2)


class PlainLog(keras.callbacks.Callback):
    """Says a line every so many steps, for logs that are read later.

    Args:
        clock: the run's clock, which has counted the step.
        every: steps between lines.
        tokenizer: says what a token is called.
    """

    def __init__(self, clock: RunClock, every: int, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.clock, self.every, self.tokenizer = clock, every, tokenizer
        self._said = clock.step // every

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        if self.clock.step // self.every == self._said:
            return
        self._said = self.clock.step // self.every
        rate = float(self.model.optimizer.learning_rate.numpy())
        console.say(
            f"step {self.clock.step:,}  loss {logs['loss']:.3f}  learning rate {rate:.2g}"
            f"  {self.clock.tokens_per_second:,.0f} {self.tokenizer.unit}s/s"
            f"  {console.duration(self.clock.seconds_left)} left"
        )


class ProgressBar(keras.callbacks.Callback):
    """One bar for the whole run, and a line for each epoch that ended.

    Args:
        clock: the run's clock.
        num_epochs: shown beside the epoch's number, if the run is measured in epochs.
        tokenizer: says what a token is called, and how losses are quoted.
    """

    def __init__(self, clock: RunClock, num_epochs: int | None, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.clock, self.num_epochs, self.tokenizer = clock, num_epochs, tokenizer
        self._epoch, self._validation = "", ""

    def on_train_begin(self, logs: Any = None) -> None:
        self._bar = console.bar("{percentage:3.0f}%|{bar:20}| {desc}")
        self._bar.set_description_str("compiling ...")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = f"epoch {epoch + 1}" + (f"/{self.num_epochs}" if self.num_epochs else "")

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        left = console.duration(self.clock.seconds_left)
        self._bar.set_description_str(
            f"{self._epoch}  loss {logs['loss']:.3f}{self._validation}{self._speed()}  {left} left",
            refresh=False,
        )
        self._bar.update(self.clock.fraction - self._bar.n)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if "val_loss" in logs:
            self._validation = f"  validation {logs['val_loss']:.3f}"
        console.say(
            f"{self._epoch}  loss {logs['loss']:.3f}{self._validation}"
            f"  ({self.tokenizer.loss_text(judged(logs))}){self._speed()}"
            f"  {console.duration(self.clock.seconds)}"
        )

    def on_train_end(self, logs: Any = None) -> None:
        self._bar.close()

    def _speed(self) -> str:
        """Nothing while compiling, when it is not known yet."""
        speed = self.clock.tokens_per_second
        return f"  {speed:,.0f} {self.tokenizer.unit}s/s" if speed else ""


ShowSample: TypeAlias = Callable[[str, str, str], None]
"""Shows a sample: a title, a seed and the text after it."""


class LiveSamples(keras.callbacks.Callback):
    """Shows what the model writes after each epoch, at several temperatures.

    Each epoch has its seed, so that a resumed run goes on with those of an uninterrupted one.

    Args:
        metadata: what is known of the model.
        show: where the samples are shown.
    """

    def __init__(self, metadata: Metadata, show: list[ShowSample]) -> None:
        super().__init__()
        self.metadata, self.show = metadata, show

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        about = self.metadata
        generator = Generator(Network(about.model, get_weights(self.model)), about.tokenizer)
        rng = np.random.default_rng([about.training.random_seed or 0, epoch])
        seed = str(rng.choice(about.line_starts or [""]))
        for temperature in LIVE_TEMPERATURES:
            text = generator.generate(seed, about.tokenizer.live_length, temperature)
            for show in self.show:
                show(f"epoch {epoch + 1}, diversity {temperature}", seed, text)


def print_sample(title: str, seed: str, text: str) -> None:
    """Show a sample to the person who trains."""
    console.heading(title)
    console.show(console.paint(seed, "cyan", sys.stdout) + text)
