"""Bytes become text: encodings, line ends, and what is no text."""

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgen.support.errors import TextgenError
from textgen.text import decoding

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"))

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
        (
            zlib.compress(b"Once upon a midnight dreary\n" * 400),
            "binary file|not UTF-8, UTF-16 or cp1252",
        ),
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
