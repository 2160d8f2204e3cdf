import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from textgen.model.architecture import weight_shapes
from textgen.model.backend import keras, tf
from textgen.model.keras_model import (
    build_model,
    build_model_to_save,
    get_weights,
    reset_state,
    set_weights,
)
from textgen.settings.definitions import CELL_NAMES, ModelSettings

CONFIG = ModelSettings(embedding_size=3, rnn_size=4, num_layers=2, dropout=0.5)
TOKENS = np.array([[1, 2, 3, 4], [4, 3, 2, 1]], np.int32)


def test_logits_have_one_value_per_row_step_and_token() -> None:
    assert build_model(CONFIG, 7, batch_size=2)(TOKENS).shape == (2, 4, 7)


def test_weights_have_the_documented_names_and_shapes() -> None:
    weights = get_weights(build_model(CONFIG, 7, batch_size=2))
    assert {path: array.shape for path, array in weights.items()} == weight_shapes(CONFIG, 7)


def test_state_is_carried_until_it_is_reset() -> None:
    model = build_model(CONFIG, 7, batch_size=2)
    whole = model(TOKENS).numpy()
    reset_state(model)
    halves = np.concatenate([model(TOKENS[:, :2]).numpy(), model(TOKENS[:, 2:]).numpy()], axis=1)
    np.testing.assert_allclose(halves, whole, atol=1e-6)
    assert not np.allclose(model(TOKENS).numpy(), whole), "state was not carried"
    reset_state(model)
    np.testing.assert_allclose(model(TOKENS).numpy(), whole, atol=1e-6)


