"""Bytes -> text: tells encodings apart, decodes, and refuses what is no text.

Whole texts and texts in blocks, cut anywhere, decode alike.
"""

import codecs
import io
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

from textgen.support import console
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
    r"""Returns the text in `data`, without byte order mark, with \n line ends.

    The encoding is the one that `detect_encoding` finds. `name` is what messages call the data.
    Raises TextgenError for data that is binary, damaged or in another encoding.
    """
    return "".join(decode_blocks([data], detect_encoding(data, name), name))


def decode_blocks(blocks: Iterable[bytes], encoding: str, name: str) -> Iterator[str]:
    r"""Yields the text of data that comes in blocks, cut anywhere; its line ends become \n.

    Args:
        blocks: the data.
        encoding: the codec that it is in.
        name: what messages call the data.

    Raises:
        TextgenError: for data that is binary or in another encoding.
    """
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
            raise not_text_error(name, "a binary file (it has zero bytes)")
        controls += count_controls(text.encode("utf-8", "surrogatepass"))
        length += len(text)
        yield text
    refuse_controls(controls, length, name)


def detect_encoding(data: bytes, name: str, start: int = 0) -> str:
    """Returns the codec that fits: by byte order mark, else UTF-16 if clear, UTF-8, else cp1252.

    `start` is where `data` begins in the file that it comes from.
    Raises TextgenError for binary data and for UTF-8 with a few damaged places.
    """
    for signature, kind in SIGNATURES.items():
        if data.startswith(signature):
            raise not_text_error(name, kind)
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
    """Returns the byte order of UTF-16 without a mark, by the zero bytes of its Latin letters."""
    first, second = data[::2].count(0), data[1::2].count(0)
    clear = max(first, second) > 0.02 * len(data) and min(first, second) < 0.01 * max(first, second)
    if len(data) % 2 or not clear:
        raise not_text_error(name, "a binary file (it has zero bytes)")
    return "utf-16-le" if second > first else "utf-16-be"


def _refuse_damaged_utf8(data: bytes, error: UnicodeDecodeError, name: str, start: int) -> None:
    """Raises TextgenError for damaged UTF-8: hardly any letters of cp1252 form valid UTF-8."""
    text = data.decode("utf-8", errors="replace")
    damaged = text.count("\ufffd")
    valid = sum(character > "\x7f" for character in text) - damaged
    if valid >= damaged:
        raise TextgenError(
            f"{name} is UTF-8 with damage ({_bad_byte(error, start)}): mend that place or save the"
            " file as UTF-8 again"
        )


def normalize_line_ends(text: str) -> str:
    r"""Returns the text with every line end made \n."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def count_controls(data: bytes) -> int:
    """Returns how many bytes of a text in UTF-8 are control characters that text has not."""
    return len(data) - len(data.translate(None, CONTROLS))


def refuse_controls(count: int, length: int, name: str) -> None:
    """Raises TextgenError if `count` control characters are too many for a text of `length`."""
    if count > MAX_CONTROL_SHARE * length:
        raise not_text_error(name, "a binary file (it is full of control characters)")


def not_utf8_error(path: Path, data: bytes, start: int = 0) -> TextgenError:
    """Returns the error for a file of which `data`, from offset `start` on, is not UTF-8."""
    encoding = detect_encoding(data, str(path), start)
    return TextgenError(
        f"{path} is not UTF-8 ({_first_bad_byte(data, start)}; it looks like {encoding}):"
        f" `{console.command_line('corpus', path, out='DIR')}` converts it"
    )


def _first_bad_byte(data: bytes, start: int) -> str:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return _bad_byte(error, start)
    return f"byte 0x00 at offset {start + data.index(0)}"


def _bad_byte(error: UnicodeDecodeError, start: int = 0) -> str:
    return f"byte 0x{error.object[error.start]:02x} at offset {start + error.start}"


def not_text_error(name: str, kind: str) -> TextgenError:
    """Returns the error for data that is no text but of that `kind`."""
    return TextgenError(f"{name} is {kind}, not text: save it as plain text (.txt) first")
