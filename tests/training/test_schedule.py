import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgen.settings.definitions import SCHEDULES, TrainingSettings
from textgen.support.errors import TextgenError
from textgen.training.schedule import (
    RunClock,
    SaveTimer,
    learning_rate,
    plateaus,
)


def rate(settings: TrainingSettings, step: int = 10**6, fraction: float = 0.5, **more) -> float:
    return learning_rate(settings, step, fraction, **more)


def test_the_default_schedule_by_hand() -> None:
    # Steps 0 and 49 of the warm-up reach 1/100 and 50/100 of the peak; the cosine has not moved.
    one, two = TrainingSettings(learning_rate=1.0), TrainingSettings(learning_rate=2.0)
    assert rate(one, step=0, fraction=0) == pytest.approx(0.01)
    assert rate(one, step=49, fraction=0) == pytest.approx(0.5)
    assert rate(two, step=5000, fraction=0.5) == pytest.approx(1.0)
    assert rate(two, step=5000, fraction=1) == pytest.approx(0.0)


def test_short_runs_warm_up_within_a_tenth() -> None:
    # A run of 10 steps: at fraction 0.1 the warm-up is over, and cos(0.1 pi) = 0.9510565.
    settings = TrainingSettings(learning_rate=1.0)
    assert rate(settings, step=1, fraction=0.1) == pytest.approx((1 + 0.9510565) / 2)


def test_other_warm_ups() -> None:
    settings = TrainingSettings(learning_rate=1.0, schedule="constant", warmup_steps=4)
    assert [rate(settings, step=step, fraction=0) for step in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    assert rate(TrainingSettings(learning_rate=1.0, warmup_steps=0), step=0, fraction=0) == 1


def test_a_decay_rate_makes_the_schedule_exponential() -> None:
    settings = TrainingSettings(learning_rate=1.0, decay_rate=0.5)
    assert [rate(settings, losses=[2.0] * epochs) for epochs in (0, 1, 3)] == [1, 0.5, 0.125]
    assert (
        rate(TrainingSettings(learning_rate=1.0, schedule="exponential"), losses=[2.0] * 2)
        == 0.97**2
    )


def test_a_plateau_lowers_the_rate_after_two_epochs_in_vain() -> None:
    # 3 and 2 are better, 2 and 4 are not: lowered. 1 is better, 5 and 1 are not: lowered again.
    losses = [3.0, 2.0, 2.0, 4.0, 1.0, 5.0, 1.0]
    assert [plateaus(losses[:count]) for count in range(8)] == [0, 0, 0, 0, 1, 1, 1, 2]
    settings = TrainingSettings(learning_rate=1.0, schedule="plateau")
    assert rate(settings, losses=losses) == 0.25


@given(
    st.sampled_from(SCHEDULES),
    st.integers(0, 10**6),
    st.floats(0, 1),
    st.lists(st.floats(0, 10), max_size=9),
)
def test_no_rate_is_negative_or_above_the_peak(schedule, step, fraction, losses) -> None:
    settings = TrainingSettings(learning_rate=0.3, schedule=schedule)
    assert 0 <= learning_rate(settings, step, fraction, losses) <= 0.3


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_a_decay_rate_without_use_is_refused(schedule: str) -> None:
    with pytest.raises(TextgenError, match=f"0.5 has no place in `schedule` {schedule}"):
        TrainingSettings(schedule=schedule, decay_rate=0.5)


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
    monkeypatch.setattr("textgen.training.schedule.time.perf_counter", lambda: now)
    clock = RunClock(total_steps=None, total_seconds=60, tokens_per_step=10)
    clock.restart()
    now = 103.0
    clock.tick()
    assert (clock.fraction, clock.seconds, clock.seconds_left) == (0, 3, 57)
    clock.count_steps(1)  # compiling took 3 of the 60 seconds, 1 is for files: 56 are left
    now = 117.0
    clock.tick()
    assert (clock.fraction, clock.seconds, clock.seconds_left) == (0.25, 17, 43)
    clock.count_steps(1)
    clock.epoch_work = 29
    assert clock.fraction == 0.5
    assert clock.tokens_per_second == 10 / 14, "one step of 10 tokens since compiling ended"
    now = 120.0
    clock.end_epoch()
    clock.begin_epoch()
    assert clock.reserved == 3, "the work between the last step and the next epoch"
    now = 200.0
    clock.tick()
    assert (clock.fraction, clock.seconds_left) == (1, 0)


def test_a_clock_of_both_goes_by_what_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("textgen.training.schedule.time.perf_counter", lambda: now)
    clock = RunClock(total_steps=4, total_seconds=61, tokens_per_step=10)
    clock.restart()
    clock.count_steps(1)
    assert clock.fraction == 0.25, "of the steps, and nothing of the time"
    now = 30.0
    clock.tick()
    assert (clock.fraction, clock.seconds_left) == (0.5, 31), "of the time, less a second for files"
    now = 40.0
    clock.count_steps(2)
    assert clock.fraction == 0.75
    assert clock.seconds_left == pytest.approx(40 / 3)


def test_time_is_kept_for_a_validation_not_yet_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("textgen.training.schedule.time.perf_counter", lambda: now)
    clock = RunClock(None, total_seconds=60, tokens_per_step=10, validation_steps=6)
    clock.restart()
    clock.count_steps(1)
    now = 2.0
    clock.count_steps(4)
    assert clock.tokens_per_second == 20
    assert clock.reserved == 1 + 6 * 0.5 / 3, "a step takes half a second, validation a third"


def test_a_clock_stands_still_between_ticks_and_shows_the_agreed_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("textgen.training.schedule.time.perf_counter", lambda: now)
    clock = RunClock(10, None, 5, agree=lambda seconds: seconds + 1000)
    clock.restart(7.0)
    now = 103.0
    assert clock.seconds == 7.0
    clock.count_steps(2)
    assert clock.seconds == 1010.0
    now = 200.0
    assert (clock.seconds, clock.step_ended) == (1010.0, 1010.0)
    clock.begin_epoch()
    assert clock.seconds == 1107.0


def test_snapshots_are_due_by_steps_and_by_time() -> None:
    clock, saved = SimpleNamespace(step=0, seconds=0.0), []
    timer = SaveTimer(clock, every=10)
    for moment in [(9, 1.0), (10, 1.0), (19, 1.0), (19, 51.0), (28, 100.0), (29, 100.5)]:
        clock.step, clock.seconds = moment
        if timer.is_due():
            saved.append(moment)
            timer.restart()
    assert saved == [(10, 1.0), (19, 51.0), (29, 100.5)]


def test_no_epoch_begins_that_has_no_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("textgen.training.schedule.time.perf_counter", lambda: now)
    clock = RunClock(total_steps=None, total_seconds=60, tokens_per_step=10)
    clock.restart()
    clock.count_steps(1)
    now = 56.0
    clock.count_steps(1)
    assert clock.fraction < 1, "a second is kept for the work after the last step"
    now = 58.5
    clock.end_epoch()
    assert clock.fraction >= 1, "that of another epoch would take 2.5 seconds"
