"""What is kept after each epoch: the best model, the latest one, the history."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

from textgen.model import checkpoint
from textgen.model.backend import keras
from textgen.model.checkpoint import Metadata
from textgen.model.keras_model import build_model_to_save, get_weights, is_finite, set_weights
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import write_atomic
from textgen.training import plot
from textgen.training.clock import RunClock
from textgen.training.history import RATIO, Row, csv_text, judged

SECONDS_BETWEEN_PICTURES = 60.0
"""Drawing one takes half a second."""


class DivergenceError(Exception):
    """The loss or a weight is no longer a number, or the loss is absurdly high."""


class Keeper(keras.callbacks.Callback):
    """Writes the best model, the latest model and the history after each epoch.

    Args:
        directory: the data directory.
        metadata: what is known of the model before training.
        clock: the run's clock.
        writes: whether to; without, the results are noted only.
    """

    def __init__(self, directory: Path, metadata: Metadata, clock: RunClock, writes: bool) -> None:
        super().__init__()
        self.directory, self.metadata, self.clock = directory, metadata, clock
        self.writes = writes
        self.history: list[Row] = []
        self.best: Row = {}
        self._twin = build_model_to_save(metadata.model, len(metadata.tokenizer.vocabulary))
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
            if time.perf_counter() - self._drawn > SECONDS_BETWEEN_PICTURES:
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
        plot.write(self.directory, self.history, self.metadata.tokenizer)
        self._drawn = time.perf_counter()

    def on_train_end(self, logs: Any = None) -> None:
        if self.writes:
            self._draw()

    def _refuse_divergence(self, loss: float) -> None:
        """Stop where the loss is no number, or ten times that of knowing nothing."""
        if not loss < 10 * math.log(len(self.metadata.tokenizer.vocabulary)):
            raise DivergenceError(
                f"training diverged at step {self.clock.step:,} (loss {loss:.3g})"
            )

    @property
    def losses(self) -> list[float]:
        """What each epoch is judged by."""
        return [judged(row) for row in self.history]

    @property
    def epochs_since_best(self) -> int:
        return len(self.history) - 1 - self.history.index(self.best)

    def save_unfinished(self) -> None:
        """Keep what an unfinished epoch has learned, as the best model if there is no other."""
        unfinished: Row = {"epoch": 0, "step": self.clock.step}
        results = self.history[-1] if self.history else unfinished
        if not self.best:
            self.save(self.directory, results)
        self.save(self.directory / "latest", results)

    def save(self, directory: Path, results: Row) -> None:
        if not self.writes:
            return
        set_weights(self._twin, get_weights(self.model))
        metadata = dataclasses.replace(self.metadata, results=results)
        try:
            checkpoint.save(directory, metadata, self._twin.save)
        except TextgenError as error:
            raise TextgenError(f"{error}, then go on with --resume") from error

    def _results(self, epoch: int, logs: Row) -> Row:
        tokenizer = self.metadata.tokenizer
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
            tokenizer.loss_name: tokenizer.loss_value(judged(logs)),
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
