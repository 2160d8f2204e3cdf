"""The network in Keras: the stateful one that is trained, and the one that is saved."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from textgen.model.architecture import NORM_EPSILON, LayerDescription, describe_layers
from textgen.model.backend import keras
from textgen.model.recurrent import LAYERS
from textgen.settings.definitions import ModelSettings


def build_model(
    settings: ModelSettings,
    vocabulary_size: int,
    batch_size: int,
    random_seed: int | None = None,
    own_layers: bool = True,
    dtype: str = "float32",
) -> keras.Model:
    """Builds `Embedding -> Dropout -> (cell -> Dropout) x num_layers -> Dense`.

    Dropout leaves out the same units at all steps of a sequence (Gal & Ghahramani 2016). A cell's
    output is normalized if `settings.layer_norm` (Ba et al. 2016, here between the layers, so that
    the cells stay what they are), and its input is added if `settings.residual` (He et al. 2016),
    after its dropout.

    The model maps token ids (B, T), int32, any T, to logits (B, T, V), and carries its recurrent
    state from call to call until `reset_state`. Initial values are Keras' own: orthogonal
    recurrent kernels (Saxe et al. 2014) and a forget bias of 1 (Jozefowicz et al. 2015).

    Args:
        settings: sizes of the layers.
        vocabulary_size: V.
        batch_size: B, fixed for the life of the model.
        random_seed: makes initial weights and dropout repeatable.
        own_layers: take the recurrent layers of `textgen.model.recurrent`, which train fast, and
            not those that `model.h5` holds.
        dtype: Keras' policy of precision up to the logits, `float32` or `mixed_bfloat16`; weights
            and logits are float32 in any case.

    Example:
        >>> model = build_model(ModelSettings(rnn_size=8), vocabulary_size=5, batch_size=2)
        >>> model(np.array([[1, 2, 3], [3, 2, 1]], np.int32)).shape  # (B, T, V)
        TensorShape([2, 3, 5])
    """
    seeds = Seeds(random_seed, settings.num_layers)
    tokens = keras.Input(batch_shape=(batch_size, None), dtype="int32", name="tokens")
    kinds = LAYERS[settings.cell]
    kind = kinds.trained if own_layers else kinds.saved
    with precision(dtype):
        embedding = _embedding(settings, vocabulary_size, seeds)
        hidden = keras.layers.Dropout(
            settings.embedding_dropout, noise_shape=(None, 1, None), seed=seeds(),
            name="embedding_dropout",
        )(embedding(tokens))  # fmt: skip
        for layer in describe_layers(settings):
            hidden = _recurrent_layer(settings, layer, kind, hidden, seeds)
    if settings.is_tied:
        output: keras.layers.Layer = TiedDense(embedding, name="logits")
    else:
        output = keras.layers.Dense(
            vocabulary_size, name="logits",
            kernel_initializer=keras.initializers.GlorotUniform(seed=seeds()),
        )  # fmt: skip
    return keras.Model(tokens, output(hidden), name="textgen")


@contextlib.contextmanager
def precision(dtype: str) -> Iterator[None]:
    """Gives the layers that are made within the block a policy of precision."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


class Seeds:
    """Random seeds, one after another at each call; those of recurrent dropout stand apart.

    Args:
        random_seed: makes them repeatable.
        num_layers: how many recurrent layers need some.
    """

    def __init__(self, random_seed: int | None, num_layers: int) -> None:
        state = np.random.SeedSequence(random_seed).generate_state(5 + 5 * num_layers)
        self._seeds = iter(int(seed) for seed in state[: 5 + 4 * num_layers])
        self.recurrent_dropout = [int(seed) for seed in state[5 + 4 * num_layers :]]

    def __call__(self) -> int:
        return next(self._seeds)


