"""One training step, on one machine or on several that share it, and the loss on held-out text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from textgen.model.backend import keras, tf
from textgen.model.devices import Computation, computation
from textgen.model.keras_model import fresh_state
from textgen.settings.definitions import TrainingSettings
from textgen.tokens.corpus import release
from textgen.tokens.tokenizer import StoredIds
from textgen.training.batches import EvaluationBatch, evaluation_batches
from textgen.training.workers import SingleProcess

Tensors = list[tf.Tensor]

OPTIMIZERS: dict[str, tuple[type, dict[str, Any]]] = {
    "adamw": (keras.optimizers.AdamW, {"beta_2": 0.99}),
    "adam": (keras.optimizers.Adam, {"beta_2": 0.99}),
    "rmsprop": (keras.optimizers.RMSprop, {}),
    "sgd": (keras.optimizers.SGD, {"momentum": 0.9}),
    # Keras' initial value of 0.1 is far above clipped gradients.
    "adagrad": (keras.optimizers.Adagrad, {"initial_accumulator_value": 0.0}),
    "adadelta": (keras.optimizers.Adadelta, {}),
}
"""Keras' class, and what it is given besides, by `TrainingSettings.optimizer`."""


class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy against targets that leave a share to all tokens (Szegedy et al. 2016).

    (1 - share) * -log p[target] + share * mean over the vocabulary of -log p

    Args:
        share: of the aim, spread evenly; 0 to 1.
    """

    def __init__(self, share: float) -> None:
        super().__init__(name="smoothed_cross_entropy")
        self.share = share

    def call(self, y_true: Any, y_pred: Any) -> Any:
        log_p = tf.nn.log_softmax(y_pred)  # (B, T, V)
        hit = tf.gather(log_p, tf.cast(y_true, tf.int32), batch_dims=2)  # (B, T)
        return -(1 - self.share) * hit - self.share * tf.reduce_mean(log_p, axis=-1)


class TrainStep:
    """Trains a model on batches, so many steps per call.

    A step has three parts: gradients of this process' rows; their mean over all processes; the
    update. XLA compiles the first and the last, which is what `textgen.model.recurrent` is written
    for, and where the mean can be compiled too, all three as one.

    Gradients are dense, so that they can be summed, and so that the norm by which they are clipped
    counts a token that comes several times with the sum of its gradients. L1 and L2 are added to
    the gradients and not by Keras' regularizers, so that the loss stays the cross-entropy: l1 |w|
    has the gradient l1 sign(w), and l2 w^2 has 2 l2 w (Keras' convention).

    Args:
        model: stateful, returns logits.
        settings: how to train; the learning rate is set from call to call.
        steps_at_once: steps per call.
        workers: the processes that train it together.
        how: what of it is compiled; None: as of a plain model on the processor.
    """

    def __init__(
        self,
        model: keras.Model,
        settings: TrainingSettings,
        steps_at_once: int = 1,
        workers: SingleProcess | None = None,
        how: Computation | None = None,
    ) -> None:
        workers = workers or SingleProcess()
        if settings.freeze_embeddings:
            model.get_layer("embedding").trainable = False
        kind, arguments = OPTIMIZERS[settings.optimizer]
        # Weight decay is apart from the gradient (AdamW, Loshchilov & Hutter 2019) for all.
        optimizer = kind(
            weight_decay=settings.weight_decay,
            global_clipnorm=settings.clip_norm or None,
            **arguments,
        )
        model.compile(optimizer=optimizer)  # which is where callbacks look for it
        optimizer.build(model.trainable_variables)
        self.model, self.optimizer, self.settings = model, optimizer, settings
        self.steps_at_once, self._mean_over_workers = steps_at_once, workers.mean
        plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        smoothing = settings.label_smoothing
        # The first is minimized; the last, which is reported, is always plain.
        self._losses = [SmoothedCrossentropy(smoothing), plain] if smoothing else [plain]
        self._running_losses = [keras.metrics.Mean(name=loss.name) for loss in self._losses]
        self._gradient_norm = keras.metrics.Mean(name="gradient_norm")
        self._weights_before: Tensors = []
        how = how or computation()
        model_too, update = how.compiles_model, how.compiles_update
        self._gradients = tf.function(self._loss_gradients, jit_compile=model_too)
        self._update = tf.function(self._apply_gradients, jit_compile=update)
        self._step = tf.function(
            self._one_step, jit_compile=model_too and update and workers.compiles_mean
        )
        self._steps = tf.function(self._several_steps)

    def __call__(self, batches: Iterator[tuple[tf.Tensor, tf.Tensor]]) -> float:
        """Train on the next batches: inputs and targets, int32, (B, T) each.

        Returns:
            The cross-entropy, nats per token, the mean since `begin_epoch`.
        """
        # Holding the weights is no copy: TensorFlow keeps the numbers of a tensor that is held, and
        # gives the variable new ones. Any call may turn out to be the epoch's last.
        self._weights_before = self._weights()
        return float(self._steps(batches)[-1])

    def begin_epoch(self) -> None:
        """Begin the means of the loss and of the gradients' norm anew."""
        for running in [*self._running_losses, self._gradient_norm]:
            running.reset_state()

    def set_learning_rate(self, rate: float) -> None:
        """Take `rate` for the next steps."""
        self.optimizer.learning_rate.assign(rate)

    def learning_rate(self) -> float:
        """Returns that of the last steps."""
        return float(self.optimizer.learning_rate.numpy())

    def gradient_norm(self) -> float:
        """Returns the norm of all gradients together, before `clip_norm`; the mean of an epoch."""
        return float(self._gradient_norm.result())

    def update_ratios(self) -> dict[str, float]:
        """Returns how far the last call moved each layer's weights, per step, once for a call.

        That is the norm of the change over that of the weights. It is measured out here, because
        within every step it would take a fifth of the step's time.
        """
        changes: dict[str, list[float]] = {}
        sizes: dict[str, list[float]] = {}
        pairs = zip(self._weights_before, self._weights(), strict=True)
        for variable, (before, now) in zip(self.model.trainable_variables, pairs, strict=True):
            layer, old = variable.path.split("/")[0], before.numpy()
            changes.setdefault(layer, []).append(float(np.linalg.norm(now.numpy() - old)))
            sizes.setdefault(layer, []).append(float(np.linalg.norm(old)))
        self._weights_before = []
        return {
            layer: math.hypot(*change) / max(math.hypot(*sizes[layer]), 1e-12) / self.steps_at_once
            for layer, change in changes.items()
        }

    def variables(self) -> dict[str, tf.Variable]:
        """Returns every variable that training changes, by layer and position.

        Keras' own paths will not do: they number optimizers and random generators by how many the
        process has made before. The names and their order are those of stored training states.
        """
        layers = self.model.layers
        norm = self._gradient_norm
        owned = {layer.name: layer.variables for layer in layers}
        states = {f"{layer.name}/state": getattr(layer, "states", None) or [] for layer in layers}
        losses = [variable for running in self._running_losses for variable in running.variables]
        more = {
            "optimizer": [*self.optimizer.variables, norm.count, norm.total],
            "metrics": losses,
        }
        return {
            f"{owner}/{position}": variable.value
            for owner, variables in (owned | states | more).items()
            for position, variable in enumerate(variables)
        }

    def shift_random_seeds(self, number: int) -> None:
        """Draw other dropout than workers of another number, from the same state."""
        for layer in self.model.layers:
            for variable in layer.variables:
                if variable.path.endswith("seed_generator_state"):
                    variable.assign_add(np.array([number, 0]))

    def _weights(self) -> Tensors:
        return [tf.convert_to_tensor(w.value) for w in self.model.trainable_variables]

    def _several_steps(self, batches: Any) -> Tensors:
        """Simpler than Keras' own, which looks at every step whether there is another one, and
        which cannot hold a step that waits for other machines.
        """
        for _ in tf.range(self.steps_at_once):
            self._step(*next(batches))
        return [running.result() for running in self._running_losses]

    def _one_step(self, inputs: tf.Tensor, targets: tf.Tensor) -> None:
        self._update(self._mean_over_workers(self._gradients(inputs, targets)))

    def _loss_gradients(self, inputs: tf.Tensor, targets: tf.Tensor) -> Tensors:
        """Returns the losses, and the gradients of the first."""
        with tf.GradientTape() as tape:
            logits = self.model(inputs, training=True)  # (B, T, V)
            losses = [loss(targets, logits) for loss in self._losses]
        gradients = tape.gradient(losses[0], self.model.trainable_weights)
        return losses + [tf.convert_to_tensor(gradient) for gradient in gradients]

    def _apply_gradients(self, values: Tensors) -> None:
        """Update the weights by what `_loss_gradients` gives, and note losses and the norm."""
        count = len(self._losses)
        losses, gradients = values[:count], values[count:]
        for running, loss in zip(self._running_losses, losses, strict=True):
            running.update_state(loss)
        gradients = self._clipped_by_value(self._with_penalties(gradients))
        self._gradient_norm.update_state(tf.linalg.global_norm(gradients))
        self.optimizer.apply(gradients, self.model.trainable_weights)

    def _with_penalties(self, gradients: Tensors) -> Tensors:
        l1, l2 = self.settings.l1, self.settings.l2
        if not (l1 or l2):
            return gradients
        weights = self.model.trainable_weights
        return [
            g if w.name == "bias" else g + l1 * tf.sign(w.value) + 2 * l2 * w.value
            for g, w in zip(gradients, weights, strict=True)
        ]

    def _clipped_by_value(self, gradients: Tensors) -> Tensors:
        """Cut each number to `clip_value`, before Keras scales all by their norm; Keras itself
        does but one of the two.
        """
        size = self.settings.clip_value
        return [tf.clip_by_value(g, -size, size) for g in gradients] if size else gradients


class Validation:
    """The loss over a whole text that is not trained on.

    Args:
        model: a stateful model.
        ids: the text, (N,).
        settings: gives the batch's rows and length.
        workers: the processes that train together; each scores its rows.
        how: what of it is compiled; None: as of a plain model on the processor.

    Raises:
        TextgenError: if the text is too short.
    """

    def __init__(
        self,
        model: keras.Model,
        ids: StoredIds,
        settings: TrainingSettings,
        workers: SingleProcess | None = None,
        how: Computation | None = None,
    ) -> None:
        self.model, self.ids, self.workers = model, ids, workers or SingleProcess()
        self.size = settings.batch_size, settings.seq_length
        next(self._batches())  # refuses a text that is too short
        compiles = (how or computation()).compiles_model
        self._sum = tf.function(self._summed_loss, jit_compile=compiles)

    def loss(self) -> float:
        """Returns nats per token, read from zero state; the model's state stays what it was."""
        with fresh_state(self.model):
            total = sum(float(self._sum(*map(tf.constant, batch))) for batch in self._batches())
        release(self.ids)
        return float(self.workers.sum(np.array(total))) / (len(self.ids) - 1)

    def _batches(self) -> Iterator[EvaluationBatch]:
        return evaluation_batches(self.ids, *self.size, self.workers.rows(self.size[0]))

    def _summed_loss(self, inputs: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        logits = self.model(inputs, training=False)  # (B, T, V)
        losses = keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True)
        return tf.reduce_sum(losses * weights)
