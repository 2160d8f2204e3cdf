import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from textgen.generation.sampling import (
    FILTERS,
    Logits,
    NoTokenLeftError,
    Rules,
    draw,
    filters_of,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    log_softmax,
    next_probabilities,
    penalize_repetition,
    restrict,
    sample_next,
    softmax,
)
from textgen.settings.definitions import SamplingSettings
from textgen.support.errors import TextgenError

LOGITS = np.log(np.array([[0.1, 0.2, 0.3, 0.4]], np.float32))
NONE = np.zeros((1, 0), np.intp)
"""No ids before."""


def made_rules(**values: Any) -> Rules:
    """Rules, with each filter by the name of its setting."""
    filters = {name: values.pop(name) for name in FILTERS if name in values}
    return Rules(filters=filters_of(SamplingSettings(**filters)), **values)


def kept(logits: Logits) -> list[int]:
    return np.flatnonzero(np.isfinite(logits[0])).tolist()


def test_softmax_by_hand_and_without_overflow() -> None:
    rows = np.array([*LOGITS, [2000, -2000, 2000, 2000]], np.float32)
    third, log_third = 1 / 3, -np.log(3)
    expected = [[0.1, 0.2, 0.3, 0.4], [third, 0, third, third]]
    np.testing.assert_allclose(softmax(rows), expected, rtol=1e-6)
    expected = [np.log(expected[0]), [log_third, log_third - 4000, log_third, log_third]]
    np.testing.assert_allclose(log_softmax(rows), expected, rtol=1e-6)
    assert softmax(rows).dtype == log_softmax(rows).dtype == np.float64


def test_temperature_by_hand() -> None:
    # At temperature 0.5 the probabilities are squared: 1, 4, 9, 16 of 30.
    squared = next_probabilities(LOGITS, Rules(temperature=(0.5,)), NONE)
    np.testing.assert_allclose(squared, [np.array([1, 4, 9, 16]) / 30], rtol=1e-6)
    in_turn = next_probabilities(LOGITS, Rules(temperature=(0.5, 2.0)), NONE)
    np.testing.assert_array_equal(in_turn, squared, "the first of several")


def test_what_is_not_drawn_is_shown_with_the_models_own_probabilities() -> None:
    shown = next_probabilities(LOGITS, Rules(temperature=(0.0,)), NONE)
    np.testing.assert_allclose(shown, [[0.1, 0.2, 0.3, 0.4]], rtol=1e-6)


def test_temperatures_survive_extremes() -> None:
    extreme = np.array([[1e30, -1e30, 0, -np.inf]], np.float32)
    with np.errstate(over="raise"):
        cold = next_probabilities(extreme, Rules(temperature=(1e-300,)), NONE)
    assert cold.tolist() == [[1, 0, 0, 0]]
    hot = next_probabilities(LOGITS, Rules(temperature=(1e300,), ban=((3,),)), NONE)
    np.testing.assert_allclose(hot, [[1 / 3, 1 / 3, 1 / 3, 0]])


def test_top_k_by_hand() -> None:
    logits = np.array([[1, 5, 3, 3, 2]], np.float32)
    assert kept(keep_top_k(logits, 1)) == [1]
    assert kept(keep_top_k(logits, 2)) == [1, 2, 3], "ties with the last one stay"
    assert kept(keep_top_k(logits, 4)) == [1, 2, 3, 4]
    assert kept(keep_top_k(logits, 100)) == [0, 1, 2, 3, 4], "more than there are: all"
    assert keep_top_k(logits, 1).tolist() == [[-np.inf, 5, -np.inf, -np.inf, -np.inf]]


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (1e-9, [3]), (0.39, [3]), (0.41, [2, 3]), (0.69, [2, 3]), (0.71, [1, 2, 3]),
        (1.0, [0, 1, 2, 3]),
    ],
)  # fmt: skip
def test_top_p_by_hand(p: float, expected: list[int]) -> None:
    # From the likeliest on, the sums are 0.4, 0.7, 0.9, 1.
    assert kept(keep_top_p(LOGITS, p)) == expected


def test_a_set_that_reaches_p_exactly_is_enough() -> None:
    first, second, *_ = np.sort(softmax(LOGITS)[0])[::-1]
    assert kept(keep_top_p(LOGITS, (first + second) - second)) == [3]


