"""The only owners of text <-> token id: one tokenizer for characters, one for words.

Token id 0 is the unknown token of every vocabulary. It stands for whatever the training text
did not have, and is never generated.
"""

import collections
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from textgen import treebank
from textgen.config import TokenizerConfig
from textgen.errors import TextgenError

Ids: TypeAlias = npt.NDArray[np.int32]

UNKNOWN_ID = 0


class Decoder(Protocol):
    """Turns tokens into text one at a time."""

    def push(self, token: str) -> str:
        """The text that `token` makes certain, possibly empty."""

    def flush(self) -> str:
        """The text still held back, when no token follows."""


class Tokenizer(Protocol):
    """What training, sampling and every tool know of a tokenizer."""

    config: TokenizerConfig
    vocabulary: list[str]
    """Index = token id."""
    unit: str
    """What a token is called: "character" or "word"."""

    def encode(self, text: str) -> Ids:
        """Token ids (N,), int32; 0 where the vocabulary lacks the token."""

    def decode(self, ids: Sequence[int] | Ids) -> str:
        """The text of token ids."""

    def unknown(self, text: str) -> list[str]:
        """The distinct tokens of `text` that the vocabulary lacks, in order of appearance."""

    def decoder(self) -> Decoder:
        """A new decoder for a stream of tokens."""

    def prompt(self, text: str) -> tuple[Ids, Decoder]:
        """The token ids to read before generating on from `text`, at least one, and a decoder
        whose pieces, put after `text`, read on from it.
        """


class CharTokenizer:
    """One token per Unicode character; lower case unless `pristine_input`.

    Characters are lowered one by one (`İ`, whose lower case is two characters, stays), so the
    result does not depend on where a text is cut. The unknown token is U+FFFD, Unicode's own
    character for what could not be represented.

    Example:
        >>> tokenizer = CharTokenizer.from_text("Hello", TokenizerConfig())
        >>> tokenizer.vocabulary
        ['\ufffd', 'l', 'e', 'h', 'o']
        >>> tokenizer.decode(tokenizer.encode("hole"))
        'hole'
    """

    unit = "character"

    def __init__(self, vocabulary: Sequence[str], config: TokenizerConfig) -> None:
        self.vocabulary = _checked(vocabulary)
        self.config = config
        self._ids = {character: i for i, character in enumerate(vocabulary)}
        if any(len(character) != 1 for character in vocabulary):
            raise TextgenError("a character vocabulary holds single characters only")
        self._code_points = _code_points("".join(vocabulary))

    @classmethod
    def from_text(cls, text: str, config: TokenizerConfig) -> "CharTokenizer":
        """The characters of `text`, most common first (ties by code point)."""
        points = np.bincount(_code_points(text), minlength=1)
        counts: collections.Counter[str] = collections.Counter()
        for point in np.flatnonzero(points).tolist():
            counts[_folded(chr(point), config)] += int(points[point])
        return cls(_by_frequency(counts, unknown="\ufffd"), config)

    def encode(self, text: str) -> Ids:
        points = _code_points(text)
        table = np.zeros(points.max(initial=0) + 1, np.int32)
        for character in self._distinct(points):
            table[ord(character)] = self._id(character)
        return table[points]

    def decode(self, ids: Sequence[int] | Ids) -> str:
        points = self._code_points[np.asarray(ids, np.int64)]
        return points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")

    def unknown(self, text: str) -> list[str]:
        return [character for character in dict.fromkeys(text) if not self._id(character)]

    def decoder(self) -> Decoder:
        return _Joiner("")

    def prompt(self, text: str) -> tuple[Ids, Decoder]:
        return self.encode(text), self.decoder()

    def _id(self, character: str) -> int:
        return self._ids.get(_folded(character, self.config), UNKNOWN_ID)

    def _distinct(self, points: npt.NDArray[np.uint32]) -> Iterable[str]:
        seen = np.zeros(points.max(initial=0) + 1, bool)
        seen[points] = True
        return map(chr, np.flatnonzero(seen).tolist())


