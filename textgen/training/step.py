"""One training step, on one machine or on several that share it, and the loss on held-out text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from textgen.model.backend import keep_freed_memory, keras, tf
from textgen.model.devices import Computation, computation
from textgen.model.keras_model import state_sizes
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


class RowParts:
    """The rows of a batch that a process computes, and the parts that it computes side by side.

    Args:
        rows: which rows of the batch.
        parts: how many; their sizes differ by one row at most.
    """

    def __init__(self, rows: slice, parts: int = 1) -> None:
        self.numbers = np.arange(rows.start, rows.stop, dtype=np.int32)
        self.count = len(self.numbers)
        cut = np.array_split(self.numbers, min(parts, self.count))
        self.sizes = [len(part) for part in cut]

    def split(self, tensors: Tensors) -> list[Tensors]:
        """Cuts tensors (rows, ...) into those of each part, (rows of the part, ...)."""
        cut = [tf.split(tensor, self.sizes) for tensor in tensors]
        return [list(part) for part in zip(*cut, strict=True)]

    def each(self, compute: Any, states: list[Tensors], batch: Tensors) -> list[Any]:
        """Returns what `compute(state, row numbers, *batch)` gives of each part of the rows."""
        parts = self.split([self.numbers, *batch])
        return [compute(state, *part) for state, part in zip(states, parts, strict=True)]

    def mean(self, values: list[Tensors]) -> Tensors:
        """Returns the mean over all rows of each tensor, from its mean over the rows of a part."""
        if len(values) == 1:
            return values[0]
        shares = [size / self.count for size in self.sizes]
        weighted = [[share * x for x in part] for share, part in zip(shares, values, strict=True)]
        return [tf.add_n(parts) for parts in zip(*weighted, strict=True)]


def recurrent_layers(model: keras.Model) -> list[keras.layers.RNN]:
    """Returns the layers that have a state."""
    return [layer for layer in model.layers if isinstance(layer, keras.layers.RNN)]


def zero_states(model: keras.Model, rows: int) -> dict[str, tf.Tensor]:
    """Returns the recurrent state from which a text is read, (rows, H) each, by stored name."""
    return {
        f"{layer.name}/state/{number}": tf.zeros((rows, size))
        for layer in recurrent_layers(model)
        for number, size in enumerate(state_sizes(layer))
    }


def random_seeds(layers: Sequence[keras.layers.Layer]) -> list[Any]:
    """Returns Keras' variables that dropout is drawn from."""
    variables = [variable for layer in layers for variable in layer.variables]
    return [variable for variable in variables if variable.path.endswith("seed_generator_state")]


