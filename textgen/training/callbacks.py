"""What happens around training steps: schedule, recurrent state, running loss, update ratios."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from textgen.model.backend import keras, tf
from textgen.model.keras_model import reset_state
from textgen.settings.definitions import TrainingSettings
from textgen.training.clock import RunClock
from textgen.training.history import RATIO
from textgen.training.schedules import learning_rate


class Schedule(keras.callbacks.Callback):
    """Counts steps, sets the learning rate before each, and ends the run when it is complete.

    Args:
        clock: the run's clock.
        settings: gives the schedule.
        losses: gives what each epoch so far is judged by.
    """

    def __init__(
        self, clock: RunClock, settings: TrainingSettings, losses: Callable[[], list[float]]
    ) -> None:
        super().__init__()
        self.clock, self.settings, self.losses = clock, settings, losses
        self.factor = 1.0
        """What the peak is multiplied by; lower after training has diverged."""
        self._first = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.clock.begin_epoch()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._first = batch
        losses = self.losses()
        rate = learning_rate(
            self.settings, self.clock.step, self.clock.fraction, len(losses), losses
        )
        self.model.optimizer.learning_rate.assign(rate * self.factor)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.clock.count_steps(batch - self._first + 1)
        if self.clock.fraction >= 1:
            self.model.stop_training = True


class StateReset(keras.callbacks.Callback):
    """Recurrent state is zero where a pass over the text starts."""

    def __init__(self, clock: RunClock, batches_per_pass: int) -> None:
        super().__init__()
        self.clock, self.batches_per_pass = clock, batches_per_pass

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.clock.step % self.batches_per_pass == 0:
            reset_state(self.model)


class CarriedLoss(keras.callbacks.Callback):
    """Gives an epoch that is taken up in its middle its running loss, which Keras begins at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[Any] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        for variable, value in zip(self.model.metrics_variables, self.values, strict=False):
            variable.assign(value)
        self.values = []


class UpdateRatios(keras.callbacks.Callback):
    """Adds to each epoch's logs how far its last call of steps moved each layer's weights.

    That is the norm of the change over that of the weights, per step. It is measured out here,
    because within every step it would take a fifth of the step's time. Any call may turn out to
    be the last, so each is preceded by a look at the weights; that is no copy: TensorFlow keeps
    the numbers of a tensor that is held, and gives the variable new ones.

    Args:
        clock: the run's clock, which has counted the steps.
    """

    def __init__(self, clock: RunClock) -> None:
        super().__init__()
        self.clock = clock
        self._step = 0
        self._before: list[Any] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._step, self._before = self.clock.step, self._weights()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        changes: dict[str, list[float]] = {}
        sizes: dict[str, list[float]] = {}
        trained = zip(self.model.trainable_variables, self._before, self._weights(), strict=True)
        for variable, before, now in trained:
            layer, old = variable.path.split("/")[0], before.numpy()
            changes.setdefault(layer, []).append(float(np.linalg.norm(now.numpy() - old)))
            sizes.setdefault(layer, []).append(float(np.linalg.norm(old)))
        steps, self._before = self.clock.step - self._step, []
        for layer, change in changes.items():
            logs[RATIO + layer] = (
                math.hypot(*change) / max(math.hypot(*sizes[layer]), 1e-12) / steps
            )

    def _weights(self) -> list[Any]:
        return [tf.convert_to_tensor(w.value) for w in self.model.trainable_variables]
