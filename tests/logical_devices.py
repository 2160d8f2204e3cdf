"""Trains on the second of two devices, as a worker does on its GPU, and goes on upon the first.

A process of its own, because a processor can be made two devices only before TensorFlow starts. It
prints where each of the two trainings had what it changes.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from textgen.model.backend import tf
from textgen.model.keras_model import build_model
from textgen.settings.definitions import ModelSettings, TrainingSettings
from textgen.training.batches import cut_batches, tf_dataset
from textgen.training.snapshots import Snapshots, Stored
from textgen.training.step import TrainStep, Validation
from textgen.training.workers import Layout, gpu_for

IDS = np.arange(80, dtype=np.uint8) % 5
SETTINGS = TrainingSettings(batch_size=2, seq_length=4)


def begun(random_seed: int) -> tuple[TrainStep, Iterator[Any]]:
    """A training with its batches, on the device of the block that this is called in."""
    model = ModelSettings(embedding_size=3, rnn_size=4, dropout=0.1)
    step = TrainStep(build_model(model, 5, 2, random_seed, carries_state=False), SETTINGS)
    return step, iter(tf_dataset(cut_batches(IDS, 2, 4, 4, None), 0))


def main(folder: Path) -> None:
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
    devices = tf.config.list_logical_devices("CPU")
    with tf.device(gpu_for(Layout(("here:1", "here:2"), index=1), devices, "auto").name):
        one, batches = begun(random_seed=1)
        one(batches)
        assert 0 < Validation(one.model, IDS, SETTINGS).loss() < 3
        snapshots = Snapshots(folder, one.variables())
        snapshots.begin()
        snapshots.save(Stored(run={}, clock={}))
        losses = [one(batches)]
    with tf.device(devices[0].name):
        other, batches = begun(random_seed=2)
        other(batches)  # the batches begin alike
        Snapshots(folder, other.variables()).restore()
        losses.append(other(batches))
    assert losses[0] == losses[1], losses
    for step in (one, other):
        print({variable.device.rpartition("device:")[2] for variable in step.variables().values()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
