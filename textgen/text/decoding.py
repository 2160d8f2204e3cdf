"""Raw text: decode, clean and unwrap it.

Each of these has a function for a whole text and one for a text in chunks, cut anywhere.
`recipes.py` puts them together for the known corpora, `preparation` for the command
`python -m textgen corpus`, and `sources.py` reads by them.
"""

import codecs
import io
import itertools
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from textgen.support.errors import TextgenError

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is the start of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# First bytes of files that people take for text, and what they are
# (https://en.wikipedia.org/wiki/List_of_file_signatures).
SIGNATURES = {
    b"%PDF-": "a PDF",
    b"PK\x03\x04": "a zip archive (as .docx, .odt and .epub are)",
    b"\xd0\xcf\x11\xe0": "an old Word document",
    b"{\\rtf": "a Rich Text document",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"\x89HDF": "an HDF5 file",
    b"\x7fELF": "a program",
}

CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\v\f\r\x1a\x1b")
MAX_CONTROL_SHARE = 0.02  # compressed and random data have about 0.1


def decode(data: bytes, name: str) -> str:
    r"""Return the text in `data`, without byte order mark, with \n line ends.

    Tries what `detect_encoding` finds. `name` is what messages call the data.
    Raises TextgenError for data that is binary, damaged or in another encoding.
    """
    return "".join(decoded([data], detect_encoding(data, name), name))


def decoded(blocks: Iterable[bytes], encoding: str, name: str) -> Iterator[str]:
    """Likewise of data that comes in blocks, cut anywhere, and of one encoding."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), True)
    read = controls = length = 0
    for data in itertools.chain(blocks, [b""]):
        read += len(data)
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            bad_byte = _bad_byte(error, read - len(error.object))
            raise TextgenError(
                f"{name} is not UTF-8, UTF-16 or cp1252 text ({encoding}: {bad_byte}):"
                " save it as UTF-8 plain text first"
            ) from error
        if "\0" in text:
            raise binary(name, "a binary file (it has zero bytes)")
        controls += count_controls(text.encode("utf-8", "surrogatepass"))
        length += len(text)
        yield text
    refuse_controls(controls, length, name)


def detect_encoding(data: bytes, name: str, start: int = 0) -> str:
    """Name the codec that fits: by byte order mark, else UTF-16 where clear, UTF-8, else cp1252.

    `start` is where `data` begins in the file that it comes from.
    Raises TextgenError for binary data and for UTF-8 with a few damaged places.
    """
    for signature, kind in SIGNATURES.items():
        if data.startswith(signature):
            raise binary(name, kind)
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return encoding
    if 0 in data:
        return _utf16_order(data, name)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        _refuse_damaged_utf8(data, error, name, start)
        return "cp1252"
    return "utf-8"


def _utf16_order(data: bytes, name: str) -> str:
    """Name the byte order of UTF-16 without a mark, by the zero bytes of its Latin letters."""
    first, second = data[::2].count(0), data[1::2].count(0)
    clear = max(first, second) > 0.02 * len(data) and min(first, second) < 0.01 * max(first, second)
    if len(data) % 2 or not clear:
        raise binary(name, "a binary file (it has zero bytes)")
    return "utf-16-le" if second > first else "utf-16-be"


def _refuse_damaged_utf8(data: bytes, error: UnicodeDecodeError, name: str, start: int) -> None:
    """Raise for UTF-8 with damage: in cp1252 text hardly any letters form valid UTF-8."""
    text = data.decode("utf-8", errors="replace")
    damaged = text.count("\ufffd")
    valid = sum(character > "\x7f" for character in text) - damaged
    if valid >= damaged:
        raise TextgenError(
            f"{name} is UTF-8 with damage ({_bad_byte(error, start)}): mend that place or save the"
            " file as UTF-8 again"
        )


def even_line_ends(text: str) -> str:
    r"""Make every line end \n."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def count_controls(data: bytes) -> int:
    """How many of the bytes of a text in UTF-8 are control characters that text has not."""
    return len(data) - len(data.translate(None, CONTROLS))


def refuse_controls(count: int, length: int, name: str) -> None:
    """Raise TextgenError where `count` of `length` characters are too many for text."""
    if count > MAX_CONTROL_SHARE * length:
        raise binary(name, "a binary file (it is full of control characters)")


def not_utf8(path: Path, data: bytes, start: int = 0) -> TextgenError:
    """Say what is wrong with a file of which `data`, from offset `start` on, is not UTF-8."""
    encoding = detect_encoding(data, str(path), start)
    return TextgenError(
        f"{path} is not UTF-8 ({_first_bad_byte(data, start)}; it looks like {encoding}):"
        f" `python -m textgen corpus {shlex.quote(str(path))} --out DIR` converts it"
    )


def _first_bad_byte(data: bytes, start: int) -> str:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return _bad_byte(error, start)
    return f"byte 0x00 at offset {start + data.index(0)}"


def _bad_byte(error: UnicodeDecodeError, start: int = 0) -> str:
    return f"byte 0x{error.object[error.start]:02x} at offset {start + error.start}"


def binary(name: str, kind: str) -> TextgenError:
    """Say that something is no text."""
    return TextgenError(f"{name} is {kind}, not text: save it as plain text (.txt) first")


