"""A short report of a text: how much there is, and of what."""

from __future__ import annotations

from collections.abc import Iterable

from textgen.settings.definitions import TokenizerSettings
from textgen.tokens.reading import cut

MOST_KINDS = 1_000_000
"""Distinct words that are told apart: about 100 MB."""
FIRST_MARK = 1_000
_WORDS = TokenizerSettings("word", pristine_input=True)


class Report:
    """Measures of a text that is seen in one pass, in bounded memory."""

    def __init__(self) -> None:
        self.num_bytes = self.characters = self.newlines = self.foreign = self.words = 0
        self.longest_line = self._line = 0
        self.curve: list[tuple[int, int]] = []
        """Distinct words among the first so many: 1,000, 10,000, ... and all."""
        self._kinds: set[str] = set()
        self._mark = FIRST_MARK

    def read(self, chunks: Iterable[str]) -> Report:
        """Measure a text, cut anywhere."""
        for text in cut(chunks, _WORDS):
            data = text.encode("utf-8", "surrogatepass")
            self.num_bytes += len(data)
            self.characters += len(text)
            self.newlines += text.count("\n")
            if len(data) != len(text):
                self.foreign += len(text) - len(text.encode("ascii", "ignore"))
            self._measure_lines(text)
            self._count(text.split())
        self.curve.append((self.words, len(self._kinds)))
        return self

    def _measure_lines(self, text: str) -> None:
        first, *others = map(len, text.split("\n"))
        self._line += first
        self.longest_line = max(self.longest_line, self._line, *others)
        self._line = others[-1] if others else self._line

    def _count(self, words: list[str]) -> None:
        while self.words + len(words) >= self._mark:
            before = self._mark - self.words
            self._add(words[:before])
            words = words[before:]
            self.curve.append((self.words, len(self._kinds)))
            self._mark *= 10
        self._add(words)

    def _add(self, words: list[str]) -> None:
        self.words += len(words)
        if len(self._kinds) < MOST_KINDS:
            self._kinds.update(words)

    def lines(self) -> list[str]:
        """The report for people."""
        share = self.foreign / max(1, self.characters)
        curve = ", ".join(
            f"{_kinds(kinds)} among the first {words:,}" for words, kinds in self.curve
        )
        return [
            f"size: {self.num_bytes / 1e6:,.1f} MB, {self.characters:,} characters in"
            f" {self.newlines:,} lines, the longest of {self.longest_line:,} characters",
            f"not ASCII: {share:.2%} of the characters",
            f"different words: {curve}",
        ]


def _kinds(number: int) -> str:
    return f"over {MOST_KINDS:,}" if number >= MOST_KINDS else f"{number:,}"
