"""The network in Keras: the stateful one that is trained, and the one that is saved."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import numbers
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from textgen.model.architecture import (
    NORM_EPSILON,
    LayerDescription,
    describe_layers,
    weight_shapes,
)
from textgen.model.backend import keras
from textgen.model.network import Network
from textgen.model.recurrent import LAYERS, FastLayer
from textgen.settings.definitions import ModelSettings
from textgen.support.errors import TextgenError
from textgen.tokens.tokenizer import END_ID


def build_model(
    settings: ModelSettings,
    vocabulary_size: int,
    batch_size: int,
    random_seed: int | None = None,
    own_layers: bool = True,
    dtype: str = "float32",
    carries_state: bool = True,
    documents: bool = False,
) -> keras.Model:
    """Builds `Embedding -> Dropout -> (cell -> Dropout) x num_layers -> Dense`.

    There is no dropout layer for a share of 0. Where nothing is dropped of the token vectors, a
    model for training has the first cell look them up: see `TokenVectors`.

    Dropout leaves out the same units at all steps of a sequence (Gal & Ghahramani 2016). A cell's
    output is normalized if `settings.layer_norm` (Ba et al. 2016, here between the layers, so that
    the cells stay what they are), and its input is added if `settings.residual` (He et al. 2016),
    after its dropout.

    The model maps token ids (B, T), int32, any T, to logits (B, T, V), and carries its recurrent
    state from call to call until `reset_state`. Where it is not to carry it, the model is a
    function of any b rows of a batch: it maps the list of token ids (b, T), the rows' numbers in
    the batch (b,), int32, and the state of each layer, (b, H) each, to the list of logits and the
    next states. Initial values are Keras' own: orthogonal recurrent kernels (Saxe et al. 2014) and
    a forget bias of 1 (Jozefowicz et al. 2015).

    Args:
        settings: sizes of the layers.
        vocabulary_size: V.
        batch_size: B.
        random_seed: makes initial weights and dropout repeatable.
        own_layers: take the recurrent layers of `textgen.model.recurrent`, which train fast, and
            not those that `model.h5` holds.
        dtype: Keras' policy of precision up to the logits, `float32` or `mixed_bfloat16`; weights
            and logits are float32 in any case.
        carries_state: whether the model keeps the recurrent state, which fixes its batch to B.
        documents: whether the state is to be empty before each `END_ID`, which begins a document;
            Keras' own layers cannot do that, and learn to forget.

    Raises:
        TextgenError: on settings of another kind, or a number below 1.

    Example:
        >>> model = build_model(ModelSettings(rnn_size=8), vocabulary_size=5, batch_size=2)
        >>> model(np.array([[1, 2, 3], [3, 2, 1]], np.int32)).shape  # (B, T, V)
        TensorShape([2, 3, 5])
    """
    _check(settings, vocabulary_size, batch_size)
    seeds = Seeds(random_seed, settings.num_layers)
    rows = batch_size if carries_state else None
    tokens = keras.Input(batch_shape=(rows, None), dtype="int32", name="tokens")
    row_numbers = keras.Input(batch_shape=(rows,), dtype="int32", name="rows")
    states: list[tuple[Any, Any]] = []  # of each layer the one before and the one after
    kinds = LAYERS[settings.cell]
    kind = kinds.trained if own_layers else kinds.saved

    def dropout(rate: float, name: str, hidden: Any) -> Any:
        seed = seeds()
        if not rate:
            return hidden
        if carries_state:
            return keras.layers.Dropout(rate, (None, 1, None), seed, name=name)(hidden)
        return RowDropout(rate, batch_size, seed=seed, name=name)(hidden, row_numbers)

    with precision(dtype):
        keep = _keep(tokens) if documents and issubclass(kind, FastLayer) else {}
        looked_up = own_layers and not (carries_state or settings.embedding_dropout)
        embedding = _embedding(settings, vocabulary_size, seeds, looked_up)
        hidden = dropout(settings.embedding_dropout, "embedding_dropout", embedding(tokens))
        for layer in describe_layers(settings):
            inputs = hidden
            recurrent = _recurrent_layer(settings, layer, kind, carries_state, seeds, embedding)
            if carries_state:
                hidden = recurrent(inputs, **keep)
            else:
                before = [keras.Input((size,)) for size in state_sizes(recurrent)]
                hidden, *after = recurrent(inputs, initial_state=before, **keep)
                states += zip(before, after, strict=True)
            if layer.norm_name:
                hidden = keras.layers.LayerNormalization(
                    epsilon=NORM_EPSILON, name=layer.norm_name
                )(hidden)
            hidden = dropout(settings.dropout, f"dropout_{layer.number}", hidden)
            if layer.is_residual:
                hidden = keras.layers.Add(name=f"residual_{layer.number}")([hidden, inputs])
    if settings.is_tied:
        output: keras.layers.Layer = TiedDense(embedding, name="logits")
    else:
        output = keras.layers.Dense(
            vocabulary_size, name="logits",
            kernel_initializer=keras.initializers.GlorotUniform(seed=seeds()),
        )  # fmt: skip
    logits = output(hidden)
    if carries_state:
        return keras.Model(tokens, logits, name="textgen")
    first, last = zip(*states, strict=True)
    return keras.Model([tokens, row_numbers, *first], [logits, *last], name="textgen")


def _keep(tokens: Any) -> dict[str, Any]:
    """Returns what tells layers where to keep their state, for token ids (B, T)."""
    inside = keras.ops.not_equal(tokens, END_ID)
    return {"keep": keras.ops.expand_dims(keras.ops.cast(inside, "float32"), -1)}  # (B, T, 1)


def _check(settings: Any, vocabulary_size: Any, batch_size: Any) -> None:
    if not isinstance(settings, ModelSettings):
        raise TextgenError(
            f"`settings` are textgen.ModelSettings. Received: {reprlib.repr(settings)}"
        )
    for name, value in (("vocabulary_size", vocabulary_size), ("batch_size", batch_size)):
        if not isinstance(value, numbers.Integral) or value < 1:
            raise TextgenError(f"`{name}` must be at least 1. Received: {reprlib.repr(value)}")


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


EMBEDDING_RANGE = 0.5
"""The numbers of token vectors begin between plus and minus this: see docs/benchmarks.md."""
TIED_EMBEDDING_RANGE = 0.05
"""The same where they make the logits too, which would be far too sure at first."""


def _embedding(
    settings: ModelSettings, vocabulary_size: int, seeds: Seeds, looked_up: bool
) -> keras.layers.Embedding:
    """Returns token vectors to be learned, or one-hot ones: the rows of the identity matrix."""
    most = TIED_EMBEDDING_RANGE if settings.is_tied else EMBEDDING_RANGE
    initial = keras.initializers.RandomUniform(-most, most, seed=seeds())
    kind = TokenVectors if looked_up else keras.layers.Embedding
    return kind(
        vocabulary_size, settings.embedding_size or vocabulary_size, name="embedding",
        embeddings_initializer=initial if settings.embedding_size else "identity",
        trainable=settings.embedding_size > 0,
    )  # fmt: skip


def _recurrent_layer(
    settings: ModelSettings,
    layer: LayerDescription,
    kind: Any,
    carries_state: bool,
    seeds: Seeds,
    embedding: keras.layers.Embedding,
) -> keras.layers.RNN:
    """Returns a recurrent layer of class `kind`: (B, T, D) -> (B, T, H).

    The first one looks tokens up itself where `embedding` has them do so.
    """
    recurrent = kind(
        settings.rnn_size, return_sequences=True, name=layer.name,
        stateful=carries_state, return_state=not carries_state,
        kernel_initializer=keras.initializers.GlorotUniform(seed=seeds()),
        recurrent_initializer=keras.initializers.Orthogonal(seed=seeds()),
        recurrent_dropout=settings.recurrent_dropout,
        seed=seeds.recurrent_dropout[layer.number - 1],
    )  # fmt: skip
    if layer.number == 1 and isinstance(embedding, TokenVectors):
        recurrent.read_tokens(embedding)
    return recurrent


def state_sizes(layer: keras.layers.RNN) -> list[int]:
    """Returns the size of each of a layer's states."""
    return list(keras.tree.flatten(layer.cell.state_size))


