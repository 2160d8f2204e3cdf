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
from textgen.text.sources import Advance, Source, find_source

SLICE_CHARACTERS = 2_000  # of one part in a row: about a page, so that few joints are odd
MAX_SLICES = 100


class Parts(NamedTuple):
    """The two sides of a text that was split."""

    training: str
    validation: str


def split(text: str, validation_split: float) -> Parts:
    """Holds out a share of `text`.

    Cuts `text` into many equal slices and holds out the end of each, so that both parts
    sample the whole text. Cuts are at paragraph ends (where none is near: at line ends, then
    at spaces), each chosen so that the share held out so far stays close to `validation_split`.
    No cut is farther from its place than half of what is held out (or of what is left to train
    on). No character is lost or changed, and the same text gives the same parts.
    Raises TextgenError when `validation_split` is not between 0 and 1 (both excluded) or when
    the text is too short to give both parts something.
    """
    check_share(validation_split)
    slices = split_places(text, validation_split)
    training = "".join(text[piece.start : piece.cut] for piece in slices)
    validation = "".join(text[piece.cut : piece.end] for piece in slices)
    return _checked_parts(training, validation, validation_split)


class Searchable(Protocol):
    """A text to find places in: a str is one, and so is `Indexed`, which reads files in parts."""

    def __len__(self) -> int: ...
    def find(self, separator: str, low: int, high: int, /) -> int: ...
    def rfind(self, separator: str, low: int, high: int, /) -> int: ...
    def startswith(self, prefix: str, place: int, /) -> bool: ...


class Slice(NamedTuple):
    """A part of a text: trained on from `start` to `cut`, held out from there to `end`."""

    start: int
    cut: int
    end: int


def split_places(text: Searchable, validation_split: float) -> list[Slice]:
    """Returns where `split` cuts `text`."""
    reach, slices = _reach(len(text), validation_split), []
    start = held_out = 0
    for end in _slice_ends(text, validation_split):
        place = end - (round(validation_split * end) - held_out)
        low, high = (min(end, max(start, place + way)) for way in (-reach, reach))
        slices.append(Slice(start, _nearest_cut(text, place, low, high), end))
        held_out += end - slices[-1].cut
        start = end
    return slices


def split_tail(text: str, share: float) -> Parts:
    """Holds out the last `share` of `text`: `split` with one slice; raises what it raises."""
    check_share(share)
    place, reach = round(len(text) * (1 - share)), _reach(len(text), share)
    cut = _nearest_cut(text, place, place - reach, place + reach)
    return _checked_parts(text[:cut], text[cut:], share)


def check_share(validation_split: float) -> None:
    """Raises TextgenError unless `validation_split` is between 0 and 1, both excluded."""
    if not 0 < validation_split < 1:
        raise TextgenError(
            f"`validation_split` {validation_split} is not a share between 0 and 1:"
            " give for example 0.1 to hold out a tenth"
        )


def _reach(length: int, share: float) -> int:
    """Returns how many characters a cut may be from its place: few if the smaller part is short."""
    return round(length * min(share, 1 - share) / 2)


