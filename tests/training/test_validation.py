import math
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import TINY_MODEL, TINY_TRAINING
from textgen.model.keras_model import build_model, get_weights
from textgen.model.network import Network
from textgen.training.validation import Validation


def test_validation_loss_is_what_the_numpy_network_gives_for_the_text() -> None:
    """Rows of the batch start from zero state, so each is scored here by itself."""
    model = build_model(TINY_MODEL, 5, batch_size=2, random_seed=0)
    ids = np.random.default_rng(0).integers(1, 5, 13).astype(np.int32)
    settings = replace(TINY_TRAINING, batch_size=2, seq_length=4)
    network, total = Network(TINY_MODEL, get_weights(model)), 0.0
    for start in (0, 8):  # 12 targets in batches of 2 x 4: rows of 8 and of 4
        stepper = network.stepper(ids[np.newaxis, start : start + 1])
        for position in range(start, min(start + 8, 12)):
            scaled = np.exp(stepper.logits[0].astype(float))
            total -= math.log(scaled[ids[position + 1]] / scaled.sum())
            stepper.step(ids[position + 1 : position + 2])
    validation = Validation(model, ids, settings)
    assert validation.loss() == pytest.approx(total / 12, abs=1e-5)
    assert validation.loss() == pytest.approx(total / 12, abs=1e-5), "state was left behind"


def test_validation_in_the_middle_of_a_pass_leaves_the_carried_state() -> None:
    model = build_model(TINY_MODEL, 5, batch_size=2, random_seed=0)
    ids = np.random.default_rng(0).integers(1, 5, 13).astype(np.int32)
    model(ids[:8].reshape(2, 4))
    before = [state.numpy() for layer in model.layers for state in getattr(layer, "states", [])]
    Validation(model, ids, replace(TINY_TRAINING, batch_size=2, seq_length=4)).loss()
    after = [state.numpy() for layer in model.layers for state in getattr(layer, "states", [])]
    assert np.any(before[0])
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
