from types import SimpleNamespace

import numpy as np
import pytest

from textgen.model.backend import keras
from textgen.model.keras_model import build_model
from textgen.settings.definitions import ModelSettings, TrainingSettings
from textgen.training.callbacks import UpdateRatios
from textgen.training.clock import RunClock
from textgen.training.stepping import stepped


def test_update_ratios_by_hand() -> None:
    # (3, 4) moves to (3, 5) in two steps: 1 / 5 / 2.
    weights = keras.Variable(np.array([3.0, 4.0], "float32"), name="w")
    callback = UpdateRatios(RunClock(10, None, 1))
    callback.set_model(SimpleNamespace(trainable_variables=[weights]))
    callback.on_train_batch_begin(0)
    weights.assign([3.0, 5.0])
    callback.clock.count_steps(2)
    logs: dict[str, float] = {}
    callback.on_epoch_end(0, logs)
    assert logs == {"update_ratio_w": pytest.approx(0.1)}


class Copies(keras.callbacks.Callback):
    """Copies of the weights before each call of steps."""

    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        self.before = {w.path: np.array(w.numpy()) for w in self.model.trainable_variables}


def test_update_ratios_in_a_compiled_training_are_those_of_copied_weights() -> None:
    # XLA may write new weights where the old ones were: not while they are held.
    model = stepped(build_model(ModelSettings(embedding_size=3, rnn_size=4, num_layers=1), 7, 2, 1))
    model.prepare(TrainingSettings(), steps_at_once=2)
    model.optimizer.learning_rate.assign(0.01)
    clock, copies = RunClock(4, None, 1), Copies()
    count = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: clock.count_steps(2)
    )
    ids = np.random.default_rng(1).integers(0, 7, (8, 5))
    history = model.fit(
        ids, ids, batch_size=2, shuffle=False, verbose=0,
        callbacks=[copies, UpdateRatios(clock), count],
    ).history  # fmt: skip
    path = "embedding/embeddings"
    change = model.get_layer("embedding").embeddings.numpy() - copies.before[path]
    wanted = np.linalg.norm(change) / np.linalg.norm(copies.before[path]) / 2
    assert history["update_ratio_embedding"][0] == pytest.approx(wanted, rel=1e-5)
    assert wanted > 1e-4
