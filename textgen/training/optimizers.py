"""Keras' optimizers, with penalties and clipping in front of them and records of what they do."""

from __future__ import annotations

from typing import Any

from textgen.model.backend import keras, tf
from textgen.settings.definitions import TrainingSettings

KINDS: dict[str, tuple[type, dict[str, Any]]] = {
    "adamw": (keras.optimizers.AdamW, {"beta_2": 0.99}),
    "adam": (keras.optimizers.Adam, {"beta_2": 0.99}),
    "rmsprop": (keras.optimizers.RMSprop, {}),
    "sgd": (keras.optimizers.SGD, {"momentum": 0.9}),
    # Keras' initial value of 0.1 is far above clipped gradients.
    "adagrad": (keras.optimizers.Adagrad, {"initial_accumulator_value": 0.0}),
    "adadelta": (keras.optimizers.Adadelta, {}),
}
"""Keras' class, and what it is given besides, by `TrainingSettings.optimizer`."""


def make(settings: TrainingSettings) -> keras.optimizers.Optimizer:
    """The optimizer that `settings` asks for; the learning rate is set from step to step.

    Weight decay is apart from the gradient (AdamW, Loshchilov & Hutter 2019), as Keras has it.
    """
    kind, arguments = KINDS[settings.optimizer]
    optimizer = type("Recorded", (Recording, kind), {})(
        weight_decay=settings.weight_decay, global_clipnorm=settings.clip_norm or None, **arguments
    )
    optimizer.penalties = (settings.l1, settings.l2)
    optimizer.clip_value = settings.clip_value
    return optimizer


class Recording:
    """What is added to a Keras optimizer, in front of it as a base class.

    Attributes:
        penalties: l1 and l2. Their gradients are added here and not by Keras' regularizers, so
            that the loss stays the cross-entropy. l1 |w| has the gradient l1 sign(w), and l2 w^2
            has 2 l2 w (Keras' convention).
        clip_value: each number of a gradient is cut to this size, before Keras scales all by
            their norm; Keras itself does but one of the two. 0 is off.
    """

    penalties: tuple[float, float] = (0.0, 0.0)
    clip_value = 0.0

    def build(self, variables: list[Any]) -> None:
        """Make the optimizer's variables, and after them those of the record."""
        base: Any = super()
        base.build(variables)
        owner: Any = self
        self.counted = owner.add_variable((), name="counted_steps")
        self.norms = owner.add_variable((), name="summed_norms")

    def apply(self, grads: list[Any], trainable_variables: Any = None) -> None:
        """One update of all variables."""
        owner: Any = self
        grads = self._prepared(grads, trainable_variables or owner._trainable_variables)
        base: Any = super()
        base.apply(grads, trainable_variables)
        self.counted.assign(self.counted + 1.0)
        self.norms.assign(self.norms + _norm(grads))

    def _prepared(self, grads: list[Any], variables: list[Any]) -> list[Any]:
        l1, l2 = self.penalties
        if l1 or l2:
            grads = [
                g if variable.name == "bias" else g + l1 * tf.sign(w) + 2 * l2 * w
                for g, variable in zip(map(tf.convert_to_tensor, grads), variables, strict=True)
                for w in [variable.value]
            ]
        if self.clip_value:
            size = self.clip_value
            grads = [tf.clip_by_value(tf.convert_to_tensor(g), -size, size) for g in grads]
        return grads

    def forget(self) -> None:
        """Begin a new record."""
        for variable in (self.counted, self.norms):
            variable.assign(0.0)

    def gradient_norm(self) -> float:
        """The norm of all gradients together before --clip-norm, the mean over the record."""
        return float(self.norms.numpy()) / max(float(self.counted.numpy()), 1.0)


def _norm(tensors: list[Any]) -> tf.Tensor:
    """The Euclidean norm of all numbers in `tensors` together."""
    squares = [tf.reduce_sum(tf.square(tf.convert_to_tensor(tensor))) for tensor in tensors]
    return tf.sqrt(tf.add_n(squares))
