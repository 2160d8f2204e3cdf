"""What training minimizes."""

from __future__ import annotations

from typing import Any

from textgen.model.backend import keras, tf

CROSS_ENTROPY = "cross_entropy"
"""The metric that tells the loss as it is without label smoothing."""


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
        log_p = tf.nn.log_softmax(y_pred)
        hit = tf.gather(log_p, tf.cast(y_true, tf.int32), batch_dims=2)
        return -(1 - self.share) * hit - self.share * tf.reduce_mean(log_p, axis=-1)


def by_name(label_smoothing: float) -> dict[str, keras.losses.Loss]:
    """The losses to follow; the first is the one to minimize."""
    plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if not label_smoothing:
        return {"loss": plain}
    return {"loss": SmoothedCrossentropy(label_smoothing), CROSS_ENTROPY: plain}


class PlainLoss(keras.callbacks.Callback):
    """Gives the callbacks after it the cross-entropy as `loss`, where labels are smoothed."""

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        logs["loss"] = logs.get(CROSS_ENTROPY, logs["loss"])

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        logs["loss"] = logs.get(CROSS_ENTROPY, logs["loss"])
