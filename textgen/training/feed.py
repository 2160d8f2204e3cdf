"""The training text as `fit` reads it: the batches of an epoch through tf.data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from textgen.model.backend import tf
from textgen.settings.definitions import TrainingSettings
from textgen.support.arrays import Ids
from textgen.tokens.token_files import release
from textgen.tokens.tokenizer import StoredIds
from textgen.training.batches import Batches, training_batches
from textgen.training.workers import Cluster


def batches_for(settings: TrainingSettings, ids: StoredIds, cluster: Cluster) -> Batches:
    """The batches of the training text `ids`, of which this worker reads its rows.

    Raises:
        TextgenError: if the text is too short, or the rows cannot be shared out.
    """
    batches = training_batches(
        ids, settings.batch_size, settings.seq_length, settings.seq_step, settings.steps_per_epoch
    )
    return dataclasses.replace(batches, rows=cluster.rows(settings.batch_size))


def dataset(batches: Batches, step: Callable[[], int], steps: int) -> tf.data.Dataset:
    """The batches of an epoch, or of what is left of one, read one call of steps ahead.

    `fit` reads it anew for each epoch: from batch number `step()` on, so many `steps`.
    Without autotuning: where an epoch ends, its thread is now and then waited for, for as long as
    the epoch took.
    """

    def read() -> Iterator[tuple[Ids, Ids]]:
        start = step()
        for block in batches.blocks(start, start + steps):
            yield block
            release(batches.ids)

    options = tf.data.Options()
    options.autotune.enabled = False
    shape = (None, len(range(batches.batch_size)[batches.rows]), batches.seq_length)
    blocks = tf.data.Dataset.from_generator(
        read, output_signature=2 * (tf.TensorSpec(shape, tf.int32),)
    )
    pairs = blocks.unbatch().apply(tf.data.experimental.assert_cardinality(steps))
    return pairs.prefetch(batches.steps_at_once).with_options(options)
