import math

import pytest

from textgen.training.clock import RunClock, SharedClock


def test_a_clock_of_steps() -> None:
    clock = RunClock(total_steps=4, total_seconds=None, tokens_per_step=10)
    assert clock.fraction == 0
    assert clock.seconds_left == math.inf
    clock.count_steps(1)
    assert clock.fraction == 0.25
    for _ in range(5):
        clock.count_steps(1)
    assert clock.fraction == 1
    assert clock.seconds_left == 0


def test_a_clock_of_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("textgen.training.clock.time.perf_counter", lambda: now)
    clock = RunClock(total_steps=None, total_seconds=60, tokens_per_step=10)
    clock.restart()
    now = 103.0
    assert (clock.fraction, clock.seconds, clock.seconds_left) == (0, 3, 57)
    clock.count_steps(1)  # compiling took 3 of the 60 seconds, 1 is for files: 56 are left
    now = 117.0
    assert (clock.fraction, clock.seconds, clock.seconds_left) == (0.25, 17, 43)
    clock.count_steps(1)
    clock.epoch_work = 29
    assert clock.fraction == 0.5
    assert clock.tokens_per_second == 10 / 14, "one step of 10 tokens since compiling ended"
    now = 120.0
    clock.begin_epoch()
    assert clock.reserved == 3, "the work between the last step and the next epoch"
    now = 200.0
    assert (clock.fraction, clock.seconds_left) == (1, 0)


def test_time_is_kept_for_a_validation_not_yet_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("textgen.training.clock.time.perf_counter", lambda: now)
    clock = RunClock(None, total_seconds=60, tokens_per_step=10, validation_steps=6)
    clock.restart()
    clock.count_steps(1)
    now = 2.0
    clock.count_steps(4)
    assert clock.tokens_per_second == 20
    assert clock.reserved == 1 + 6 * 0.5 / 3, "a step takes half a second, validation a third"


def test_a_shared_clock_stands_still_between_ticks_and_shows_the_agreed_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("textgen.training.clock.time.perf_counter", lambda: now)
    clock = SharedClock(10, None, 5, agree=lambda seconds: seconds + 1000)
    clock.restart(7.0)
    now = 103.0
    assert clock.seconds == 7.0
    clock.count_steps(2)
    assert clock.seconds == 1010.0
    now = 200.0
    assert (clock.seconds, clock.step_ended) == (1010.0, 1010.0)
    clock.begin_epoch()
    assert clock.seconds == 1107.0
