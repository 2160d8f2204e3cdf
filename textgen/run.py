"""One training run: begun, stopped, resumed, rolled back, finished."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from textgen import console, embeddings, events, summary
from textgen.backend import keras, tf
from textgen.callbacks import (
    DivergenceError,
    Keeper,
    LiveSamples,
    Patience,
    PlainLog,
    ProgressBar,
    Schedule,
    ShowSample,
    StateReset,
    UpdateRatios,
    Validation,
    print_sample,
)  # fmt: skip
from textgen.checkpoint import Metadata
from textgen.clock import RunClock, SharedClock
from textgen.config import TrainingConfig
from textgen.dataset import Batches, EvaluationBatch, evaluation_batches
from textgen.distributed.cluster import Cluster
from textgen.errors import TextgenError
from textgen.events import Events
from textgen.generator import Generator
from textgen.history import Row, judged
from textgen.interruption import Interrupted, Interruption
from textgen.livesamples import SampleFile
from textgen.losses import PlainLoss
from textgen.model import (
    build_model,
    build_twin,
    fresh_state,
    get_weights,
    is_finite,
    set_weights,
)
from textgen.network import Array, Network
from textgen.snapshots import Progress, Saver, Snapshots
from textgen.stepping import stepped
from textgen.tokenfiles import release
from textgen.tokenization import Corpus
from textgen.tokenizers import Ids, StoredIds, to_metadata
from textgen.workspace import keep_previous

LIVE_LENGTH = {"character": 200, "word": 50}
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
        batches: the training text, cut up.
        corpus: both texts.
        interruption: says when to stop.
        cluster: the machines that train it together.
        on_epoch: is told each epoch's row of `history.csv`, and the share of the run that is done.
        keep_samples: write samples into the file that `serve --watch` shows, also where they are
            not printed.
    """

    def __init__(
        self,
        data_dir: Path,
        metadata: Metadata,
        batches: Batches,
        corpus: Corpus,
        interruption: Interruption,
        cluster: Cluster,
        on_epoch: OnEpoch,
        keep_samples: bool = False,
    ) -> None:
        config, size = metadata.training, len(metadata.tokenizer.vocabulary)
        self.data_dir, self.metadata, self.batches = data_dir, metadata, batches
        self.corpus, self.interruption, self.cluster = corpus, interruption, cluster
        self.on_epoch, self.keep_samples = on_epoch, keep_samples
        rows = cluster.rows(config.batch_size)
        validation = corpus.validation and corpus.validation.ids
        self.model = stepped(
            build_model(metadata.model, size, rows.stop - rows.start, config.random_seed)
        )
        if config.freeze_embeddings:
            self.model.get_layer("embedding").trainable = False
        self.model.prepare(config, batches.steps_at_once, cluster.mean)
        self.evaluation = validation is not None and Evaluation(
            self.model, validation, config, cluster
        )
        self.snapshots = Snapshots(data_dir, self.model, cluster)
        self.clock = _clock(config, batches, validation, cluster)
        twin = build_twin(metadata.model, size)
        self.keeper = Keeper(data_dir, metadata, twin, self.clock, writes=cluster.is_chief)
        self.schedule = Schedule(self.clock, config, lambda: list(map(judged, self.keeper.history)))
        self.carried_loss = CarriedLoss()
        self.complete = False
        self.events: Events | None = None

    def begin(self, weights: dict[str, Array] | None) -> None:
        """Start anew, from `weights` if there are any."""
        if weights:
            set_weights(self.model, weights)
        if self.cluster.is_chief:
            self._load_vectors()
            self._log_events(resumed=False)
            keep_previous(self.data_dir)
        self.snapshots.begin()
        self.save()
        self._say_size()
        self.clock.restart()

    def resume(self) -> None:
        """Take up the run whose state is in the data directory."""
        progress = self._restore()
        self.clock.restore(progress.clock)
        if self.cluster.is_chief:
            self._log_events(resumed=True)
        same_rate = (
            progress.run["training"]["learning_rate"] == self.metadata.training.learning_rate
        )
        self.schedule.factor = progress.rate_factor if same_rate else 1.0
        self.complete = progress.complete and not self._is_prolonged(progress)
        if self.complete:
            console.say(
                f"the run is complete after {self.epoch} epochs. To prolong it, add a larger"
                " --num-epochs or more --minutes"
            )
        else:
            console.say(f"going on from epoch {self.epoch + 1}, step {self.clock.step:,}")

    def _load_vectors(self) -> None:
        config, vocabulary = self.metadata.training, self.metadata.tokenizer.vocabulary
        if not config.word2vec:
            return
        size = self.metadata.model.embedding_size
        rows, found = embeddings.load(Path(config.word2vec), vocabulary, size, config.random_seed)
        set_weights(self.model, get_weights(self.model) | {"embedding/embeddings": rows})
        console.say(
            f"{config.word2vec} has vectors for {found:,} of the {len(vocabulary):,} tokens"
            f" ({found / len(vocabulary):.0%}); the others are drawn like them"
        )

    def _log_events(self, resumed: bool) -> None:
        if self.metadata.training.tensorboard:
            events.check_installed()
            place = events.run_folder(self.data_dir, resumed)
            self.events = Events(place, lambda: self.keeper.history[-1])
            console.say(f"to watch: tensorboard --logdir {events.folder(self.data_dir)}")

    def _is_prolonged(self, progress: Progress) -> bool:
        before, now = progress.run["training"], self.metadata.training.to_dict()
        return any(before[limit] != now[limit] for limit in LIMITS)

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return self.clock.step // self.batches.epoch

    def finish(self) -> dict[str, float]:
        """Train to the end; returns the best epoch's row of `history.csv`."""
        while not self.complete:
            try:
                self._fit()
                self.complete = True
                self.save()
            except DivergenceError as diverged:
                self._roll_back(diverged)
            except Interrupted:
                self.keeper.save_unfinished()
                self.save()
                console.say(
                    f"saved at step {self.clock.step:,}. To go on: python train.py --data-dir"
                    f" {self.data_dir} --resume"
                )
                raise
        return self.keeper.best

    def _restore(self) -> Progress:
        """Take everything but the clock's time and the learning rate from the last snapshot."""
        progress = self.snapshots.restore()
        self.clock.step = int(progress.clock["step"] or 0)
        self.keeper.history, self.keeper.best = progress.history, progress.best
        loss = [variable.numpy() for variable in self.model.metrics_variables]
        self.carried_loss.values = loss if self.clock.step % self.batches.epoch else []
        return progress

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

    def _say_size(self) -> None:
        unit, text = self.metadata.tokenizer.unit, self.corpus.training
        size = self.batches.epoch * self.clock.tokens_per_step
        known = 1 - text.num_unknown / len(text.ids)
        types = len(self.metadata.tokenizer.vocabulary)
        console.say(f"{types - 1:,} types, which are {known:.1%} of the {unit}s")
        model, config = self.metadata.model, self.metadata.training
        for line in summary.table(model, config, types, size, unit):
            console.say(line)
        for name, value in (model.to_dict() | config.to_dict()).items():
            console.detail(f"  {name}: {value}")

    def _fit(self) -> None:
        callbacks = self._callbacks()
        for steps, epoch, epochs in self._spans():
            dataset = _dataset(self.batches, lambda: self.clock.step, steps)
            self.model.fit(
                dataset, initial_epoch=epoch, epochs=epochs, callbacks=callbacks, shuffle=False,
                verbose=0,
            )  # fmt: skip
            if self.model.stop_training:
                break

    def _spans(self) -> Iterator[tuple[int, int, int]]:
        """The rest of an epoch, if one was begun, then whole epochs: steps of each, from, to."""
        config, epoch = self.metadata.training, self.epoch
        epochs = WHOLE_RUN if config.minutes else config.num_epochs
        if begun := self.clock.step % self.batches.epoch:
            yield self.batches.epoch - begun, epoch, epoch + 1
            epoch += 1
        if epoch < epochs:
            yield self.batches.epoch, epoch, epochs

    def _callbacks(self) -> list[keras.callbacks.Callback]:
        config = self.metadata.training
        callbacks = [
            self.interruption,
            Saver(
                self._save_on_the_way,
                lambda: self.clock.step,
                config.save_every,
                lambda: self.clock.seconds,
            ),
            self.carried_loss,
            PlainLoss(),
            self.schedule,
            StateReset(self.clock, self.batches.batches_per_pass),
        ]
        if self.evaluation:
            callbacks.append(Validation(self.evaluation))
        callbacks.append(UpdateRatios(self.clock))
        if self.cluster.is_chief:
            shown = None if config.minutes else config.num_epochs
            callbacks.append(ProgressBar(self.clock, shown, self.metadata.tokenizer.unit))
        callbacks.append(self.keeper)
        callbacks.append(keras.callbacks.LambdaCallback(on_epoch_end=self._tell))
        if config.patience:
            callbacks.append(Patience(self.keeper, config.patience))
        return callbacks + (self._shown() if self.cluster.is_chief else [])

    def _shown(self) -> list[keras.callbacks.Callback]:
        """What the chief shows when everything else is done."""
        config, unit = self.metadata.training, self.metadata.tokenizer.unit
        callbacks: list[keras.callbacks.Callback] = []
        if config.print_every:
            callbacks.append(PlainLog(self.clock, config.print_every, unit))
        if self.events:
            callbacks.append(self.events)
        show: list[ShowSample] = [print_sample] if config.live_sample else []
        if self.events:
            show.append(self.events.write_sample)
        if show or self.keep_samples:
            show.append(SampleFile(self.data_dir).write)
            callbacks.append(_live_samples(self.model, self.metadata, self.epoch, show))
        return callbacks

    def _tell(self, epoch: int, logs: Any) -> None:
        self.on_epoch(self.keeper.history[-1], self.clock.fraction)

    def _save_on_the_way(self) -> None:
        self.keeper.save_unfinished()
        self.save()

    def save(self) -> None:
        """Write the run's whole state.

        Raises:
            DivergenceError: if it is not worth keeping.
        """
        if not is_finite(self.model):
            raise DivergenceError(f"training diverged at step {self.clock.step:,} (weights)")
        settings = {
            "tokenizer": to_metadata(self.metadata.tokenizer),
            "model": self.metadata.model.to_dict(),
            "training": self.metadata.training.to_dict(),
            "texts": self.corpus.hashes,
        }
        keeper, factor = self.keeper, self.schedule.factor
        self.snapshots.save(
            Progress(
                settings, self.clock.state(), keeper.history, keeper.best, factor, self.complete
            )
        )


