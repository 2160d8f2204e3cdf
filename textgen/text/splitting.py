"""A text and the share of it that is held out: where to cut, and the parts.

The same places are found in a text in memory and in one that is read from the disk in pieces.
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from textgen.support.errors import TextgenError
from textgen.text.sources import Advance, Source

SLICE_CHARACTERS = 2_000  # of one part in a row: about a page, so that few joints are odd
MAX_SLICES = 100


def split(text: str, validation_split: float) -> tuple[str, str]:
    """Hold out a share of `text`: returns training and validation text.

    Cuts `text` into many equal slices and holds out the end of each, so that both parts
    sample the whole text. Cuts are at paragraph ends (where none is near: at line ends, then
    at spaces), each chosen so that the share held out so far stays close to `validation_split`.
    No cut is farther from its place than half of what is held out (or of what is left to train
    on). No character is lost or changed, and the same text gives the same parts.
    Raises TextgenError when `validation_split` is not between 0 and 1 (both excluded) or when
    the text is too short to give both parts something.
    """
    slices = split_places(text, validation_split)
    training = "".join(text[piece.start : piece.cut] for piece in slices)
    validation = "".join(text[piece.cut : piece.end] for piece in slices)
    return _checked_parts(training, validation, validation_split)


class Searchable(Protocol):
    """What splitting needs of a text: a str is one, and so is a file that is read in parts."""

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
    """Where `split` cuts `text`. Raises TextgenError for a share that is none."""
    check_share(validation_split)
    reach, slices = _reach(len(text), validation_split), []
    start = held_out = 0
    for end in _slice_ends(text, validation_split):
        place = end - (round(validation_split * end) - held_out)
        low, high = (min(end, max(start, place + way)) for way in (-reach, reach))
        slices.append(Slice(start, _nearest_cut(text, place, low, high), end))
        held_out += end - slices[-1].cut
        start = end
    return slices


def split_tail(text: str, share: float) -> tuple[str, str]:
    """Hold out the last `share` of `text`: `split` with one slice; raises what it raises."""
    check_share(share)
    place, reach = round(len(text) * (1 - share)), _reach(len(text), share)
    cut = _nearest_cut(text, place, place - reach, place + reach)
    return _checked_parts(text[:cut], text[cut:], share)


def check_share(validation_split: float) -> None:
    """Raise TextgenError unless `validation_split` is between 0 and 1, both excluded."""
    if not 0 < validation_split < 1:
        raise TextgenError(
            f"`validation_split` {validation_split} is not a share between 0 and 1:"
            " give for example 0.1 to hold out a tenth"
        )


def _reach(length: int, share: float) -> int:
    """How many characters a cut may be from its place: few when the smaller part is short."""
    return round(length * min(share, 1 - share) / 2)


def _slice_ends(text: Searchable, share: float) -> list[int]:
    """Where slices end, ascending. They are sought in places apart, so that none is empty."""
    length = len(text)
    count = min(MAX_SLICES, max(1, int(length * min(share, 1 - share) / SLICE_CHARACTERS)))
    half = length // (2 * count) - 1
    places = [length * number // count for number in range(1, count)]
    return [_nearest_cut(text, place, place - half, place + half) for place in places] + [length]


def _nearest_cut(text: Searchable, position: int, low: int, high: int) -> int:
    """Find the paragraph end from `low` to `high` nearest `position`; else line end, else space."""
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
    """Return the end of the run of separators at `place`."""
    end = place + len(separator)
    while text.startswith(separator[0], end):
        end += 1
    return end


def _checked_parts(training: str, validation: str, share: float) -> tuple[str, str]:
    if not training.strip() or not validation.strip():
        raise _too_short(len(training) + len(validation), share)
    return training, validation


def _too_short(length: int, share: float) -> TextgenError:
    """Say that a text of `length` characters is too short to hold out a share of it."""
    return TextgenError(
        f"a text of {length:,} characters is too short to hold out {share:.1%}: give more text,"
        " or your own validate.txt"
    )


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
    """A source of which `share` is held out, by `split_places`."""

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
    def slices(self) -> list[Slice]:
        """Found by reading the source once, and places of it again. Raises TextgenError."""
        text = Indexed(self.source)
        slices = split_places(text, self.share)
        sides = [[(s.start, s.cut) for s in slices], [(s.cut, s.end) for s in slices]]
        if any(all(text.is_blank(*place) for place in side) for side in sides):
            raise _too_short(len(text), self.share)
        return slices


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
        return self._source.again(self._chunks[number])

    def _windows(self, low: int, high: int) -> list[tuple[int, int]]:
        """The numbers and starts of the chunks that have a part of the text from low to high."""
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