def test_a_random_seed_repeats_weights_and_dropout() -> None:
    one, same, other = (build_model(CONFIG, 7, 2, random_seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one(TOKENS, training=True), same(TOKENS, training=True))
    assert not np.array_equal(one(TOKENS), other(TOKENS))


def test_tied_weights_are_one_array_and_are_written_as_two() -> None:
    settings = ModelSettings(embedding_size=4, rnn_size=4, num_layers=1, tie_weights=True)
    model, untied = build_model(settings, 7, batch_size=2), build_model_to_save(settings, 7)
    assert model.count_params() == untied.count_params() - 7 * 4
    weights = get_weights(model)
    assert {path: array.shape for path, array in weights.items()} == weight_shapes(settings, 7)
    np.testing.assert_array_equal(weights["logits/kernel"], weights["embedding/embeddings"].T)
    set_weights(untied, weights)
    np.testing.assert_allclose(untied(TOKENS[:1])[0], model(TOKENS)[0], atol=1e-6)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_the_saved_model_opens_in_keras_and_gives_the_same(cell: str, tmp_path: Path) -> None:
    settings = dataclasses.replace(CONFIG, cell=cell, residual=True, layer_norm=True)
    model, to_save = build_model(settings, 7, batch_size=2), build_model_to_save(settings, 7)
    set_weights(to_save, get_weights(model))
    to_save.save(tmp_path / "model.h5")
    opened = keras.models.load_model(tmp_path / "model.h5", compile=False)
    np.testing.assert_allclose(opened(TOKENS[:1])[0], model(TOKENS)[0], atol=1e-5)


@pytest.mark.parametrize("carries_state", [True, False])
def test_dropout_leaves_out_the_same_units_at_all_steps(carries_state: bool) -> None:
    model = build_model(CONFIG, 7, 2, random_seed=1, carries_state=carries_state)
    layer, ones = model.get_layer("dropout_1"), np.ones((2, 50, 4), np.float32)
    rows = [] if carries_state else [np.arange(2)]
    dropped = np.asarray(layer(ones, *rows, training=True)) == 0
    assert 0 < dropped.mean() < 1
    assert (dropped == dropped[:, :1]).all()


@pytest.mark.parametrize("layer", ["lstm_1", "lstm_2"])
def test_the_forget_gate_starts_open(layer: str) -> None:
    bias = get_weights(build_model(CONFIG, 7, batch_size=2))[f"{layer}/lstm_cell/bias"]
    assert bias.tolist() == [0] * 4 + [1] * 4 + [0] * 8


@pytest.mark.parametrize(("tied", "most"), [(False, 0.5), (True, 0.05)])
def test_token_vectors_begin_small_where_they_make_the_logits_too(tied: bool, most: float) -> None:
    settings = ModelSettings(embedding_size=16, rnn_size=16, num_layers=1, tie_weights=tied)
    model = build_model(settings, 200, batch_size=1, random_seed=1)
    vectors = get_weights(model)["embedding/embeddings"]
    assert 0.98 * most < np.abs(vectors).max() <= most
    assert abs(vectors.mean()) < 0.05 * most  # five deviations of the mean of 3,200 such numbers


def test_weights_move_to_a_model_of_another_batch_size() -> None:
    trained, copy = build_model(CONFIG, 7, batch_size=2), build_model(CONFIG, 7, batch_size=1)
    set_weights(copy, get_weights(trained))
    np.testing.assert_allclose(copy(TOKENS[:1])[0], trained(TOKENS)[0], atol=1e-6)


def test_recurrent_dropout_drops_and_leaves_the_layer_to_keras() -> None:
    settings = ModelSettings(embedding_size=3, rnn_size=4, num_layers=1, recurrent_dropout=0.5)
    one, same = (build_model(settings, 7, 2, random_seed=5) for _ in range(2))
    assert not one.get_layer("lstm_1").is_fast()
    trained = one(TOKENS, training=True).numpy()
    np.testing.assert_array_equal(trained, same(TOKENS, training=True))
    reset_state(one)
    assert not np.allclose(trained, one(TOKENS, training=False))


def test_one_hot_input_has_nothing_to_learn() -> None:
    settings = ModelSettings(embedding_size=0, rnn_size=4, num_layers=1)
    model = build_model(settings, 7, batch_size=2)
    embedding = model.get_layer("embedding")
    np.testing.assert_array_equal(embedding.embeddings, np.eye(7))
    assert embedding.trainable_variables == []
    assert get_weights(model)["lstm_1/lstm_cell/kernel"].shape == (7, 16)


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize("own_layers", [True, False])
def test_mixed_precision_rounds_products_and_nothing_that_is_kept(
    cell: str, own_layers: bool
) -> None:
    settings = ModelSettings(embedding_size=8, rnn_size=16, cell=cell, layer_norm=True)
    exact = build_model(settings, 7, 2, random_seed=5)
    mixed = build_model(settings, 7, 2, 5, own_layers, dtype="mixed_bfloat16")
    logits = mixed(TOKENS)
    assert logits.dtype == "float32"
    assert {weight.dtype for weight in mixed.weights} == {"float32"}
    expected = exact(TOKENS)
    assert not np.array_equal(logits, expected), "nothing was rounded"
    np.testing.assert_allclose(logits, expected, atol=0.05)
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize("embedding_size", [0, 3])
@pytest.mark.parametrize("length", [1, 9], ids=["few tokens", "more than the vocabulary"])
def test_tokens_that_a_layer_looks_up_itself_are_the_same(
    cell: str, embedding_size: int, length: int
) -> None:
    settings = ModelSettings(
        cell=cell, rnn_size=5, num_layers=2, embedding_size=embedding_size, residual=True
    )
    ids = tf.constant(np.random.default_rng(0).integers(0, 7, (2, length)), tf.int32)
    plain = build_model(settings, 7, 2, own_layers=False)
    looking_up = build_model(settings, 7, 2, carries_state=False)
    set_weights(looking_up, get_weights(plain))
    states = [tf.zeros((2, 5)) for _ in looking_up.inputs[2:]]

    def gradients(model: keras.Model, inputs: Any) -> list[Any]:
        with tf.GradientTape() as tape:
            logits = model(inputs)
            loss = tf.reduce_sum(tf.square(logits[0] if isinstance(logits, list) else logits))
        found = tape.gradient(loss, [w.value for w in model.trainable_weights])
        return [loss, *map(tf.convert_to_tensor, found)]

    theirs = gradients(plain, ids)
    for ours, other in zip(gradients(looking_up, [ids, tf.range(2), *states]), theirs, strict=True):
        np.testing.assert_allclose(ours, other, rtol=2e-4, atol=1e-5)
