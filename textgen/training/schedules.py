"""The learning rate over a run, as plain functions of how far the run has come."""

import math
from collections.abc import Sequence

from textgen.settings.definitions import DECAY_RATES, TrainingSettings

PATIENCE = 2
"""Epochs without improvement after which `plateau` lowers the learning rate."""


def learning_rate(
    settings: TrainingSettings, step: int, fraction: float, epoch: int, losses: Sequence[float] = ()
) -> float:
    """The learning rate of the next step: a linear warm-up, times the schedule.

    Args:
        settings: gives the peak, the schedule and the warm-up.
        step: updates made so far.
        fraction: how far the run has come, 0 to 1; the warm-up ends by a tenth at the latest.
        epoch: whole epochs done.
        losses: of those epochs, for `plateau`.
    """
    warm_up = 1.0
    if settings.warmup_steps:
        warm_up = min(1.0, max((step + 1) / settings.warmup_steps, fraction / 0.1))
    return settings.learning_rate * warm_up * _share(settings, fraction, epoch, losses)


def _share(
    settings: TrainingSettings, fraction: float, epoch: int, losses: Sequence[float]
) -> float:
    """What is left of the peak; the cosine is that of Loshchilov & Hutter 2017, not restarted."""
    schedule = settings.schedule_used
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * fraction))
    if schedule == "constant":
        return 1.0
    rate = settings.decay_rate or DECAY_RATES[schedule]
    return math.pow(rate, epoch if schedule == "exponential" else plateaus(losses))


def plateaus(losses: Sequence[float]) -> int:
    """How often `PATIENCE` epochs in a row were no better than the best before them."""
    count, best, waited = 0, math.inf, 0
    for loss in losses:
        waited = 0 if loss < best else waited + 1
        best = min(best, loss)
        if waited == PATIENCE:
            count, waited = count + 1, 0
    return count
