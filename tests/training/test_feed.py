import numpy as np

from textgen.training import feed
from textgen.training.batches import training_batches


def test_nothing_of_tensorflow_tunes_the_reading_of_batches() -> None:
    """Its thread would now and then hold up the end of an epoch for as long as the epoch took."""
    batches = training_batches(np.arange(81, dtype=np.int32), 2, 10, 10, None)
    dataset = feed.dataset(batches, lambda: 1, 2)
    assert dataset.options().autotune.enabled is False
    ((inputs, _),) = batches.blocks(1, 3)
    assert [pair[0].numpy().tolist() for pair in dataset] == inputs.tolist()
    assert dataset.cardinality() == 2
