r"""The texts of a data directory: finds, decodes, reads and writes them piece by piece.

A text is `input.txt`, or the files of the folder `input/` in the order of their names with a
newline between them; each may be compressed (`.gz`, `.zst`). It is UTF-8 with or without byte
order mark, and its line ends become \n; other encodings are told apart here too, for what is made
a data directory. Memory holds a few pieces of a text at a time, whatever its size, and may read it
as often as needed.
"""

from __future__ import annotations

import codecs
import gzip
import io
import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import explained, make_folder, replacing
from textgen.text.cleaning import trim_newlines

CHUNK = 1 << 20
"""Bytes read at a time."""
ENDINGS = (".txt", ".txt.gz", ".txt.zst")
Advance = Callable[[int], None]
"""Called with the number of bytes of the files read since the call before."""


class Chunk(NamedTuple):
    """A piece of a text, and where to read it again."""

    text: str
    offset: int = 0
    """In bytes of the decompressed file."""
    size: int = 0
    path: Path | None = None
    """The file; None for the newline between two of them."""


# --- bytes -> text ---

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

MIXED = "utf-8, mended where it is not"
"""UTF-8 in which some places are in another encoding, or are zero bytes."""

CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\v\f\r\x1a\x1b")
MAX_CONTROL_SHARE = 0.02  # compressed and random data have about 0.1
ZERO_BYTES = "a binary file (it has zero bytes)"
FULL_OF_CONTROLS = "a binary file (it is full of control characters)"
FILL = "put the text to learn from in it"
SAVE_AS_TEXT = "save it as UTF-8 plain text (.txt) first"


def decode(data: bytes, name: str) -> str:
    r"""Returns the text in `data`, without byte order mark, with \n line ends.

    The encoding is the one that `detect_encoding` finds. `name` is what messages call the data.
    Raises TextgenError for data that is binary, damaged or in another encoding.
    """
    return "".join(chunk.text for chunk in decode_blocks([data], detect_encoding(data, name), name))


def decode_blocks(
    blocks: Iterable[bytes], encoding: str, name: str, mend: str = SAVE_AS_TEXT
) -> Iterator[Chunk]:
    r"""Yields the text of data that comes in blocks, cut anywhere; its line ends become \n.

    Args:
        blocks: the data.
        encoding: the codec that it is in.
        name: what messages call the data.
        mend: what they say is to be done about it.

    Raises:
        TextgenError: for data that is binary or in another encoding.
    """
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), True)
    offset = read = controls = length = 0
    for data in itertools.chain(blocks, [b""]):
        read += len(data)
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            _refuse_binary(data, name)
            bad_byte = _bad_byte(error, read - len(error.object))
            shown = encoding.removesuffix("-sig").upper()
            raise TextgenError(f"{name} is not {shown} ({bad_byte}): {mend}") from error
        if encoding.startswith(("utf-16", "utf-32")):  # in others each byte stands for itself
            data = text.encode("utf-8", "surrogatepass")
        found = _num_controls(data)
        if found and "\0" in text:
            # Few are left out by the corpus command, and of UTF-16 it makes UTF-8.
            helps = found <= MAX_CONTROL_SHARE * len(text) or _utf16_order(data)
            shown = mend if helps else SAVE_AS_TEXT
            raise TextgenError(f"{name} is {ZERO_BYTES}, not text: {shown}")
        controls += found
        length += len(text)
        if text:
            waiting, flags = decoder.getstate()  # bytes of half a character; 1: a \r is held back
            end = read - len(waiting) - (flags & 1)
            yield Chunk(text, offset, end - offset)
            offset = end
    if controls > MAX_CONTROL_SHARE * length:
        raise _not_text(name, FULL_OF_CONTROLS)


def _num_controls(data: bytes) -> int:
    return len(data) - len(data.translate(None, CONTROLS))


