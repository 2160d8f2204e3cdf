"""One training run: begun, stopped, resumed, rolled back, finished."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from textgen.model.backend import keras
from textgen.model.checkpoint import Metadata, Setup
from textgen.model.keras_model import build_model, get_weights, is_finite, set_weights
from textgen.support import console
from textgen.support.arrays import Array
from textgen.support.errors import TextgenError
from textgen.tokens.corpus import Corpus
from textgen.training import events, feed, summary
from textgen.training.callbacks import CarriedLoss, Schedule, StateReset, UpdateRatios
from textgen.training.clock import clock_for
from textgen.training.history import Row
from textgen.training.interruption import Interrupted, Interruption
from textgen.training.keeper import DivergenceError, Keeper, Patience
from textgen.training.livesamples import SampleFile
from textgen.training.losses import PlainLoss
from textgen.training.progress import LiveSamples, PlainLog, ProgressBar, ShowSample, print_sample
from textgen.training.snapshots import Progress, Saver, Snapshots, variables_of
from textgen.training.stepping import stepped
from textgen.training.validation import Validation
from textgen.training.workers import Cluster
from textgen.training.workspace import keep_previous

WHOLE_RUN = 10**9
"""Epochs asked of `fit` when the clock ends the run."""
LIMITS = ("num_epochs", "minutes", "patience")
"""The settings that say when a run is complete."""

OnEpoch = Callable[[Row, float], None]
"""Is told an epoch's row of `history.csv`, and the share of the run that is done."""


