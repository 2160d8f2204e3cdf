"""From a data directory to a trained model."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from textgen import console, recipes, sizing
from textgen.backend import keras, tf
from textgen.callbacks import (
    Keeper,
    LiveSamples,
    ProgressBar,
    RunClock,
    Schedule,
    StateReset,
    Validation,
    in_field_units,
    judged,
)  # fmt: skip
from textgen.checkpoint import Metadata
from textgen.config import ModelConfig, TokenizerConfig, TrainingConfig
from textgen.dataset import Batches, evaluation_batches, training_batches
from textgen.generator import Generator
from textgen.model import build_model, build_twin, get_weights, reset_state
from textgen.network import Network
from textgen.tokenizers import Ids, Tokenizer, build_tokenizer

LIVE_LENGTH = {"character": 200, "word": 50}
WHOLE_RUN = 10**9
"""Epochs asked of `fit` when the clock ends the run."""


class Corpus(NamedTuple):
    """A data directory's texts as token ids."""

    tokenizer: Tokenizer
    training: Ids
    """(N,)"""
    validation: Ids | None
    text: str
    """The training text itself."""


def read_corpus(data_dir: Path, config: TokenizerConfig, validation_split: float) -> Corpus:
    """Read and tokenize the texts of `data_dir`.

    Raises:
        TextgenError: if they cannot be used.
    """
    texts = recipes.load_texts(data_dir, validation_split)
    tokenizer = build_tokenizer(texts.training, config)
    validation = None if texts.validation is None else tokenizer.encode(texts.validation)
    return Corpus(tokenizer, tokenizer.encode(texts.training), validation, texts.training)


def train(
    data_dir: Path,
    model_config: ModelConfig,
    tokenizer_config: TokenizerConfig,
    config: TrainingConfig,
) -> dict[str, float]:
    """Train a model on the texts of `data_dir` and keep it there; see `fit`."""
    corpus = read_corpus(data_dir, tokenizer_config, config.validation_split)
    return fit(data_dir, corpus, model_config, config)


def fit(
    data_dir: Path, corpus: Corpus, model_config: ModelConfig, config: TrainingConfig
) -> dict[str, float]:
    """Train a model on `corpus` and keep it in `data_dir`.

    Returns:
        The best epoch's row of `history.csv`.

    Raises:
        TextgenError: if the text or the memory is too small, or the loss is no longer a number.
        KeyboardInterrupt: after Ctrl-C; what was learned is kept.
    """
    tokenizer = corpus.tokenizer
    sizing.check_memory(model_config, config, len(tokenizer.vocabulary))
    batches = training_batches(
        corpus.training, config.batch_size, config.seq_length, config.seq_step
    )
    line_starts = some_line_starts(corpus.text, np.random.default_rng(config.random_seed))
    metadata = Metadata(model_config, tokenizer, config, {}, line_starts)
    best = _fit(data_dir, metadata, batches, corpus.validation)
    console.say(
        f"best: epoch {best['epoch']}, {in_field_units(judged(best), tokenizer.unit)}. More text:"
        f" python sample.py --data-dir {data_dir}",
        "green",
    )
    return best


def _fit(
    data_dir: Path, metadata: Metadata, batches: Batches, validation: Ids | None
) -> dict[str, float]:
    config, size = metadata.training, len(metadata.tokenizer.vocabulary)
    model = build_model(metadata.model, size, config.batch_size, config.random_seed)
    compile_model(model, batches.steps_at_once)
    unit, known = metadata.tokenizer.unit, np.count_nonzero(batches.inputs) / batches.inputs.size
    console.say(
        f"{batches.inputs.size:,} {unit}s per epoch; {size - 1:,} types, {known:.1%} of the"
        f" {unit}s; {model.count_params():,} weights to learn"
    )
    epochs = WHOLE_RUN if config.minutes else config.num_epochs
    clock = RunClock(
        total_steps=None if config.minutes else epochs * len(batches.inputs),
        total_seconds=config.minutes and 60 * config.minutes,
        tokens_per_step=config.batch_size * config.seq_length,
        validation_steps=0 if validation is None else len(validation) // batches.inputs[0].size,
    )
    twin = build_twin(metadata.model, size)
    keeper = Keeper(data_dir, metadata, twin, clock)
    callbacks = [Schedule(clock, config.learning_rate), StateReset(batches.batches_per_pass)]
    if validation is not None:
        callbacks.append(Validation(Evaluation(model, validation, config)))
    shown = None if config.minutes else epochs
    callbacks += [ProgressBar(clock, shown, metadata.tokenizer.unit), keeper]
    if config.live_sample:
        callbacks.append(_live_samples(model, metadata))
    try:
        model.fit(_dataset(batches), epochs=epochs, callbacks=callbacks, shuffle=False, verbose=0)
    except KeyboardInterrupt:
        keeper.save_interrupted()
        raise
    return keeper.best


def compile_model(model: keras.Model, steps_at_once: int = 1) -> None:
    """Make `model` ready for `fit`; the learning rate is set by `callbacks.Schedule`.

    XLA compiles the whole step, which is what `textgen.recurrent` is written for.
    """
    model.compile(
        optimizer=keras.optimizers.Adam(beta_2=0.99, global_clipnorm=1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=True,
        steps_per_execution=steps_at_once,
    )


def _dataset(batches: Batches) -> tf.data.Dataset:
    pairs = tf.data.Dataset.from_tensor_slices((batches.inputs, batches.targets))
    return pairs.prefetch(tf.data.AUTOTUNE)


class Evaluation:
    """The loss of `model` on a whole text, in nats per token.

    Args:
        model: a stateful model; its state is reset before and after.
        ids: the text, (N,).
        config: gives the batch's rows and length.
    """

    def __init__(self, model: keras.Model, ids: Ids, config: TrainingConfig) -> None:
        self.model = model
        self.batches = list(evaluation_batches(ids, config.batch_size, config.seq_length))
        self._loss = tf.function(self._summed_loss, jit_compile=True)

    def __call__(self) -> float:
        reset_state(self.model)
        total = sum(float(self._loss(*map(tf.constant, batch))) for batch in self.batches)
        reset_state(self.model)
        return total / sum(float(batch.weights.sum()) for batch in self.batches)

    def _summed_loss(self, inputs: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        logits = self.model(inputs, training=False)
        losses = keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True)
        return tf.reduce_sum(losses * weights)


def _live_samples(model: keras.Model, metadata: Metadata) -> LiveSamples:
    def generator() -> Generator:
        return Generator(Network(metadata.model, get_weights(model)), metadata.tokenizer)

    rng = np.random.default_rng(metadata.training.random_seed)
    seeds = (str(rng.choice(metadata.line_starts)) for _ in itertools.count())
    return LiveSamples(generator, seeds, LIVE_LENGTH[metadata.tokenizer.unit])


def some_line_starts(text: str, rng: np.random.Generator, count: int = 100) -> list[str]:
    """The beginnings, up to 5 words or 40 characters, of `count` random lines of `text`.

    Returns:
        At least one, in random order, without repeats and blank lines; fewer than `count` where
        `text` is short.
    """
    starts = []
    for position in rng.integers(0, len(text), 2 * count):
        begin = text.rfind("\n", 0, int(position)) + 1
        line = text[begin : begin + 41].split("\n", 1)[0]
        whole_words = line if len(line) <= 40 else line.rsplit(maxsplit=1)[0][:40]
        starts.append(" ".join(whole_words.split()[:5]))
    found = [start for start in dict.fromkeys(starts) if start] or [text.split(maxsplit=1)[0][:40]]
    return found[:count]
