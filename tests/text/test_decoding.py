"""Text in, text out: reading, decoding, stripping and unwrapping."""

import random
import re
import zlib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from textgen.support.errors import TextgenError
from textgen.text import decoding

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


# --- decode ---

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_decode_finds_the_encoding(encoding: str) -> None:
    text = "Il a mangé une crème brûlée — “délicieuse”, dit-il.\nVoilà!\n"
    assert decoding.decode(text.encode(encoding), "a.txt") == text


@pytest.mark.parametrize("order", ["le", "be"])
def test_decode_honours_a_utf16_mark_of_either_order(order: str) -> None:
    data = "\ufeffПривет, мир\n".encode(f"utf-16-{order}")
    assert decoding.decode(data, "a.txt") == "Привет, мир\n"


@given(TEXT, st.sampled_from(["utf-8-sig", "utf-16", "utf-32"]))
def test_decode_round_trips_every_text_that_has_a_mark(text: str, encoding: str) -> None:
    assert decoding.decode(text.encode(encoding), "a.txt") == text


@given(TEXT)
def test_decode_round_trips_utf8_without_a_mark(text: str) -> None:
    text = f"# {text}"  # no byte order mark or file signature by accident
    assert decoding.decode(text.encode(), "a.txt") == text


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1))
def test_decode_round_trips_ascii_as_utf16_without_a_mark(text: str) -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        assert decoding.decode(text.encode(encoding), "a.txt") == text


def test_decode_normalises_line_ends() -> None:
    assert decoding.decode(b"a\r\nb\rc\n\r\nd", "a.txt") == "a\nb\nc\n\nd"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "a PNG image"),
        (b"PK\x03\x04" + b"word/document.xml", "a zip archive"),
        (b"%PDF-1.7\n1 0 obj\n", "a PDF"),
        (b"text\0text, text\0text", "zero bytes"),
        (zlib.compress(RAVEN.encode() * 50), "binary file|not UTF-8, UTF-16 or cp1252"),
        (random.Random(1).randbytes(5000), "zero bytes"),
        (bytes(byte for byte in random.Random(1).randbytes(5000) if 0 < byte < 128), "control"),
        (b"\x01\x02\x03\x04", "control characters"),
    ],
)
def test_decode_refuses_binary_data(data: bytes, kind: str) -> None:
    with pytest.raises(TextgenError, match=f"^a.bin is (?:.*{kind})"):
        decoding.decode(data, "a.bin")


def test_decode_refuses_what_cp1252_lacks_and_broken_utf16() -> None:
    with pytest.raises(TextgenError, match=r"not UTF-8, UTF-16 or cp1252 .*0x81 at offset 4"):
        decoding.decode(b"abc \x81\x8d", "a.txt")
    with pytest.raises(TextgenError, match=r"utf-16: byte 0x61 at offset 4"):
        decoding.decode("\ufeffa".encode("utf-16-le") + b"a", "a.txt")


def test_decode_keeps_form_feeds_and_a_dos_end_mark() -> None:
    assert decoding.decode(b"page\x0cpage\x1a", "a.txt") == "page\x0cpage\x1a"


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
    assert decoding.strip_gutenberg(BOOK) == "A BOOK\n\nIt begins.\n\n\nIt ends.\n"


def test_strip_gutenberg_keeps_every_book_of_several() -> None:
    short = "*** START OF THIS PROJECT GUTENBERG EBOOK X ***\nOne.\n*** END OF THIS PROJECT GUTEN"
    text = f"{short}BERG EBOOK X ***\nLicense\n" * 2
    assert decoding.strip_gutenberg(text) == "One.\n\nOne.\n"


@pytest.mark.parametrize(
    "text", [WRAPPED, "", "*** START OF THE PROJECT GUTENBERG EBOOK\n\nX ***\nNo START line.\n"]
)
def test_strip_gutenberg_leaves_other_text_alone(text: str) -> None:
    assert decoding.strip_gutenberg(text) == text


@needs_corpora
@pytest.mark.parametrize("name", ["74-0.txt", "76-0.txt"])
def test_strip_gutenberg_on_real_books(name: str) -> None:
    text = decoding.strip_gutenberg(decoding.decode((CORPORA / name).read_bytes(), name))
    assert len(text) > 380_000
    assert "Gutenberg" not in text
    assert text.startswith(("THE ADVENTURES", "ADVENTURES"))


# --- unwrap ---


def test_unwrap_joins_the_lines_of_prose() -> None:
    assert decoding.unwrap(WRAPPED) == UNWRAPPED


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
    assert decoding.unwrap(kept) == kept


@pytest.mark.parametrize(
    ("edge", "joined"),
    [("Darkness--\nit", "Darkness--it"), ("Darkness\n--it", "Darkness--it"),
     ("well-\nknown", "well-known"), ("said --\nit", "said -- it"), ("plain\nit", "plain it"),
     ("says.\n Then", "says. Then")],
)  # fmt: skip
def test_unwrap_joins_at_dashes_without_a_space(edge: str, joined: str) -> None:
    before, after = "word " * 12, " went on."
    assert decoding.unwrap(before + edge + after) == before + joined + after


BLOCKS = st.lists(
    st.one_of(
        st.text(st.sampled_from("aB -—1.\t"), max_size=70),
        st.integers(40, 110).map(lambda length: ("word, Then " * 10)[:length].strip()),
    )
).map("\n".join)


@given(BLOCKS | TEXT)
@example(WRAPPED)
def test_unwrap_twice_is_unwrap_once(text: str) -> None:
    assert decoding.unwrap(decoding.unwrap(text)) == decoding.unwrap(text)


@given(BLOCKS)
def test_unwrap_changes_white_space_alone(text: str) -> None:
    assert re.sub(r"\s", "", decoding.unwrap(text)) == re.sub(r"\s", "", text)


@needs_corpora
def test_unwrap_leaves_one_block_of_real_prose_wrapped() -> None:
    text = "\n\n".join(
        decoding.strip_gutenberg(decoding.decode((CORPORA / name).read_bytes(), name))
        for name in ("74-0.txt", "76-0.txt")
    )
    blocks = decoding.BLOCK.findall(decoding.unwrap(text))
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
    whole = list(decoding.gutenberg_books([text]))
    assert list(decoding.gutenberg_books(chunks(text, size))) == whole


@given(CLEANABLE, st.integers(1, 50))
def test_paragraphs_are_unwrapped_as_in_a_whole_text(text: str, size: int) -> None:
    assert "".join(decoding.unwrapped(chunks(text, size))) == decoding.unwrap(text)


@given(st.text("\na "), st.integers(1, 5))
def test_newlines_at_the_edges_go(text: str, size: int) -> None:
    assert "".join(decoding.without_edge_newlines(chunks(text, size))) == text.strip("\n")


@given(st.text("\nab"), st.integers(1, 5), st.sampled_from(["\n", "\n\n", "a", "aba"]))
def test_parts_are_those_of_the_whole_text(text: str, size: int, separator: str) -> None:
    assert list(decoding.parts(chunks(text, size), separator)) == text.split(separator)
