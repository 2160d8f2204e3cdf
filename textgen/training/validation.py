"""The loss on held-out text."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from textgen.model.backend import keras, tf
from textgen.model.keras_model import fresh_state
from textgen.settings.definitions import TrainingSettings
from textgen.tokens.token_files import release
from textgen.tokens.tokenizer import StoredIds
from textgen.training.batches import EvaluationBatch, evaluation_batches
from textgen.training.workers import Cluster


class Validation(keras.callbacks.Callback):
    """Adds `val_loss`, nats per token over a whole text, to each epoch's logs.

    Args:
        model: a stateful model.
        ids: the text, (N,).
        settings: gives the batch's rows and length.
        cluster: the workers; each scores its rows.

    Raises:
        TextgenError: if the text is too short.
    """

    def __init__(
        self,
        model: keras.Model,
        ids: StoredIds,
        settings: TrainingSettings,
        cluster: Cluster | None = None,
    ) -> None:
        super().__init__()
        self.set_model(model)
        self.ids, self.cluster = ids, cluster or Cluster()
        self.size = settings.batch_size, settings.seq_length
        next(self._batches())  # refuses a text that is too short
        self._sum = tf.function(self._summed_loss, jit_compile=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        logs["val_loss"] = self.loss()

    def loss(self) -> float:
        """The loss on the text, read from zero state; the model's state stays what it was."""
        with fresh_state(self.model):
            total = sum(float(self._sum(*map(tf.constant, batch))) for batch in self._batches())
        release(self.ids)
        return float(self.cluster.sum(np.array(total))) / (len(self.ids) - 1)

    def _batches(self) -> Iterator[EvaluationBatch]:
        return evaluation_batches(self.ids, *self.size, self.cluster.rows(self.size[0]))

    def _summed_loss(self, inputs: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        logits = self.model(inputs, training=False)
        losses = keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True)
        return tf.reduce_sum(losses * weights)
