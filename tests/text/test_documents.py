import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgen.text.documents import (
    Document,
    held_out,
    join_documents,
    label_token,
    last_cut,
    read_documents,
    split_documents,
)

KINDS = ("lines", "paragraphs", "<|endoftext|>", "\n%\n")
of_each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("one\ntwo\n\nthree\n", "lines", ["one", "two", "three"]),
        ("  one \n \n", "lines", ["  one "]),
        ("a\nb\n\n\n\nc\n", "paragraphs", ["a\nb", "c"]),
        ("a<|endoftext|>b\n<|endoftext|>\nc\n\nd", "<|endoftext|>", ["a", "b", "c\n\nd"]),
        ("a\n%\nb 5%\n%\nc", "\\n%\\n", ["a", "b 5%", "c"]),
        ("\n\n", "paragraphs", []),
    ],
)
def test_documents_of_each_kind(text: str, kind: str, expected: list[str]) -> None:
    assert split_documents(text, kind) == expected


@of_each_kind
@given(text=st.text("ab%\n", max_size=40), size=st.integers(1, 7))
def test_documents_are_the_same_wherever_a_text_is_cut(kind: str, text: str, size: int) -> None:
    text = text.replace("b", "<|endoftext|>")
    chunks = [text[start : start + size] for start in range(0, len(text), size)]
    assert list(read_documents(chunks, kind)) == split_documents(text, kind)
    place = last_cut(text, kind)
    apart = split_documents(text[:place], kind) + split_documents(text[place:], kind)
    assert apart == split_documents(text, kind)


@of_each_kind
@given(documents=st.lists(st.text("ab ", min_size=1).filter(str.strip)))
def test_what_is_joined_is_split_into_the_same(kind: str, documents: list[str]) -> None:
    assert split_documents("".join(join_documents(documents, kind)), kind) == documents


def test_a_document_begins_with_its_label_or_has_none() -> None:
    assert Document.parse("<|world news|>Rain") == ("world news", "Rain")
    assert Document.parse(label_token("a") + "<|b|>") == ("a", "<|b|>")
    for text in ("Rain <|a|>", "<|a\nb|>", "<||>x", "<|endoftext|>x", "<|" + 101 * "a" + "|>x"):
        assert Document.parse(text) == ("", text)


@given(count=st.integers(0, 300), share=st.floats(0.01, 0.99))
def test_each_document_is_held_out_or_not_and_as_many_as_asked(count: int, share: float) -> None:
    documents = list(map(str, range(count)))
    sides = [list(held_out(documents, share, those)) for those in (True, False)]
    assert sorted(sides[0] + sides[1], key=int) == documents
    assert math.isclose(len(sides[0]), share * count, abs_tol=3)


def test_what_is_held_out_comes_from_everywhere_without_a_period() -> None:
    places = [int(place) for place in held_out(map(str, range(1000)), 0.1, those=True)]
    steps = {after - before for before, after in itertools.pairwise(places)}
    assert len(places) == 100
    assert min(places) < 20
    assert max(places) > 980
    assert len(steps) > 1
    assert max(steps) < 30
