"""Finds what a few short texts share with a long one, which is read once, in pieces.

Every window of W characters of the short texts has a hash, and so has every window of the long
text: the sum of c_k * B^k over its characters, modulo 2^32, which cumulative sums give for all
windows at once (after Karp & Rabin 1987, https://doi.org/10.1147/rd.312.0249). A table of the top
bits, and one of the lowest, leave few places of the long text to look at. There the characters are
compared: a hash alone proves nothing. Where the characters before differ a match begins, and it is
followed to its end, through as many pieces as that takes.

Texts that repeat themselves cost no more than others, within a factor:

- A place of the short texts keeps its longest match only, and one more is followed only if it has
  the next character too. So a line that stands in the long text a thousand times is followed about
  once.
- Windows that stand more than `MOST_EQUAL` times in the short texts begin a match only at the first
  `MOST_EQUAL` of them, and where the long text begins to be like some short one; the others are as
  copied as these, as far as they are equal. A match that only crosses such windows is followed to
  both sides, backwards up to `BEHIND` characters.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Points: TypeAlias = npt.NDArray[np.uint32]
"""Code points of characters, and of what stands between texts."""
Numbers: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]

BASE = 0x9E3779B97F4A7C15
"""Odd, so that it has an inverse modulo 2^64; its bits are those of the golden ratio."""
BLOCK = 1 << 15
"""Windows that are hashed at a time: their numbers stay in a processor's own cache."""
PIECE = 1 << 20
"""Characters of the long text that are looked at together, at least."""
BEHIND = 4096
"""Characters of the piece before that are kept."""
MOST_EQUAL = 16
"""Equal windows of the short texts that are looked at each by itself."""
ROUNDS = 8
"""In which one match for each place is followed, before all that are left are."""
TABLE_PLACES = (8, 32)
"""Places of the two tables for each window: the first is asked about every place of the long text,
so that it should fit a processor's cache; the second about the tenth that the first lets through.
"""
TABLE_BITS = (12, 24)
"""The smallest and the largest table."""
BETWEEN, EDGE = 0x110000, 0x110001
"""Stand between the short texts, and around a piece of the long one; no characters."""
PAIRS = 1 << 20
"""Pairs of places that are looked at together, about."""
COMPARED = 1 << 20
"""Characters that are compared at a time, at most."""


class Match(NamedTuple):
    """Where a short text has characters of the long one."""

    start: int
    """In `Texts.points`."""
    end: int
    line: int
    """Of the long text, from 1, where it begins."""


