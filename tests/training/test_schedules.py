import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgen.settings.definitions import SCHEDULES, TrainingSettings
from textgen.support.errors import TextgenError
from textgen.training.schedules import learning_rate, plateaus


def rate(settings: TrainingSettings, step: int = 10**6, fraction: float = 0.5, **more) -> float:
    return learning_rate(settings, step, fraction, **{"epoch": 0} | more)


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
    assert [rate(settings, epoch=epoch) for epoch in (0, 1, 3)] == [1, 0.5, 0.125]
    assert rate(TrainingSettings(learning_rate=1.0, schedule="exponential"), epoch=2) == 0.97**2


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
    assert 0 <= learning_rate(settings, step, fraction, len(losses), losses) <= 0.3


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_a_decay_rate_without_use_is_refused(schedule: str) -> None:
    with pytest.raises(TextgenError, match=f"0.5 has no place in --schedule {schedule}"):
        TrainingSettings(schedule=schedule, decay_rate=0.5)
