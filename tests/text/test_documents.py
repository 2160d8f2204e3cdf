import collections
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from textgen.text import documents

few = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30
)


@few
@given(st.lists(st.sampled_from(["one", "two", "", " ", "Żółw"])))
def test_each_unit_comes_once_and_blank_ones_always(tmp_path: Path, units: list[str]) -> None:
    kept = list(documents.drop_duplicates(units, units, tmp_path))
    seen: set[str] = set()
    expected = [u for u in units if not u.strip() or not (u in seen or seen.add(u))]  # type: ignore[func-returns-value]
    assert kept == expected


@given(st.text("a\n", max_size=30), st.integers(1, 5))
def test_lines_and_paragraphs_of_chunks_are_those_of_the_text(text: str, size: int) -> None:
    chunks = [text[start : start + size] for start in range(0, len(text), size)]
    assert list(documents.split_lines(chunks)) == text.split("\n")
    parts = [part.strip("\n") for part in text.split("\n\n")]
    assert list(documents.split_paragraphs(chunks)) == [part for part in parts if part]


def test_a_shuffle_over_several_files_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "BUCKET_BYTES", 100)
    units = [f"document {number}" for number in range(100)]
    rng = np.random.default_rng(0)
    shuffled = list(documents.shuffle(units, 1_200, tmp_path, rng))
    assert shuffled != units
    assert sorted(shuffled) == sorted(units)
    assert list(tmp_path.iterdir()) == []


def test_every_order_is_as_likely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "BUCKET_BYTES", 1)
    rng = np.random.default_rng(0)
    orders = collections.Counter(
        "".join(documents.shuffle("abc", 2, tmp_path, rng)) for _ in range(1200)
    )
    assert len(orders) == 6
    assert all(140 < count < 260 for count in orders.values()), orders
