r"""The texts of a data directory: finds, reads and writes them piece by piece.

A text is `input.txt`, or the files of the folder `input/` in the order of their names with a
newline between them; each may be compressed (`.gz`, `.zst`). It is UTF-8 with or without byte
order mark, and its line ends become \n. Memory holds a few pieces of it at a time, whatever its
size, and may read it as often as needed.
"""

from __future__ import annotations

import gzip
import io
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import explained, make_folder, replacing
from textgen.text import decoding
from textgen.text.cleaning import trim_newlines

CHUNK = 1 << 20
"""Bytes read at a time."""
ENDINGS = (".txt", ".txt.gz", ".txt.zst")
Advance = Callable[[int], None]
"""Called with the number of bytes of the files read since the call before."""


class Chunk(NamedTuple):
    """A piece of a text, and where to read it again."""

    text: str
    file: int
    """Which of the files it is from; -1 for the newline between two of them."""
    offset: int
    """In bytes of the decompressed file."""
    size: int


@dataclass(frozen=True)
class Source:
    """A text that lies in one file or several."""

    paths: tuple[Path, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes that the files take on the disk."""
        return sum(path.stat().st_size for path in self.paths)

    def stamps(self) -> list[list[Any]]:
        """Returns of each file its name, size, and times of change of content and of anything."""
        stats = [(path.name, path.stat()) for path in self.paths]
        return [[name, s.st_size, s.st_mtime_ns, s.st_ctime_ns] for name, s in stats]

    def read(self, advance: Advance = lambda size: None) -> Iterator[Chunk]:
        """Yields the text piece by piece.

        Raises TextgenError for a missing, unreadable, empty, binary or differently encoded file.
        """
        blank = True
        for number, path in enumerate(self.paths):
            if number:
                yield Chunk("\n", -1, 0, 0)
            for offset, data in _parts_of(path, advance):
                text = decoding.normalize_line_ends(_decode(path, data, offset))
                blank = blank and (not text or text.isspace())
                yield Chunk(text, number, offset, len(data))
        if blank:
            shown = self.paths[0] if len(self.paths) == 1 else self.paths[0].parent
            raise TextgenError(f"{shown} is empty: put the text to learn from in it")

    def reread(self, chunk: Chunk) -> str:
        """Returns the text of one chunk, read anew from its place."""
        if chunk.file < 0:
            return "\n"
        path = self.paths[chunk.file]
        with open_text(path) as (file, _):
            _skip(file, chunk.offset)
            return decoding.normalize_line_ends(_decode(path, file.read(chunk.size), chunk.offset))


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
    folder = data_dir / name
    if folder.is_dir():
        files = sorted(path for path in folder.iterdir() if path.name.endswith(ENDINGS))
        if not files:
            raise TextgenError(f"the folder {folder} has no .txt files: add some")
        found[folder] = tuple(files)
    if len(found) > 1:
        shown = " and ".join(map(str, list(found)[:2]))
        raise TextgenError(f"both {shown} are there: keep one of them")
    if not found:
        return None
    (paths,) = found.values()
    for path in paths:
        _refuse_unrepeatable(path)
    return Source(paths)


def _refuse_unrepeatable(path: Path) -> None:
    """Raises TextgenError for what cannot be read as often as needed."""
    if path.is_dir():
        raise TextgenError(f"{path} is a folder: give a text file")
    if not stat.S_ISREG(path.stat().st_mode):
        raise TextgenError(
            f"{path} is not a file that can be read twice:"
            f" `{console.command_line('corpus', path, out='DIR')}` makes a data directory of what"
            " comes out of it"
        )


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
        self._begun = False
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            data = self._frame.unused_data if self._frame.eof else b""
            data = data or self._raw.read(CHUNK // 8)
            if not data:
                if self._begun and not self._frame.eof:
                    raise EOFError("it was cut short")
                return 0
            if self._frame.eof:
                self._frame = self._decompressor().decompressobj()
            self._begun, self._ready = True, self._frame.decompress(data)
        part, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


def _parts_of(path: Path, advance: Advance) -> Iterator[tuple[int, bytes]]:
    """Yields offset and bytes of parts of a file that can be decoded by themselves."""
    controls = total = 0
    with open_text(path) as (file, position):
        for offset, data in _whole_characters(_blocks(file, position, advance)):
            controls, total = controls + decoding.count_controls(data), total + len(data)
            yield offset, data
    decoding.refuse_controls(controls, total, str(path))


def _blocks(file: BinaryIO, position: Callable[[], int], advance: Advance) -> Iterator[bytes]:
    read = 0
    while block := file.read(CHUNK):
        advance(position() - read)
        read = position()
        yield block


def _whole_characters(blocks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    r"""Yields offset and bytes of a stream of UTF-8, cut so that no character or \r\n is parted."""
    offset, data = 0, b""
    for block in blocks:
        data += block
        end = _last_border(data)
        if end:
            yield offset, data[:end]
        offset, data = offset + end, data[end:]
    if data:
        yield offset, data


def _last_border(data: bytes) -> int:
    r"""Returns where the last character of UTF-8 may begin; the end if it is one byte but \r."""
    end = len(data)
    if data[-1] >= 0x80:
        first = max(0, end - 4)
        starts = [place for place in range(first, end) if data[place] >= 0xC0]
        end = starts[-1] if starts else end  # what no character begins is for the decoder
    return end - 1 if data[end - 1 : end] == b"\r" else end


def _decode(path: Path, data: bytes, offset: int) -> str:
    """Decodes a part of a file. Raises TextgenError if it is not UTF-8 text."""
    if offset == 0 and not decoding.detect_encoding(data, str(path)).startswith("utf-8"):
        raise decoding.not_utf8_error(path, data)
    if 0 in data:
        raise decoding.not_utf8_error(path, data, offset)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise decoding.not_utf8_error(path, data, offset) from error
    return text.removeprefix("\ufeff") if offset == 0 else text


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
                characters, lines = write_text(temporary, chunks)
            console.say(f"wrote {path}: {characters:,} characters in {lines:,} lines")


def write_text(path: Path, chunks: Iterable[str]) -> tuple[int, int]:
    """Writes a text with one newline at its end, a blank one as an empty file.

    Returns the numbers of its characters and lines. Raises OSError as writing does.
    """
    characters = lines = 0
    blank = True
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        for chunk in trim_newlines(chunks):
            characters, lines = characters + len(chunk), lines + chunk.count("\n")
            blank = blank and chunk.isspace()
            file.write(chunk)
        file.write("\n")
        if blank:
            file.truncate(0)
    return (0, 0) if blank else (characters + 1, lines + 1)
