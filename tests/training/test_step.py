"""What one step does to the weights, option by option; the loss on held-out text."""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.conftest import TINY_MODEL, TINY_TRAINING, run_python
from textgen.model.backend import tf
from textgen.model.devices import XLA_SWITCH, computation
from textgen.model.keras_model import build_model, get_weights
from textgen.model.network import Network
from textgen.settings.definitions import OPTIMIZERS, ModelSettings, TrainingSettings
from textgen.training.sizing import choose_parts
from textgen.training.step import SmoothedCrossentropy, TrainStep, Validation
from textgen.training.workers import SingleProcess

V = 5
TINY = ModelSettings(embedding_size=3, rnn_size=4, num_layers=1)
INPUTS = np.array([[1, 2, 3], [4, 4, 1]], np.int32)
TARGETS = np.array([[2, 3, 1], [4, 1, 0]], np.int32)
PLAIN = {"optimizer": "sgd", "clip_norm": 0.0, "weight_decay": 0.0}
"""The first step of SGD with a learning rate of 1 subtracts the gradient."""


@pytest.fixture
def compiled() -> Iterator[None]:
    """For a test that is about steps compiled by XLA."""
    one_step.cache_clear()
    yield
    one_step.cache_clear()


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without XLA, which takes seconds to compile each step, elsewhere."""
    if "compiled" not in request.fixturenames:
        monkeypatch.setenv(XLA_SWITCH, "0")


def batches(count: int = 1) -> Any:
    """The same batch so many times."""
    return iter(tf.data.Dataset.from_tensors((INPUTS, TARGETS)).repeat(count))


def trainable(settings: ModelSettings, dtype: str = "float32") -> Any:
    """A network for batches of two rows."""
    return build_model(settings, V, 2, random_seed=1, dtype=dtype, carries_state=False)


def training(**settings: Any) -> TrainingSettings:
    return TrainingSettings(batch_size=2, **settings)


@cache
def one_step(workers: SingleProcess | None = None, **settings: Any) -> SimpleNamespace:
    """Weights before and after a step with learning rate 1, and what came of it."""
    model = trainable(TINY)
    step = TrainStep(model, training(**PLAIN | settings), workers=workers)
    step.set_learning_rate(1.0)
    before = {path: array.copy() for path, array in get_weights(model).items()}
    loss = step(batches())
    change = {path: array - before[path] for path, array in get_weights(model).items()}
    return SimpleNamespace(step=step, before=before, change=change, loss=loss)


def norm(arrays: dict[str, np.ndarray]) -> float:
    return float(np.sqrt(sum(np.square(array).sum() for array in arrays.values())))


def test_the_clip_norm_scales_all_gradients_alike() -> None:
    plain, clipped = one_step().change, one_step(clip_norm=0.01).change
    factor = clipped["logits/bias"][1] / plain["logits/bias"][1]
    assert factor < 1
    assert norm(clipped) <= 0.01001
    for path, array in plain.items():
        np.testing.assert_allclose(clipped[path], factor * array, atol=1e-6)


def test_the_clip_value_cuts_every_number() -> None:
    cut = one_step(clip_value=0.001).change
    for path, array in one_step().change.items():
        np.testing.assert_allclose(cut[path], np.clip(array, -0.001, 0.001), atol=1e-6)
    assert np.abs(one_step().change["logits/kernel"]).max() > 0.001


def test_penalties_pull_weights_to_zero_and_leave_biases_alone() -> None:
    plain, pulled = one_step(), one_step(l1=0.01, l2=0.1)
    for path, w in plain.before.items():
        pull = 0 if path.endswith("bias") else 0.01 * np.sign(w) + 2 * 0.1 * w
        np.testing.assert_allclose(pulled.change[path], plain.change[path] - pull, atol=1e-6)
    assert pulled.loss == pytest.approx(plain.loss), "the loss is without them"


def test_weight_decay_shrinks_besides_the_gradient() -> None:
    plain, decayed = one_step(), one_step(weight_decay=0.1)
    for path, w in plain.before.items():
        np.testing.assert_allclose(decayed.change[path], plain.change[path] - 0.1 * w, atol=1e-6)


def test_label_smoothing_moves_a_share_of_the_aim_to_every_token() -> None:
    """The gradient of the output's bias is softmax - aim, in the mean over the tokens."""
    plain, smoothed = one_step(), one_step(label_smoothing=0.3)
    hits = np.bincount(TARGETS.reshape(-1), minlength=V) / TARGETS.size
    moved = smoothed.change["logits/bias"] - plain.change["logits/bias"]
    np.testing.assert_allclose(moved, 0.3 * (1 / V - hits), atol=1e-6)
    assert smoothed.loss == pytest.approx(plain.loss, rel=1e-5), "what is reported is not smoothed"


