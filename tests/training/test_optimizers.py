"""Options of the update, each seen in what one step of a compiled model does to its weights."""

from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from textgen.model.backend import keras
from textgen.model.keras_model import build_model, get_weights
from textgen.settings.definitions import OPTIMIZERS, ModelSettings, TrainingSettings
from textgen.training import optimizers
from textgen.training.stepping import stepped

V = 5
TINY = ModelSettings(embedding_size=3, rnn_size=4, num_layers=1)
INPUTS = np.array([[1, 2, 3], [4, 4, 1]], np.int32)
TARGETS = np.array([[2, 3, 1], [4, 1, 0]], np.int32)
PLAIN = {"optimizer": "sgd", "clip_norm": 0.0, "weight_decay": 0.0}
"""The first step of SGD with a learning rate of 1 subtracts the gradient."""


@cache
def one_step(**settings: Any) -> SimpleNamespace:
    """Weights before and after a step with learning rate 1, and what came of it."""
    model = stepped(build_model(TINY, V, batch_size=2, random_seed=1))
    model.prepare(TrainingSettings(**PLAIN | settings))
    model.optimizer.learning_rate.assign(1.0)
    before = get_weights(model)
    before = {path: array.copy() for path, array in before.items()}
    logs = model.train_on_batch(INPUTS, TARGETS, return_dict=True)
    change = {path: array - before[path] for path, array in get_weights(model).items()}
    return SimpleNamespace(model=model, before=before, change=change, logs=logs)


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
    assert pulled.logs["loss"] == pytest.approx(plain.logs["loss"]), "the loss is without them"


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
    assert smoothed.logs["cross_entropy"] == pytest.approx(plain.logs["loss"], rel=1e-5)


def test_the_record_has_the_norm_before_clipping() -> None:
    plain, clipped = one_step(), one_step(clip_norm=0.01)
    optimizer = clipped.model.optimizer
    assert optimizer.gradient_norm() == pytest.approx(norm(plain.change), rel=1e-5)
    optimizer.forget()
    assert optimizer.gradient_norm() == 0


FIRST_STEPS = {
    "adam": 1.0,  # m / sqrt(v) = g / |g| after the correction of both
    "adamw": 1.0,
    "rmsprop": 0.1**-0.5,  # g / sqrt(0.1 g^2)
    "sgd": 0.5,  # g
    "adagrad": 1.0,  # g / sqrt(g^2)
    "adadelta": 0.5 * (1e-7 / (0.05 * 0.25 + 1e-7)) ** 0.5,  # g sqrt(e) / sqrt(0.05 g^2 + e)
}
"""By Keras' formulas, for the gradient 0.5 and the learning rate 1."""


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_first_steps_by_hand(name: str) -> None:
    variable = keras.Variable(np.ones((1,), "float32"), name="w")
    optimizer = optimizers.make(TrainingSettings(optimizer=name, weight_decay=0.0))
    optimizer.build([variable])
    optimizer.learning_rate.assign(1.0)
    optimizer.apply([np.array([0.5], np.float32)])
    assert 1 - variable.numpy()[0] == pytest.approx(FIRST_STEPS[name], rel=1e-3)
