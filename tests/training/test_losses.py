import math

import numpy as np
import pytest

from textgen.training.losses import SmoothedCrossentropy


def test_smoothed_cross_entropy_by_hand() -> None:
    # p = (1/4, 3/4), target 1, share 0.2: 0.8 * -ln 3/4 + 0.2 * (-ln 1/4 - ln 3/4) / 2
    logits = np.log(np.array([[[0.25, 0.75]]], np.float32))
    expected = -0.8 * math.log(0.75) - 0.1 * (math.log(0.25) + math.log(0.75))
    loss = SmoothedCrossentropy(0.2)(np.array([[1]]), logits)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
