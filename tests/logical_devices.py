"""Trains a step on the second of two devices, as a worker does on its GPU; prints what is where.

A process of its own, because a processor can be made two devices only before TensorFlow starts.
"""

import numpy as np

from textgen.model.backend import tf
from textgen.model.keras_model import build_model
from textgen.settings.definitions import ModelSettings, TrainingSettings
from textgen.training.batches import tf_dataset, training_batches
from textgen.training.step import TrainStep, Validation
from textgen.training.workers import Layout, gpu_for

IDS = np.arange(80, dtype=np.uint8) % 5


def main() -> None:
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
    layout = Layout(("here:1", "here:2"), index=1)
    device = gpu_for(layout, tf.config.list_logical_devices("CPU"), "auto")
    settings = TrainingSettings(batch_size=2, seq_length=4)
    with tf.device(device.name):
        model = build_model(ModelSettings(embedding_size=3, rnn_size=4, dropout=0.1), 5, 2)
        step = TrainStep(model, settings)
        loss = step(iter(tf_dataset(training_batches(IDS, 2, 4, 4, None), 0)))
        assert 0 < loss < 3
        assert 0 < Validation(model, IDS, settings).loss() < 3
    print({variable.device.rpartition("device:")[2] for variable in step.variables().values()})


if __name__ == "__main__":
    main()