def _refuse_binary(data: bytes, name: str) -> None:
    """Raises TextgenError for a block of a file that is a text in no encoding."""
    if 0 in data and _utf16_order(data) is None:
        raise _not_text(name, ZERO_BYTES)
    if 0 not in data and _num_controls(data) > MAX_CONTROL_SHARE * len(data):
        raise _not_text(name, FULL_OF_CONTROLS)


def detect_encoding(data: bytes, name: str, repair: bool = False) -> str:
    """Returns the codec that fits: by byte order mark, else UTF-16 if clear, UTF-8, else cp1252.

    `MIXED` is no codec; `repaired` makes UTF-8 of it.

    Args:
        data: what the file begins with.
        name: what messages call it.
        repair: whether it may be `MIXED`.

    Raises:
        TextgenError: for binary data, and if it may not be, for UTF-8 with damaged places.
    """
    refuse_signature(data, name)
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            damaged = encoding == "utf-8-sig" and repair and not _is_utf8(data)
            return MIXED if damaged else encoding
    if 0 in data:
        if wide := _utf16_order(data):
            return wide
        if repair and _num_controls(data) <= MAX_CONTROL_SHARE * len(data):
            return MIXED
        raise _not_text(name, ZERO_BYTES)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        text = data.decode("utf-8", errors="replace")  # letters of cp1252 hardly form valid UTF-8
        if text.count("\ufffd") < sum(character > "\x7f" for character in text):
            if not repair:
                raise TextgenError(
                    f"{name} is UTF-8 with damage ({_bad_byte(error)}): mend that place, save the"
                    " file as UTF-8 again, or let `errors` repair read it as cp1252"
                ) from error
            return MIXED
        return "cp1252"
    return "utf-8"


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def repaired(blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Yields UTF-8 of data that is so but for some places, which are read as cp1252.

    Zero bytes are left out, and a byte order mark. It goes line by line where that is needed, and
    says how many lines had such places.
    """
    held, mended, zeros = b"", 0, 0
    rest = iter(blocks)
    first = next(rest, b"").removeprefix(codecs.BOM_UTF8)
    for block in itertools.chain([first], rest, [b""]):
        whole, newline, held = (held + block).rpartition(b"\n") if block else (held, b"", b"")
        whole += newline
        if 0 not in whole and _is_utf8(whole):
            yield whole
            continue
        for line in whole.splitlines(keepends=True):
            if 0 in line:
                zeros += 1
                line = line.replace(b"\0", b"")
            try:
                line.decode("utf-8")
                yield line
            except UnicodeDecodeError:
                mended += 1
                yield line.decode("utf-8", "textgen.cp1252").encode("utf-8")
    if mended:
        console.say(
            f"{name}: {console.counted(mended, 'line')} not in UTF-8 alone, read as cp1252 there"
        )
    if zeros:
        console.say(f"{name}: {console.counted(zeros, 'line')} had zero bytes, which are left out")


def _as_cp1252(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


codecs.register_error("textgen.cp1252", _as_cp1252)


def refuse_signature(data: bytes, name: str) -> None:
    """Raises TextgenError for a file that begins with `data` as other files than texts do."""
    for signature, kind in SIGNATURES.items():
        if data.startswith(signature):
            raise _not_text(name, kind)


def _utf16_order(data: bytes) -> str | None:
    """Returns the codec of UTF-16 without a mark, by the zero bytes of Latin letters, if it is."""
    first, second = data[::2].count(0), data[1::2].count(0)
    clear = max(first, second) > 0.02 * len(data) and min(first, second) < 0.01 * max(first, second)
    if len(data) % 2 or not clear:
        return None
    return "utf-16-le" if second > first else "utf-16-be"


def _bad_byte(error: UnicodeDecodeError, start: int = 0) -> str:
    return f"byte 0x{error.object[error.start]:02x} at offset {start + error.start}"


def _not_text(name: str, kind: str) -> TextgenError:
    return TextgenError(f"{name} is {kind}, not text: {SAVE_AS_TEXT}")


# --- files ---


@dataclass(frozen=True)
class Source:
    """A text that lies in one file or several."""

    paths: tuple[Path, ...]
    skipped: tuple[Path, ...] = ()
    """Files of the folder that are no texts."""

    @property
    def num_bytes(self) -> int:
        """Bytes that the files take on the disk."""
        return sum(path.stat().st_size for path in self.paths)

    def stamps(self) -> list[list[Any]]:
        """Returns of each file its name, size, and times of change of content and of anything."""
        stats = [(path.name, path.stat()) for path in self.paths]
        return [[name, s.st_size, s.st_mtime_ns, s.st_ctime_ns] for name, s in stats]

    def read(self, advance: Advance = lambda size: None, between: str = "\n") -> Iterator[Chunk]:
        """Yields the text piece by piece, with `between` between two files.

        Raises TextgenError for a missing, unreadable, empty, binary or differently encoded file.
        """
        blank = True
        for number, path in enumerate(self.paths):
            if number:
                yield Chunk(between)
            for chunk in read_file(path, advance):
                blank = blank and chunk.text.isspace()
                yield chunk
        if blank:
            shown = self.paths[0] if len(self.paths) == 1 else self.paths[0].parent
            held_out = shown.name.startswith("validate")
            mend = "put text to measure with in it, or remove it" if held_out else FILL
            raise TextgenError(f"{shown} is empty: {mend}")


def read_file(path: Path, advance: Advance = lambda size: None) -> Iterator[Chunk]:
    """Yields the text of a file piece by piece.

    Raises TextgenError for a missing, unreadable, binary or differently encoded file.
    """
    command = console.command_line("corpus", path, out="DIR")
    mend = f"mend that place, or let `{command}` convert it"
    for chunk in decode_blocks(_blocks(path, advance), "utf-8-sig", str(path), mend):
        yield chunk._replace(path=path)


def reread(chunk: Chunk) -> str:
    """Returns the text of a chunk, given without it, read anew from its place."""
    if chunk.path is None:
        return "\n"
    with open_text(chunk.path) as (file, _):
        _skip(file, chunk.offset)
        data = file.read(chunk.size)
    decoder = codecs.getincrementaldecoder("utf-8" if chunk.offset else "utf-8-sig")("replace")
    return io.IncrementalNewlineDecoder(decoder, True).decode(data, final=True)


def _skip(file: BinaryIO, size: int) -> None:
    """Moves `size` bytes on from the start, by reading where the file cannot seek."""
    if file.seekable():
        file.seek(size)
    while not file.seekable() and size and (data := file.read(min(size, CHUNK))):
        size -= len(data)


def find_source(data_dir: Path, name: str) -> Source | None:
    """Returns the text `name` ("input" or "validate") of a data directory, or None.

    Raises TextgenError if there are several of that name, or one that cannot be read twice.
    """
    places = [data_dir / f"{name}{ending}" for ending in ENDINGS]
    found: dict[Path, tuple[Path, ...]] = {path: (path,) for path in places if path.exists()}
    folder, skipped = data_dir / name, list[Path]()
    if folder.is_dir():
        present = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        files = [path for path in present if path.name.endswith(ENDINGS)]
        skipped = [path for path in present if path not in files]
        if not files:
            raise TextgenError(f"the folder {folder} has no .txt files: add some")
        found[folder] = tuple(files)
    if len(found) > 1:
        shown = " and ".join(map(str, list(found)[:2]))
        raise TextgenError(f"both {shown} are there: keep one of them")
    for path in itertools.chain(*found.values()):
        if not path.is_file():
            raise TextgenError(
                f"{path} is not a file that can be read twice:"
                f" `{console.command_line('corpus', path, out='DIR')}` makes a data directory of"
                " what comes out of it"
            )
    return next((Source(paths, tuple(skipped)) for paths in found.values()), None)


@contextmanager
def open_text(path: Path) -> Iterator[tuple[BinaryIO, Callable[[], int]]]:
    """Opens a file, decompressed by its ending, and tells how many of its own bytes were read.

    Raises TextgenError if it cannot be read.
    """
    try:
        with path.open("rb") as raw:
            if path.suffix == ".gz":
                with gzip.GzipFile(fileobj=raw) as file:
                    yield file, raw.tell  # type: ignore[misc]
            elif path.suffix == ".zst":
                with _unzstd(raw) as file:
                    yield file, raw.tell
            else:
                yield raw, raw.tell
    except FileNotFoundError:
        raise TextgenError(f"{path} does not exist: check the name") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TextgenError(f"{path} is damaged ({error}): compress the text again") from error
    except OSError as error:
        raise TextgenError(
            f"cannot read {path} ({error.strerror or error}): check the file and its permissions"
        ) from error


@contextmanager
def _unzstd(raw: BinaryIO) -> Iterator[BinaryIO]:
    try:
        import zstandard
    except ImportError as error:
        raise TextgenError(
            "reading .zst needs the package zstandard: pip install zstandard"
        ) from error
    try:
        yield io.BufferedReader(_Unzstd(raw, zstandard.ZstdDecompressor))
    except zstandard.ZstdError as error:
        raise EOFError(str(error)) from error


class _Unzstd(io.RawIOBase):
    """Decompresses frame by frame, and unlike the package's own reader refuses one cut short."""

    def __init__(self, raw: BinaryIO, decompressor: Callable[[], Any]) -> None:
        self._raw, self._decompressor = raw, decompressor
        self._frame = decompressor().decompressobj()
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            data = self._frame.unused_data if self._frame.eof else b""
            data = data or self._raw.read(CHUNK // 8)
            if not data:
                if not self._frame.eof:
                    raise EOFError("it was cut short")
                return 0
            if self._frame.eof:
                self._frame = self._decompressor().decompressobj()
            self._ready = self._frame.decompress(data)
        part, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


def _blocks(path: Path, advance: Advance) -> Iterator[bytes]:
    """Yields the bytes of a file. Raises TextgenError if they begin as no text does."""
    read = 0
    with open_text(path) as (file, position):
        while block := file.read(CHUNK):
            if not read:
                refuse_signature(block, str(path))
            advance(position() - read)
            read = position()
            yield block


def write_texts(directory: Path, training: Iterable[str], validation: Iterable[str] | None) -> None:
    """Writes validate.txt, then input.txt, each whole or not at all, and says so.

    input.txt comes last: a folder that has it has all that its maker meant to write.

    Args:
        directory: the data directory, made if missing.
        training: the text to learn from, in chunks.
        validation: the text that is held out, likewise; None leaves validate.txt alone.

    Raises:
        TextgenError: if they cannot be written.
    """
    make_folder(directory)
    texts = {directory / "validate.txt": validation, directory / "input.txt": training}
    for path, chunks in texts.items():
        if chunks is not None:
            with explained(path), replacing(path) as temporary:
                write_text(temporary, chunks)
            console.say(f"wrote {path}: {path.stat().st_size:,} bytes")


def write_text(path: Path, chunks: Iterable[str]) -> None:
    """Writes a text with one newline at its end, a blank one as an empty file.

    Raises OSError as writing does.
    """
    blank = True
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        for chunk in trim_newlines(chunks):
            blank = blank and chunk.isspace()
            file.write(chunk)
        file.write("\n")
        if blank:
            file.truncate(0)


def is_text_of(path: Path, text: str) -> bool:
    """Tells whether a file is what `write_text` would write. Raises TextgenError."""
    with explained(path):
        written = "".join(trim_newlines([text])) + "\n"
        return path.read_bytes() == written.encode("utf-8", "surrogatepass")
