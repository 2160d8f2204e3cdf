"""From a data directory to a trained model."""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from textgen import closing, console, recipes, sizing
from textgen.checkpoint import Metadata
from textgen.config import ModelConfig, TokenizerConfig, TrainingConfig
from textgen.dataset import training_batches
from textgen.files import explained
from textgen.interruption import Interruption
from textgen.network import Array
from textgen.run import Run
from textgen.tokenizers import Ids, Tokenizer, build_tokenizer
from textgen.workspace import exclusive


class Corpus(NamedTuple):
    """A data directory's texts as token ids."""

    tokenizer: Tokenizer
    training: Ids
    """(N,)"""
    validation: Ids | None
    text: str
    """The training text itself."""
    hashes: dict[str, str | None]
    """SHA-256 of the training and of the validation text, by file name."""


def read_corpus(data_dir: Path, config: TokenizerConfig, validation_split: float) -> Corpus:
    """Read and tokenize the texts of `data_dir`.

    Raises:
        TextgenError: if they cannot be used.
    """
    return tokenized(
        recipes.load_texts(data_dir, validation_split),
        lambda text: build_tokenizer(text, config),
    )


def tokenized(texts: recipes.Texts, tokenizer_for: Callable[[str], Tokenizer]) -> Corpus:
    """The texts as `tokenizer_for`, which is given the training text, reads them."""
    tokenizer = tokenizer_for(texts.training)
    validation = None if texts.validation is None else tokenizer.encode(texts.validation)
    hashes = {"input.txt": _hash(texts.training), "validate.txt": _hash(texts.validation)}
    return Corpus(tokenizer, tokenizer.encode(texts.training), validation, texts.training, hashes)


def _hash(text: str | None) -> str | None:
    return text and hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


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
    data_dir: Path,
    corpus: Corpus,
    model_config: ModelConfig,
    config: TrainingConfig,
    resume: bool = False,
    weights: dict[str, Array] | None = None,
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

    Returns:
        The best epoch's row of `history.csv`.

    Raises:
        TextgenError: if the text or the memory is too small, another process is training in
            `data_dir`, or the loss is no longer a number.
        KeyboardInterrupt: after Ctrl-C; what was learned is kept.
    """
    tokenizer = corpus.tokenizer
    sizing.check_memory(model_config, config, len(tokenizer.vocabulary))
    config = with_random_seed(config)
    batches = training_batches(
        corpus.training, config.batch_size, config.seq_length, config.seq_step
    )
    line_starts = some_line_starts(corpus.text, np.random.default_rng(config.random_seed))
    metadata = Metadata(model_config, tokenizer, config, {}, line_starts)
    with explained(data_dir), exclusive(data_dir), Interruption() as interruption:
        run = Run(data_dir, metadata, batches, corpus.validation, corpus.hashes, interruption)
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
