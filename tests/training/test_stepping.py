from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from textgen.model.backend import tf
from textgen.model.keras_model import build_model, get_weights
from textgen.settings.definitions import ModelSettings, TrainingSettings
from textgen.training.stepping import stepped

TINY = ModelSettings(embedding_size=3, rnn_size=4, num_layers=1)
IDS = np.array([[1, 1, 2], [4, 4, 1]], np.int32)
TARGETS = np.array([[1, 2, 3], [4, 1, 0]], np.int32)


def trained(mean: Callable[[Any], Any] | None = None, **settings: Any) -> Any:
    model = stepped(build_model(TINY, 5, batch_size=2, random_seed=1))
    model.prepare(TrainingSettings(optimizer="sgd", weight_decay=0.0, **settings), mean=mean)
    model.optimizer.learning_rate.assign(1.0)
    before = {path: array.copy() for path, array in get_weights(model).items()}
    logs = model.train_on_batch(IDS, TARGETS, return_dict=True)
    return logs, {path: array - before[path] for path, array in get_weights(model).items()}


def test_a_step_whose_mean_is_its_own_equals_the_step_that_is_compiled_as_one() -> None:
    logs, change = trained()
    again, same = trained(mean=lambda tensors: [tf.identity(t) for t in tensors])
    assert logs == pytest.approx(again)
    for path, array in change.items():
        np.testing.assert_allclose(same[path], array, atol=1e-7)


def test_what_is_clipped_is_the_mean_over_all_processes_not_what_one_has() -> None:
    logs, change = trained(clip_norm=0.01, mean=lambda tensors: [3 * t for t in tensors])
    assert logs["loss"] == pytest.approx(3 * trained()[0]["loss"])
    assert sum(np.square(array).sum() for array in change.values()) <= 0.01**2 * 1.001


def test_a_token_that_comes_twice_counts_in_the_norm_with_the_sum_of_its_gradients() -> None:
    _, free = trained(clip_norm=0.0)
    norm = float(np.sqrt(sum(np.square(array).sum() for array in free.values())))
    _, clipped = trained(clip_norm=norm / 2)
    for path, array in free.items():
        np.testing.assert_allclose(clipped[path], array / 2, atol=1e-6)


def test_smoothed_labels_show_both_losses() -> None:
    logs, _ = trained(label_smoothing=0.2)
    assert logs["cross_entropy"] == pytest.approx(trained()[0]["loss"], abs=1e-6)
    assert logs["loss"] != pytest.approx(logs["cross_entropy"], abs=1e-6)