class CarriedLoss(keras.callbacks.Callback):
    """Gives an epoch that is taken up in its middle its running loss, which Keras begins at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[Any] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        for variable, value in zip(self.model.metrics_variables, self.values, strict=False):
            variable.assign(value)
        self.values = []


def _clock(
    config: TrainingConfig, batches: Batches, validation: StoredIds | None, cluster: Cluster
) -> RunClock:
    kind = RunClock if cluster.count == 1 else partial(SharedClock, agree=cluster.seconds)
    return kind(
        total_steps=None if config.minutes else config.num_epochs * batches.epoch,
        total_seconds=config.minutes and 60 * config.minutes,
        tokens_per_step=(size := config.batch_size * config.seq_length),
        validation_steps=0 if validation is None else len(validation) // size,
    )


def _dataset(batches: Batches, step: Callable[[], int], steps: int) -> tf.data.Dataset:
    """The batches of an epoch, or of what is left of one, for `fit`; read one call of steps ahead.

    `fit` reads it anew for each epoch: from batch number `step()` on, so many `steps`.
    Without autotuning: where an epoch ends, its thread is now and then waited for, for as long as
    the epoch took.
    """

    def read() -> Iterator[tuple[Ids, Ids]]:
        start = step()
        for block in batches.blocks(start, start + steps):
            yield block
            release(batches.ids)

    options = tf.data.Options()
    options.autotune.enabled = False
    shape = (None, len(range(batches.batch_size)[batches.rows]), batches.seq_length)
    blocks = tf.data.Dataset.from_generator(
        read, output_signature=2 * (tf.TensorSpec(shape, tf.int32),)
    )
    pairs = blocks.unbatch().apply(tf.data.experimental.assert_cardinality(steps))
    return pairs.prefetch(batches.steps_at_once).with_options(options)


class Evaluation:
    """The loss of `model` on a whole text, in nats per token.

    Args:
        model: a stateful model; its state is zero before the text, and what it was after it.
        ids: the text, (N,).
        config: gives the batch's rows and length.
        cluster: the workers; each scores its rows.
    """

    def __init__(
        self,
        model: keras.Model,
        ids: StoredIds,
        config: TrainingConfig,
        cluster: Cluster | None = None,
    ) -> None:
        self.model, self.ids, self.cluster = model, ids, cluster or Cluster()
        self.size = config.batch_size, config.seq_length
        next(self._batches())  # refuses a text that is too short
        self._loss = tf.function(self._summed_loss, jit_compile=True)

    def __call__(self) -> float:
        with fresh_state(self.model):
            total = sum(float(self._loss(*map(tf.constant, batch))) for batch in self._batches())
        release(self.ids)
        return float(self.cluster.sum(np.array(total))) / (len(self.ids) - 1)

    def _batches(self) -> Iterator[EvaluationBatch]:
        return evaluation_batches(self.ids, *self.size, self.cluster.rows(self.size[0]))

    def _summed_loss(self, inputs: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        logits = self.model(inputs, training=False)
        losses = keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True)
        return tf.reduce_sum(losses * weights)


def _live_samples(
    model: keras.Model,
    metadata: Metadata,
    epochs_done: int,
    show: list[ShowSample],
) -> LiveSamples:
    def generator() -> Generator:
        return Generator(Network(metadata.model, get_weights(model)), metadata.tokenizer)

    rng = np.random.default_rng(metadata.training.random_seed)
    seeds = (str(rng.choice(metadata.line_starts)) for _ in itertools.count())
    unread = itertools.islice(seeds, epochs_done, None)
    return LiveSamples(generator, unread, LIVE_LENGTH[metadata.tokenizer.unit], show)