@pytest.mark.parametrize(
    ("share", "expected"), [(0.01, [0, 1, 2, 3]), (0.4, [1, 2, 3]), (0.6, [2, 3]), (1.0, [3])]
)
def test_min_p_by_hand(share: float, expected: list[int]) -> None:
    # The thresholds are share x 0.4: 0.004, 0.16, 0.24, 0.4.
    assert kept(keep_min_p(LOGITS, share)) == expected


def test_repetition_penalty_by_hand() -> None:
    # transformers' rule: positive logits are divided, negative ones multiplied, each id once.
    logits = np.array([[2, -3, 1.5, 0], [2, -3, 1.5, 0]], np.float32)
    recent = np.array([[0, 1, 1, 0], [3, 2, 3, 2]])
    penalized = penalize_repetition(logits, recent, 1.5)
    np.testing.assert_allclose(penalized, [[4 / 3, -4.5, 1.5, 0], [2, -3, 1, 0]], rtol=1e-6)
    assert logits[0, 0] == 2, "the logits it was given are left alone"


def test_only_the_window_is_penalized() -> None:
    rules = Rules(repetition_penalty=2.0, repetition_window=2)
    result = restrict(np.full((1, 4), 8, np.float32), rules, np.array([[0, 1, 2]]))
    assert result.tolist() == [[8, 4, 4, 8]]


def test_bans_by_hand() -> None:
    rules = Rules(ban=((0,), (1, 2), (3, 1, 2)))
    recent = np.array([[3, 1], [1, 1], [1, 3], [3, 3]])
    result = restrict(np.zeros((4, 4), np.float32), rules, recent)
    assert [kept(row[np.newaxis]) for row in result] == [[1, 3], [1, 3], [1, 2, 3], [1, 2, 3]]


def test_bans_that_leave_some_rows_nothing() -> None:
    rules = Rules(ban=((0,), (1,), (3,), (2, 2)))
    with pytest.raises(NoTokenLeftError, match=r"^the banned texts leave no token") as caught:
        restrict(np.repeat(LOGITS, 3, 0), rules, np.array([[2], [1], [2]]))
    assert caught.value.rows.tolist() == [0, 2]
    assert isinstance(caught.value, TextgenError)
    with pytest.raises(NoTokenLeftError):
        restrict(LOGITS[:, :2], Rules(ban=((0,), (1,))), NONE)


@pytest.mark.parametrize("penalty", [1.0, 2.0])
def test_the_logits_that_were_given_are_left_alone(penalty: float) -> None:
    given = LOGITS.copy()
    restrict(given, Rules(ban=((1,), (2, 3)), repetition_penalty=penalty), np.array([[2]]))
    assert (given == LOGITS).all()


def test_the_filters_come_in_the_documented_order() -> None:
    # Penalized (8 -> 4) before temperature 2 (-> 2, against 5/2): the second token leads.
    rules = made_rules(temperature=(2.0,), repetition_penalty=2.0, top_k=2, top_p=0.7, min_p=0.9)
    probabilities = next_probabilities(
        np.array([[8, 5, 3, -9]], np.float32), rules, np.array([[0]])
    )
    # top-k keeps e^2.5 and e^2: 0.62 and 0.38; top-p 0.7 keeps both, min-p 0.9 only the first.
    assert probabilities.tolist() == [[0, 1, 0, 0]]


def test_memory_is_what_the_rules_look_back_at() -> None:
    assert Rules().memory == 0
    assert Rules(repetition_penalty=1.1, repetition_window=9).memory == 9
    assert Rules(repetition_penalty=0.9).memory == 64
    assert Rules(ban=((0,), (1, 2, 3))).memory == 2
    assert Rules(boundaries=frozenset({1})).memory == 1


def test_rules_that_differ_in_their_one_temperature_are_of_one_group() -> None:
    assert {Rules()} == {Rules()}, "rules do not change, and can be compared"
    group = made_rules(temperature=(0.5,), top_k=2).group
    assert made_rules(temperature=(2.0,), top_k=2).group == group
    for other in (
        made_rules(temperature=(0.5,), top_k=3), Rules(temperature=(0.5,)),
        made_rules(temperature=(0.0,), top_k=2), made_rules(temperature=(0.5, 2.0), top_k=2),
        made_rules(temperature=(0.5,), top_k=2, boundaries=frozenset()),
    ):  # fmt: skip
        assert other.group != group
    mixed = [Rules(temperature=(each,), boundaries=frozenset()) for each in (0.5, 2.0)]
    assert mixed[0].group != mixed[1].group, "some of their tokens are not drawn"


