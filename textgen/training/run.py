"""One training run: begun or resumed, trained, and stopped, rolled back or finished."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from textgen.model.backend import keras, on_device, tf
from textgen.model.checkpoint import Metadata
from textgen.model.devices import candidates, computation
from textgen.model.history import (
    RATIO,
    Row,
    best_of,
    epochs_since_best,
    measures,
    selection_loss,
)
from textgen.model.keras_model import get_weights, is_finite, set_weights
from textgen.settings.definitions import LENGTHS
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import LATEST, PREVIOUS, exclusive, explained
from textgen.support.parallel import StopSignals
from textgen.training import pretrained, programs, results, sizing
from textgen.training.batches import ShuffledDocuments, cut_batches, tf_dataset
from textgen.training.live import LiveView
from textgen.training.plan import Plan, with_random_seed
from textgen.training.report import Progress, closing_report, print_summary
from textgen.training.results import BestCheckpoint
from textgen.training.schedule import RunClock, SaveTimer, clock_for, learning_rate
from textgen.training.snapshots import Snapshots, Stored
from textgen.training.workers import SingleProcess

LINE_STARTS = 100
"""How many a model keeps, to start texts with."""
LIMITS = (*LENGTHS, "patience")
"""The settings that say when a run is complete."""

OnEpoch = Callable[[Row, float], object]
"""Is told an epoch's row of `history.csv`, and the share of the run that is done."""