class WordTokenizer:
    r"""Penn Treebank words and punctuation; a newline is a token of its own.

    Words keep their case. With `pristine_input` the tokens are `text.split()`, and with
    `pristine_output` tokens are joined by single spaces. The unknown token is `<unk>`, as in
    the Penn Treebank corpus; a literal `<unk>` in a pristine text means the same.

    Example:
        >>> tokenizer = WordTokenizer.from_text("I do.\nI don't.", TokenizerConfig(True))
        >>> tokenizer.vocabulary
        ['<unk>', '.', 'I', 'do', '\n', "n't"]
        >>> tokenizer.decode(tokenizer.encode("I don't do."))
        "I don't do."
    """

    unit = "word"

    def __init__(self, vocabulary: Sequence[str], config: TokenizerConfig) -> None:
        self.vocabulary = _checked(vocabulary)
        self.config = config
        self._ids = {word: i for i, word in enumerate(vocabulary)}

    @classmethod
    def from_text(cls, text: str, config: TokenizerConfig) -> "WordTokenizer":
        """The words of `text`, most common first (ties by spelling)."""
        counts = collections.Counter(_words(text, config))
        return cls(_by_frequency(counts, unknown="<unk>"), config)

    def encode(self, text: str) -> Ids:
        words = _words(text, self.config)
        return np.fromiter((self._ids.get(word, UNKNOWN_ID) for word in words), np.int32)

    def decode(self, ids: Sequence[int] | Ids) -> str:
        decoder = self.decoder()
        pieces = [decoder.push(self.vocabulary[i]) for i in np.asarray(ids, np.int64).tolist()]
        return "".join(pieces) + decoder.flush()

    def unknown(self, text: str) -> list[str]:
        words = dict.fromkeys(_words(text, self.config))
        return [word for word in words if word not in self._ids]

    def decoder(self) -> Decoder:
        if self.config.pristine_input or self.config.pristine_output:
            return _Joiner(" ")
        return treebank.StreamingDetokenizer()

    def prompt(self, text: str) -> tuple[Ids, Decoder]:
        """See `Tokenizer.prompt`; a space at the end of `text` belongs to the word to come."""
        stripped = text.rstrip(" \t")
        decoder = self.decoder()
        for word in _words(stripped, self.config):
            decoder.push(word)
        decoder.flush()
        ids = self.encode(stripped)
        if len(ids) == 0:
            ids = np.array([UNKNOWN_ID], np.int32)
        return ids, decoder if stripped == text else _AfterSpace(decoder)


KINDS: dict[bool, type[CharTokenizer | WordTokenizer]] = {False: CharTokenizer, True: WordTokenizer}


def build_tokenizer(text: str, config: TokenizerConfig) -> Tokenizer:
    """The tokenizer that `config` asks for, its vocabulary taken from the training `text`.

    Raises:
        TextgenError: if `text` has fewer than two distinct tokens; there is nothing to learn.
    """
    tokenizer: Tokenizer = KINDS[config.word_tokens].from_text(text, config)
    if len(tokenizer.vocabulary) < 3:
        raise TextgenError(
            f"the training text has {len(tokenizer.vocabulary) - 1} distinct {tokenizer.unit}(s),"
            " and a model needs at least 2 to choose from. Add text to input.txt"
        )
    return tokenizer


def to_metadata(tokenizer: Tokenizer) -> dict[str, Any]:
    """The tokenizer as built-in values."""
    return {"config": tokenizer.config.to_dict(), "vocabulary": list(tokenizer.vocabulary)}


def from_metadata(metadata: dict[str, Any]) -> Tokenizer:
    """The inverse of `to_metadata`."""
    config = TokenizerConfig.from_dict(metadata["config"])
    return KINDS[config.word_tokens](metadata["vocabulary"], config)


class _Joiner:
    """A decoder that puts `separator` between tokens, except beside a newline."""

    def __init__(self, separator: str) -> None:
        self._separator = separator
        self._last = "\n"

    def push(self, token: str) -> str:
        separator = "" if "\n" in (token, self._last) else self._separator
        self._last = token
        return separator + token

    def flush(self) -> str:
        return ""


class _AfterSpace:
    """A decoder for text that already ends with the space which `decoder` would begin with."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._begun = False

    def push(self, token: str) -> str:
        return self._trimmed(self._decoder.push(token))

    def flush(self) -> str:
        return self._trimmed(self._decoder.flush())

    def _trimmed(self, piece: str) -> str:
        trimmed = piece if self._begun else piece.removeprefix(" ")
        self._begun = self._begun or bool(piece)
        return trimmed


def _words(text: str, config: TokenizerConfig) -> list[str]:
    return text.split() if config.pristine_input else treebank.tokenize(text)


def _folded(character: str, config: TokenizerConfig) -> str:
    lowered = character.lower()
    return character if config.pristine_input or len(lowered) != 1 else lowered


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _by_frequency(counts: "collections.Counter[str]", unknown: str) -> list[str]:
    del counts[unknown]
    return [unknown, *sorted(counts, key=lambda token: (-counts[token], token))]


def _checked(vocabulary: Sequence[str]) -> list[str]:
    if len(set(vocabulary)) != len(vocabulary):
        raise TextgenError("a vocabulary must not hold a token twice")
    return list(vocabulary)
