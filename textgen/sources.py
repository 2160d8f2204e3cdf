r"""The texts of a data directory as streams: found, read, decoded and joined piece by piece.

A text is `input.txt`, or the files of the folder `input/` in the order of their names with a
newline between them; each may be compressed (`.gz`, `.zst`). It is UTF-8 with or without byte
order mark, and its line ends become \n. Memory holds a few pieces of it at a time, whatever its
size, and may read it as often as needed.
"""

from __future__ import annotations

import bisect
import functools
import gzip
import io
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from textgen import corpora
from textgen.errors import TextgenError

CHUNK = 1 << 20
"""Bytes read at a time."""
ENDINGS = (".txt", ".txt.gz", ".txt.zst")
Advance = Callable[[int], None]
"""Is told how many bytes of the files have been read since it was last."""


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
        """What the files take on the disk."""
        return sum(path.stat().st_size for path in self.paths)

    def stamps(self) -> list[list[Any]]:
        """What changes with the files: name, size, times of change of content and of anything."""
        stats = [(path.name, path.stat()) for path in self.paths]
        return [[name, s.st_size, s.st_mtime_ns, s.st_ctime_ns] for name, s in stats]

    def read(self, advance: Advance = lambda size: None, size: int = CHUNK) -> Iterator[Chunk]:
        """Yield the text piece by piece.

        Raises TextgenError for a missing, unreadable, empty, binary or differently encoded file.
        """
        blank = True
        for number, path in enumerate(self.paths):
            if number:
                yield Chunk("\n", -1, 0, 0)
            for offset, data in _parts_of(path, size, advance):
                text = corpora.even_line_ends(decoded(path, data, offset))
                blank = blank and (not text or text.isspace())
                yield Chunk(text, number, offset, len(data))
        if blank:
            shown = self.paths[0] if len(self.paths) == 1 else self.paths[0].parent
            raise TextgenError(f"{shown} is empty: put the text to learn from in it")

    def again(self, chunk: Chunk) -> str:
        """Read the text of one chunk anew."""
        if chunk.file < 0:
            return "\n"
        path = self.paths[chunk.file]
        with opened(path) as (file, _):
            _skip(file, chunk.offset)
            return corpora.even_line_ends(decoded(path, file.read(chunk.size), chunk.offset))


def _skip(file: BinaryIO, size: int) -> None:
    """Seek forward from the start, also where only reading does that."""
    if file.seekable():
        file.seek(size)
    while not file.seekable() and size and (data := file.read(min(size, CHUNK))):
        size -= len(data)


def find(data_dir: Path, name: str) -> Source | None:
    """The text `name` ("input" or "validate") of a data directory, or None.

    Raises TextgenError where there are several of that name.
    """
    candidates = [data_dir / f"{name}{ending}" for ending in ENDINGS]
    found: list[tuple[Path, ...]] = [(path,) for path in candidates if path.exists()]
    if (data_dir / name).is_dir():
        files = sorted(path for path in (data_dir / name).iterdir() if path.name.endswith(ENDINGS))
        if not files:
            raise TextgenError(f"the folder {data_dir / name} has no .txt files: add some")
        found.append(tuple(files))
    if len(found) > 1:
        shown = " and ".join(str(_place(paths)) for paths in found[:2])
        raise TextgenError(f"both {shown} are there: keep one of them")
    for path in found[0] if found else ():
        _refuse_no_file(path)
    return Source(found[0]) if found else None


def _place(paths: tuple[Path, ...]) -> Path:
    return paths[0] if paths[0].name.startswith(("input.", "validate.")) else paths[0].parent


def _refuse_no_file(path: Path) -> None:
    """Raise TextgenError for what cannot be read as often as needed."""
    if path.is_dir():
        raise TextgenError(f"{path} is a folder: give a text file")
    if not stat.S_ISREG(path.stat().st_mode):
        raise TextgenError(
            f"{path} is not a file that can be read twice: `python -m textgen corpus {path} --out"
            " DIR` makes a data directory of what comes out of it"
        )


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, Callable[[], int]]]:
    """Open a file, decompressed by its ending; and tell how many of its own bytes were read.

    Raises TextgenError where it cannot be read.
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
    """Decompresses frame by frame, unlike the package's own reader refusing one cut short."""

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


def _parts_of(path: Path, size: int, advance: Advance) -> Iterator[tuple[int, bytes]]:
    """Yield offset and bytes of parts of a file that can be decoded by themselves."""
    controls = total = 0
    with opened(path) as (file, position):
        for offset, data in whole(_blocks(file, position, size, advance)):
            controls, total = controls + corpora.count_controls(data), total + len(data)
            yield offset, data
    corpora.refuse_controls(controls, total, str(path))


def _blocks(
    file: BinaryIO, position: Callable[[], int], size: int, advance: Advance
) -> Iterator[bytes]:
    read = 0
    while block := file.read(size):
        advance(position() - read)
        read = position()
        yield block