def test_the_record_has_the_norm_before_clipping() -> None:
    plain, clipped = one_step(), one_step(clip_norm=0.01)
    assert clipped.step.gradient_norm() == pytest.approx(norm(plain.change), rel=1e-5)
    clipped.step.begin_epoch()
    assert clipped.step.gradient_norm() == 0


FIRST_STEPS = {
    "adam": lambda g: np.sign(g),  # m / sqrt(v) = g / |g| after the correction of both
    "adamw": lambda g: np.sign(g),
    "rmsprop": lambda g: np.sign(g) * 0.1**-0.5,  # g / sqrt(0.1 g^2)
    "sgd": lambda g: g,
    "adagrad": lambda g: np.sign(g),
    # g sqrt(e) / sqrt(0.05 g^2 + e)
    "adadelta": lambda g: g * (1e-7 / (0.05 * g**2 + 1e-7)) ** 0.5,
}
"""By Keras' formulas, for the gradient g and the learning rate 1."""


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_first_steps_by_hand(name: str) -> None:
    g = -one_step().change["logits/bias"]
    assert np.abs(g).min() > 1e-3, "too small for the optimizers' epsilon not to count"
    expected = -FIRST_STEPS[name](g)
    np.testing.assert_allclose(one_step(optimizer=name).change["logits/bias"], expected, rtol=2e-3)


class Alone(SingleProcess):
    """A process whose mean XLA does not compile: that of `factor` times its own numbers."""

    compiles_mean = False

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def mean(self, tensors: Any) -> Any:
        return [self.factor * tensor for tensor in tensors]


def test_a_step_whose_mean_is_its_own_equals_the_step_that_is_compiled_as_one(
    compiled: None,
) -> None:
    whole, parts = one_step(), one_step(Alone(1.0))
    assert parts.loss == pytest.approx(whole.loss)
    for path, array in whole.change.items():
        np.testing.assert_allclose(parts.change[path], array, atol=1e-7)


def test_what_is_clipped_is_the_mean_over_all_processes_not_what_one_has() -> None:
    clipped = one_step(Alone(3.0), clip_norm=0.01)
    assert clipped.loss == pytest.approx(3 * one_step().loss)
    assert norm(clipped.change) <= 0.01 * 1.001


def test_a_token_that_comes_twice_counts_in_the_norm_with_the_sum_of_its_gradients() -> None:
    free = one_step()
    clipped = one_step(clip_norm=norm(free.change) / 2)
    for path, array in free.change.items():
        np.testing.assert_allclose(clipped.change[path], array / 2, atol=1e-6)


def test_the_loss_is_the_mean_since_the_epoch_began() -> None:
    model = trainable(TINY)
    step, data = TrainStep(model, training(**PLAIN)), batches(3)
    step.set_learning_rate(0.0)
    first, mean = step(data), step(data)
    step.begin_epoch()
    third = step(data)
    assert first != pytest.approx(third, abs=1e-6), "the recurrent state is carried"
    assert abs(mean - first) < abs(third - first) * 2
    assert mean != pytest.approx(first, abs=1e-7)


def test_update_ratios_are_those_of_copied_weights_per_step(compiled: None) -> None:
    """XLA may write new weights where the old ones were: not while they are held."""
    model = trainable(TINY)
    step, data = TrainStep(model, training(), steps_at_once=2), batches(4)
    step.set_learning_rate(0.01)
    step(data)
    before = {path: array.copy() for path, array in get_weights(model).items()}
    step(data)
    path = "embedding/embeddings"
    change = get_weights(model)[path] - before[path]
    wanted = np.linalg.norm(change) / np.linalg.norm(before[path]) / 2
    ratios = step.update_ratios()
    assert ratios.keys() == {"embedding", "lstm_1", "logits"}
    assert ratios["embedding"] == pytest.approx(wanted, rel=1e-5)
    assert wanted > 1e-4


