"""Training loops of one's own: batches for Keras, and its models read and saved."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import textgen
from tests.conftest import VERSES
from textgen.model import checkpoint
from textgen.model.backend import keras, tf
from textgen.model.network import Network
from textgen.settings.definitions import ModelSettings, TokenizerSettings

TOKENIZER = textgen.build_tokenizer(VERSES, TokenizerSettings(pristine_input=True))
V = len(TOKENIZER.vocabulary)
SMALL = ModelSettings(embedding_size=8, rnn_size=12, num_layers=2)


def test_batches_are_rows_of_the_text_that_go_on_from_batch_to_batch() -> None:
    ids = np.arange(100)
    data = list(textgen.training_batches(ids, batch_size=3, seq_length=5).as_numpy_iterator())
    assert len(data) == len(textgen.training_batches(ids, 3, 5)) == 6
    inputs, targets = (np.concatenate(part, axis=1) for part in zip(*data, strict=True))
    for row in range(3):
        np.testing.assert_array_equal(inputs[row], np.arange(30) + 30 * row)
        np.testing.assert_array_equal(targets[row], inputs[row] + 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.arange(9), 2, 5), "needs at least 11 tokens; the training text has 9"),
        ((np.arange(99), 0, 5), "`batch_size` must be at least 1. Received: 0"),
        ((np.arange(99), 2, 2.5), "`seq_length` takes a value of type int. Received: 2.5"),
        ((np.ones((2, 9), np.int32), 1, 2), r"whole numbers, \(N,\).*Received: an array of int32"),
        (("text", 1, 2), "whole numbers"),
    ],
)
def test_wrong_batches_are_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(textgen.TextgenError, match=message):
        textgen.training_batches(*arguments)


def test_fit_with_stock_callbacks_learns_and_the_model_is_ours(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    model = textgen.build_model(SMALL, V, batch_size=4, random_seed=1)
    model.compile(
        keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    ids = TOKENIZER.encode(VERSES)
    seen: list[float] = []

    class States(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if batch == 0:
                seen.append(max(float(np.abs(s).max()) for s in model.layers[2].states))

    history = model.fit(
        textgen.training_batches(ids, 4, 20), validation_data=textgen.training_batches(ids, 4, 20),
        epochs=4, shuffle=False, verbose=0, callbacks=[textgen.ResetState(), States()],
    )  # fmt: skip
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert seen == [0.0] * 4
    textgen.save(model, TOKENIZER, tmp_path / "own")
    saved = textgen.load(tmp_path / "own")
    taken = textgen.Generator.from_keras(model, TOKENIZER)
    texts = [each.generate("The ", 50, random_seed=1) for each in (saved, taken)]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize(
    "options",
    [
        {}, {"layer_norm": True}, {"residual": True, "dropout": 0.2, "embedding_dropout": 0.1},
        {"embedding_size": 12, "tie_weights": True}, {"embedding_size": 0, "num_layers": 1},
    ],
)  # fmt: skip
def test_the_settings_are_read_off_the_layers(cell: str, options: dict[str, Any]) -> None:
    settings = replace(SMALL, cell=cell, **options)
    model = textgen.build_model(settings, V, batch_size=3, random_seed=1)
    network = textgen.Generator.from_keras(model, TOKENIZER).network
    assert isinstance(network, Network)
    assert network.settings == settings


def test_the_state_of_a_model_is_as_before_and_later_training_changes_nothing() -> None:
    model = textgen.build_model(SMALL, V, batch_size=2, random_seed=1)
    model(np.ones((2, 5), np.int32))
    before = [state.numpy() for state in model.layers[2].states]
    taken = textgen.Generator.from_keras(model, TOKENIZER)
    for state, value in zip(model.layers[2].states, before, strict=True):
        np.testing.assert_array_equal(state, value)
    text = taken.generate("The ", 20, random_seed=1)
    for variable in model.trainable_variables:
        variable.assign(tf.zeros_like(variable.value))
    assert taken.generate("The ", 20, random_seed=1) == text


def test_a_model_that_plain_keras_loads_comes_back(trained_dir: Path) -> None:
    model = keras.models.load_model(trained_dir / "model.h5", compile=False)
    ours = textgen.load(trained_dir)
    taken = textgen.Generator.from_keras(model, ours.tokenizer)
    assert taken.generate("The ", 50, random_seed=1) == ours.generate("The ", 50, random_seed=1)


def other(**options: Any) -> keras.Model:
    tokens = keras.Input(batch_shape=(1, None), dtype="int32")
    hidden = keras.layers.Embedding(V, 8, name="embedding")(tokens)
    hidden = keras.layers.LSTM(12, return_sequences=True, name="lstm_1", **options)(hidden)
    return keras.Model(tokens, keras.layers.Dense(V, name="logits")(hidden))


def test_a_model_of_ones_own_that_computes_the_same_is_taken() -> None:
    assert len(textgen.Generator.from_keras(other(), TOKENIZER).generate("The ", 9)) == 9


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (other(recurrent_activation="relu"), "layers of other options"),
        (other(go_backwards=True), "layers of other options"),
        (textgen.build_model(SMALL, V + 1, 1), f"vocabulary of {V} tokens: embedding/embeddings"),
        (keras.Sequential([keras.Input((3,)), keras.layers.Dense(V)]), "it has not one embedding"),
        (
            keras.Sequential([keras.Input((3, 8)), keras.layers.Conv1D(4, 2)]),
            "the layer conv1d.* is a Conv1D",
        ),
        ("model.h5", "`model` is a Keras model.*Received: 'model.h5'"),
    ],
)
def test_other_models_are_refused_and_nothing_is_written(
    model: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(textgen.TextgenError, match=message):
        textgen.Generator.from_keras(model, TOKENIZER)
    with pytest.raises(textgen.TextgenError, match=message):
        textgen.save(model, TOKENIZER, tmp_path / "own")
    assert list(tmp_path.iterdir()) == []


def test_the_model_that_was_in_a_folder_is_kept(tmp_path: Path) -> None:
    for seed in (1, 2):
        textgen.save(textgen.build_model(SMALL, V, 1, random_seed=seed), TOKENIZER, tmp_path)
    old, new = checkpoint.load(tmp_path / "previous"), checkpoint.load(tmp_path)
    name = "embedding/embeddings"
    assert not np.array_equal(old.weights[name], new.weights[name])


@pytest.mark.parametrize("name", ["own.keras", "own.h5"])
def test_files_of_keras_own_come_back(tmp_path: Path, name: str) -> None:
    model = textgen.build_model(SMALL, V, batch_size=2, random_seed=1)
    model.save(tmp_path / name)
    again = keras.models.load_model(tmp_path / name, compile=False)
    texts = [
        textgen.Generator.from_keras(each, TOKENIZER).generate("The ", 20, random_seed=1)
        for each in (model, again)
    ]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: textgen.build_model({"rnn_size": 3}, 5, 1), "`settings` are textgen.ModelSett"),
        (lambda: textgen.build_model(SMALL, 0, 1), "`vocabulary_size` must be at least 1. Rec"),
        (lambda: textgen.build_model(SMALL, 5, -1), "`batch_size` must be at least 1. Received"),
        (lambda: textgen.build_tokenizer(b"x"), "`text` is the text itself"),
        (lambda: textgen.Generator.mix([]), "a list of at least one"),
        (lambda: textgen.Generator.mix(["x"]), "a list of at least one"),
    ],
)
def test_wrong_calls_are_refused(call: Any, message: str) -> None:
    with pytest.raises(textgen.TextgenError, match=message):
        call()


def test_samples_take_settings_by_name_as_well(trained_dir: Path) -> None:
    model = textgen.load(trained_dir)
    settings = textgen.SamplingSettings(length=9, random_seed=4)
    [one] = model.samples(1, "The ", settings)
    [other] = model.samples(1, "The ", length=9, random_seed=4)
    [both] = model.samples(1, "The ", settings, length=5)
    assert one.text == other.text
    assert both.text == one.text[:5]
    with pytest.raises(textgen.TextgenError, match="`settings` are textgen"):
        next(model.samples(1, "The ", {"length": 9}))
    with pytest.raises(textgen.TextgenError, match="Nearest: length"):
        next(model.samples(1, "The ", lenght=9))
