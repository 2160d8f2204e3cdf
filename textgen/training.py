"""From a data directory to a trained model."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
from pathlib import Path

import numpy as np

from textgen import closing, console, recipes, sizing
from textgen.checkpoint import Metadata
from textgen.config import ModelConfig, TokenizerConfig, TrainingConfig
from textgen.dataset import training_batches
from textgen.distributed.cluster import Cluster
from textgen.files import explained
from textgen.interruption import Interruption
from textgen.network import Array
from textgen.run import OnEpoch, Run
from textgen.tokenization import Corpus, VocabularyRule, tokenized
from textgen.workspace import exclusive

LINE_STARTS = 100
"""How many a model keeps, to start texts with."""


def read_corpus(data_dir: Path, rule: VocabularyRule, validation_split: float) -> Corpus:
    """Open the token files of the texts of `data_dir`, making them where they are out of date.

    Raises:
        TextgenError: if the texts cannot be used.
    """
    texts = recipes.find_texts(data_dir, validation_split)
    training = tokenized(data_dir, "input", texts.training, rule)
    if texts.validation is None:
        return Corpus(training, None)
    fixed = VocabularyRule(training.tokenizer.config, training.tokenizer)
    return Corpus(training, tokenized(data_dir, "validate", texts.validation, fixed))


def train(
    data_dir: Path,
    model_config: ModelConfig,
    tokenizer_config: TokenizerConfig,
    config: TrainingConfig,
) -> dict[str, float]:
    """Train a model on the texts of `data_dir` and keep it there; see `fit`."""
    rule = VocabularyRule(tokenizer_config)
    corpus = read_corpus(data_dir, rule, config.validation_split)
    return fit(data_dir, corpus, model_config, config)


def fit(
    data_dir: Path,
    corpus: Corpus,
    model_config: ModelConfig,
    config: TrainingConfig,
    resume: bool = False,
    weights: dict[str, Array] | None = None,
    on_epoch: OnEpoch = lambda row, fraction: None,
    keep_samples: bool = False,
    cluster: Cluster | None = None,
) -> dict[str, float]:
    """Train a model on `corpus` and keep it in `data_dir`.

    Args:
        data_dir: where the model, its history and the training state go.
        corpus: the texts.
        model_config: the shape of the network.
        config: how to train. Without a `random_seed` one is drawn.
        resume: go on with the run whose state is in `data_dir`; the other arguments are those of
            that run, but for how long to train.
        weights: what a new run starts from, by path as `model.get_weights` gives them.
        on_epoch: is told each epoch's row of `history.csv`, and the share of the run that is done.
        keep_samples: write samples after every epoch into the file that `serve --watch` shows.
        cluster: the machines that train it together; None for this process alone.

    Returns:
        The best epoch's row of `history.csv`.

    Raises:
        TextgenError: if the text or the memory is too small, another process is training in
            `data_dir`, or the loss is no longer a number.
        KeyboardInterrupt: after Ctrl-C; what was learned is kept.
    """
    tokenizer, cluster = corpus.tokenizer, cluster or Cluster()
    sizing.check_memory(model_config, config, len(tokenizer.vocabulary))
    config = with_random_seed(config)
    batches = training_batches(
        corpus.training.ids, config.batch_size, config.seq_length, config.seq_step,
        config.steps_per_epoch,
    )  # fmt: skip
    batches = dataclasses.replace(batches, rows=cluster.rows(config.batch_size))
    rng = np.random.default_rng(config.random_seed)
    line_starts = rng.permutation(corpus.training.line_starts)[:LINE_STARTS].tolist()
    metadata = Metadata(model_config, tokenizer, config, {}, line_starts)
    alone = exclusive(data_dir) if cluster.is_chief else contextlib.nullcontext()
    with explained(data_dir), alone, Interruption(cluster.any) as interruption:
        run = Run(
            data_dir, metadata, batches, corpus, interruption, cluster, on_epoch, keep_samples
        )
        if resume:
            run.resume()
        else:
            run.begin(weights)
        best = run.finish()
    console.heading("The run is complete")
    for line in closing.panel(data_dir, run.keeper.history, model_config, config, tokenizer.unit):
        console.say(line, "green")
    return best


def with_random_seed(config: TrainingConfig) -> TrainingConfig:
    """`config` with a random seed: its own, or one drawn here."""
    if config.random_seed is not None:
        return config
    return dataclasses.replace(config, random_seed=secrets.randbits(32))
