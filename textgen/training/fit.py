"""From a data directory to a trained model."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from textgen.model.checkpoint import Metadata
from textgen.support import console
from textgen.support.arrays import Array
from textgen.support.files import explained
from textgen.training import closing, pretrained, sizing
from textgen.training.history import Row
from textgen.training.plan import Plan, with_random_seed
from textgen.training.run import OnEpoch, Run
from textgen.training.workers import Cluster
from textgen.training.workspace import exclusive

LINE_STARTS = 100
"""How many a model keeps, to start texts with."""


def fit(
    data_dir: Path,
    plan: Plan,
    on_epoch: OnEpoch = lambda row, fraction: None,
    keep_samples: bool = False,
    cluster: Cluster | None = None,
) -> Row:
    """Train a model and keep it in `data_dir`.

    Args:
        data_dir: where the model, its history and the training state go.
        plan: what to train.
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
    training, cluster = with_random_seed(plan.training), cluster or Cluster()
    tokenizer, text = plan.corpus.tokenizer, plan.corpus.training
    sizing.check_memory(plan.model, training, len(tokenizer.vocabulary))
    rng = np.random.default_rng(training.random_seed)
    line_starts = rng.permutation(text.line_starts)[:LINE_STARTS].tolist()
    metadata = Metadata(plan.model, tokenizer, training, {}, line_starts)
    alone = exclusive(data_dir) if cluster.is_chief else contextlib.nullcontext()
    with explained(data_dir), alone:
        is_new = cluster.is_chief and not plan.resume
        weights = _pretrained(metadata) if is_new and training.word2vec else plan.weights
        run = Run(data_dir, metadata, plan.corpus, cluster, on_epoch, keep_samples)
        best = run.train(plan.resume, weights)
    console.heading("The run is complete")
    for line in closing.panel(data_dir, run.keeper.history, metadata):
        console.say(line, "green")
    return best


def _pretrained(metadata: Metadata) -> dict[str, Array]:
    """The token vectors of `word2vec`, by their path."""
    settings, vocabulary = metadata.training, metadata.tokenizer.vocabulary
    path, size = Path(settings.word2vec or ""), metadata.model.embedding_size
    rows, found = pretrained.load_vectors(path, vocabulary, size, settings.random_seed)
    console.say(
        f"{path} has vectors for {found:,} of the {len(vocabulary):,} tokens"
        f" ({found / len(vocabulary):.0%}); the others are drawn like them"
    )
    return {"embedding/embeddings": rows}