class Texts:
    """Short texts in a row, and their windows, equal ones together.

    Args:
        texts: the texts.
        width: characters of a window.
    """

    def __init__(self, texts: Sequence[str], width: int) -> None:
        between = np.array([BETWEEN], np.uint32)
        parts = [part for text in texts for part in (code_points(text), between)]
        self.width = width
        self.points: Points = np.concatenate([between, *parts])
        lengths = np.array([len(text) + 1 for text in texts], np.int64)
        self.starts: Numbers = 1 + np.cumsum(lengths) - lengths
        """Where each text begins."""
        self._sort_windows()
        self._make_table()

    def _sort_windows(self) -> None:
        width, points = self.width, self.points
        number = max(0, len(points) - width + 1)
        breaks = np.concatenate([[0], np.cumsum(points == BETWEEN)])
        places = np.flatnonzero(breaks[width : width + number] == breaks[:number])
        hashes = np.zeros(len(places), np.uint64)
        for k in range(width):
            hashes += points[places + k] * np.uint64(pow(BASE, k, 1 << 64))
        # By the lower half, which the long text is looked up by, and then by the upper one.
        turned = (hashes << np.uint64(32)) | (hashes >> np.uint64(32))
        order = np.argsort(turned, kind="stable")
        equal = turned[order[1:]] == turned[order[:-1]]
        pairs = np.flatnonzero(equal)
        same = self._same(places[order[pairs]], places[order[pairs + 1]])
        if not same.all():  # equal hashes of other characters: those decide
            order = np.lexsort([*(points[places + k] for k in range(width)), turned])
            equal = self._same(places[order[:-1]], places[order[1:]])
        self.places: Numbers = places[order]
        """Where windows begin, equal ones together, by their hash."""
        firsts = np.flatnonzero(np.concatenate([[True], ~equal]))[: len(places)]
        self.firsts: Numbers = np.append(firsts, len(places))
        """(K + 1,): where each of K different windows has its first in `places`."""
        self.counts: Numbers = np.diff(self.firsts)
        """(K,)"""
        self.keys: Points = (hashes[order[firsts]] & np.uint64(0xFFFFFFFF)).astype(np.uint32)
        """(K,): their hashes, ascending."""
        self.kinds: Numbers = np.full(len(points), -1, np.int64)
        """Which of the K begins at each place; -1 where none does."""
        self.kinds[self.places] = np.repeat(np.arange(len(firsts)), self.counts)

    def _same(self, ones: Numbers, others: Numbers) -> Flags:
        """Tells which windows have the same characters as others."""
        same = np.ones(len(ones), bool)
        for k in range(self.width):
            same &= self.points[ones + k] == self.points[others + k]
        return same

    def _make_table(self) -> None:
        number, low, high = len(self.keys), *TABLE_BITS
        bits, other_bits = (
            min(max(low, (places * number).bit_length()), high) for places in TABLE_PLACES
        )
        self.shift = np.uint32(32 - bits)
        self.table: Flags = np.zeros(1 << bits, bool)
        """Whether a window has a hash with these top bits."""
        self.table[self.keys >> self.shift] = True
        self.mask = np.uint32((1 << other_bits) - 1)
        self.other_table: Flags = np.zeros(1 << other_bits, bool)
        """Likewise of the lowest bits: asked about what the first one lets through."""
        self.other_table[self.keys & self.mask] = True
        same_key = np.flatnonzero(np.diff(self.keys, prepend=self.keys[:1] ^ np.uint32(1)) != 0)
        self.with_key: Numbers = np.zeros(len(self.keys), np.int64)
        """How many different windows have the hash of each that is the first with it."""
        self.with_key[same_key] = np.diff(np.append(same_key, len(self.keys)))

    def look_up(self, hashes: Points) -> tuple[Numbers, Numbers]:
        """Returns which hashes are some window's, and of which kind, as pairs."""
        candidates = np.flatnonzero(self.table.take(hashes >> self.shift))
        candidates = candidates[self.other_table.take(hashes[candidates] & self.mask)]
        wanted = hashes[candidates]
        found = np.searchsorted(self.keys, wanted)
        found[found == len(self.keys)] = 0
        hit = np.flatnonzero(self.keys[found] == wanted) if len(self.keys) else found[:0]
        return _expanded(candidates[hit], found[hit], self.with_key)


def _expanded(hits: Numbers, kinds: Numbers, counts: Numbers) -> tuple[Numbers, Numbers]:
    """Returns each hit with the `counts` kinds that follow its own."""
    numbers = counts[kinds]
    if (numbers == 1).all():
        return hits, kinds
    return np.repeat(hits, numbers), np.repeat(kinds, numbers) + _steps(numbers)


