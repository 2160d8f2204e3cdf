"""Streams of raw text give what the functions on whole texts give."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgen import corpora
from textgen.errors import TextgenError
from textgen.preparation import cleaning

PARTS = [
    "*** START OF THE PROJECT GUTENBERG EBOOK X ***\n", "Produced by A\nand B\n\n",
    "*** END OF THE PROJECT GUTENBERG EBOOK X ***\n", "End of Project Gutenberg's X\n", "\n",
    "[Illustration: a\nship]\n", "line\n", " \t\n", "word ",
    "A line of prose that is as long as the lines of books are when wrapped,\n",
]  # fmt: skip
TEXT = st.lists(st.sampled_from(PARTS), max_size=20).map("".join)


def chunks(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


@given(TEXT, st.integers(1, 50))
def test_books_are_stripped_as_in_a_whole_text(text: str, size: int) -> None:
    stripped = corpora.strip_gutenberg(text)
    if cleaning.has_gutenberg_book(chunks(text, size)):
        assert "".join(cleaning.gutenberg_books(chunks(text, size))) == stripped
    else:
        assert stripped == text


@given(TEXT, st.integers(1, 50))
def test_paragraphs_are_unwrapped_as_in_a_whole_text(text: str, size: int) -> None:
    assert "".join(cleaning.unwrapped(chunks(text, size))) == corpora.unwrap(text)


@given(st.text("\na "), st.integers(1, 5))
def test_newlines_at_the_edges_go(text: str, size: int) -> None:
    assert "".join(cleaning.without_edge_newlines(chunks(text, size))) == text.strip("\n")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("size", [1, 2, 7, 1 << 20])
def test_any_encoding_is_read_in_chunks_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, size: int
) -> None:
    monkeypatch.setattr(cleaning, "CHUNK", size)
    path, text = tmp_path / "a.txt", "Une crème brûlée\r\n“délicieuse”\r"
    path.write_bytes(text.encode(encoding))
    found = cleaning.encoding_of(path)
    assert "".join(cleaning.decoded(path, found)) == "Une crème brûlée\n“délicieuse”\n"


def test_a_bad_byte_beyond_the_head_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "HEAD", 8)
    monkeypatch.setattr(cleaning, "CHUNK", 5)
    path = tmp_path / "a.txt"
    path.write_bytes(b"a cafe\n a caf\xe9 in Rome")
    assert cleaning.encoding_of(path) == "utf-8"
    with pytest.raises(TextgenError, match="byte 0xe9 at offset 13"):
        list(cleaning.decoded(path, "utf-8"))