# What Project Gutenberg puts around a book (https://www.gutenberg.org/policy/license.html).
GUTENBERG_START = re.compile(r"\*\*\* ?START OF TH(?:E|IS) PROJECT GUTENBERG", re.IGNORECASE)
GUTENBERG_END = re.compile(
    r"\*\*\* ?END OF TH(?:E|IS) PROJECT GUTENBERG|End of (?:the |this )?Project Gutenberg",
    re.IGNORECASE,
)
GUTENBERG_CREDITS = re.compile(
    r"\A\s*(?:produced|e-?text prepared|transcribed) (?s:.*?)(?:\n\s*\n|\Z)", re.IGNORECASE
)
EDITORS_NOTES = re.compile(
    r"\[(?:Illustration|Transcriber.?s.? Notes?)\b[^\]]{0,2000}\][ \t]*\n?", re.IGNORECASE
)


def strip_gutenberg(text: str) -> str:
    """Return the books in `text`, a blank line between them; without a START line all of it."""
    books = list(gutenberg_books([text]))
    return "\n\n".join(books) + "\n" if books else text


def gutenberg_books(chunks: Iterable[str]) -> Iterator[str]:
    """The books in a text without Project Gutenberg's header, licence, credits and notes.

    Keeps what is between the START and END lines (of each book, where a file has several), less
    the "Produced by ..." paragraph and notes such as [Illustration: ...] and [Transcriber's
    Note: ...]. A START line may be wrapped. One book is in memory at a time.
    """
    opening = ""
    book: list[str] | None = None
    for line in itertools.chain(parts(chunks, "\n"), ["*** END OF THE PROJECT GUTENBERG EBOOK"]):
        if book is not None and GUTENBERG_END.match(line):
            yield _clean_book("\n".join(book))
            book = None
        elif book is not None:
            book.append(line)
        elif line.strip() and (opening or GUTENBERG_START.match(line)):
            opening += line
            if "***" in opening[3:]:
                opening, book = "", []
        else:
            opening = ""


def _clean_book(book: str) -> str:
    """Drop credits, notes and the newlines around a book."""
    return EDITORS_NOTES.sub("", GUTENBERG_CREDITS.sub("", book)).strip("\n")


FULL_LINE = 55  # columns; hard wraps are at 60 to 80, most verse stays below
LONGEST_WRAP = 100  # columns; longer lines were never wrapped
LONGEST_PARAGRAPH = 1 << 24  # characters; what is longer is no hard-wrapped paragraph
BLOCK = re.compile(r"^[^\S\n]*\S.*(?:\n[^\S\n]*\S.*)+", re.MULTILINE)
KEPT_LINE = re.compile(r" {2}|\t|[-*+•|>] |#+ |\d{1,3}[.)] ")  # indented, list, quote, heading
DASH_AT_END = re.compile(r"[^\s-](?:--?|—)$")
DASH_AT_START = re.compile(r"(?:--|—)[^\s-]")
OPENING_MARKS = "\"'\u201c\u2018\u00ab([_*"


def unwrap(text: str) -> str:
    """Make every hard-wrapped paragraph of `text` one line; everything else stays as it is.

    A block of lines between blank lines is a wrapped paragraph when each line but the last is
    full, that is, when the first word of the next line would have passed column 55, as a wrap
    at 60 to 80 columns implies. One short line makes the whole block keep its lines (verse,
    addresses, `Speaker:` blocks), and so does a line beyond 100 columns (paragraphs that are
    lines already), an indented line (two spaces or a tab; one space is a wrapping slip), a list
    item or heading, or a capital at the start of each of four or more lines (long verse).
    Applying it twice changes nothing more.
    """
    return BLOCK.sub(_unwrap_block, text)


def unwrapped(chunks: Iterable[str]) -> Iterator[str]:
    """Likewise of a text in chunks; paragraphs beyond 16 million characters keep their lines."""
    held = ""
    for chunk in chunks:
        held += chunk
        place = held.rfind("\n\n") + 2
        if place > 1:
            yield unwrap(held[:place])
            held = held[place:]
        elif len(held) > LONGEST_PARAGRAPH:
            place = held.rfind("\n") + 1 or len(held)
            yield held[:place]
            held = held[place:]
    yield unwrap(held)


def _unwrap_block(match: re.Match[str]) -> str:
    lines = match[0].split("\n")
    return _join_lines(lines) if _is_wrapped(lines) else match[0]


def _is_wrapped(lines: list[str]) -> bool:
    if any(KEPT_LINE.match(line) or len(line) > LONGEST_WRAP for line in lines):
        return False
    if len(lines) >= 4 and all(line.lstrip(OPENING_MARKS)[:1].isupper() for line in lines):
        return False
    return all(
        len(line.rstrip()) + 1 + len(following.split(maxsplit=1)[0]) > FULL_LINE
        for line, following in itertools.pairwise(lines)
    )


def _join_lines(lines: list[str]) -> str:
    """One line; a dash or hyphen at a line's edge keeps its words together."""
    joined = lines[0].strip()
    for line in map(str.strip, lines[1:]):
        tight = DASH_AT_END.search(joined) or DASH_AT_START.match(line)
        joined += line if tight else f" {line}"
    return joined


def parts(chunks: Iterable[str], separator: str) -> Iterator[str]:
    """What is between separators in a text in chunks; `str.split` of the whole."""
    held = ""
    for chunk in chunks:
        if separator in held[-len(separator) :] + chunk:
            *whole, held = (held + chunk).split(separator)
            yield from whole
        else:
            held += chunk
    yield held


def without_edge_newlines(chunks: Iterable[str]) -> Iterator[str]:
    """A text in chunks without the newlines around it."""
    held, begun = "", False
    for chunk in chunks:
        text = chunk if begun else chunk.lstrip("\n")
        begun = begun or bool(text)
        body = text.rstrip("\n")
        if body:
            yield held + body
            held = ""
        held += text[len(body) :]