def test_smoothed_cross_entropy_by_hand() -> None:
    # p = (1/4, 3/4), target 1, share 0.2: 0.8 * -ln 3/4 + 0.2 * (-ln 1/4 - ln 3/4) / 2
    logits = np.log(np.array([[[0.25, 0.75]]], np.float32))
    expected = -0.8 * math.log(0.75) - 0.1 * (math.log(0.25) + math.log(0.75))
    loss = SmoothedCrossentropy(0.2)(np.array([[1]]), logits)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_validation_loss_is_what_the_numpy_network_gives_for_the_text() -> None:
    """Rows of the batch start from zero state, so each is scored here by itself."""
    model = trainable(TINY_MODEL)
    ids = np.random.default_rng(0).integers(1, 5, 13).astype(np.int32)
    settings = replace(TINY_TRAINING, batch_size=2, seq_length=4)
    network, total = Network(TINY_MODEL, get_weights(model)), 0.0
    for start in (0, 8):  # 12 targets in batches of 2 x 4: rows of 8 and of 4
        stepper = network.stepper(ids[np.newaxis, start : start + 1])
        for position in range(start, min(start + 8, 12)):
            scaled = np.exp(stepper.logits[0].astype(float))
            total -= math.log(scaled[ids[position + 1]] / scaled.sum())
            stepper.step(ids[position + 1 : position + 2])
    validation = Validation(model, ids, settings)
    assert validation.loss() == pytest.approx(total / 12, abs=1e-5)
    assert validation.loss() == pytest.approx(total / 12, abs=1e-5), "state was left behind"


def test_rows_that_share_keras_recurrent_dropout_are_not_cut_into_parts() -> None:
    """It draws a mask for the rows it is given, and would draw the same one for each part."""
    model, settings = ModelSettings(recurrent_dropout=0.2), TrainingSettings(batch_parts=2)
    assert choose_parts(model, settings, computation(model)) == 1
    plain = ModelSettings()
    assert choose_parts(plain, settings, computation(plain)) == 2
    assert choose_parts(plain, settings, computation(plain, on_gpu=True)) == 1


@pytest.mark.parametrize("parts", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_parts_side_by_side_train_as_one_does(parts: int) -> None:
    """Five rows, so that parts are uneven; dropout leaves out the same units in any case."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, V, (2, 5, 4), dtype=np.int32)
    settings = TrainingSettings(batch_size=5, seq_length=2)
    found = []
    for number in (1, parts):
        model = build_model(
            ModelSettings(embedding_size=3, rnn_size=4, dropout=0.3, layer_norm=True),
            V, 5, random_seed=1, carries_state=False,
        )  # fmt: skip
        step = TrainStep(model, settings, parts=number)
        step.set_learning_rate(0.01)
        data = iter(tf.data.Dataset.from_tensors((ids[0], ids[1])).repeat())
        losses = [step(data) for _ in range(3)]
        validation = Validation(model, ids.reshape(-1), settings, parts=number)
        states = [state.numpy() for state in step.states.values()]
        found.append([losses, validation.loss(), *get_weights(model).values(), *states])
    for one, several in zip(*found, strict=True):
        np.testing.assert_allclose(several, one, atol=1e-5)


@pytest.mark.parametrize("xla", ["0", pytest.param("1", marks=pytest.mark.slow)])
def test_a_step_is_on_the_device_that_was_chosen_and_goes_on_upon_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, xla: str
) -> None:
    monkeypatch.setenv(XLA_SWITCH, xla)
    done = run_python("-m", "tests.logical_devices", tmp_path)
    assert done.stdout == "{'CPU:1'}\n{'CPU:0'}\n", done.stderr


@pytest.mark.slow
def test_products_in_bfloat16_learn_like_those_in_float32(compiled: None) -> None:
    """Sixty steps on the same batch, from the same weights."""
    settings = ModelSettings(embedding_size=8, rnn_size=32, num_layers=1)
    losses = {}
    for dtype in ("float32", "mixed_bfloat16"):
        step, data = TrainStep(trainable(settings, dtype), training()), batches(60)
        step.set_learning_rate(0.01)
        losses[dtype] = [step(data) for _ in range(60)][-1]
    assert losses["float32"] < 0.9 * math.log(V)
    assert losses["mixed_bfloat16"] == pytest.approx(losses["float32"], abs=0.02)