def fit(
    data_dir: Path,
    plan: Plan,
    on_epoch: OnEpoch = lambda row, fraction: None,
    keep_samples: bool = False,
    workers: SingleProcess | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Row:
    """Trains a model and keeps it in `data_dir`.

    Args:
        data_dir: where the model, its history and the training state go.
        plan: what to train.
        on_epoch: is told each epoch's row of `history.csv`, and the share of the run that is done.
        keep_samples: write samples after every epoch into the file that `serve --watch` shows.
        workers: the processes that train it together; None for this one alone.
        callbacks: are called as by Keras' `fit`, with the row as an epoch's logs; they may stop
            the run by `model.stop_training`. The run itself needs none.

    Returns:
        The best epoch's row of `history.csv`.

    Raises:
        TextgenError: if the text or the memory is too small, another process is training in
            `data_dir`, or the loss is no longer a number.
        RunInterruptedError: after Ctrl-C; what was learned is kept.
    """
    workers = workers or SingleProcess()
    plan = plan._replace(training=with_random_seed(plan.training))
    vocabulary_size = len(plan.corpus.tokenizer.vocabulary)
    on_gpu = workers.on_gpu
    if on_gpu is None:
        on_gpu = sizing.choose_device(plan.model, plan.training, vocabulary_size)
    if not on_gpu:
        sizing.check_memory(plan.model, plan.training, vocabulary_size)
    if plan.training.batch_parts is None:
        how = computation(plan.model, on_gpu)
        shared = workers.count > 1
        parts = 1 if shared else sizing.choose_parts(plan.model, plan.training, how)
        plan = plan._replace(training=dataclasses.replace(plan.training, batch_parts=parts))
    if on_gpu and plan.training.deterministic:
        tf.config.experimental.enable_op_determinism()
    alone = exclusive(data_dir) if workers.is_chief else contextlib.nullcontext()
    with explained(data_dir), alone, on_device(on_gpu), explained_memory(on_gpu):
        run = Run(data_dir, plan, workers, on_gpu, on_epoch, keep_samples, callbacks)
        run.train()
    if workers.count == 1 and not callbacks:  # which may have changed the model
        programs.give_back(run.programs)
    console.heading("The run is complete")
    num_tokens = len(plan.corpus.training.ids)
    for line in closing_report(data_dir, run.state.history, run.metadata, num_tokens):
        console.say(line, "green")
    if losses := results.better_previous(data_dir):
        command = console.command_line("sample", data_dir=data_dir / PREVIOUS)
        console.warn(f"the model that was here before is better ({losses}). To use it: {command}")
    return run.state.best


@contextlib.contextmanager
def explained_memory(on_gpu: bool) -> Iterator[None]:
    """TensorFlow's error where memory runs out as a TextgenError with the mend."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        place = "on the GPU. Free some there, take `device` cpu" if on_gpu else "here. Free some"
        raise TextgenError(
            f"this model and batch do not fit into the memory that is free {place}, or lower"
            f" {sizing.MEMORY_SETTINGS}"
        ) from error


@dataclass
class RunState:
    """Where a run stands, besides the variables of `TrainStep`. Only `Run` changes it.

    A snapshot holds all of it.
    """

    clock: RunClock
    """Steps and seconds so far."""
    history: list[Row] = field(default_factory=list)
    """The rows of `history.csv`."""
    rate_factor: float = 1.0
    """Factor of the learning rate: 0.5 once training has diverged."""
    complete: bool = False

    @property
    def best(self) -> Row:
        """The row of the best epoch; empty before there is one."""
        return best_of(self.history)


class RunInterruptedError(KeyboardInterrupt):
    """The run was asked to stop, and has saved what was learned."""


class DivergenceError(Exception):
    """The loss or a weight is no longer a number, or the loss is absurdly high."""


class Run:
    """One training, from its start or from where it was interrupted to its end; see `fit`."""

    def __init__(
        self,
        data_dir: Path,
        plan: Plan,
        workers: SingleProcess,
        on_gpu: bool,
        on_epoch: OnEpoch,
        keep_samples: bool,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        settings, text, tokenizer = plan.training, plan.corpus.training, plan.corpus.tokenizer
        self.data_dir, self.plan, self.workers, self.on_gpu = data_dir, plan, workers, on_gpu
        self.on_epoch = on_epoch
        rng = np.random.default_rng(settings.random_seed)
        line_starts = rng.permutation(text.line_starts)[:LINE_STARTS].tolist()
        self.metadata = Metadata(plan.model, tokenizer, settings, {}, line_starts)
        rows = workers.rows(settings.batch_size)
        documents = None
        if tokenizer.settings.documents:
            documents = ShuffledDocuments(text.ids, settings.random_seed or 0)
            if len(documents) < 2:
                raise TextgenError(
                    f"`documents` {tokenizer.settings.documents!r} does not part the text, which is"
                    " one document by it. Give what stands between its documents, or leave it out"
                )
        self.num_documents = len(documents) if documents else 0
        self.batches = dataclasses.replace(
            cut_batches(
                text.ids, settings.batch_size, settings.seq_length, settings.seq_step,
                settings.steps_per_epoch, documents,
            ),
            rows=rows,
        )  # fmt: skip
        if on_gpu and "more-steps" in candidates():
            self.batches = self.batches.with_more_at_once()
        how = computation(plan.model, on_gpu)
        parts = sizing.choose_parts(plan.model, settings, how)
        self.programs = programs.take(
            plan.model,
            settings,
            len(tokenizer.vocabulary),
            how,
            on_gpu,
            parts,
            workers,
            documents=bool(tokenizer.settings.documents),
        )
        self.model, self.step = self.programs.model, self.programs.step
        held_out = plan.corpus.validation and plan.corpus.validation.ids
        self.validation = None if held_out is None else self.programs.validation(held_out)
        self.state = RunState(
            clock_for(
                settings,
                self.batches.steps_per_epoch,
                validation_tokens=0 if held_out is None else len(held_out),
                agree=workers.seconds,
            )
        )
        self.snapshots = Snapshots(data_dir, self.step.variables(), workers)
        self.models = BestCheckpoint(data_dir, self.metadata, self.model, workers.is_chief)
        self.live = (
            LiveView(data_dir, self.metadata, plan.resume, keep_samples)
            if workers.is_chief
            else None
        )
        self.callbacks = keras.callbacks.CallbackList(
            list(callbacks), model=self.model, epochs=settings.most_epochs,
            steps=self.batches.steps_per_epoch, verbose=0,
        )  # fmt: skip
        self.signals = StopSignals("finishing the step and saving")

    def train(self) -> None:
        """Train to the end.

        Raises:
            TextgenError: if training diverges again and again, or a file cannot be written.
            RunInterruptedError: after Ctrl-C; what was learned is kept.
        """
        with self.signals:
            if self.plan.resume:
                self._resume()
            else:
                self._begin()
            while not self.state.complete:
                try:
                    self._train()
                    self.state.complete = True
                    self.save()
                except DivergenceError as diverged:
                    self._roll_back(diverged)

    def _train(self) -> None:
        """Train from where the state stands until the run is complete."""
        settings, batches, clock = self.plan.training, self.batches, self.state.clock
        at_once, per_epoch = batches.steps_at_once, batches.steps_per_epoch
        stream = iter(tf_dataset(batches, clock.step, self.on_gpu))
        save_timer = SaveTimer(clock, settings.save_every)
        self.model.stop_training = False
        self.callbacks.on_train_begin()
        with contextlib.closing(Progress(clock, settings, self.metadata.tokenizer)) as progress:
            self._begin_epoch()
            while True:
                if self.workers.any(self.signals.requested):
                    self._stop()
                if save_timer.is_due():
                    self._save_on_the_way()
                    save_timer.restart()
                rate = self._learning_rate()
                self.step.set_learning_rate(rate)
                if clock.step % batches.batches_per_pass == 0:
                    self.step.reset_state()
                first = clock.step % per_epoch
                # A run that was interrupted elsewhere may stand between two such calls.
                steps = at_once - clock.step % at_once
                self.callbacks.on_train_batch_begin(first)
                loss = self.step(stream, steps)
                clock.count_steps(steps)
                is_over = clock.fraction >= 1
                progress.show_steps(self.epoch, loss, rate)
                self._refuse_divergence(loss)
                self.callbacks.on_train_batch_end(first + steps - 1, {"loss": loss})
                is_over = is_over or self.model.stop_training
                if is_over or clock.step % per_epoch == 0:
                    self._end_epoch(loss, progress)
                    if is_over or clock.fraction >= 1 or self._is_to_end():
                        break
                    self._begin_epoch()
        self.callbacks.on_train_end()
        self.models.draw(self.state.history)

    @property
    def epoch(self) -> int:
        """The epoch of the last step, from 1."""
        return -(-self.state.clock.step // self.batches.steps_per_epoch)

    @property
    def _epochs_done(self) -> float:
        """The epochs so far: 2, or 1.4 where the second one has not ended."""
        step, per_epoch = self.state.clock.step, self.batches.steps_per_epoch
        whole, begun = divmod(step, per_epoch)
        share = min(max(0.01, round(begun / per_epoch, 2)), 0.99)  # never that of a whole one
        return round(whole + share, 2) if begun else whole

    def _begin_epoch(self) -> None:
        """Begin an epoch, or take up what is left of one."""
        clock = self.state.clock
        epochs_done, begun = divmod(clock.step, self.batches.steps_per_epoch)
        if not begun:
            self.step.begin_epoch()
        clock.begin_epoch()
        self.callbacks.on_epoch_begin(epochs_done)

    def _learning_rate(self) -> float:
        clock, losses = self.state.clock, [selection_loss(row) for row in self.state.history]
        rate = learning_rate(self.plan.training, clock.step, clock.fraction, losses)
        return rate * self.state.rate_factor

    def _end_epoch(self, loss: float, progress: Progress) -> None:
        """Validate, keep what was learned, and show it."""
        row = self._row(loss)
        self._refuse_divergence(selection_loss(row) if is_finite(self.model) else math.nan)
        progress.show_epoch(row)
        self.state.history.append(row)
        self.models.keep(self.state.history)
        self.on_epoch(row, self.state.clock.fraction)
        if self.live:
            self.live.show(row, get_weights(self.model))
        logs = {name: value for name, value in row.items() if name != "epoch"}  # as Keras' have it
        self.callbacks.on_epoch_end(self.epoch - 1, logs)
        self.state.clock.end_epoch()

    def _row(self, loss: float) -> Row:
        """Returns the row of `history.csv` of the epoch that ends."""
        clock = self.state.clock
        losses = {"loss": loss}
        if self.validation:
            losses["val_loss"] = self.validation.loss()
        ratios = {RATIO + layer: ratio for layer, ratio in self.step.update_ratios().items()}
        judged = self.plan.corpus.validation or self.plan.corpus.training
        told = measures(selection_loss(losses), judged.characters_per_token, judged.tokenizer)
        quoted = judged.tokenizer.loss_name
        clock.tick()
        return {
            "epoch": self._epochs_done,
            "step": clock.step,
            "seconds": round(clock.seconds, 2),
            **losses,
            "learning_rate": self.step.learning_rate(),
            "tokens_per_second": round(clock.tokens_per_second),
            quoted: told[quoted],  # where it stood before the others were there
            "gradient_norm": self.step.gradient_norm(),
            **ratios,
            **told,
        }

    def _is_to_end(self) -> bool:
        """Whether a callback or the limit of patience ends the run after this epoch."""
        patience = self.plan.training.patience
        if patience and epochs_since_best(self.state.history) >= patience:
            console.say(f"no better model in {patience} epochs (`patience`): stopping")
            return True
        return bool(self.model.stop_training)

    def _refuse_divergence(self, loss: float) -> None:
        """Stop where the loss is no number, or ten times that of knowing nothing."""
        if not loss < 10 * math.log(len(self.metadata.tokenizer.vocabulary)):
            raise DivergenceError(
                f"training diverged at step {self.state.clock.step:,} (loss {loss:.3g})"
            )

    def _begin(self) -> None:
        """Start a new run."""
        starting = self.plan.weights or {}
        if "logits/bias" not in starting:
            size = len(self.metadata.tokenizer.vocabulary)
            bias = pretrained.first_logits(self.plan.corpus.training.ids, size)
            starting = starting | {"logits/bias": bias}
        set_weights(self.model, get_weights(self.model) | starting)
        if self.workers.is_chief:
            results.keep_previous(self.data_dir)
        self.snapshots.begin()
        self.step.shift_random_seeds(self.workers.index)
        self.save()
        text, clock = self.plan.corpus.training, self.state.clock
        tokens = self.batches.steps_per_epoch * clock.tokens_per_step
        known = 1 - text.num_unknown / len(text.ids)
        print_summary(self.metadata, known, tokens, self.num_documents)
        clock.restart()

    def _resume(self) -> None:
        """Take up the run whose state is in the data directory."""
        stored, state = self._restore(), self.state
        state.clock.restore(stored.clock)
        before, now = stored.run["training"], self.plan.training.to_dict()
        same_rate = before["learning_rate"] == now["learning_rate"]
        state.rate_factor = stored.rate_factor if same_rate else 1.0
        is_same = all(before[limit] == now[limit] for limit in LIMITS)
        has_all = self._epochs_done >= (self.plan.training.most_epochs or math.inf)
        is_over = stored.complete if is_same else state.clock.fraction == 1
        # Where no epoch has ended, the first one is ended now: nothing else tells how good it is.
        state.complete = bool(state.history) and (has_all or is_over)
        if state.complete:
            epochs = console.counted(state.history[-1]["epoch"], "epoch")
            minutes = console.counted(float(f"{state.clock.seconds / 60:.2g}"), "minute")
            whole = self.plan.training.length
            console.say(
                f"nothing is left to do after {epochs} and {minutes}: the whole run has {whole}"
            )
        else:
            whole = self.plan.training.length
            minutes = console.counted(float(f"{state.clock.seconds / 60:.2g}"), "minute")
            console.say(
                f"going on from epoch {self.epoch}, step {state.clock.step:,}, after {minutes}. The"
                f" whole run has {whole}"
            )

    def _restore(self) -> Stored:
        """Take everything but the clock's time and the learning rate from the last snapshot."""
        stored = self.snapshots.restore()
        self.step.shift_random_seeds(self.workers.index)
        self.state.clock.step = int(stored.clock["step"] or 0)
        self.state.history = stored.history
        return stored

    def _roll_back(self, diverged: DivergenceError) -> None:
        """Go back to the last snapshot with half the learning rate; the second time, stop."""
        if self.state.rate_factor < 1:
            raise TextgenError(
                f"{diverged}, also with half the learning rate. The last good model is kept; try a"
                f" `learning_rate` below {self.plan.training.learning_rate}"
            )
        self._restore()
        self.state.rate_factor = 0.5
        self.save()
        console.warn(
            f"{diverged}; back to step {self.state.clock.step:,} with half the learning rate"
        )

    def _stop(self) -> None:
        """Save and raise RunInterruptedError."""
        self._save_on_the_way()
        command = console.command_line("train", data_dir=self.data_dir, resume=True)
        console.say(f"saved at step {self.state.clock.step:,}. To go on: {command}")
        if self.state.history:
            latest = console.command_line("sample", data_dir=self.data_dir / LATEST)
            console.say(f"the newest model, which may be better than the best epoch's: {latest}")
        raise RunInterruptedError if self.state.clock.step else KeyboardInterrupt

    def _save_on_the_way(self) -> None:
        self.save()  # first, because it refuses weights that are not worth keeping
        self.models.keep_unfinished(self.state.history, self.state.clock.step)

    def save(self) -> None:
        """Write the run's whole state.

        Raises:
            DivergenceError: if it is not worth keeping.
        """
        state = self.state
        if not is_finite(self.model):
            raise DivergenceError(f"training diverged at step {state.clock.step:,} (weights)")
        run = self.plan.setup.to_dict() | {"texts": self.plan.corpus.hashes}
        rows, clock = state.history, state.clock.state()
        self.snapshots.save(Stored(run, clock, rows, state.rate_factor, state.complete))
