"""Starting from another model: its vocabulary and weights, extended to a new text."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from textgen import checkpoint
from textgen.config import ModelConfig
from textgen.network import Array
from textgen.tokenizers import Tokenizer

NOISE = 0.1
"""Standard deviation of what is added to new rows, as a share of the old rows' own."""


class Origin(NamedTuple):
    """The model to start from."""

    tokenizer: Tokenizer
    model: ModelConfig
    weights: dict[str, Array]

    def weights_for(self, tokenizer: Tokenizer, random_seed: int | None) -> dict[str, Array]:
        """The weights of a model with the vocabulary of `tokenizer`, which extends the old one."""
        count = len(tokenizer.vocabulary) - len(self.tokenizer.vocabulary)
        rng = np.random.default_rng(random_seed)
        embedding = extended(self.weights["embedding/embeddings"], count, rng)
        kernel = embedding.T
        if not self.model.is_tied:
            kernel = extended(self.weights["logits/kernel"].T, count, rng).T
        bias = extended(self.weights["logits/bias"][:, None], count, rng)[:, 0]
        new = {"embedding/embeddings": embedding, "logits/kernel": kernel, "logits/bias": bias}
        return self.weights | new


def load(directory: Path) -> Origin:
    """Read the model in `directory`.

    Raises:
        TextgenError: if there is none to be read.
    """
    metadata, weights = checkpoint.load(directory)
    return Origin(metadata.tokenizer, metadata.model, weights)


def extended(rows: Array, count: int, rng: np.random.Generator) -> Array:
    """Append `count` rows to (N, D): the mean of `rows` and a little noise.

    With the mean a new token is about as likely as the average one, so the network's predictions
    for the old tokens hardly change (Hewitt 2021, https://nlp.stanford.edu/~johnhew/vocab-expansion.html);
    a small random row would outdo every trained row of low logit. The noise lets new tokens part.
    """
    noise = NOISE * rows.std(axis=0) * rng.standard_normal((count, rows.shape[1]))
    return np.concatenate([rows, rows.mean(axis=0) + noise]).astype(np.float32)