def test_temperature_zero_takes_the_likeliest_and_the_first_of_equals() -> None:
    rows = np.array([[0, 2, 1, 0], [3, 1, 1, 3]], np.float32)
    for rules in (Rules(temperature=(0.0,)), Rules(temperature=(0.0, 0.0))):
        assert sample_next(rows, np.full(2, 0.99), rules, NONE).tolist() == [1, 0]


def test_temperatures_take_turns() -> None:
    rules = Rules(temperature=(0.0, 1.0, 0.5))
    rows = np.repeat(LOGITS, 6, 0)
    uniforms = np.array([0, 0.09, 0.09, 0, 0.11, 0.11])
    drawn = sample_next(rows, uniforms, rules, NONE, count=np.arange(6))
    # The first token has 0.1, at temperature 0.5 1/30; the second then ends at 5/30.
    assert drawn.tolist() == [3, 0, 1, 3, 1, 1]
    assert sample_next(rows, uniforms, rules, NONE, count=1).tolist() == [0, 0, 0, 0, 1, 1]
    assert sample_next(rows, uniforms, rules, NONE).tolist() == [3] * 6
    two = Rules(temperature=(0.0, 1.0))
    assert sample_next(rows, uniforms, two, NONE, count=1).tolist() == [0, 0, 0, 0, 1, 1]


def test_rows_with_temperatures_of_their_own() -> None:
    temperatures = np.array([0.5, 1, 2, 1e-300, 1e300])
    rows, rules = np.repeat(LOGITS, 5, 0), made_rules(top_k=3, ban=((1,),))
    # The ban leaves 0.1, 0.3 and 0.4. The first has 1/26 at 0.5, 1/8 at 1, 0.21 at 2, 1/3 at last;
    # with the second it ends at 10/26, 1/2, 0.577 and 2/3.
    for uniform, expected in {
        0.2: [2, 2, 0, 3, 0],
        0.49: [3, 2, 2, 3, 2],
        0.51: [3, 3, 2, 3, 2],
    }.items():
        drawn = sample_next(rows, np.full(5, uniform), rules, NONE, temperatures=temperatures)
        assert drawn.tolist() == expected


def test_tokens_within_a_word_are_the_likeliest() -> None:
    rules = Rules(boundaries=frozenset({2}))
    recent = np.array([[1, 2], [2, 1]])
    drawn = sample_next(np.repeat(LOGITS, 2, 0), np.zeros(2), rules, recent)
    assert drawn.tolist() == [0, 3]


def test_draw_inverts_the_cumulative_distribution() -> None:
    uniforms = np.array([0.0, 0.0999, 0.1, 0.5999, 0.6, np.nextafter(1, 0)])
    assert draw(np.repeat([[0.1, 0.5, 0.4]], 6, 0), uniforms).tolist() == [0, 0, 1, 1, 2, 2]


def test_draw_adds_in_float64() -> None:
    weights = np.array([[2**24, 1, 1]], np.float32)  # float32 has no 2^24 + 1
    assert draw(weights, np.array([1 - 2**-26])).tolist() == [2]


WEIGHTS = st.just(0.0) | st.floats(1e-300, 1e6)


@given(
    arrays(np.float64, st.integers(1, 300), elements=WEIGHTS).filter(np.any),
    st.floats(0, 1, exclude_max=True),
)
def test_what_cannot_be_is_never_drawn(weights: np.ndarray, uniform: float) -> None:
    (drawn,) = draw(weights[np.newaxis], np.array([uniform]))
    assert weights[drawn] > 0


@pytest.mark.parametrize("uniform", [0.0, np.nextafter(1, 0)])
def test_the_ends_of_the_uniform_numbers_are_no_trap(uniform: float) -> None:
    weights = np.array([[0, 0.1, 0.7, 0.3, 0]])
    assert draw(weights, np.array([uniform])).tolist() == [1 if uniform == 0 else 3]


LOGIT_ROWS = arrays(np.float32, (3, 20), elements=st.floats(-20, 20, width=32), unique=True)


@given(LOGIT_ROWS, st.integers(1, 25))
def test_top_k_keeps_k(logits: Logits, k: int) -> None:
    filtered = keep_top_k(logits, k)
    assert (np.isfinite(filtered).sum(axis=-1) == min(k, 20)).all()
    assert (filtered.max(axis=-1) == logits.max(axis=-1)).all()


