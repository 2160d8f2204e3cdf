"""Starting from another model: its weights, extended to the tokens of a new text."""

from __future__ import annotations

import numpy as np

from textgen.model.architecture import describe_layers
from textgen.settings.definitions import ModelSettings
from textgen.support.arrays import Array

NOISE = 0.1
"""Standard deviation of what is added to new rows, as a share of the old rows' own."""


def with_new_tokens(
    weights: dict[str, Array], count: int, model: ModelSettings, rng: np.random.Generator
) -> dict[str, Array]:
    """The weights of a model with `count` more tokens at the end of its vocabulary.

    Args:
        weights: those of the model, by path.
        count: how many tokens are added.
        model: what the weights are of.
        rng: for the noise in the new rows.
    """
    new: dict[str, Array] = {}
    if model.embedding_size:
        embedding = extended(weights["embedding/embeddings"], count, rng)
    else:  # one-hot: what a token means is its row of the first layer's kernel
        embedding = np.eye(len(weights["embedding/embeddings"]) + count, dtype=np.float32)
        path = f"{describe_layers(model)[0].cell_path}/kernel"
        new[path] = extended(weights[path], count, rng)
    kernel = embedding.T if model.is_tied else extended(weights["logits/kernel"].T, count, rng).T
    bias = extended(weights["logits/bias"][:, None], count, rng)[:, 0]
    new |= {"embedding/embeddings": embedding, "logits/kernel": kernel, "logits/bias": bias}
    return weights | new


def extended(rows: Array, count: int, rng: np.random.Generator) -> Array:
    """Append `count` rows to (N, D): the mean of `rows` and a little noise.

    With the mean a new token is about as likely as the average one, so the network's predictions
    for the old tokens hardly change (Hewitt 2021, https://nlp.stanford.edu/~johnhew/vocab-expansion.html);
    a small random row would outdo every trained row of low logit. The noise lets new tokens part.
    """
    noise = NOISE * rows.std(axis=0) * rng.standard_normal((count, rows.shape[1]))
    return np.concatenate([rows, rows.mean(axis=0) + noise]).astype(np.float32)
