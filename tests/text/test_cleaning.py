"""Licences are stripped and paragraphs unwrapped, in whole texts and in chunks."""

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from textgen.text import cleaning
from textgen.text.sources import decode

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"))
CORPORA = Path(__file__).parents[3] / "shared" / "corpora"
needs_corpora = pytest.mark.skipif(not CORPORA.is_dir(), reason=f"needs {CORPORA}")

RAVEN = """\
Once upon a midnight dreary, while I pondered, weak and weary,
Over many a quaint and curious volume of forgotten lore--
While I nodded, nearly napping, suddenly there came a tapping,
As of some one gently rapping, rapping at my chamber door.
"""
WRAPPED = """\
It was the best of times, it was the worst of times, it was the age of
wisdom, it was the age of foolishness, it was the epoch of belief, it
was the epoch of incredulity.

It was the season of Light, it was the season of Darkness--it was the
spring of hope.
"""
UNWRAPPED = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the"
    " age of foolishness, it was the epoch of belief, it was the epoch of incredulity.\n\n"
    "It was the season of Light, it was the season of Darkness--it was the spring of hope.\n"
)


# --- strip_gutenberg ---

BOOK = """\
The Project Gutenberg EBook of A Book

*** START OF THE PROJECT GUTENBERG EBOOK A BOOK WITH A
LONG NAME ***

Produced by A. Person and
the Distributed Proofreaders

A BOOK

[Illustration: The author,
with his dog]
It begins.

[Transcriber's Note: spelling kept.]

It ends.

End of the Project Gutenberg EBook of A Book

*** END OF THE PROJECT GUTENBERG EBOOK A BOOK ***
License
"""


def test_strip_gutenberg_keeps_the_book_alone() -> None:
    assert cleaning.strip_gutenberg(BOOK) == "A BOOK\n\nIt begins.\n\n\nIt ends.\n"


def test_strip_gutenberg_keeps_every_book_of_several() -> None:
    short = "*** START OF THIS PROJECT GUTENBERG EBOOK X ***\nOne.\n*** END OF THIS PROJECT GUTEN"
    text = f"{short}BERG EBOOK X ***\nLicense\n" * 2
    assert cleaning.strip_gutenberg(text) == "One.\n\nOne.\n"


@pytest.mark.parametrize(
    "text", [WRAPPED, "", "*** START OF THE PROJECT GUTENBERG EBOOK\n\nX ***\nNo START line.\n"]
)
def test_strip_gutenberg_leaves_other_text_alone(text: str) -> None:
    assert cleaning.strip_gutenberg(text) == text


@needs_corpora
@pytest.mark.parametrize("name", ["74-0.txt", "76-0.txt"])
def test_strip_gutenberg_on_real_books(name: str) -> None:
    text = cleaning.strip_gutenberg(decode((CORPORA / name).read_bytes(), name))
    assert len(text) > 380_000
    assert "Gutenberg" not in text
    assert text.startswith(("THE ADVENTURES", "ADVENTURES"))


# --- unwrap ---


def test_unwrap_joins_the_lines_of_prose() -> None:
    assert cleaning.unwrap(WRAPPED) == UNWRAPPED


@pytest.mark.parametrize(
    "kept",
    [
        RAVEN,
        "Speaker:\n" + WRAPPED.replace("\n\n", "\n"),
        "  " + WRAPPED.replace("\n", "\n  "),
        "To be, or not to be,\nthat is the question:\n",
        "- It was the best of times, it was the worst of times, it was the\n- second\n",
        "1. It was the best of times, it was the worst of times, it was the\n2. second\n",
        UNWRAPPED.replace("\n\n", "\n"),
        "CHAPTER I\n\nLoomings\n",
        "\n\n a\n\n\n\tb \n\n",
    ],
    ids=["verse", "speaker", "indented", "short", "bullets", "numbers", "paragraph lines",
         "headings", "blank lines"],
)  # fmt: skip
def test_unwrap_keeps_lines_that_mean_something(kept: str) -> None:
    assert cleaning.unwrap(kept) == kept


@pytest.mark.parametrize(
    ("edge", "joined"),
    [("Darkness--\nit", "Darkness--it"), ("Darkness\n--it", "Darkness--it"),
     ("well-\nknown", "well-known"), ("said --\nit", "said -- it"), ("plain\nit", "plain it"),
     ("says.\n Then", "says. Then")],
)  # fmt: skip
def test_unwrap_joins_at_dashes_without_a_space(edge: str, joined: str) -> None:
    before, after = "word " * 12, " went on."
    assert cleaning.unwrap(before + edge + after) == before + joined + after


BLOCKS = st.lists(
    st.one_of(
        st.text(st.sampled_from("aB -—1.\t"), max_size=70),
        st.integers(40, 110).map(lambda length: ("word, Then " * 10)[:length].strip()),
    )
).map("\n".join)


@given(BLOCKS | TEXT)
@example(WRAPPED)
def test_unwrap_twice_is_unwrap_once(text: str) -> None:
    assert cleaning.unwrap(cleaning.unwrap(text)) == cleaning.unwrap(text)


@given(BLOCKS)
def test_unwrap_changes_white_space_alone(text: str) -> None:
    assert re.sub(r"\s", "", cleaning.unwrap(text)) == re.sub(r"\s", "", text)


@needs_corpora
def test_unwrap_leaves_one_block_of_real_prose_wrapped() -> None:
    text = "\n\n".join(
        cleaning.strip_gutenberg(decode((CORPORA / name).read_bytes(), name))
        for name in ("74-0.txt", "76-0.txt")
    )
    blocks = cleaning.BLOCK.findall(cleaning.unwrap(text))
    assert [block[:32] for block in blocks] == ["1. \u00a0Here a captive heart busted."]


# --- texts in chunks ---

PARTS = [
    "*** START OF THE PROJECT GUTENBERG EBOOK X ***\n", "Produced by A\nand B\n\n",
    "*** END OF THE PROJECT GUTENBERG EBOOK X ***\n", "End of Project Gutenberg's X\n", "\n",
    "[Illustration: a\nship]\n", "line\n", " \t\n", "word ",
    "A line of prose that is as long as the lines of books are when wrapped,\n",
]  # fmt: skip
CLEANABLE = st.lists(st.sampled_from(PARTS), max_size=20).map("".join)


def chunks(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


@given(CLEANABLE, st.integers(1, 50))
def test_books_are_found_in_chunks_as_in_a_whole_text(text: str, size: int) -> None:
    whole = list(cleaning.gutenberg_books([text]))
    assert list(cleaning.gutenberg_books(chunks(text, size))) == whole


@given(CLEANABLE, st.integers(1, 50))
def test_paragraphs_are_unwrapped_as_in_a_whole_text(text: str, size: int) -> None:
    assert "".join(cleaning.unwrap_chunks(chunks(text, size))) == cleaning.unwrap(text)


@given(st.text("\na "), st.integers(1, 5))
def test_newlines_at_the_edges_go(text: str, size: int) -> None:
    assert "".join(cleaning.trim_newlines(chunks(text, size))) == text.strip("\n")


@given(st.text("\nab"), st.integers(1, 5), st.sampled_from(["\n", "\n\n", "a", "aba"]))
def test_parts_are_those_of_the_whole_text(text: str, size: int, separator: str) -> None:
    assert list(cleaning.split_chunks(chunks(text, size), separator)) == text.split(separator)