@given(LOGIT_ROWS, st.floats(0.01, 1))
def test_top_p_keeps_the_smallest_set(logits: Logits, p: float) -> None:
    probabilities = softmax(logits)
    for row, filtered in zip(probabilities, keep_top_p(logits, p), strict=True):
        chosen = np.isfinite(filtered)
        assert row[chosen].sum() >= p - 1e-9
        likelier = row[row > row[chosen].min()]  # those as likely as the last one stay with it
        assert likelier.sum() < p + 1e-9, "the last one was not needed"
        assert row[chosen].min() >= row[~chosen].max(initial=0)


@given(LOGIT_ROWS, st.floats(0.01, 1))
def test_min_p_keeps_what_is_above_its_share(logits: Logits, share: float) -> None:
    ratio = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    chosen = np.isfinite(keep_min_p(logits, share))
    clear = abs(ratio - share) > 1e-6
    assert (chosen == (ratio >= share))[clear].all()


def reference_top_k(x: list[float], k: int) -> list[float]:
    lowest = sorted(x)[-min(k, len(x))]
    return [value if value >= lowest else -np.inf for value in x]


def reference_top_p(x: list[float], p: float) -> list[float]:
    x, total, sum_ = list(x), sum(map(np.exp, x)), 0.0
    for i in sorted(range(len(x)), key=lambda i: x[i])[:-1]:
        sum_ += np.exp(x[i]) / total
        if sum_ <= 1 - p:
            x[i] = -np.inf
    return x


def reference_min_p(x: list[float], share: float) -> list[float]:
    return [value if np.exp(value - max(x)) >= share else -np.inf for value in x]


REFERENCES = {"top_k": reference_top_k, "top_p": reference_top_p, "min_p": reference_min_p}
"""transformers' processors, written anew as loops over Python numbers (one row), in its order."""


def test_each_filter_has_a_reference() -> None:
    assert list(REFERENCES) == list(FILTERS)


def huggingface(
    settings: SamplingSettings, recent: list[int]
) -> Callable[[list[float]], list[float]]:
    """What transformers makes of logits: their probabilities after all of its processors."""

    def probabilities(logits: list[float]) -> list[float]:
        x = list(map(float, logits))
        for i in set(recent):
            penalty = settings.repetition_penalty
            x[i] = x[i] * penalty if x[i] < 0 else x[i] / penalty
        x = [value / settings.temperature for value in x]
        for name, reference in REFERENCES.items():
            if (value := getattr(settings, name)) is not None:
                x = reference(x, value)
        total = sum(map(np.exp, x))
        return [float(np.exp(value) / total) for value in x]

    return probabilities


@given(
    st.lists(st.integers(-800, 800), min_size=2, max_size=12, unique=True),
    st.builds(
        SamplingSettings,
        temperature=st.floats(0.3, 3),
        top_k=st.none() | st.integers(1, 15),
        top_p=st.none() | st.floats(0.05, 0.99),
        min_p=st.none() | st.floats(0.01, 0.99),
        repetition_penalty=st.floats(0.5, 2),
    ),
    st.data(),
)
def test_all_filters_together_agree_with_transformers(cents, settings, data) -> None:
    logits = [cent / 100 for cent in cents]
    recent = data.draw(st.lists(st.integers(0, len(logits) - 1), min_size=1, max_size=4))
    expected = np.array(huggingface(settings, recent)(logits))
    rules = Rules(
        temperature=(settings.temperature,),
        filters=filters_of(settings),
        repetition_penalty=settings.repetition_penalty,
    )
    ours = next_probabilities(np.array([logits], np.float32), rules, np.array([recent]))[0]
    if (np.isclose(expected, 0) != np.isclose(ours, 0)).any():
        # Float32 may put a token that stands exactly on a threshold on its other side.
        gap = np.abs(np.sort(expected) - np.sort(ours)).max()
        assert _on_a_threshold(logits, recent, settings), gap
    else:
        np.testing.assert_allclose(ours, expected, atol=1e-5)