def _steps(counts: Numbers) -> Numbers:
    """Returns 0, 1, ... up to each of the counts, in a row."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


class Search:
    """Reads the long text piece by piece, and keeps the longest match of each place.

    Args:
        texts: the short texts.
    """

    def __init__(self, texts: Texts) -> None:
        self.texts = texts
        number = len(texts.points)
        self.best: Numbers = np.zeros(number, np.int64)
        """Of each place, the characters of the longest match that begins there, if any does."""
        self.lines: Numbers = np.zeros(number, np.int64)
        """Of each place, the line of the long text that this match begins in."""
        self.found: Flags = np.zeros(len(texts.keys), bool)
        """Which windows the long text has."""
        self.looked_at = 0
        """Pairs of places whose characters were compared: the work that depends on the texts."""
        self._open = _Pairs.none(), np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._behind: Points = np.zeros(0, np.uint32)
        self._line = 1
        self._newlines: Numbers | None = None
        self._last_hit = False
        powers = [pow(BASE, k, 1 << 32) for k in range(BLOCK + texts.width)]
        inverse = pow(BASE, -1, 1 << 32)
        self._powers: Points = np.array(powers, np.uint32)
        self._inverses: Points = np.cumprod(
            np.concatenate([[1], np.full(BLOCK - 1, inverse)]).astype(np.uint32), dtype=np.uint32
        )

    def read(self, chunks: Iterable[str]) -> None:
        """Looks at a text in chunks, cut anywhere."""
        for piece in gathered(chunks):
            self._look_at(code_points(piece))

    def _look_at(self, piece: Points) -> None:
        """Looks at the next piece of the long text."""
        behind, width = self._behind, self.texts.width
        edge = np.array([EDGE], np.uint32)
        long: Points = np.concatenate([edge, behind, piece, edge])
        begin = 1 + len(behind)  # of the piece
        self._newlines = None
        self._go_on(long, begin)
        first = max(1, begin - width + 1)  # of the windows that were not whole before
        places, kinds = self._hits(long, first, len(long) - 1)
        if len(places):
            self._follow(long, places, kinds, first)
        self._last_hit = bool(len(places)) and places[-1] == len(long) - 1 - width
        keep = max(BEHIND, width)
        self._behind = long[max(1, len(long) - 1 - keep) : -1]
        self._line += int(
            np.count_nonzero(long[1 : len(long) - 1 - len(self._behind)] == ord("\n"))
        )

    def _hits(self, long: Points, first: int, end: int) -> tuple[Numbers, Numbers]:
        """Returns where windows of the short texts may begin in `long`, and their kinds."""
        found = []
        for start in range(first, end - self.texts.width + 1, BLOCK):
            block = long[start : min(end, start + BLOCK + self.texts.width - 1)]
            places, kinds = self.texts.look_up(self._hashes(block))
            found.append((places + start, kinds))
        if not found:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        return np.concatenate([p for p, _ in found]), np.concatenate([k for _, k in found])

    def _hashes(self, block: Points) -> Points:
        """Returns the hash of each window."""
        sums = np.empty(len(block) + 1, np.uint32)
        sums[0] = 0
        np.cumsum(block * self._powers[: len(block)], dtype=np.uint32, out=sums[1:])
        hashes: Points = sums[self.texts.width :] - sums[: -self.texts.width]
        hashes *= self._inverses[: len(hashes)]
        return hashes

    def _follow(self, long: Points, places: Numbers, kinds: Numbers, first: int) -> None:
        """Follows the matches that begin where windows were met."""
        texts = self.texts
        new = np.flatnonzero(~self.found[kinds])
        same = self._lengths(long, texts.places[texts.firsts[kinds[new]]], places[new], True)
        new = new[same >= texts.width]
        self.found[kinds[new]] = True
        # Most windows stand once. Of those that stand often, only where the long text begins to be
        # one of the short texts.
        steps = np.diff(places, prepend=first - 1 if self._last_hit else first - 2)
        begins = steps > 1  # of kinds with the same hash, which have the same place, the first
        often = texts.counts[kinds] > MOST_EQUAL
        self._begin(long, places, kinds, np.flatnonzero(~often | begins))
        new = new[often[new]]
        if len(new):  # and of these where none was reached from there
            _, first_met = np.unique(kinds[new], return_index=True)
            new = new[first_met]
            mine = texts.places[texts.firsts[kinds[new]]]
            ends = np.maximum.accumulate(np.arange(len(self.best)) + self.best)
            self._begin(long, places, kinds, new[ends[mine] < mine + texts.width])

    def _begin(self, long: Points, places: Numbers, kinds: Numbers, looked_at: Numbers) -> None:
        """Follows what begins at some of the windows that were met."""
        texts = self.texts
        counts = np.minimum(texts.counts[kinds[looked_at]], MOST_EQUAL)
        cuts = np.flatnonzero(np.diff(np.cumsum(counts) // PAIRS)) + 1
        for part, own in zip(np.split(looked_at, cuts), np.split(counts, cuts), strict=True):
            self._pair(long, places[part], kinds[part], own)

    def _pair(self, long: Points, places: Numbers, kinds: Numbers, counts: Numbers) -> None:
        """Follows what begins at windows of `long`, each at the first `counts` that are equal."""
        texts = self.texts
        mine = texts.places[np.repeat(texts.firsts[kinds], counts) + _steps(counts)]
        theirs = np.repeat(places, counts)
        anchored = np.repeat(texts.counts[kinds] > MOST_EQUAL, counts)
        before = texts.kinds[mine - 1]
        crossing = (before >= 0) & (texts.counts[before] > MOST_EQUAL)
        starts = texts.points[mine - 1] != long[theirs - 1]
        chosen = np.flatnonzero(starts | anchored | crossing)
        mine, theirs = mine[chosen], theirs[chosen]
        back = np.flatnonzero(~starts[chosen])
        if len(back):
            self.looked_at += len(back)
            shifts = common(texts.points, long, mine[back] - 1, theirs[back] - 1, -1)
            mine[back] -= shifts
            theirs[back] -= shifts
        self._keep_longest(long, _Pairs(mine, theirs))

    def _keep_longest(self, long: Points, pairs: _Pairs) -> None:
        """Follows pairs of places as far as they could be longer than what is known."""
        pairs = pairs.at(np.lexsort((pairs.theirs, pairs.mine)))
        for turn in itertools.count():
            known = self.best[pairs.mine]
            ours = self.texts.points[pairs.mine + known]
            ends = pairs.theirs + known
            beyond = ends >= len(long) - 1
            theirs = long[np.minimum(ends, len(long) - 1)]
            pairs = pairs.at(np.flatnonzero((ours != BETWEEN) & (beyond | (ours == theirs))))
            if not len(pairs.mine):
                return
            chosen = np.ones(len(pairs.mine), bool)
            if turn < ROUNDS:
                chosen[1:] = np.diff(pairs.mine) > 0
            self._measure(long, pairs.at(np.flatnonzero(chosen)))
            pairs = pairs.at(np.flatnonzero(~chosen))

    def _measure(self, long: Points, pairs: _Pairs) -> None:
        """Follows pairs of places, and keeps those that are longer than what is known."""
        lengths = self._lengths(long, *pairs)
        kept = np.flatnonzero(lengths >= self.texts.width)
        pairs, lengths = pairs.at(kept), lengths[kept]
        if self._newlines is None:
            self._newlines = np.flatnonzero(long == ord("\n"))
        lines = self._line + np.searchsorted(self._newlines, pairs.theirs)
        self._improve(pairs.mine, lengths, lines)
        ended = pairs.theirs + lengths < len(long) - 1
        still = np.flatnonzero(~ended)
        before, before_lengths, before_lines = self._open
        self._open = (
            _Pairs(*map(np.concatenate, zip(before, pairs.at(still), strict=True))),
            np.concatenate([before_lengths, lengths[still]]),
            np.concatenate([before_lines, lines[still]]),
        )

    def _improve(self, places: Numbers, lengths: Numbers, lines: Numbers) -> None:
        order = np.argsort(
            lengths, kind="stable"
        )  # of equal places the last one, the longest, stays
        order = order[lengths[order] > self.best[places[order]]]
        self.best[places[order]] = lengths[order]
        self.lines[places[order]] = lines[order]

    def _go_on(self, long: Points, begin: int) -> None:
        """Follows the matches that were not over at the end of the piece before."""
        pairs, lengths, lines = self._open
        self._open = _Pairs.none(), np.zeros(0, np.int64), np.zeros(0, np.int64)
        if not len(lengths):
            return
        ours = pairs.mine + lengths
        more = self._lengths(long, ours, np.full(len(ours), begin))
        lengths = lengths + more
        self._improve(pairs.mine, lengths, lines)
        still = np.flatnonzero(begin + more >= len(long) - 1)
        self._open = pairs.at(still), lengths[still], lines[still]

    def _lengths(
        self, long: Points, mine: Numbers, theirs: Numbers, window: bool = False
    ) -> Numbers:
        """Returns how many characters each pair of places has in common, from there on."""
        self.looked_at += len(mine)
        most = self.texts.width if window else None
        return common(self.texts.points, long, mine, theirs, most=most)

    def matches(self) -> list[Match]:
        """Returns the longest matches of all places, without those within another, by place."""
        best, lines = self._with_equals()
        ends = np.arange(len(best)) + best
        reach = np.concatenate([[0], np.maximum.accumulate(ends)[:-1]])
        places = np.flatnonzero((best > 0) & (ends > reach))
        return list(map(Match, places.tolist(), ends[places].tolist(), lines[places].tolist()))

    def _with_equals(self) -> tuple[Numbers, Numbers]:
        """Returns `best` and `lines`, also for windows of which others were looked at."""
        texts, number = self.texts, len(self.best)
        often = np.flatnonzero(texts.counts > MOST_EQUAL)
        if not len(often):
            return self.best, self.lines
        index = np.arange(number)
        ends = np.maximum.accumulate(index + self.best)
        reached = ends - index  # characters of the longest match, from each place on
        owner = np.maximum.accumulate(np.where(index + self.best == ends, index, 0))
        kinds = texts.kinds
        order = np.lexsort((-index[texts.places], reached[texts.places], kinds[texts.places]))
        model = texts.places[order][
            texts.firsts[1:] - 1
        ]  # (K,): the most copied, the first of them
        like = np.where(kinds >= 0, model[kinds], -1)
        breaks = np.append(np.flatnonzero(np.diff(like) != 1), number - 1)
        run = breaks[np.searchsorted(breaks, index)] - index  # windows that go on alike
        places = np.flatnonzero((kinds >= 0) & np.isin(kinds, often))
        places = places[like[places] != places]
        lengths = np.minimum(run[places] + texts.width, reached[like[places]])
        enough = (lengths >= texts.width) & (lengths > reached[places])
        places, lengths = places[enough], lengths[enough]
        best, lines = self.best.copy(), self.lines.copy()
        best[places] = lengths
        source = owner[like[places]]
        newlines = np.concatenate([[0], np.cumsum(texts.points == 10)])
        lines[places] = self.lines[source] + newlines[like[places]] - newlines[source]
        return best, lines

    def covered(self) -> Flags:
        """Returns which characters of the short texts are within a window of the long one."""
        texts = self.texts
        places = np.flatnonzero(texts.kinds >= 0)
        places = places[self.found[texts.kinds[places]]]
        edges = np.zeros(len(texts.points) + 1, np.int64)
        edges[places] += 1
        edges[places + texts.width] -= 1
        return np.cumsum(edges)[:-1] > 0


class _Pairs(NamedTuple):
    """Places of the short texts, and places of the long one that may go on like them."""

    mine: Numbers
    theirs: Numbers

    @classmethod
    def none(cls) -> _Pairs:
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64))

    def at(self, chosen: Numbers) -> _Pairs:
        return _Pairs(self.mine[chosen], self.theirs[chosen])


def common(
    ones: Points,
    others: Points,
    ones_at: Numbers,
    others_at: Numbers,
    way: int = 1,
    most: int | None = None,
) -> Numbers:
    """Returns how many characters two texts have in common from places on, for each pair of them.

    Args:
        ones: a text that begins and ends with what the other has nowhere.
        others: likewise.
        ones_at: places in the one.
        others_at: as many places in the other.
        way: 1 to look forwards, -1 backwards.
        most: characters to look at; None for all.
    """
    lengths = np.zeros(len(ones_at), np.int64)
    active, step = np.arange(len(ones_at)), 32 if most is None else most
    while len(active):
        going = []
        for part in np.split(active, range(COMPARED // step, len(active), COMPARED // step)):
            reach = way * (lengths[part, None] + np.arange(step))  # (A, step)
            mine = ones.take(ones_at[part, None] + reach, mode="clip")
            differ = mine != others.take(others_at[part, None] + reach, mode="clip")
            over = differ.any(axis=1)
            lengths[part] += np.where(over, differ.argmax(axis=1), step)
            going.append(part[~over])
        if most is not None:
            return lengths
        active = np.concatenate(going)
        step = min(2 * step, max(32, COMPARED // max(1, len(active))))
    return lengths


def gathered(chunks: Iterable[str]) -> Iterator[str]:
    """Yields a text in chunks of at least `PIECE` characters, but for the last."""
    held: list[str] = []
    length = 0
    for chunk in chunks:
        held.append(chunk)
        length += len(chunk)
        if length >= PIECE:
            yield "".join(held)
            held, length = [], 0
    if length:
        yield "".join(held)


def code_points(text: str) -> Points:
    """Returns those of the characters of a text (N,)."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8).astype(np.uint32)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint32)
