"""How often each token stands in a text, in bounded memory."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence

from textgen.support import console
from textgen.tokens.tokenizers import Counts

MOST_KINDS = 10_000_000
"""Distinct tokens that are counted at a time: about 1.5 GB."""


class Counter:
    """Adds up counts; of more kinds than `most` it forgets the rarest.

    A token that was forgotten and comes again begins anew, so it may be counted up to `lost` times
    too few (after Manku & Motwani 2002, lossy counting). Frequent tokens are hardly touched.
    """

    def __init__(self, most: int = MOST_KINDS) -> None:
        self.most = most
        self.counts: Counts = {}
        self.lost = 0

    def add(self, kinds: Sequence[str], counts: Sequence[int]) -> None:
        """Add the counts of the distinct tokens of a piece of text."""
        known = map(self.counts.get, kinds, itertools.repeat(0))
        self.counts.update(zip(kinds, map(operator.add, known, counts), strict=True))
        if len(self.counts) > self.most:
            self._prune()

    def _prune(self) -> None:
        """Forget the rarest, until half of what is allowed is left."""
        rare = 0
        while len(self.counts) > self.most // 2:
            rare += 1
            self.counts = {kind: n for kind, n in self.counts.items() if n > rare}
        self.lost += rare
        console.warn(
            f"the text has more than {self.most:,} distinct words: those seen up to"
            f" {rare} times so far are forgotten, and rare words are counted too few times"
        )
