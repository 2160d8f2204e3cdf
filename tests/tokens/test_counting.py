import collections

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgen.tokens.counting import Counter


def test_counts_are_exact_as_long_as_they_are_few() -> None:
    counter = Counter()
    for text in ("banana", "bandana"):
        counts = collections.Counter(text)
        counter.add(list(counts), list(counts.values()))
    assert counter.counts == {"b": 2, "a": 6, "n": 4, "d": 1}


def test_the_rarest_are_forgotten_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    counter = Counter(most=4)
    counter.add(["the", "of", "once", "twice"], [9, 7, 1, 2])
    assert capsys.readouterr().err == ""
    counter.add(["never"], [1])
    assert counter.counts == {"the": 9, "of": 7}
    assert "more than 4 distinct words" in capsys.readouterr().err


@given(st.lists(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 5)), max_size=20))
def test_no_count_is_too_high_or_lower_than_said(pieces: list[dict[str, int]]) -> None:
    counter, exact = Counter(most=4), collections.Counter[str]()
    for piece in pieces:
        counter.add(list(piece), list(piece.values()))
        exact.update(piece)
        assert len(counter.counts) <= 4
    for kind, number in exact.items():
        assert number - counter.lost <= counter.counts.get(kind, 0) <= number
