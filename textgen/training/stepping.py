"""One training step, on one machine or on several that share it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textgen.model.backend import keras, tf
from textgen.settings.definitions import TrainingSettings
from textgen.training import losses, optimizers

Tensors = list[tf.Tensor]


class SteppedModel(keras.Model):
    """A model whose `fit` trains by `train_step` below.

    The step has three parts: gradients of this process' rows; their mean over all processes; the
    update. XLA compiles the first and the last, which is what `textgen.model.recurrent` is written
    for, and where there is but one process, all three as one.

    Gradients are dense, so that they can be summed, and so that the norm by which they are clipped
    counts a token that comes several times with the sum of its gradients.
    """

    train_function: Any

    def prepare(
        self,
        settings: TrainingSettings,
        steps_at_once: int = 1,
        mean: Callable[[Tensors], Tensors] | None = None,
    ) -> None:
        """Make the model ready for `fit`; the learning rate is set by `callbacks.Schedule`.

        Args:
            settings: how to train.
            steps_at_once: steps per call.
            mean: the mean of each tensor over all processes, where there are several.
        """
        if settings.freeze_embeddings:
            self.get_layer("embedding").trainable = False
        self.objectives = losses.by_name(settings.label_smoothing)
        self.running = [keras.metrics.Mean(name=name) for name in self.objectives]
        self.mean_of = mean or list
        self.gradients_of = tf.function(self._of_own_rows, jit_compile=True)
        self.update = tf.function(self._updated, jit_compile=True)
        self.compile(
            optimizer=optimizers.make(settings),
            jit_compile=mean is None,
            steps_per_execution=steps_at_once,
        )

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The running means of the losses."""
        return list(self.running)

    def make_train_function(self, force: bool = False) -> None:
        """Make what `fit` calls: so many steps at once, which must divide those of an epoch.

        It is simpler than Keras' own, which looks at every step whether there is another one, and
        which cannot hold a step that waits for other machines.
        """
        step = tf.function(self.train_step, jit_compile=self.jit_compile)

        def several(batches: Any) -> dict[str, tf.Tensor]:
            for _ in tf.range(self.steps_per_execution):
                step(next(batches))
            return {tracker.name: tracker.result() for tracker in self.running}

        if force or self.train_function is None:
            self.train_function = tf.function(several)

    def train_step(self, data: tuple[tf.Tensor, ...]) -> None:
        """Train on inputs and targets, (B, T) each."""
        values = self.mean_of(self.gradients_of(*data[:2]))
        self.update(values)

    def _of_own_rows(self, inputs: tf.Tensor, targets: tf.Tensor) -> Tensors:
        """The losses, and the gradients of the first."""
        with tf.GradientTape() as tape:
            logits = self(inputs, training=True)
            values = [loss(targets, logits) for loss in self.objectives.values()]
        gradients = tape.gradient(values[0], self.trainable_weights)
        return values + [tf.convert_to_tensor(gradient) for gradient in gradients]

    def _updated(self, values: Tensors) -> None:
        count = len(self.running)
        for tracker, value in zip(self.running, values[:count], strict=True):
            tracker.update_state(value)
        self.optimizer.apply(values[count:], self.trainable_weights)


def stepped(model: keras.Model) -> Any:
    """The same layers as a `SteppedModel`."""
    return SteppedModel(model.inputs, model.outputs, name=model.name)
