"""Logits -> next token ids. NumPy, with an explicit random generator."""

import numpy as np
import numpy.typing as npt

from textgen.config import SamplingConfig

Logits = npt.NDArray[np.float32]


def sample_next(
    logits: Logits, rng: np.random.Generator, config: SamplingConfig
) -> npt.NDArray[np.intp]:
    """Draw one token id per row.

    With temperature t the probabilities are softmax(logits / t); with temperature 0 the
    likeliest token is taken. Each row uses up one uniform number of `rng`, turned into a token
    by inverting the cumulative distribution.

    Args:
        logits: (B, V), float32; -inf for a token that must not be drawn.
        rng: the source of randomness.
        config: the temperature.

    Returns:
        Token ids, (B,).
    """
    if config.temperature == 0:
        return logits.argmax(axis=-1)  # type: ignore[no-any-return]
    return draw(softmax(logits, config.temperature), rng)


def softmax(logits: Logits, temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """exp(logits / temperature), normalised over the last axis, in float64.

    The greatest logit is subtracted first, so no temperature above 0 overflows.
    """
    shifted = (logits - logits.max(axis=-1, keepdims=True)).astype(np.float64)
    weights = np.exp(shifted / temperature)
    probabilities: npt.NDArray[np.float64] = weights / weights.sum(axis=-1, keepdims=True)
    return probabilities


def draw(probabilities: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """One index per row of `probabilities` (B, V), each drawn with its probability."""
    cumulative = probabilities.cumsum(axis=-1)
    thresholds = rng.random((len(probabilities), 1)) * cumulative[:, -1:]
    return (cumulative <= thresholds).sum(axis=-1)  # type: ignore[no-any-return]