class TokenVectors(keras.layers.Embedding):
    """Holds the vectors of tokens, which the layer after it looks up.

    It maps ids (B, T) to ids (B, T, 1), int32.
    """

    def call(self, inputs: Any) -> Any:
        return keras.ops.expand_dims(inputs, -1)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor((*inputs.shape, 1), "int32")


class RowDropout(keras.layers.Dropout):
    """Drops whole units of a row, and the same whichever rows are computed together.

    Maps (b, T, H), and the rows' numbers in the batch, (b,), to (b, T, H).

    Args:
        rate: the share of the units that is left out.
        batch_size: B.
    """

    def __init__(self, rate: float, batch_size: int, **settings: Any) -> None:
        super().__init__(rate, **settings)
        self.batch_size = batch_size

    def call(self, inputs: Any, rows: Any, training: bool = False) -> Any:
        if not (training and self.rate):
            return inputs
        every = keras.ops.ones((self.batch_size, 1, inputs.shape[-1]), inputs.dtype)
        mask = keras.random.dropout(every, self.rate, seed=self.seed_generator)
        return inputs * keras.ops.take(mask, rows, axis=0)


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


def read_model(
    model: keras.Model, vocabulary_size: int
) -> tuple[ModelSettings, dict[str, npt.NDArray[Any]]]:
    """Returns the settings that `build_model` makes such a model of, and its weights, by path.

    Args:
        model: a model of `build_model`, or of a `model.h5`.
        vocabulary_size: V of the tokenizer that goes with it.

    Raises:
        TextgenError: if no settings make a model of these layers, that computes what this one does.
    """
    if not isinstance(model, keras.Model):
        raise TextgenError(
            "`model` is a Keras model, as `textgen.build_model` returns it. Received:"
            f" {reprlib.repr(model)}"
        )
    settings = _settings_of(model)
    shapes, weights = weight_shapes(settings, vocabulary_size), get_weights(model)
    for path, shape in shapes.items():
        if path not in weights or weights[path].shape != shape:
            found = weights[path].shape if path in weights else "no such weights"
            raise TextgenError(
                f"this Keras model does not go with a vocabulary of {vocabulary_size:,} tokens:"
                f" {path} is to be {shape}. Received: {found}. Build it by `textgen.build_model`"
            )
    weights = {path: weights[path] for path in shapes}
    if not _computes(model, settings, weights):
        raise TextgenError(
            "this Keras model has layers of other options than `textgen.build_model` gives them,"
            " so that it writes other texts. Build it by that, and train it as you like"
        )
    return settings, weights