def _slice_ends(text: Searchable, share: float) -> list[int]:
    """Returns where slices end, ascending; sought in places apart, so that none is empty."""
    length = len(text)
    count = min(MAX_SLICES, max(1, int(length * min(share, 1 - share) / SLICE_CHARACTERS)))
    half = length // (2 * count) - 1
    places = [length * number // count for number in range(1, count)]
    return [_nearest_cut(text, place, place - half, place + half) for place in places] + [length]


def _nearest_cut(text: Searchable, position: int, low: int, high: int) -> int:
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


def _past(text: Searchable, place: int, separator: str) -> int:
    """Returns the end of the run of separators at `place`."""
    end = place + len(separator)
    while text.startswith(separator[0], end):
        end += 1
    return end


def _checked_parts(training: str, validation: str, share: float) -> Parts:
    if not training.strip() or not validation.strip():
        raise _too_short(len(training) + len(validation), share)
    return Parts(training, validation)


def _too_short(length: int, share: float) -> TextgenError:
    """Returns the error for a text of `length` characters, of which no share can be held out."""
    return TextgenError(
        f"a text of {length:,} characters is too short to hold out {share:.1%}: give more text,"
        " or your own validate.txt"
    )


@dataclass(frozen=True)
class Stream:
    """A text to train on or to measure with: a whole source, or one side of its split."""

    source: Source
    split: Split | None = None
    held_out: bool = False

    def chunks(self, advance: Advance = lambda size: None) -> Iterator[str]:
        """Yields the text piece by piece. Raises TextgenError if it cannot be read."""
        texts = (chunk.text for chunk in self.source.read(advance))
        return self.split.part(texts, self.held_out) if self.split else texts

    @property
    def num_bytes(self) -> float:
        """Bytes that the text takes on the disk, about."""
        share = self.split.share if self.split else 0.0
        return self.source.num_bytes * (share if self.held_out else 1 - share)

    def origin(self) -> dict[str, Any]:
        """Returns what tells, without reading the text, whether it is still the same."""
        share = self.split.share if self.split else 0
        return {"files": self.source.stamps(), "split": share, "held_out": self.held_out}


class Streams(NamedTuple):
    """The text to train on, and the one to measure with (None: nothing is held out)."""

    training: Stream
    validation: Stream | None


@dataclass(frozen=True)
class Split:
    """A source of which `share` is held out, by `split_places`.

    Raises TextgenError for a share that is not between 0 and 1, both excluded.
    """

    source: Source
    share: float

    def __post_init__(self) -> None:
        check_share(self.share)

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
        text = Indexed(self.source)
        slices = split_places(text, self.share)
        sides = [[(s.start, s.cut) for s in slices], [(s.cut, s.end) for s in slices]]
        if any(all(text.is_blank(*place) for place in side) for side in sides):
            raise _too_short(len(text), self.share)
        return slices


def find_texts(data_dir: Path, validation_split: float) -> Streams:
    """Returns the training and the validation text of a data directory, to be read when needed.

    `validation_split` is the share of the text to hold out where there is no validate.txt; 0 for
    none. Raises TextgenError if there is no text, or the share is not below 1.
    """
    source = find_source(data_dir, "input")
    if source is None:
        raise _no_text(data_dir)
    held_out = find_source(data_dir, "validate")
    if held_out is not None:
        if validation_split:
            shown = held_out.paths[0]
            console.say(f"`validation_split={validation_split}` is not used: {shown} is there")
        return Streams(Stream(source), Stream(held_out))
    if not validation_split:
        return Streams(Stream(source), None)
    split = Split(source, validation_split)
    return Streams(Stream(source, split), Stream(source, split, held_out=True))


def _no_text(data_dir: Path) -> TextgenError:
    """Returns the error for a data directory that has no text."""
    if data_dir.is_file():
        return TextgenError(
            f"{data_dir} is a file, not a folder:"
            f" `{console.command_line('corpus', data_dir, out='DIR')}` makes a data directory of it"
        )
    missing = "has no input.txt" if data_dir.is_dir() else "does not exist"
    return TextgenError(
        f"the data directory {data_dir} {missing}: put the text to learn from in"
        f" {data_dir / 'input.txt'}, or use data/tinyshakespeare"
    )


class Indexed:
    """A source that can be searched at any place, as a str can; see `Searchable`."""

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
        return self._source.reread(self._chunks[number])

    def _windows(self, low: int, high: int) -> list[tuple[int, int]]:
        """Returns number and start of the chunks that have a part of the text from low to high."""
        first = bisect.bisect(self._starts, low) - 1
        last = bisect.bisect_left(self._starts, high)
        return [(number, self._starts[number]) for number in range(first, last)]

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
        """Returns whether the text from low to high has nothing but white space."""
        return all(
            not (part := self._text(number)[max(0, low - start) : high - start]) or part.isspace()
            for number, start in self._windows(low, high)
        )

    def _with_next(self, number: int, length: int) -> str:
        """Returns a chunk and the start of the next, for a match of `length` across its end."""
        text, following = self._text(number), number + 1
        missing = length - 1
        while missing > 0 and following < len(self._chunks):
            more = self._text(following)[:missing]
            text, missing, following = text + more, missing - len(more), following + 1
        return text