def whole(blocks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    r"""Cut a stream of UTF-8 anew, so that no character and no \r\n is parted.

    Yields offset and bytes.
    """
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
    r"""Where the last character of UTF-8 may begin; the end, where it is one byte but \r."""
    end = len(data)
    if data[-1] >= 0x80:
        first = max(0, end - 4)
        starts = [place for place in range(first, end) if data[place] >= 0xC0]
        end = starts[-1] if starts else end  # what no character begins is for the decoder
    return end - 1 if data[end - 1 : end] == b"\r" else end


def decoded(path: Path, data: bytes, offset: int) -> str:
    """Decode a part of a file. Raises TextgenError where it is not UTF-8 text."""
    if offset == 0 and not corpora.detect_encoding(data, str(path)).startswith("utf-8"):
        raise corpora.not_utf8(path, data)
    if 0 in data:
        raise corpora.not_utf8(path, data, offset)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise corpora.not_utf8(path, data, offset) from error
    return text.removeprefix("\ufeff") if offset == 0 else text


@dataclass(frozen=True)
class Stream:
    """What is trained on or measured with: a whole source, or one side of its split."""

    source: Source
    split: Split | None = None
    held_out: bool = False

    def chunks(self, advance: Advance = lambda size: None) -> Iterator[str]:
        """Yield the text piece by piece. Raises TextgenError where it cannot be read."""
        texts = (chunk.text for chunk in self.source.read(advance))
        return self.split.part(texts, self.held_out) if self.split else texts

    @property
    def num_bytes(self) -> float:
        """About what the text takes on the disk."""
        share = self.split.share if self.split else 0.0
        return self.source.num_bytes * (share if self.held_out else 1 - share)

    def origin(self) -> dict[str, Any]:
        """What tells whether the text is still the same without reading it."""
        share = self.split.share if self.split else 0
        return {"files": self.source.stamps(), "split": share, "held_out": self.held_out}


class Streams(NamedTuple):
    """What to learn from, and what to measure on (None: nothing is held out)."""

    training: Stream
    validation: Stream | None


@dataclass(frozen=True)
class Split:
    """A source of which `share` is held out, by `corpora.split_places`."""

    source: Source
    share: float

    def part(self, chunks: Iterable[str], held_out: bool) -> Iterator[str]:
        """Pick one side of the split out of the chunks of the whole text."""
        sides = [(s.cut, s.end) if held_out else (s.start, s.cut) for s in self.slices]
        start = 0
        for chunk in chunks:
            for low, high in sides[bisect.bisect(sides, start, key=lambda side: side[1]) :]:
                if low >= start + len(chunk):
                    break
                yield chunk[max(0, low - start) : high - start]
            start += len(chunk)

    @functools.cached_property
    def slices(self) -> list[corpora.Slice]:
        """Found by reading the source once, and places of it again. Raises TextgenError."""
        text = Indexed(self.source)
        slices = corpora.split_places(text, self.share)
        sides = [[(s.start, s.cut) for s in slices], [(s.cut, s.end) for s in slices]]
        if any(all(text.is_blank(*place) for place in side) for side in sides):
            raise corpora.too_short(len(text), self.share)
        return slices


class Indexed:
    """A source that can be searched at any place, as a str can; see `corpora.Searchable`."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._chunks, self._starts, self._length = [], [], 0
        for chunk in source.read():
            self._chunks.append(chunk._replace(text=""))
            self._starts.append(self._length)
            self._length += len(chunk.text)
        self._text = functools.lru_cache(maxsize=8)(self._read)

    def __len__(self) -> int:
        return self._length

    def _read(self, number: int) -> str:
        return self._source.again(self._chunks[number])

    def _windows(self, low: int, high: int) -> list[tuple[int, int]]:
        """The numbers and starts of the chunks that have a part of the text from low to high."""
        first = bisect.bisect(self._starts, low) - 1
        last = bisect.bisect_left(self._starts, high)
        return list(
            zip(range(max(0, first), last), self._starts[max(0, first) : last], strict=True)
        )

    def find(self, separator: str, low: int, high: int) -> int:
        """Like `str.find`."""
        for number, start in self._windows(low, high):
            text = self._with_next(number, len(separator))
            found = text.find(separator, max(0, low - start), high - start)
            if found >= 0:
                return start + found
        return -1

    def rfind(self, separator: str, low: int, high: int) -> int:
        """Like `str.rfind`."""
        for number, start in reversed(self._windows(low, high)):
            text = self._with_next(number, len(separator))
            found = text.rfind(separator, max(0, low - start), max(0, high - start))
            if found >= 0:
                return start + found
        return -1

    def startswith(self, prefix: str, place: int) -> bool:
        """Like `str.startswith`."""
        return self.find(prefix, place, place + len(prefix)) == place

    def is_blank(self, low: int, high: int) -> bool:
        """Whether the text from low to high has nothing but white space."""
        return all(
            not (part := self._text(number)[max(0, low - start) : high - start]) or part.isspace()
            for number, start in self._windows(low, high)
        )

    def _with_next(self, number: int, length: int) -> str:
        """A chunk, and as much of what follows that a match of `length` may straddle its end."""
        text, following = self._text(number), number + 1
        missing = length - 1
        while missing > 0 and following < len(self._chunks):
            more = self._text(following)[:missing]
            text, missing, following = text + more, missing - len(more), following + 1
        return text
