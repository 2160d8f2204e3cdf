"""Finds the texts of a data directory and cuts a text in what is trained on and what is held out.

The same places are found in a text in memory and in one that is read from the disk in pieces.
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.text import documents
from textgen.text.sources import Advance, Source, find_source, reread

SLICE_CHARACTERS = 2_000  # of one part in a row: about a page, so that few joints are odd
MAX_SLICES = 100
MOST_HELD_OUT = 0.5  # without a warning
BLOCK = 1 << 16  # characters that are searched at a time


class Parts(NamedTuple):
    """The two sides of a text that was split."""

    training: str
    validation: str


class Slice(NamedTuple):
    """A part of a text: trained on from `start` to `cut`, held out from there to `end`."""

    start: int
    cut: int
    end: int


def split(text: str, validation_split: float, most_slices: int = MAX_SLICES) -> Parts:
    """Holds out a share of `text`; see `split_places`."""
    slices = split_places(text, validation_split, most_slices)
    training = "".join(text[piece.start : piece.cut] for piece in slices)
    validation = "".join(text[piece.cut : piece.end] for piece in slices)
    return Parts(training, validation)


def split_places(text: str | Indexed, share: float, most_slices: int = MAX_SLICES) -> list[Slice]:
    """Returns how to hold out a share of `text`.

    Cuts `text` into many equal slices and holds out the end of each, so that both parts
    sample the whole text. Cuts are at paragraph ends (where none is near: at line ends, then
    at spaces), each chosen so that the share held out so far stays close to `share`.
    No cut is farther from its place than half of what is held out (or of what is left to train
    on). No character is lost or changed, and the same text gives the same parts.

    Args:
        text: what to split, in memory or on the disk.
        share: how much to hold out, above 0 and below 1.
        most_slices: with 1 the end of the text is held out.

    Raises:
        TextgenError: when the text is too short to give both parts something.
    """
    smaller = len(text) * min(share, 1 - share)
    reach, slices = round(smaller / 2), []
    start = held_out = 0
    for end in _slice_ends(text, min(most_slices, max(1, int(smaller / SLICE_CHARACTERS)))):
        place = end - (round(share * end) - held_out)
        low, high = (min(end, max(start, place + way)) for way in (-reach, reach))
        slices.append(Slice(start, _nearest_cut(text, place, low, high), end))
        held_out += end - slices[-1].cut
        start = end
    if not 0 < held_out < len(text):
        raise TextgenError(
            f"a text of {len(text):,} characters is too short to hold out {share:.1%}: give more"
            " text, or your own validate.txt"
        )
    return slices


def _slice_ends(text: str | Indexed, count: int) -> list[int]:
    """Returns where slices end, ascending; sought in places apart, so that none is empty."""
    half = len(text) // (2 * count) - 1
    places = [len(text) * number // count for number in range(1, count)]
    return [*(_nearest_cut(text, place, place - half, place + half) for place in places), len(text)]


def _nearest_cut(text: str | Indexed, position: int, low: int, high: int) -> int:
    """Returns the paragraph end in low to high nearest `position`; else line end, else space."""
    position = max(low, min(position, high))
    for separator in ("\n\n", "\n", " "):
        places = (
            text.rfind(separator, max(0, low - len(separator)), position),
            text.find(separator, max(0, position - len(separator)), high),
        )
        cuts = [_past(text, place, separator) for place in places if place >= 0]
        fitting = [cut for cut in cuts if low <= cut <= high]
        if fitting:
            return min(fitting, key=lambda cut: abs(cut - position))
    return position


def _past(text: str | Indexed, place: int, separator: str) -> int:
    """Returns the end of the run of separators at `place`."""
    end = place + len(separator)
    while text.startswith(separator[0], end):
        end += 1
    return end


class Split(Protocol):
    """A source of which `share` is held out."""

    @property
    def share(self) -> float:
        """How much of the text is held out."""

    def part(self, chunks: Iterable[str], held_out: bool) -> Iterator[str]:
        """Yields one side of the split, out of the chunks of the whole text."""

    def origin(self) -> Any:
        """Returns what tells this split from others, as built-in values."""


@dataclass(frozen=True)
class Stream:
    """A text to train on or to measure with: a whole source, or one side of its split."""

    source: Source
    split: Split | None = None
    held_out: bool = False
    between: str = "\n"
    """What stands between the text of one file and that of the next."""

    def chunks(self, advance: Advance = lambda size: None) -> Iterator[str]:
        """Yields the text piece by piece. Raises TextgenError if it cannot be read."""
        texts = (chunk.text for chunk in self.source.read(advance, self.between))
        return self.split.part(texts, self.held_out) if self.split else texts

    @property
    def num_bytes(self) -> float:
        """Bytes that the text takes on the disk, about."""
        share = self.split.share if self.split else 0.0
        return self.source.num_bytes * (share if self.held_out else 1 - share)

    def origin(self) -> dict[str, Any]:
        """Returns what tells, without reading the text, whether it is still the same."""
        split = self.split.origin() if self.split else 0
        return {"files": self.source.stamps(), "split": split, "held_out": self.held_out}


class Streams(NamedTuple):
    """The text to train on, and the one to measure with (None: nothing is held out)."""

    training: Stream
    validation: Stream | None


@dataclass(frozen=True)
class SlicedSplit:
    """Holds out the ends of slices of one text, by `split_places`."""

    source: Source
    share: float

    def origin(self) -> Any:
        return self.share

    def part(self, chunks: Iterable[str], held_out: bool) -> Iterator[str]:
        """Yields one side of the split, out of the chunks of the whole text."""
        sides = [(s.cut, s.end) if held_out else (s.start, s.cut) for s in self.slices]
        start = 0
        for chunk in chunks:
            for low, high in sides[bisect.bisect(sides, start, key=lambda side: side[1]) :]:
                if low >= start + len(chunk):
                    break
                yield chunk[max(0, low - start) : high - start]
            start += len(chunk)

    @functools.cached_property
    def slices(self) -> list[Slice]:
        """The slices, found by reading the source once and places of it again.

        Raises TextgenError if the text cannot be read or is too short to split.
        """
        return split_places(Indexed(self.source), self.share)


@dataclass(frozen=True)
class DocumentSplit:
    """Holds out whole documents of a corpus, by `documents.held_out`."""

    share: float
    documents: str
    """The kind of documents."""

    def origin(self) -> Any:
        return [self.share, self.documents]

    def part(self, chunks: Iterable[str], held_out: bool) -> Iterator[str]:
        """Yields the documents of one side, out of the chunks of the whole text."""
        found = documents.read_documents(chunks, self.documents)
        side = documents.held_out(found, self.share, held_out)
        return documents.join_documents(side, self.documents)


def find_texts(data_dir: Path, validation_split: float, kind: str | None = None) -> Streams:
    """Returns the training and the validation text of a data directory, to be read when needed.

    Args:
        data_dir: the folder.
        validation_split: the share of the text to hold out where there is no validate.txt; 0 for
            none.
        kind: of documents, where the text is many, which are held out whole.

    Raises:
        TextgenError: if there is no text.
    """
    source = find_source(data_dir, "input")
    if source is None:
        raise _no_text(data_dir)
    if source.skipped:
        names = console.listed([path.name for path in source.skipped])
        console.warn(
            f"{data_dir / 'input'} has files that are not read, as they are no .txt: {names}"
        )
    between = documents.between(kind) if kind else "\n"
    held_out = find_source(data_dir, "validate")
    if held_out is not None:
        if validation_split:
            shown = held_out.paths[0]
            console.say(f"`validation_split={validation_split}` is not used: {shown} is there")
        return Streams(Stream(source, between=between), Stream(held_out, between=between))
    if not validation_split:
        return Streams(Stream(source, between=between), None)
    if validation_split > MOST_HELD_OUT:
        console.warn(
            f"`validation_split={validation_split}` holds out {validation_split:.0%} of the text:"
            f" the model learns from the other {1 - validation_split:.0%} only"
        )
    split: Split = SlicedSplit(source, validation_split)
    if kind:
        split = DocumentSplit(validation_split, kind)
    sides = (Stream(source, split, side, between) for side in (False, True))
    return Streams(*sides)


def _no_text(data_dir: Path) -> TextgenError:
    """Returns the error for a data directory that has no text."""
    if data_dir.is_file():
        return TextgenError(
            f"{data_dir} is a file, not a folder:"
            f" `{console.command_line('corpus', data_dir, out='DIR')}` makes a data directory of it"
        )
    others = [path for path in sorted(data_dir.glob("*.txt")) if path.name != "validate.txt"]
    if len(others) == 1:
        return TextgenError(
            f"{data_dir} has no input.txt, but {others[0].name}: rename that to input.txt, or make"
            f" a data directory of it: {console.command_line('corpus', others[0], out=data_dir)}"
        )
    missing = "has no input.txt" if data_dir.is_dir() else "does not exist"
    return TextgenError(
        f"the data directory {data_dir} {missing}: put the text to learn from in"
        f" {data_dir / 'input.txt'}, or use data/tinyshakespeare"
    )


class Indexed:
    """A source that can be searched at any place, as a str can."""

    def __init__(self, source: Source) -> None:
        self._chunks, self._starts, self._length = [], [], 0
        for chunk in source.read():
            self._chunks.append(chunk._replace(text=""))
            self._starts.append(self._length)
            self._length += len(chunk.text)
        self._text = functools.lru_cache(maxsize=8)(reread)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> str:
        """Returns the text of a part, which has a start and a stop."""
        found = []
        for number in range(bisect.bisect(self._starts, part.start) - 1, len(self._starts)):
            start = self._starts[number]
            if start >= part.stop:
                break
            text = self._text(self._chunks[number])
            found.append(text[max(0, part.start - start) : part.stop - start])
        return "".join(found)

    def find(self, separator: str, low: int, high: int) -> int:
        """Like `str.find`."""
        for start in range(low, high, BLOCK):
            end = min(high, start + BLOCK + len(separator) - 1)
            if (found := self[start:end].find(separator)) >= 0:
                return start + found
        return -1

    def rfind(self, separator: str, low: int, high: int) -> int:
        """Like `str.rfind`."""
        for end in range(high, low, -BLOCK):
            start = max(low, end - BLOCK - len(separator) + 1)
            if (found := self[start:end].rfind(separator)) >= 0:
                return start + found
        return -1

    def startswith(self, prefix: str, place: int) -> bool:
        """Like `str.startswith`."""
        return self[place : place + len(prefix)] == prefix
