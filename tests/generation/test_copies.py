"""The search for shared passages, against one that tries every place of the long text."""

import itertools
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgen.generation import copies
from textgen.generation.copies import Search, Texts

SMALL = st.text("ab\n😀", max_size=40)
"""So few letters that most windows are shared, and many are equal."""


def searched(texts: Sequence[str], chunks: Sequence[str], width: int) -> Search:
    search = Search(Texts(texts, width))
    search.read(chunks)
    return search


def found(texts: Sequence[str], search: Search) -> list[tuple[int, str]]:
    """The matches, as the number of the text and what they say; each has the line it names."""
    owners = np.searchsorted(search.texts.starts, [m.start for m in search.matches()], "right") - 1
    starts = search.texts.starts.tolist()
    return [
        (owner, texts[owner][match.start - starts[owner] : match.end - starts[owner]])
        for owner, match in zip(owners.tolist(), search.matches(), strict=True)
    ]


def covered(texts: Sequence[str], search: Search) -> list[list[bool]]:
    flags, starts = search.covered(), search.texts.starts.tolist()
    return [flags[at : at + len(text)].tolist() for at, text in zip(starts, texts, strict=True)]


def tried(text: str, long: str, width: int) -> list[tuple[int, int]]:
    """Where the longest shared passages begin and end, found by trying them all."""
    passages, reach = [], 0
    for start in range(len(text)):
        end = start
        while end < len(text) and text[start : end + 1] in long:
            end += 1
        if end - start >= width and end > reach:
            passages.append((start, end))
            reach = end
    return passages


def assert_as_tried(texts: Sequence[str], chunks: Sequence[str], width: int) -> None:
    search, long = searched(texts, chunks, width), "".join(chunks)
    expected = [(n, a, b) for n, text in enumerate(texts) for a, b in tried(text, long, width)]
    assert found(texts, search) == [(n, texts[n][a:b]) for n, a, b in expected]
    inside = [[False] * len(text) for text in texts]
    for number, start, end in expected:
        inside[number][start:end] = [True] * (end - start)
    assert covered(texts, search) == inside


def lines_of(passage: str, long: str) -> set[int]:
    places = [at for at in range(len(long)) if long.startswith(passage, at)]
    return {long.count("\n", 0, at) + 1 for at in places}


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a text of a line is several pieces, and each is hashed in several blocks."""
    monkeypatch.setattr(copies, "PIECE", 7)
    monkeypatch.setattr(copies, "BLOCK", 5)
    monkeypatch.setattr(copies, "PAIRS", 3)
    monkeypatch.setattr(copies, "MOST_EQUAL", 1000)


@given(st.lists(SMALL, max_size=3), st.lists(SMALL, max_size=5), st.integers(1, 6))
def test_what_every_place_tried_would_give(texts: list[str], chunks: list[str], width: int) -> None:
    assert_as_tried(texts, chunks, width)


@pytest.mark.parametrize("base", [1, 3, 2**64 - 1])
@given(text=SMALL, chunks=st.lists(SMALL, max_size=5), width=st.integers(1, 6))
def test_equal_hashes_count_for_nothing(
    base: int, text: str, chunks: list[str], width: int
) -> None:
    """With base 1 a hash is the sum of the letters: all anagrams have the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copies, "BASE", base)
        assert_as_tried([text], chunks, width)


@given(SMALL, SMALL, st.lists(st.integers(0, 40), max_size=4), st.integers(1, 30))
def test_chunks_may_be_cut_anywhere(text: str, long: str, cuts: list[int], piece: int) -> None:
    edges = [0, *sorted(cuts), len(long)]
    chunks = [long[a:b] for a, b in itertools.pairwise(edges)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copies, "PIECE", piece)
        in_chunks = searched([text], chunks, 3)
    whole = searched([text], [long], 3)
    assert found([text], in_chunks) == found([text], whole)
    assert covered([text], in_chunks) == covered([text], whole)


@given(st.text("ab\n", max_size=60), st.lists(st.text("ab\n", max_size=60), max_size=5))
def test_of_windows_that_stand_often_none_is_forgotten(text: str, chunks: list[str]) -> None:
    """Passages may be cut where only the first two equal windows are looked at, but each is one,
    with a line where it is, and what is covered stays the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copies, "MOST_EQUAL", 2)
        search = searched([text], chunks, 3)
        long = "".join(chunks)
        for match in search.matches():
            passage = text[match.start - 1 : match.end - 1]
            assert match.line in lines_of(passage, long)
        inside = [False] * len(text)
        for start, end in tried(text, long, 3):
            inside[start:end] = [True] * (end - start)
        assert covered([text], search) == [inside]


def test_a_passage_over_many_pieces_has_its_full_length_and_its_line() -> None:
    rng = random.Random(1)
    passage = "".join(rng.choices("abcdefgh \n", k=5_000))
    long = "x\n" * 300 + passage + "y" * 100
    (match,) = searched([f"<{passage}>"], [long], 30).matches()
    assert (match.end - match.start, match.line) == (5_000, 301)


def test_a_passage_is_whole_where_its_beginning_stands_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the seed of many samples does."""
    monkeypatch.setattr(copies, "MOST_EQUAL", 16)
    seed = "once upon a time there was a miller who had three sons"
    texts = [f"{seed} and {number}" for number in range(50)] + [f"{seed}, a mill, a donkey"]
    search = searched(texts, ["Grimm:\n", seed, ", a mill, a donkey and a cat"], 30)
    passages = found(texts, search)
    assert passages[50] == (50, f"{seed}, a mill, a donkey")
    assert passages[:50] == [(number, seed) for number in range(50)]
    assert {match.line for match in search.matches()} == {2}


@pytest.mark.parametrize(
    ("text", "long"),
    [
        ("a" * 20_000, "a" * 200_000),
        ("a" * 20_000, ("a" * 999 + "b") * 200),
        ("the same line again and again.\n" * 600, "the same line again and again.\n" * 6_000),
        ("the same line again and again.\n" * 10, "the same line again and again.\n" * 6_000),
        ("the same line again and again.\n", "the same line again and again.\n" * 6_000),
    ],
)
def test_texts_that_repeat_themselves_are_little_work(
    text: str, long: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(copies, "PIECE", 50_000)
    compared = []
    original = copies.common

    def counting(*arguments, **options):
        lengths = original(*arguments, **options)
        compared.append(int(lengths.sum()) + len(lengths))
        return lengths

    monkeypatch.setattr(copies, "common", counting)
    search = searched([text], [long], 30)
    assert search.covered().sum() == len(text)
    longest = max(match.end - match.start for match in search.matches())
    assert longest == len(text) if text in long else longest == 999
    assert sum(compared) < 40 * (len(text) + len(long))


def test_combining_characters_and_lone_surrogates_are_characters() -> None:
    texts = ["cafe\u0301 \U0001f469\u200d\U0001f680 \ud800!"]
    search = searched(texts, ["un cafe\u0301 \U0001f469", "\u200d\U0001f680 \ud800?"], 4)
    assert found(texts, search) == [(0, texts[0][:-1])]
    assert not searched(["caf\u00e9s"], ["cafe\u0301s"], 4).matches()


def test_texts_shorter_than_a_window_share_none() -> None:
    assert not searched(["", "ab"], ["ab" * 10], 3).matches()
    assert not searched(["abc"], [], 3).matches()
    assert not searched([], ["abc"], 3).matches()