class TrainStep:
    """Trains a model on batches, so many steps per call.

    A step has three stages: gradients of this process' rows; their mean over all processes; the
    update. XLA compiles the first and the last, which is what `textgen.model.recurrent` is written
    for, and where the mean can be compiled too, all three as one.

    XLA computes small products on one core. So the rows may be cut into parts, whose gradients are
    programs that TensorFlow runs side by side; their mean and the update are another one. But for
    the order of sums the result is the same.

    Gradients are dense, so that they can be summed, and so that the norm by which they are clipped
    counts a token that comes several times with the sum of its gradients. L1 and L2 are added to
    the gradients and not by Keras' regularizers, so that the loss stays the cross-entropy: l1 |w|
    has the gradient l1 sign(w), and l2 w^2 has 2 l2 w (Keras' convention).

    Args:
        model: of `build_model`, a function of rows and state.
        settings: how to train; the learning rate is set from call to call.
        steps_at_once: steps per call.
        workers: the processes that train it together.
        how: what of it is compiled; None: as of a plain model on the processor.
        parts: programs that compute the gradients side by side.
    """

    def __init__(
        self,
        model: keras.Model,
        settings: TrainingSettings,
        steps_at_once: int = 1,
        workers: SingleProcess | None = None,
        how: Computation | None = None,
        parts: int = 1,
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
        self.steps_at_once = steps_at_once
        self._mean_over_workers, self._compiles_mean = workers.mean, workers.compiles_mean
        plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        smoothing = settings.label_smoothing
        # The first is minimized; the last, which is reported, is always plain.
        self._losses = [SmoothedCrossentropy(smoothing), plain] if smoothing else [plain]
        self._running_losses = [keras.metrics.Mean(name=loss.name) for loss in self._losses]
        self._gradient_norm = keras.metrics.Mean(name="gradient_norm")
        self._weights_before: Tensors = []
        self._steps_of_call = steps_at_once
        self.rows = RowParts(workers.rows(settings.batch_size), parts)
        self.states = {
            name: tf.Variable(state) for name, state in zero_states(model, self.rows.count).items()
        }
        self._seeds = random_seeds(model.layers)
        how = how or computation()
        model_too, update = how.compiles_model, how.compiles_update
        as_one = len(self.rows.sizes) == 1 and model_too and update and workers.compiles_mean
        self._gradients = tf.function(self._loss_gradients, jit_compile=model_too)
        self._update = tf.function(self._apply_gradients, jit_compile=update)
        self._step = tf.function(self._one_step, jit_compile=as_one)
        self._steps = tf.function(self._several_steps)

    def __call__(
        self, batches: Iterator[tuple[tf.Tensor, tf.Tensor]], steps: int | None = None
    ) -> float:
        """Train on the next batches: inputs and targets, int32, (B, T) each.

        Args:
            batches: gives them.
            steps: how many; None for `steps_at_once`.

        Returns:
            The cross-entropy, nats per token, the mean since `begin_epoch`.
        """
        self._steps_of_call = steps or self.steps_at_once
        keep_freed_memory()  # again, for the dataset may have ended it
        # Holding the weights is no copy: TensorFlow keeps the numbers of a tensor that is held, and
        # gives the variable new ones. Any call may turn out to be the epoch's last.
        self._weights_before = self._weights()
        return float(self._steps(batches, tf.constant(self._steps_of_call))[-1])

    def restart(self, model: keras.Model, settings: TrainingSettings) -> None:
        """Takes the weights of a model like its own, and goes back to before the first step.

        Args:
            model: has the new weights and random seeds.
            settings: those of the new training; they compile to the same program.
        """
        self.settings = settings
        names = [layer.name for layer in self.model.layers]
        for name, variable in self.variables().items():
            if name.split("/")[0] not in names:
                variable.assign(tf.zeros_like(variable))
        self.reset_state()
        for old, new in zip(self.model.layers, model.layers, strict=True):
            for variable, value in zip(old.variables, new.variables, strict=True):
                variable.assign(value)

    def reset_state(self) -> None:
        """Set the recurrent state of all rows to zero."""
        for state in self.states.values():
            state.assign(tf.zeros_like(state))

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
            layer: math.hypot(*change) / max(math.hypot(*sizes[layer]), 1e-12) / self._steps_of_call
            for layer, change in changes.items()
        }

    def variables(self) -> dict[str, tf.Variable]:
        """Returns every variable that training changes, by layer and position.

        Keras' own paths will not do: they number optimizers and random generators by how many the
        process has made before. The names and their order are those of stored training states.
        """
        norm = self._gradient_norm
        owned = {layer.name: layer.variables for layer in self.model.layers}
        losses = [variable for running in self._running_losses for variable in running.variables]
        more = {
            "optimizer": [*self.optimizer.variables, norm.count, norm.total],
            "metrics": losses,
        }
        named = {
            f"{owner}/{position}": variable.value
            for owner, variables in (owned | more).items()
            for position, variable in enumerate(variables)
        }
        return named | self.states

    def shift_random_seeds(self, number: int) -> None:
        """Draw other recurrent dropout than workers of another number, from the same state."""
        for variable in random_seeds(recurrent_layers(self.model)):
            variable.assign_add(np.array([number, 0]))

    def _weights(self) -> Tensors:
        return [tf.convert_to_tensor(w.value) for w in self.model.trainable_variables]

    def _several_steps(self, batches: Any, steps: tf.Tensor) -> Tensors:
        """Simpler than Keras' own, which looks at every step whether there is another one, and
        which cannot hold a step that waits for other machines.
        """
        states = self.rows.split(list(self.states.values()))
        for _ in tf.range(steps):
            states = self._step(states, *next(batches))
        for variable, parts in zip(self.states.values(), zip(*states, strict=True), strict=True):
            variable.assign(tf.concat(parts, 0))
        return [running.result() for running in self._running_losses]

    def _one_step(
        self, states: list[Tensors], inputs: tf.Tensor, targets: tf.Tensor
    ) -> list[Tensors]:
        """Returns the state after a batch, by part of its rows."""
        parts = self.rows.each(self._gradients, states, [inputs, targets])
        gradients = [part[0] for part in parts]
        if not self._compiles_mean:
            gradients = [self._mean_over_workers(self.rows.mean(gradients))]
        self._update(gradients, parts[0][1])
        return [part[2] for part in parts]

    def _loss_gradients(
        self, states: Tensors, rows: tf.Tensor, inputs: tf.Tensor, targets: tf.Tensor
    ) -> tuple[Tensors, Tensors, Tensors]:
        """Returns the losses, and the gradients of the first; the next seeds; the next states.

        It changes no variable, so that several can run at once.
        """
        with keras.StatelessScope(), tf.GradientTape() as tape:
            logits, *states = self.model([inputs, rows, *states], training=True)  # (b, T, V)
            losses = [loss(targets, logits) for loss in self._losses]
            seeds = [seed.value * 1 for seed in self._seeds]
        gradients = tape.gradient(losses[0], [w.value for w in self.model.trainable_weights])
        values = losses + [tf.convert_to_tensor(gradient) for gradient in gradients]
        return values, seeds, [tf.cast(state, tf.float32) for state in states]

    def _apply_gradients(self, parts: list[Tensors], seeds: Tensors) -> None:
        """Update the weights by what `_loss_gradients` gives, and note losses and the norm."""
        values = self.rows.mean(parts)
        count = len(self._losses)
        losses, gradients = values[:count], values[count:]
        for running, loss in zip(self._running_losses, losses, strict=True):
            running.update_state(loss)
        for variable, seed in zip(self._seeds, seeds, strict=True):
            variable.assign(seed)
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
        model: of `build_model`, a function of rows and state.
        ids: the text, (N,).
        settings: gives the batch's rows and length.
        workers: the processes that train together; each scores its rows.
        how: what of it is compiled; None: as of a plain model on the processor.
        parts: programs that score side by side.

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
        parts: int = 1,
    ) -> None:
        self.model, self.workers = model, workers or SingleProcess()
        self.size = settings.batch_size, settings.seq_length
        self.rows = RowParts(self.workers.rows(settings.batch_size), parts)
        self.read(ids)
        compiles = (how or computation()).compiles_model
        self._score = tf.function(self._summed_loss, jit_compile=compiles)
        self._score_all = tf.function(self._summed_losses)

    def read(self, ids: StoredIds) -> None:
        """Takes a text, (N,). Raises TextgenError if it is too short."""
        self.ids = ids
        next(self._batches())

    def loss(self) -> float:
        """Returns nats per token, read from zero state."""
        states = self.rows.split(list(zero_states(self.model, self.rows.count).values()))
        total = 0.0
        for batch in self._batches():
            losses, states = self._score_all(states, *map(tf.constant, batch))
            total += float(losses)
        release(self.ids)
        return float(self.workers.sum(np.array(total))) / (len(self.ids) - 1)

    def _batches(self) -> Iterator[EvaluationBatch]:
        return evaluation_batches(self.ids, *self.size, self.workers.rows(self.size[0]))

    def _summed_losses(
        self, states: list[Tensors], *batch: tf.Tensor
    ) -> tuple[tf.Tensor, list[Tensors]]:
        parts = self.rows.each(self._score, states, list(batch))
        return tf.add_n([loss for loss, _ in parts]), [state for _, state in parts]

    def _summed_loss(
        self,
        states: Tensors,
        rows: tf.Tensor,
        inputs: tf.Tensor,
        targets: tf.Tensor,
        weights: tf.Tensor,
    ) -> tuple[tf.Tensor, Tensors]:
        logits, *states = self.model([inputs, rows, *states], training=False)  # (b, T, V)
        losses = keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True)
        return tf.reduce_sum(losses * weights), [tf.cast(state, tf.float32) for state in states]
