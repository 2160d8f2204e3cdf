"""The network that is trained: stateful, in Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from textgen.backend import keras
from textgen.config import ModelConfig


def build_model(
    config: ModelConfig, vocabulary_size: int, batch_size: int, random_seed: int | None = None
) -> keras.Model:
    """Build `Embedding -> (LSTM -> Dropout) x num_layers -> Dense`.

    The model maps token ids (B, T), int32, any T, to logits (B, T, V), and carries its recurrent
    state from call to call until `reset_state`. Initial values are Keras' own: orthogonal
    recurrent kernels (Saxe et al. 2014) and a forget bias of 1 (Jozefowicz et al. 2015).

    Args:
        config: sizes of the layers.
        vocabulary_size: V.
        batch_size: B, fixed for the life of the model.
        random_seed: makes initial weights and dropout repeatable.
    """
    seeds = iter(np.random.SeedSequence(random_seed).generate_state(4 + 4 * config.num_layers))

    def seed() -> int:
        return int(next(seeds))

    tokens = keras.Input(batch_shape=(batch_size, None), dtype="int32", name="tokens")
    hidden = keras.layers.Embedding(
        vocabulary_size, config.embedding_size, name="embedding",
        embeddings_initializer=keras.initializers.RandomUniform(seed=seed()),
    )(tokens)  # fmt: skip
    for number in range(1, config.num_layers + 1):
        hidden = keras.layers.LSTM(
            config.rnn_size, return_sequences=True, stateful=True, name=f"lstm_{number}",
            kernel_initializer=keras.initializers.GlorotUniform(seed=seed()),
            recurrent_initializer=keras.initializers.Orthogonal(seed=seed()),
        )(hidden)  # fmt: skip
        hidden = keras.layers.Dropout(config.dropout, seed=seed(), name=f"dropout_{number}")(hidden)
    logits = keras.layers.Dense(
        vocabulary_size, name="logits",
        kernel_initializer=keras.initializers.GlorotUniform(seed=seed()),
    )(hidden)  # fmt: skip
    return keras.Model(tokens, logits, name="textgen")


def reset_state(model: keras.Model) -> None:
    """Set the recurrent state of every layer to zero."""
    for layer in model.layers:
        if getattr(layer, "stateful", False):
            layer.reset_state()


def get_weights(model: keras.Model) -> dict[str, npt.NDArray[Any]]:
    """Every trained array by its path, such as `lstm_1/lstm_cell/kernel`."""
    return {variable.path: variable.value.numpy() for variable in model.weights}


def set_weights(model: keras.Model, weights: dict[str, npt.NDArray[Any]]) -> None:
    """Give every trained variable the array of its path."""
    for variable in model.weights:
        variable.assign(weights[variable.path])
