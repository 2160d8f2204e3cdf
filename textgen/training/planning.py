"""What a command line of train.py asks for: a new run, an interrupted one, or one from a model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from textgen.model import checkpoint
from textgen.settings.definitions import ModelSettings, TokenizerSettings, TrainingSettings
from textgen.settings.fields import as_flag, plain
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.tokens.corpus import VocabularyRule, read_corpus
from textgen.tokens.tokenizers import from_metadata
from textgen.training import embeddings, events, finetuning, sizing
from textgen.training.fit import Plan, with_random_seed
from textgen.training.snapshots import stored_progress

CHANGEABLE = frozenset([
    "num_epochs", "minutes", "patience", "save_every", "live_sample", "learning_rate",
    "print_every", "tensorboard",
])  # fmt: skip
"""The settings that may be others when a run is resumed."""
DROPOUTS = frozenset(["dropout", "embedding_dropout", "recurrent_dropout"])
"""The settings that may be others when a model is trained further: its weights are as before."""


def plan(arguments: argparse.Namespace) -> Plan:
    """What to train, by the flags that were given.

    Raises:
        TextgenError: if they contradict each other, the run to resume, or the model to start from.
    """
    if getattr(arguments, "tensorboard", False):
        events.check_installed()  # now, not after reading a long text
    if arguments.resume:
        if progress := stored_progress(arguments.data_dir):
            return _resumed(arguments, progress.run)
        console.say(f"no interrupted run in {arguments.data_dir}: starting from the beginning")
    return _tuned(arguments) if "init_from" in arguments else _new(arguments)


def _new(arguments: argparse.Namespace) -> Plan:
    tokenizer = TokenizerSettings.from_flags(arguments)
    words = tokenizer.word_tokens
    model = ModelSettings.from_flags(arguments, words)
    settings = TrainingSettings.from_flags(arguments, words)
    if settings.word2vec:
        embeddings.check(Path(settings.word2vec))  # now, not after reading a long text
    corpus = read_corpus(arguments.data_dir, VocabularyRule(tokenizer), settings.validation_split)
    minutes = settings.minutes
    if not (minutes and sizing.is_wanted(vars(arguments))):
        return Plan(corpus, model, settings)
    chosen = sizing.choose(minutes, len(corpus.training.ids), words, sizing.measure_gflops())
    model = ModelSettings.from_flags(arguments, words, chosen.settings)
    settings = TrainingSettings.from_flags(arguments, words, chosen.settings)
    values = model.to_dict() | settings.to_dict()
    flags = " ".join(as_flag(name, values[name]) for name in chosen.settings)
    console.say(f"chosen for {console.counted(minutes, 'minute')}: {flags}")
    console.say(f"because {chosen.reason}")
    return Plan(corpus, model, settings)


def _tuned(arguments: argparse.Namespace) -> Plan:
    origin, old_weights = checkpoint.load(Path(arguments.init_from))
    tokenizer, old_model = origin.tokenizer, origin.model.to_dict()
    _refuse_others(
        arguments, tokenizer.settings.to_dict() | old_model, DROPOUTS,
        f"the model in {arguments.init_from} has",
    )  # fmt: skip
    words = tokenizer.settings.word_tokens
    model = ModelSettings.from_flags(arguments, words, old_model)
    settings = with_random_seed(TrainingSettings.from_flags(arguments, words))
    rule = VocabularyRule(tokenizer.settings, tokenizer, grows=True)
    corpus = read_corpus(arguments.data_dir, rule, settings.validation_split)
    added = len(corpus.tokenizer.vocabulary) - len(tokenizer.vocabulary)
    rng = np.random.default_rng(settings.random_seed)
    weights = finetuning.with_new_tokens(old_weights, added, model, rng)
    console.say(f"starting from the model in {arguments.init_from}; {added:,} new tokens")
    return Plan(corpus, model, settings, weights=weights)


def _resumed(arguments: argparse.Namespace, run: dict[str, Any]) -> Plan:
    """The run as it was begun, but for what may change.

    `--num-epochs` alone, where the run was measured in minutes, measures it in epochs.
    """
    training, tokenizer = run["training"], from_metadata(run["tokenizer"])
    stored = tokenizer.settings.to_dict() | run["model"] | training
    _refuse_others(arguments, stored, CHANGEABLE, "the interrupted run has")
    changes = {name: vars(arguments)[name] for name in CHANGEABLE & vars(arguments).keys()}
    if "num_epochs" in changes:
        changes = {"minutes": None} | changes
    settings = TrainingSettings.from_dict(training | changes)
    rule = VocabularyRule(tokenizer.settings, tokenizer)
    corpus = read_corpus(arguments.data_dir, rule, settings.validation_split)
    for name, value in corpus.hashes.items():
        if value != run["texts"][name]:
            raise TextgenError(
                f"{arguments.data_dir / name} is not what it was when the interrupted run began."
                " Put the old text back, or start a new run without --resume"
            )
    return Plan(corpus, ModelSettings.from_dict(run["model"]), settings, resume=True)


def _refuse_others(
    arguments: argparse.Namespace, fixed: dict[str, Any], free: frozenset[str], who: str
) -> None:
    """Refuse flags that differ from what is `fixed`, except those that are `free`."""
    for name, value in vars(arguments).items():
        if name in fixed.keys() - free and plain(value) != plain(fixed[name]):
            flag = "--" + name.replace("_", "-")
            without = "--resume" if arguments.resume else "--init-from"
            raise TextgenError(
                f"{flag} {value} does not fit: {who} {fixed[name]}. Leave {flag} out, or start a"
                f" new run without {without}"
            )
