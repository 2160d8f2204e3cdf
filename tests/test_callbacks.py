import math
from types import SimpleNamespace

import numpy as np
import pytest

from textgen.backend import keras
from textgen.callbacks import UpdateRatios, in_field_units
from textgen.clock import RunClock


def test_losses_in_field_units() -> None:
    assert in_field_units(math.log(2) * 2, "character") == "2.000 bits per character"
    assert in_field_units(math.log(80), "word") == "perplexity 80.0"


def test_update_ratios_by_hand() -> None:
    # (3, 4) moves to (3, 5) in two steps: 1 / 5 / 2.
    weights = keras.Variable(np.array([3.0, 4.0], "float32"), name="w")
    callback = UpdateRatios(RunClock(10, None, 1))
    callback.set_model(SimpleNamespace(trainable_variables=[weights]))
    callback.on_train_batch_begin(0)
    weights.assign([3.0, 5.0])
    callback.clock.count_steps(2)
    logs: dict[str, float] = {}
    callback.on_epoch_end(0, logs)
    assert logs == {"update_ratio_w": pytest.approx(0.1)}
