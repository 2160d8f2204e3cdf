"""The fast layers against Keras' own: same outputs, states and gradients, in every mode."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from textgen.model import recurrent
from textgen.model.backend import keras, tf
from textgen.settings.definitions import CELL_NAMES

B, T, D, H = 4, 7, 3, 5
CELLS: dict[str, tuple[type, type]] = {
    "lstm": (recurrent.LSTM, keras.layers.LSTM),
    "gru": (recurrent.GRU, keras.layers.GRU),
    "rnn": (recurrent.SimpleRNN, keras.layers.SimpleRNN),
}
each_cell = pytest.mark.parametrize("cell", CELLS)


def test_every_choice_of_the_setting_has_its_layers_and_no_other() -> None:
    assert set(recurrent.LAYERS) == set(CELL_NAMES)


MODES = {"eager": None, "graph": False, "xla": True}
"""What `compile_with` is in each."""


def compiled_cells(*modes: str) -> pytest.MarkDecorator:
    """All cells in some modes."""
    cases = [
        pytest.param(cell, MODES[mode], id=f"{cell}-{mode}") for cell in CELLS for mode in modes
    ]
    return pytest.mark.parametrize(("cell", "compile_with"), cases)


def pair(cell: str, size: int = H, **options: Any) -> tuple[keras.layers.Layer, keras.layers.Layer]:
    """Returns the fast layer and its stock twin, built, with the same random weights."""
    fast, stock = (kind(size, **options) for kind in CELLS[cell])
    rng = np.random.default_rng(1)
    for layer in (fast, stock):
        layer.build((B, T, D))
    weights = [rng.normal(0, 0.5, w.shape).astype("float32") for w in fast.get_weights()]
    fast.set_weights(weights)
    stock.set_weights(weights)
    return fast, stock


def random(*shape: int, seed: int = 0) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).normal(0, 1, shape).astype("float32"))


def initial_state(layer: keras.layers.Layer) -> list[tf.Tensor]:
    return [random(B, H, seed=10 + k) for k, _ in enumerate(layer.state_size)]


def outputs_and_gradients(
    layer: keras.layers.Layer, x: tf.Tensor, state: Any, training: bool = False
) -> list[tf.Tensor]:
    """Returns what the layer gives; then the gradients of a random weighting of it."""
    with tf.GradientTape() as tape:
        tape.watch([x, *(state or [])])
        outputs = tf.nest.flatten(layer(x, initial_state=state, training=training))
        loss = tf.add_n(
            [tf.reduce_sum(y * random(*y.shape, seed=20 + k)) for k, y in enumerate(outputs)]
        )
    sources = [x, *(state or []), *[w.value for w in layer.trainable_weights]]
    return [*outputs, *tape.gradient(loss, sources)]


def assert_same(ours: list[tf.Tensor], theirs: list[tf.Tensor]) -> None:
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("cell", "size"), [("lstm", 256), ("rnn", 1024)])
def test_kernels_that_are_spread_in_memory_give_the_same(cell: str, size: int) -> None:
    fast, stock = pair(cell, size, return_sequences=True)
    for layer in (fast, stock):
        layer.set_weights([w / 16 for w in layer.get_weights()])
    assert recurrent.apart(fast.cell.recurrent_kernel.value).shape[1] % 1024 == 16
    x = random(B, T, D)
    assert_same(*(outputs_and_gradients(layer, x, None) for layer in (fast, stock)))


def check_outputs_and_gradients(cell: str, compile_with: bool | None, with_state: bool) -> None:
    fast, stock = pair(cell, return_sequences=True, return_state=True)
    x, state = random(B, T, D), initial_state(fast) if with_state else None
    run = outputs_and_gradients
    if compile_with is not None:
        run = tf.function(outputs_and_gradients, jit_compile=compile_with)
    assert_same(run(fast, x, state), outputs_and_gradients(stock, x, state))


@compiled_cells("eager", "graph", "xla")
def test_outputs_and_gradients_are_those_of_keras(cell: str, compile_with: bool | None) -> None:
    check_outputs_and_gradients(cell, compile_with, with_state=True)


@compiled_cells("eager", "graph")
def test_without_a_state_they_are_so_too(cell: str, compile_with: bool | None) -> None:
    check_outputs_and_gradients(cell, compile_with, with_state=False)


@each_cell
def test_a_single_output_is_the_last_one(cell: str) -> None:
    fast, stock = pair(cell)
    x = random(B, T, D)
    assert_same([fast(x)], [stock(x)])


@each_cell
def test_dropout_uses_one_mask_per_sequence_as_keras_does(cell: str) -> None:
    fast, stock = pair(cell, dropout=0.5, seed=7)
    x = random(B, T, D)
    fast_results = outputs_and_gradients(fast, x, None, training=True)
    assert_same(fast_results, outputs_and_gradients(stock, x, None, training=True))
    assert not np.allclose(fast_results[0], fast(x, training=False))
    assert_same([fast(x, training=False)], [stock(x, training=False)])


@compiled_cells("graph", "xla")
def test_state_is_carried_from_batch_to_batch_until_reset(cell: str, compile_with: bool) -> None:
    fast, stock = pair(cell, stateful=True, return_sequences=True)
    call = tf.function(fast, jit_compile=compile_with)
    first, second = random(B, T, D, seed=1), random(B, T, D, seed=2)
    fresh = call(first)
    assert_same([fresh, call(second)], [stock(first), stock(second)])
    assert_same(list(fast.states), list(stock.states))
    assert not np.allclose(call(first), fresh)
    fast.reset_state()
    assert_same([call(first)], [fresh])


@pytest.mark.parametrize(
    "options",
    [
        {"activation": "relu"},
        {"use_bias": False},
        {"dropout": 0.5},
        {"recurrent_dropout": 0.5},
        {"unroll": True},
        {"go_backwards": True},
    ],
    ids=str,
)
@each_cell
def test_other_options_take_the_way_of_keras(cell: str, options: dict[str, object]) -> None:
    fast, stock = pair(cell, return_sequences=True, **options)
    x, mask = random(B, T, D), tf.constant([[True] * (T - 2) + [False] * 2] * B)
    assert not fast.is_fast()
    assert_same([fast(x), fast(x, mask=mask)], [stock(x), stock(x, mask=mask)])


@each_cell
def test_masks_take_the_way_of_keras(cell: str) -> None:
    fast, stock = pair(cell, return_sequences=True)
    x, mask = random(B, T, D), tf.constant([[True] * (T - 2) + [False] * 2] * B)
    assert_same([fast(x, mask=mask)], [stock(x, mask=mask)])


def test_a_gru_with_reset_before_the_product_takes_the_way_of_keras() -> None:
    fast, stock = pair("gru", return_sequences=True, reset_after=False)
    assert not fast.is_fast()
    assert_same([fast(random(B, T, D))], [stock(random(B, T, D))])


@each_cell
def test_configuration_makes_the_same_layer_and_the_stock_twin(cell: str) -> None:
    fast, stock = pair(cell, dropout=0.25, stateful=True, return_sequences=True, name="twin")
    settings = fast.get_config()
    own = {"seed"}  # drawn at random for every layer
    assert {k: v for k, v in stock.get_config().items() if k not in own} == {
        k: v for k, v in settings.items() if k not in own
    }
    for kind in (type(fast), type(stock)):
        again = kind.from_config(settings)
        again.build((B, T, D))
        assert [w.path for w in again.weights] == [w.path for w in stock.weights]
        again.set_weights(fast.get_weights())
        assert_same([again(random(B, T, D))], [fast(random(B, T, D))])
        fast.reset_state()


def test_a_saved_model_opens_with_stock_layers(tmp_path: Path) -> None:
    def model(kind: type) -> keras.Model:
        layers = [keras.Input(batch_shape=(B, T, D)), kind(H, name="a"), keras.layers.Dense(2)]
        return keras.Sequential(layers)

    fast, stock = model(recurrent.LSTM), model(keras.layers.LSTM)
    fast.save_weights(tmp_path / "model.weights.h5")
    stock.load_weights(tmp_path / "model.weights.h5")
    assert_same([fast(random(B, T, D))], [stock(random(B, T, D))])


def test_training_through_fit_equals_training_stock_layers() -> None:
    rng = np.random.default_rng(0)
    x, y = (rng.integers(0, 11, (3 * B, T)).astype("int32") for _ in range(2))
    weights, losses = [], []
    for kind, jit_compile in ((recurrent.LSTM, True), (keras.layers.LSTM, False)):
        keras.utils.set_random_seed(1)
        layers = [
            keras.Input(batch_shape=(B, T), dtype="int32"),
            keras.layers.Embedding(11, D),
            kind(H, return_sequences=True, stateful=True),
            keras.layers.Dense(11),
        ]
        model = keras.Sequential(layers)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.5), loss, jit_compile=jit_compile)
        history = model.fit(x, y, batch_size=B, epochs=2, shuffle=False, verbose=0)
        weights.append(model.get_weights())
        losses.append(history.history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    assert_same(weights[0], weights[1])


def test_any_batch_size_and_length_of_a_model_without_fixed_shape() -> None:
    inputs = keras.Input((None, D))
    outputs = recurrent.LSTM(H, return_sequences=True)(inputs)
    model = keras.Model(inputs, outputs)
    assert outputs.shape == (None, None, H)
    for batch, length in ((1, 1), (3, 4)):
        assert model.predict(random(batch, length, D), verbose=0).shape == (batch, length, H)


def test_half_precision_follows_keras() -> None:
    fast, stock = pair("lstm", return_sequences=True, dtype="mixed_bfloat16")
    x = random(B, T, D)
    assert fast(x).dtype == stock(x).dtype == tf.bfloat16
    ours, theirs = (tf.cast(layer(x), tf.float32) for layer in (fast, stock))
    np.testing.assert_allclose(ours, theirs, atol=0.05)


def test_two_lstm_steps_worked_by_hand() -> None:
    """One unit, kernels 0, bias (0, ln 3, atanh 1/2, 0): i = o = g = 1/2, f = 3/4.

    c1 = 1/4, c2 = 3/4 x 1/4 + 1/4 = 7/16; h = tanh(c) / 2.
    """
    layer = recurrent.LSTM(1, return_sequences=True)
    layer.build((1, 2, 1))
    bias = np.array([0, np.log(3), np.arctanh(0.5), 0], "float32")
    layer.set_weights([np.zeros((1, 4)), np.zeros((1, 4)), bias])
    expected = [[np.tanh(1 / 4) / 2], [np.tanh(7 / 16) / 2]]
    np.testing.assert_allclose(layer(tf.zeros((1, 2, 1)))[0], expected, rtol=1e-6)


@compiled_cells("graph", "xla")
def test_the_state_is_empty_where_a_document_begins(cell: str, compile_with: Any) -> None:
    fast, _ = pair(cell, return_sequences=True, return_state=True)
    x, state = random(B, T, D), initial_state(fast)
    starts = [{0, 3}, {6}, set(), {2, 3}]  # of each row
    keep = np.array([[float(t not in row) for t in range(T)] for row in starts], "float32")

    def weighted(outputs: list[Any]) -> tf.Tensor:
        parts = [tf.reduce_sum(y * random(*y.shape, seed=20 + k)) for k, y in enumerate(outputs)]
        return tf.add_n(parts)

    @tf.function(jit_compile=compile_with)
    def together() -> Any:
        with tf.GradientTape() as tape:
            tape.watch([x, *state])
            outputs = fast(x, initial_state=state, keep=tf.constant(keep)[..., tf.newaxis])
            loss = weighted(outputs)
        return outputs, tape.gradient(loss, [x, *state, *[w.value for w in fast.weights]])

    def apart() -> Any:
        """Each document of each row by itself, from an empty state."""
        with tf.GradientTape() as tape:
            tape.watch([x, *state])
            rows = []
            for row, begins in enumerate(starts):
                now = [each[row : row + 1] for each in state]
                cuts = sorted({0, *begins, T})
                pieces = []
                for start, end in itertools.pairwise(cuts):
                    if start in begins:
                        now = [tf.zeros_like(each) for each in now]
                    piece, *now = fast(x[row : row + 1, start:end], initial_state=now)
                    pieces.append(piece)
                rows.append([tf.concat(pieces, 1), *now])
            outputs = [tf.concat(parts, 0) for parts in zip(*rows, strict=True)]
            loss = weighted(outputs)
        return outputs, tape.gradient(loss, [x, *state, *[w.value for w in fast.weights]])

    (outputs, gradients), (expected, expected_gradients) = together(), apart()
    assert_same(outputs, expected)
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