def _settings_of(model: keras.Model) -> ModelSettings:
    """Returns what the layers of a model say of its settings. Raises TextgenError."""
    layers = keras.layers
    cells = {kind: cell for cell, kinds in LAYERS.items() for kind in kinds}
    found: dict[Any, list[Any]] = {}
    kinds = (
        layers.Embedding, layers.Dropout, layers.LayerNormalization, layers.Add, layers.Dense,
        TiedDense, *cells,
    )  # fmt: skip
    for layer in model.layers:
        kind = next((kind for kind in kinds if isinstance(layer, kind)), None)
        if kind:
            found.setdefault(cells.get(kind, kind), []).append(layer)
        elif not isinstance(layer, layers.InputLayer):
            raise _not_ours(f"the layer {layer.name} is a {type(layer).__name__}")
    recurrent = [(cell, found[cell]) for cell in LAYERS if cell in found]
    if len(recurrent) != 1 or len(found.get(layers.Embedding, [])) != 1:
        raise _not_ours("it has not one embedding and recurrent layers of one kind")
    [(cell, stack)], [embedding] = recurrent, found[layers.Embedding]
    is_one_hot = not embedding.trainable and embedding.output_dim == embedding.input_dim
    rates = {layer.name: layer.rate for layer in found.get(layers.Dropout, [])}
    return ModelSettings(
        embedding_size=0 if is_one_hot else embedding.output_dim,
        rnn_size=stack[0].units,
        num_layers=len(stack),
        dropout=rates.get("dropout_1", 0.0),
        embedding_dropout=rates.get("embedding_dropout", 0.0),
        tie_weights=TiedDense in found,
        cell=cell,
        recurrent_dropout=stack[0].recurrent_dropout,
        residual=layers.Add in found,
        layer_norm=layers.LayerNormalization in found,
    )


def _not_ours(reason: str) -> TextgenError:
    return TextgenError(
        f"this Keras model is none of `textgen.build_model`: {reason}. Build it by that, and train"
        " it as you like"
    )


def _computes(
    model: keras.Model, settings: ModelSettings, weights: dict[str, npt.NDArray[Any]]
) -> bool:
    """Tells whether a model returns the logits that the NumPy network does; its state is kept."""
    rows = model.input_shape[0] or 1
    ids = np.random.default_rng(0).integers(0, len(weights["logits/bias"]), (rows, 5), np.int32)
    stateful = [layer for layer in model.layers if getattr(layer, "stateful", False)]
    states = [(state, state.numpy()) for layer in stateful for state in layer.states]
    reset_state(model)
    received = model(ids, training=False).numpy()[:, -1]
    for state, value in states:
        state.assign(value)
    network = Network(settings, weights)
    expected, _ = network.read(ids, network.initial_state(rows))
    tolerance = 1e-3 if model.compute_dtype == "float32" else 0.1
    return received.shape == expected.shape and np.allclose(
        received, expected, rtol=tolerance, atol=tolerance * max(1.0, np.abs(expected).max())
    )


def write_h5(model: keras.Model, path: Path) -> None:
    """Writes a Keras model as an HDF5 file.

    Keras warns of that format each time. Unless the root logger has a handler, that would give it
    one, which then prints what a program's own loggers note.
    """
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        model.save(path)
    finally:
        root.removeHandler(handler)


def reset_state(model: keras.Model) -> None:
    """Sets the recurrent state of every layer to zero."""
    for layer in model.layers:
        if getattr(layer, "stateful", False):
            layer.reset_state()


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
