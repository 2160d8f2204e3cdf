"""Penn Treebank words: text -> tokens -> text, by nltk's rules, a line at a time."""

from collections.abc import Iterable
from functools import cache
from typing import Any

_QUOTES = {"``": '"', "''": '"'}


def tokenize(text: str) -> list[str]:
    """Words and punctuation of `text`; a newline is a token of its own.

    Contractions are split as in the Penn Treebank (`do n't`); double quotes stay as typed.
    """
    tokens: list[str] = []
    for number, line in enumerate(text.split("\n")):
        tokens += ["\n"] * (number > 0)
        tokens += [_QUOTES.get(token, token) for token in _nltk()[0].tokenize(line)]
    return tokens


def detokenize(tokens: Iterable[str]) -> str:
    """The text of `tokens`, set like prose."""
    stream = StreamingDetokenizer()
    return "".join([stream.push(token) for token in tokens]) + stream.flush()


class StreamingDetokenizer:
    """Sets tokens like prose as they come; the last words of a line may still change."""

    def __init__(self) -> None:
        self._line: list[str] = []
        self._shown = 0

    def push(self, token: str) -> str:
        """Returns the text that `token` makes certain."""
        if token == "\n":
            piece = self.flush() + "\n"
            self._line, self._shown = [], 0
            return piece
        self._line.append(token)
        text = _set(self._line[:-1])
        return self._advance(text, max(text.rfind(" "), 0))

    def flush(self) -> str:
        """Returns the text held back."""
        text = _set(self._line)
        return self._advance(text, len(text))

    def _advance(self, text: str, end: int) -> str:
        piece = text[self._shown : end]
        self._shown = max(self._shown, end)
        return piece


def _set(words: list[str]) -> str:
    return str(_nltk()[1].detokenize(words))


@cache
def _nltk() -> tuple[Any, Any]:
    from nltk.tokenize.treebank import TreebankWordDetokenizer, TreebankWordTokenizer

    return TreebankWordTokenizer(), TreebankWordDetokenizer()
