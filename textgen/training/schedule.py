"""How far a run has come, and what follows from it: the learning rate, and when to save."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from textgen.settings.definitions import DECAY_RATES, TrainingSettings

PLATEAU_EPOCHS = 2
"""Epochs without improvement after which `plateau` lowers the learning rate."""
SECONDS_BETWEEN_SAVES = 50.0
"""Wall time between snapshots; one more call of steps, and it is still within a minute."""


def learning_rate(
    settings: TrainingSettings, step: int, fraction: float, losses: Sequence[float] = ()
) -> float:
    """Returns the learning rate of the next step: a linear warm-up, times the schedule.

    Args:
        settings: gives the peak, the schedule and the warm-up.
        step: updates made so far.
        fraction: how far the run has come, 0 to 1; the warm-up ends by a tenth at the latest.
        losses: of the epochs done.
    """
    warm_up = 1.0
    if settings.warmup_steps:
        warm_up = min(1.0, max((step + 1) / settings.warmup_steps, fraction / 0.1))
    return settings.learning_rate * warm_up * _multiplier(settings, fraction, losses)


def _multiplier(settings: TrainingSettings, fraction: float, losses: Sequence[float]) -> float:
    """Returns the multiplier of the peak rate, 0 to 1.

    The cosine is that of Loshchilov & Hutter 2017, not restarted.
    """
    schedule = settings.schedule_used
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * fraction))
    if schedule == "constant":
        return 1.0
    rate = settings.decay_rate or DECAY_RATES[schedule]
    return math.pow(rate, len(losses) if schedule == "exponential" else plateaus(losses))


def plateaus(losses: Sequence[float]) -> int:
    """Counts how often `PLATEAU_EPOCHS` epochs in a row were no better than the best before."""
    count, best, waited = 0, math.inf, 0
    for loss in losses:
        waited = 0 if loss < best else waited + 1
        best = min(best, loss)
        if waited == PLATEAU_EPOCHS:
            count, waited = count + 1, 0
    return count


@dataclass
class RunClock:
    """Counts how far a run has come: in steps, in seconds, and as a fraction of the whole.

    It stands still between one `tick` and the next, so that all of several machines read it alike.

    Args:
        total_steps: the steps of all epochs, if so many end the run.
        total_seconds: the wall time of the run, if that ends it. It includes compiling, validation
            and the writing of files.
        tokens_per_step: tokens that one step trains on (B x T).
        validation_steps: batches of the validation text.
        agree: makes one time of the times of all machines.
    """

    total_steps: int | None
    total_seconds: float | None
    tokens_per_step: int
    validation_steps: int = 0
    agree: Callable[[float], float] = float
    step: int = 0
    seconds: float = 0.0
    """Of this process and of those that the run was begun by, at the last tick."""
    step_ended: float = 0.0
    """When the last step ended, in seconds."""
    compiled: float = 0.0
    """When the first call of steps ended, which includes compiling; the schedule starts there."""
    epoch_work: float | None = None
    """Seconds that the work after an epoch took at least: validation and writing files."""
    _start: float = field(default_factory=time.perf_counter)
    _running: bool = False
    """Whether this process has ended a call of steps; its first one includes compiling."""
    _epoch_start: tuple[int, float] = (0, 0.0)

    def state(self) -> dict[str, float | None]:
        """Ticks, and returns what `restore` takes, in built-in values."""
        self.tick()
        return {
            "step": self.step,
            "seconds": self.seconds,
            "compiled": self.compiled,
            "epoch_work": self.epoch_work,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state` of an earlier process."""
        self.step, self.compiled = state["step"], state["compiled"]
        self.epoch_work = state["epoch_work"]
        self.restart(state["seconds"])

    def restart(self, seconds: float = 0.0) -> None:
        """Count time from now on, after `seconds` of earlier processes."""
        self._start, self.seconds = time.perf_counter() - seconds, seconds

    def tick(self) -> None:
        """Go on to the time that it is."""
        self.seconds = self.agree(time.perf_counter() - self._start)

    def begin_epoch(self) -> None:
        self.tick()
        self._epoch_start = (self.step, self.seconds)

    def end_epoch(self) -> None:
        """Notes how long the work since the last step took; then there may be time for no more."""
        self.tick()
        work = self.seconds - self.step_ended
        self.epoch_work = min(work, self.epoch_work or work)

    def count_steps(self, count: int) -> None:
        self.tick()
        self.step, self.step_ended = self.step + count, self.seconds
        if not self._running:
            self._running = True
            self.compiled = self.compiled or self.step_ended
            self._epoch_start = (self.step, self.step_ended)

    @property
    def reserved(self) -> float:
        """Seconds to keep for the work after the last step.

        They are what it took after an earlier epoch. Before there is one: a second to compile
        and write files, and a third of a training step per validation batch.
        """
        if self.epoch_work is not None:
            return self.epoch_work
        speed = self.tokens_per_second
        return 1 + self.validation_steps * self.tokens_per_step / speed / 3 if speed else 1.0

    @property
    def tokens_per_second(self) -> float:
        """The speed of this epoch's steps; compiling and validation do not count."""
        step, seconds = self._epoch_start
        elapsed = self.step_ended - seconds
        return (self.step - step) * self.tokens_per_step / elapsed if elapsed > 0 else 0.0

    @property
    def fraction(self) -> float:
        """0 until the first step ended, 1 when the last one has; by what ends the run first."""
        if self.step == 0:
            return 0.0
        if self.total_seconds is None:
            return min(1.0, self._share_of_steps)
        available = self.total_seconds - self.reserved - self.compiled
        share = (self.seconds - self.compiled) / available if available > 0 else 1.0
        return min(1.0, max(share, self._share_of_steps))

    @property
    def seconds_left(self) -> float:
        share = self._share_of_steps
        by_steps = self.seconds * (1 - share) / share if share else math.inf
        by_time = math.inf if self.total_seconds is None else self.total_seconds - self.seconds
        return max(0.0, min(by_steps, by_time))

    @property
    def _share_of_steps(self) -> float:
        return self.step / self.total_steps if self.total_steps else 0.0


def clock_for(
    settings: TrainingSettings,
    steps_per_epoch: int,
    validation_tokens: int,
    agree: Callable[[float], float],
) -> RunClock:
    """Returns the clock of a run, at its start.

    Args:
        settings: says how long the run is.
        steps_per_epoch: steps of an epoch.
        validation_tokens: of the held-out text.
        agree: see `RunClock`.
    """
    size = settings.batch_size * settings.seq_length
    return RunClock(
        total_steps=settings.most_epochs and settings.most_epochs * steps_per_epoch,
        total_seconds=settings.minutes and 60 * settings.minutes,
        tokens_per_step=size,
        validation_steps=validation_tokens // size,
        agree=agree,
    )


class SaveTimer:
    """Tells when a snapshot is due: after `every` steps, if given, and after most of a minute.

    Args:
        clock: the run's clock.
        every: steps between snapshots; None for by time alone.
    """

    def __init__(self, clock: RunClock, every: int | None) -> None:
        self.clock, self.every = clock, every
        self.restart()

    def is_due(self) -> bool:
        """Whether it is time to save."""
        steps = self.clock.step - self._step
        if self.every and steps >= self.every:
            return True
        return self.clock.seconds - self._seconds >= SECONDS_BETWEEN_SAVES

    def restart(self) -> None:
        """Note that a snapshot was just saved."""
        self._step, self._seconds = self.clock.step, self.clock.seconds
