"""How lines of a text begin: a sample of them, to start generated texts with."""

from __future__ import annotations

import heapq

import numpy as np

MOST_KEPT = 1_000
STARTS = 100
"""Line starts to draw from a piece."""
LOOKED_AT = 1_000
"""Characters of a line: those of its indentation too."""


class LineStarts:
    """A sample of line starts of a text that is seen piece by piece.

    Every start gets a random number, and those with the lowest numbers stay: so each has the same
    chance, wherever it stands. The same pieces give the same sample.
    """

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)
        self._kept: list[tuple[float, str]] = []
        self._within_line = False

    def add(self, piece: str) -> None:
        """Sample the next piece of the text."""
        begin = piece.find("\n") + 1 if self._within_line else 0
        whole = begin > 0 or not self._within_line
        self._within_line = not piece.endswith("\n")
        if not whole or (text := piece[begin:]).isspace() or not text:
            return
        highest = self._kept[-1][0] if len(self._kept) == MOST_KEPT else 1.0
        if count := int(self._rng.binomial(STARTS, highest)):  # of so many the number is low enough
            starts = some_line_starts(text, self._rng, count)
            numbers = self._rng.uniform(0, highest, len(starts)).tolist()
            numbered = zip(numbers, starts, strict=True)
            self._kept = heapq.nsmallest(MOST_KEPT, [*self._kept, *numbered])

    @property
    def starts(self) -> list[str]:
        """The sample, in random order and without repeats."""
        return list(dict.fromkeys(start for _, start in self._kept))


def some_line_starts(text: str, rng: np.random.Generator, count: int = STARTS) -> list[str]:
    """The beginnings, up to 5 words or 40 characters, of `count` random lines of `text`.

    Returns:
        At least one, in random order, without repeats and blank lines; fewer than `count` where
        `text` is short.
    """
    starts = []
    for position in rng.integers(0, len(text), 2 * count):
        begin = text.rfind("\n", 0, int(position)) + 1
        line = text[begin : begin + LOOKED_AT].split("\n", 1)[0].lstrip()[:41]
        whole_words = line if len(line) <= 40 else line.rsplit(maxsplit=1)[0][:40]
        starts.append(" ".join(whole_words.split()[:5]))
    found = [start for start in dict.fromkeys(starts) if start] or [text.split(maxsplit=1)[0][:40]]
    return found[:count]
