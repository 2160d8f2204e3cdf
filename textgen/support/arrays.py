"""Names of the arrays that pass between modules."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float32]
"""Weights, states, logits."""
Ids: TypeAlias = npt.NDArray[np.integer]
"""Token ids, or numbers of rows."""