def _on_a_threshold(logits: list[float], recent: list[int], settings: SamplingSettings) -> bool:
    """Whether slightly different settings no longer agree with each other."""
    results = []
    for shift in (-1e-5, 1e-5):
        moved = SamplingSettings(
            temperature=settings.temperature,
            top_k=settings.top_k,
            top_p=settings.top_p and min(settings.top_p + shift, 1),
            min_p=settings.min_p and settings.min_p * (1 + shift),
            repetition_penalty=settings.repetition_penalty * (1 + shift / 10),
        )
        results.append(np.array(huggingface(moved, recent)(logits)) > 0)
    ties = len({round(v, 4) for v in np.array(logits)}) < len(logits)
    return ties or bool((results[0] != results[1]).any())


def values_of(name: str) -> list[Any]:
    """Some values all over the range of a setting."""
    (field,) = (field for field in dataclasses.fields(SamplingSettings) if field.name == name)
    bounds = field.metadata["bounds"]
    if "int" in str(field.type):
        return list(range(bounds.get("ge", 1), 10))
    low = bounds.get("ge", bounds.get("gt", 0.0))
    high = bounds.get("le", bounds.get("lt", low + 1))
    return list(np.linspace(low, high, 11)[1:-1])


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_changes_what_is_drawn_by_its_setting_alone(name: str) -> None:
    logits = np.random.default_rng(5).normal(size=(1, 20)).astype(np.float32)
    uniforms = np.linspace(0, 1, 500, endpoint=False)
    rows = np.repeat(logits, 500, axis=0)
    plain = sample_next(rows, uniforms, Rules(), NONE)
    changed = 0
    for value in values_of(name):
        settings = SamplingSettings(**{name: value})
        assert filters_of(settings) == ((name, value),)
        drawn = sample_next(rows, uniforms, Rules(filters=filters_of(settings)), NONE)
        assert set(drawn.tolist()) <= set(plain.tolist()), "a filter takes tokens away"
        changed += int((drawn != plain).any())
    assert changed > 0


def test_filters_come_in_the_order_in_which_they_are_registered() -> None:
    settings = SamplingSettings(min_p=0.1, top_p=0.9, top_k=3)
    assert filters_of(settings) == (("top_k", 3), ("top_p", 0.9), ("min_p", 0.1))
    assert filters_of(SamplingSettings()) == ()


DRAWS = 200_000
ROOTS = np.sqrt([1, 2, 3, 4])
FOUR = {
    "temperature 0.5": (Rules(temperature=(0.5,)), np.array([1, 4, 9, 16]) / 30),
    "temperature 1": (Rules(), np.array([0.1, 0.2, 0.3, 0.4])),
    "temperature 2": (Rules(temperature=(2.0,)), ROOTS / ROOTS.sum()),
    "top-k": (made_rules(top_k=3), np.array([0, 2, 3, 4]) / 9),
    "top-p": (made_rules(top_p=0.65), np.array([0, 0, 3, 4]) / 7),
    "min-p": (made_rules(min_p=0.4), np.array([0, 2, 3, 4]) / 9),
    "ban": (Rules(ban=((2,),)), np.array([1, 2, 0, 4]) / 7),
    # All logits are negative: times 2, so that 0.4 becomes 0.16.
    "penalty": (Rules(repetition_penalty=2.0), np.array([0.1, 0.2, 0.3, 0.16]) / 0.76),
    "all": (
        made_rules(temperature=(0.5,), top_k=3, top_p=0.99, min_p=0.3, ban=((0,),)),
        np.array([0, 0, 9, 16]) / 25,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUR)
def test_frequencies_match_the_probabilities(name: str) -> None:
    rules, expected = FOUR[name]
    uniforms = np.random.default_rng(7).random(DRAWS)
    recent = np.full((DRAWS, max(rules.memory, 1)), 3)
    drawn = sample_next(np.repeat(LOGITS, DRAWS, 0), uniforms, rules, recent)
    counts = np.bincount(drawn, minlength=4)
    assert (counts[expected == 0] == 0).all()
    possible = expected > 0
    difference = counts[possible] - DRAWS * expected[possible]
    chi_square = (difference**2 / (DRAWS * expected[possible])).sum()
    assert chi_square < 16.27, "above the 0.1 % quantile of chi-square with 3 degrees of freedom"


@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=9).filter(any),
    st.floats(0, 1, exclude_max=True),
)
def test_a_row_is_drawn_alone_as_among_others(weights: list[float], uniform: float) -> None:
    rows = np.array([weights, weights], np.float32)
    alone = draw(rows[:1], np.array([uniform]))
    assert alone.tolist() == draw(rows, np.array([uniform, uniform]))[:1].tolist()