class Run:
    """One training, from its start or from where it was interrupted to its end.

    Args:
        data_dir: the data directory; this process has it for itself.
        metadata: the settings.
        corpus: the texts.
        cluster: the machines that train it together.
        on_epoch: is told each epoch's row of `history.csv`, and the share of the run that is done.
        keep_samples: write samples into the file that `serve --watch` shows, also where they are
            not printed.
    """

    def __init__(
        self,
        data_dir: Path,
        metadata: Metadata,
        corpus: Corpus,
        cluster: Cluster,
        on_epoch: OnEpoch,
        keep_samples: bool,
    ) -> None:
        settings, size = metadata.training, len(metadata.tokenizer.vocabulary)
        self.data_dir, self.metadata, self.corpus = data_dir, metadata, corpus
        self.cluster, self.on_epoch, self.keep_samples = cluster, on_epoch, keep_samples
        self.batches = feed.batches_for(settings, corpus.training.ids, cluster)
        rows = settings.batch_size // cluster.count
        self.model = stepped(build_model(metadata.model, size, rows, settings.random_seed))
        self.model.prepare(settings, self.batches.steps_at_once, cluster.mean)
        held_out = corpus.validation and corpus.validation.ids
        self.validation = (
            None if held_out is None else Validation(self.model, held_out, settings, cluster)
        )
        self.clock = clock_for(
            settings,
            self.batches.epoch,
            validation_tokens=0 if held_out is None else len(held_out),
            agree=cluster.seconds if cluster.count > 1 else None,
        )
        self.snapshots = Snapshots(data_dir, variables_of(self.model), cluster)
        self.keeper = Keeper(data_dir, metadata, self.clock, writes=cluster.is_chief)
        self.schedule = Schedule(self.clock, settings, lambda: self.keeper.losses)
        self.carried_loss = CarriedLoss()
        self.interruption = Interruption(cluster.any)
        self.events: events.Events | None = None
        self.complete = False

    def train(self, resume: bool, weights: dict[str, Array] | None) -> Row:
        """Train to the end; returns the best epoch's row of `history.csv`.

        Args:
            resume: go on with the run whose state is in the data directory.
            weights: what a new run starts from, by path; the others are drawn.

        Raises:
            TextgenError: if training diverges again and again, or a file cannot be written.
            KeyboardInterrupt: after Ctrl-C; what was learned is kept.
        """
        with self.interruption:
            if resume:
                self._resume()
            else:
                self._begin(weights)
            while not self.complete:
                self._go_on()
        return self.keeper.best

    def _begin(self, weights: dict[str, Array] | None) -> None:
        if weights:
            set_weights(self.model, get_weights(self.model) | weights)
        if self.cluster.is_chief:
            self._log_events(resumed=False)
            keep_previous(self.data_dir)
        self.snapshots.begin()
        self._shift_random_seeds()
        self.save()
        text = self.corpus.training
        tokens = self.batches.epoch * self.clock.tokens_per_step
        summary.say(self.metadata, 1 - text.num_unknown / len(text.ids), tokens)
        self.clock.restart()

    def _resume(self) -> None:
        """Take up the run whose state is in the data directory."""
        progress = self._restore()
        self.clock.restore(progress.clock)
        if self.cluster.is_chief:
            self._log_events(resumed=True)
        before, now = progress.run["training"], self.metadata.training.to_dict()
        same_rate = before["learning_rate"] == now["learning_rate"]
        self.schedule.factor = progress.rate_factor if same_rate else 1.0
        self.complete = progress.complete and all(before[limit] == now[limit] for limit in LIMITS)
        if self.complete:
            console.say(
                f"nothing is left to do after {console.counted(self.epoch, 'epoch')}. To prolong"
                " the run, add a larger --num-epochs or more --minutes"
            )
        else:
            console.say(f"going on from epoch {self.epoch + 1}, step {self.clock.step:,}")

    def _log_events(self, resumed: bool) -> None:
        if self.metadata.training.tensorboard:
            self.events = events.opened(self.data_dir, resumed, lambda: self.keeper.history[-1])

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return self.clock.step // self.batches.epoch

    def _go_on(self) -> None:
        """Train until the run is complete, or has to step back or stop."""
        try:
            self._fit()
            self.complete = True
            self.save()
        except DivergenceError as diverged:
            self._roll_back(diverged)

    def _restore(self) -> Progress:
        """Take everything but the clock's time and the learning rate from the last snapshot."""
        progress = self.snapshots.restore()
        self._shift_random_seeds()
        self.clock.step = int(progress.clock["step"] or 0)
        self.keeper.history, self.keeper.best = progress.history, progress.best
        loss = [variable.numpy() for variable in self.model.metrics_variables]
        self.carried_loss.values = loss if self.clock.step % self.batches.epoch else []
        return progress

    def _shift_random_seeds(self) -> None:
        """Draws other dropout than workers of another number, from the same state."""
        for layer in self.model.layers:
            for variable in layer.variables:
                if variable.path.endswith("seed_generator_state"):
                    variable.assign_add(np.array([self.cluster.index, 0]))

    def _roll_back(self, diverged: DivergenceError) -> None:
        """Go back to the last snapshot with half the learning rate; the second time, stop."""
        if self.schedule.factor < 1:
            raise TextgenError(
                f"{diverged}, also with half the learning rate. The last good model is kept; try a"
                f" --learning-rate below {self.metadata.training.learning_rate}"
            )
        self._restore()
        self.schedule.factor = 0.5
        self.save()
        console.warn(f"{diverged}; back to step {self.clock.step:,} with half the learning rate")

    def _fit(self) -> None:
        """Train to the end, or until somebody asks for a stop, and then save."""
        try:
            self._fit_spans()
        except Interrupted:
            self._save_on_the_way()
            console.say(
                f"saved at step {self.clock.step:,}. To go on:"
                f" {console.command_line('train', data_dir=self.data_dir, resume=True)}"
            )
            raise

    def _fit_spans(self) -> None:
        callbacks = self._callbacks()
        for steps, epoch, epochs in self._spans():
            dataset = feed.dataset(self.batches, lambda: self.clock.step, steps)
            self.model.fit(
                dataset, initial_epoch=epoch, epochs=epochs, callbacks=callbacks, shuffle=False,
                verbose=0,
            )  # fmt: skip
            if self.model.stop_training:
                break

    def _spans(self) -> Iterator[tuple[int, int, int]]:
        """The rest of an epoch, if one was begun, then whole epochs: steps of each, from, to."""
        settings, epoch = self.metadata.training, self.epoch
        epochs = WHOLE_RUN if settings.minutes else settings.num_epochs
        if begun := self.clock.step % self.batches.epoch:
            yield self.batches.epoch - begun, epoch, epoch + 1
            epoch += 1
        if epoch < epochs:
            yield self.batches.epoch, epoch, epochs

    def _callbacks(self) -> list[keras.callbacks.Callback]:
        """In the order in which each gives the next ones what they need."""
        settings = self.metadata.training
        callbacks = [
            self.interruption,
            Saver(self._save_on_the_way, self.clock, settings.save_every),
            self.carried_loss,
            PlainLoss(),
            self.schedule,
            StateReset(self.clock, self.batches.batches_per_pass),
        ]
        if self.validation:
            callbacks.append(self.validation)
        callbacks.append(UpdateRatios(self.clock))
        if self.cluster.is_chief:
            shown = None if settings.minutes else settings.num_epochs
            callbacks.append(ProgressBar(self.clock, shown, self.metadata.tokenizer))
        callbacks.append(self.keeper)
        callbacks.append(keras.callbacks.LambdaCallback(on_epoch_end=self._tell))
        if settings.patience:
            callbacks.append(Patience(self.keeper, settings.patience))
        return callbacks + (self._shown() if self.cluster.is_chief else [])

    def _shown(self) -> list[keras.callbacks.Callback]:
        """What the chief shows when everything else is done."""
        settings = self.metadata.training
        callbacks: list[keras.callbacks.Callback] = []
        if settings.print_every:
            tokenizer = self.metadata.tokenizer
            callbacks.append(PlainLog(self.clock, settings.print_every, tokenizer))
        show: list[ShowSample] = [print_sample] if settings.live_sample else []
        if self.events:
            callbacks.append(self.events)
            show.append(self.events.write_sample)
        if show or self.keep_samples:
            show.append(SampleFile(self.data_dir).write)
            callbacks.append(LiveSamples(self.metadata, show))
        return callbacks

    def _tell(self, epoch: int, logs: Any) -> None:
        self.on_epoch(self.keeper.history[-1], self.clock.fraction)

    def _save_on_the_way(self) -> None:
        self.save()  # first, because it refuses weights that are not worth keeping
        self.keeper.save_unfinished()

    def save(self) -> None:
        """Write the run's whole state.

        Raises:
            DivergenceError: if it is not worth keeping.
        """
        if not is_finite(self.model):
            raise DivergenceError(f"training diverged at step {self.clock.step:,} (weights)")
        about = self.metadata
        setup = Setup(about.model, about.tokenizer, about.training)
        settings = setup.to_dict() | {"texts": self.corpus.hashes}
        keeper, factor = self.keeper, self.schedule.factor
        self.snapshots.save(
            Progress(
                settings, self.clock.state(), keeper.history, keeper.best, factor, self.complete
            )
        )