def _embedding(
    settings: ModelSettings, vocabulary_size: int, seeds: Seeds
) -> keras.layers.Embedding:
    """Returns token vectors to be learned, or one-hot ones: the rows of the identity matrix."""
    initial = keras.initializers.RandomUniform(seed=seeds())
    return keras.layers.Embedding(
        vocabulary_size, settings.embedding_size or vocabulary_size, name="embedding",
        embeddings_initializer=initial if settings.embedding_size else "identity",
        trainable=settings.embedding_size > 0,
    )  # fmt: skip


def _recurrent_layer(
    settings: ModelSettings, layer: LayerDescription, kind: Any, inputs: Any, seeds: Seeds
) -> Any:
    """Applies a recurrent layer of class `kind` and what follows it: (B, T, D) -> (B, T, H)."""
    hidden = kind(
        settings.rnn_size, return_sequences=True, stateful=True, name=layer.name,
        kernel_initializer=keras.initializers.GlorotUniform(seed=seeds()),
        recurrent_initializer=keras.initializers.Orthogonal(seed=seeds()),
        recurrent_dropout=settings.recurrent_dropout,
        seed=seeds.recurrent_dropout[layer.number - 1],
    )(inputs)  # fmt: skip
    if layer.norm_name:
        hidden = keras.layers.LayerNormalization(epsilon=NORM_EPSILON, name=layer.norm_name)(hidden)
    hidden = keras.layers.Dropout(
        settings.dropout, noise_shape=(None, 1, None), seed=seeds(), name=f"dropout_{layer.number}"
    )(hidden)
    if layer.is_residual:
        hidden = keras.layers.Add(name=f"residual_{layer.number}")([hidden, inputs])
    return hidden


class TiedDense(keras.layers.Layer):
    """A dense layer to the vocabulary whose kernel is the transposed embedding.

    It maps (B, T, H) to logits (B, T, V), where H is the embedding's size.
    """

    def __init__(self, embedding: keras.layers.Embedding, **settings: Any) -> None:
        super().__init__(**settings)
        self.embedding = embedding

    def build(self, input_shape: Any) -> None:
        self.bias = self.add_weight(
            shape=(self.embedding.input_dim,), initializer="zeros", name="bias"
        )

    def call(self, inputs: Any) -> Any:
        return keras.ops.matmul(inputs, keras.ops.transpose(self.embedding.embeddings)) + self.bias


def build_model_to_save(settings: ModelSettings, vocabulary_size: int) -> keras.Model:
    """Builds the model that `model.h5` holds: of one row, untied, of layers that others know.

    They are Keras' own, so that plain `keras.models.load_model` opens the file, but for cells that
    Keras lacks: see `textgen.model.recurrent.LAYERS`.
    """
    untied = dataclasses.replace(settings, tie_weights=False)
    return build_model(untied, vocabulary_size, batch_size=1, own_layers=False)


def reset_state(model: keras.Model) -> None:
    """Sets the recurrent state of every layer to zero."""
    for layer in model.layers:
        if getattr(layer, "stateful", False):
            layer.reset_state()


@contextlib.contextmanager
def fresh_state(model: keras.Model) -> Iterator[None]:
    """Sets the recurrent state to zero within the block, and after it to that from before."""
    states = [state for layer in model.layers for state in getattr(layer, "states", None) or []]
    kept = [state.numpy() for state in states]
    reset_state(model)
    try:
        yield
    finally:
        for state, values in zip(states, kept, strict=True):
            state.assign(values)


def get_weights(model: keras.Model) -> dict[str, npt.NDArray[Any]]:
    """Returns every array of `textgen.model.architecture.weight_shapes`, by path."""
    weights = {variable.path: variable.value.numpy() for variable in model.weights}
    if "logits/kernel" not in weights:  # tied
        weights["logits/kernel"] = weights["embedding/embeddings"].T
    return weights


def set_weights(model: keras.Model, weights: dict[str, npt.NDArray[Any]]) -> None:
    """Gives every variable the array of its path."""
    for variable in model.weights:
        variable.assign(weights[variable.path])


def is_finite(model: keras.Model) -> bool:
    """Tells whether no weight is NaN or infinite."""
    return all(np.isfinite(variable.value.numpy()).all() for variable in model.weights)
