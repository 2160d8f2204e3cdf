"""The only owners of text <-> token id: one tokenizer for characters, one for words.

Token id 0 is the unknown token of every vocabulary. It stands for whatever the training text
did not have, and is never generated.
"""

import abc
import collections
import itertools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from textgen import treebank
from textgen.settings.definitions import MAX_VOCABULARY, TokenizerSettings
from textgen.support.arrays import Ids
from textgen.support.errors import TextgenError

StoredIds: TypeAlias = npt.NDArray[Any]
"""Token ids of the smallest unsigned type that holds the vocabulary."""
Counts: TypeAlias = dict[str, int]
"""How often each token stands in a text."""

UNKNOWN_ID = 0
MANY_WORDS = 50_000
"""In more words than these, a word that comes once is left to the unknown token.

The unknown token has to be met in training to mean something, and words met once are not learned.
"""


class Piece(NamedTuple):
    """The tokens of a piece of text."""

    kinds: list[str]
    """The distinct tokens."""
    places: StoredIds
    """(N,): for each token, which of `kinds` it is; of the smallest unsigned type."""
    counts: list[int]
    """How often each of `kinds` is there."""


START = treebank.PARAGRAPH
"""The state in which the first piece of a text is read."""


def read_piece(
    text: str, settings: TokenizerSettings, state: treebank.State = START
) -> tuple[Piece, treebank.State]:
    """Split a text, or the next piece of one that was cut where `last_cut` says, into tokens.

    This is the one way from text to tokens: a text read in pieces has the tokens it has as a
    whole.

    Returns:
        The tokens, and the state in which the next piece is to be read.
    """
    if not settings.word_tokens:
        return _piece(_code_points(text), lambda point: _folded(chr(point), settings)), state
    if settings.pristine_input:
        met: dict[str, int] = collections.defaultdict(itertools.count().__next__)
        numbers, kinds = list(map(met.__getitem__, text.split())), list(met)
    else:
        numbers, kinds, state = treebank.number_from(text, state)
    fold = str.lower if settings.lowercase else str
    return _piece(np.array(numbers, np.int32), lambda number: fold(kinds[number])), state


def _piece(numbers: npt.NDArray[Any], token: Callable[[int], str]) -> Piece:
    """The tokens that some numbers stand for; several numbers may stand for one token."""
    met = np.bincount(numbers)
    found = np.flatnonzero(met)
    tokens = list(map(token, found.tolist()))
    counts: dict[str, int] = collections.defaultdict(int)
    for kind, count in zip(tokens, met[found].tolist(), strict=True):
        counts[kind] += count
    places = {kind: place for place, kind in enumerate(counts)}
    table = np.zeros(len(met), smallest_type(len(places)))
    table[found] = [places[kind] for kind in tokens]
    return Piece(list(counts), table.take(numbers), list(counts.values()))


def last_cut(text: str, settings: TokenizerSettings) -> int:
    """The last place in `text` to cut it for `read_piece`, at the end of a line if there is one.

    0 where there is none.
    """
    if not settings.word_tokens:
        return text.rfind("\n") + 1 or len(text)
    if settings.pristine_input:
        return text.rfind("\n") + 1 or text.rfind(" ") + 1
    return treebank.last_cut(text)


def smallest_type(count: int) -> np.dtype[Any]:
    """The smallest unsigned type for `count` different numbers from 0 on."""
    return np.min_scalar_type(max(count - 1, 0))


class Decoder(Protocol):
    """Turns tokens into text one at a time."""

    def push(self, token: str) -> str:
        """The text that `token` adds, possibly empty."""


class Tokenizer(abc.ABC):
    """What training, sampling and every tool know of a tokenizer.

    Args:
        vocabulary: the tokens; index = token id.
        settings: says what a token is.
    """

    unit: ClassVar[str]
    """What a token is called: "character" or "word"."""
    unknown_token: ClassVar[str]

    def __init__(self, vocabulary: Sequence[str], settings: TokenizerSettings) -> None:
        self.vocabulary = _checked(vocabulary)
        self.settings = settings
        self._ids = {token: i for i, token in enumerate(vocabulary)}

    def encode(self, text: str) -> Ids:
        """Token ids (N,), int32; 0 where the vocabulary lacks the token."""
        piece, _ = read_piece(text, self.settings)
        return self.ids(piece.kinds)[piece.places]

    def ids(self, kinds: Sequence[str]) -> Ids:
        """The id of each of some tokens, likewise."""
        found = map(self._ids.get, kinds, itertools.repeat(UNKNOWN_ID))
        return np.fromiter(found, np.int32, len(kinds))

    def unknown(self, text: str) -> list[str]:
        """The distinct tokens of `text` that the vocabulary lacks, in order of appearance."""
        tokens = dict.fromkeys(_tokens(text, self.settings))
        return [token for token in tokens if not self._ids.get(token)]

    @abc.abstractmethod
    def decode(self, ids: Sequence[int] | Ids) -> str:
        """The text of token ids."""

    @abc.abstractmethod
    def decoder(self) -> Decoder:
        """A new decoder for a stream of tokens."""

    @abc.abstractmethod
    def prompt(self, text: str) -> tuple[Ids, Decoder]:
        """The token ids to read before generating on from `text`, at least one, and a decoder
        whose pieces, put after `text`, read on from it.
        """


class CharTokenizer(Tokenizer):
    """One token per Unicode character; lower case unless `pristine_input`.

    Characters are lowered one by one (`İ`, whose lower case is two characters, stays), so the
    result does not depend on where a text is cut. The unknown token is U+FFFD, Unicode's own
    character for what could not be represented.

    Example:
        >>> tokenizer = build_tokenizer("Hello", TokenizerSettings())
        >>> tokenizer.vocabulary
        ['\ufffd', 'l', 'e', 'h', 'o']
        >>> tokenizer.decode(tokenizer.encode("hole"))
        'hole'
    """

    unit = "character"
    unknown_token = "\ufffd"

    def __init__(self, vocabulary: Sequence[str], settings: TokenizerSettings) -> None:
        super().__init__(vocabulary, settings)
        if any(len(character) != 1 for character in vocabulary):
            raise TextgenError("a character vocabulary holds single characters only")
        self._code_points = _code_points("".join(vocabulary))

    def decode(self, ids: Sequence[int] | Ids) -> str:
        points = self._code_points[np.asarray(ids, np.int64)]
        return points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")

    def decoder(self) -> Decoder:
        return _Joiner("")

    def prompt(self, text: str) -> tuple[Ids, Decoder]:
        return self.encode(text), self.decoder()


class WordTokenizer(Tokenizer):
    r"""Penn Treebank words and punctuation; a newline is a token of its own.

    Words keep their case unless `lowercase`. With `pristine_input` the tokens are
    `text.split()`, and with `pristine_output` tokens are joined by single spaces. The unknown
    token is `<unk>`, as in the Penn Treebank corpus; a literal `<unk>` in a pristine text means
    the same.

    Example:
        >>> tokenizer = build_tokenizer("I do.\nI don't.", TokenizerSettings(word_tokens=True))
        >>> tokenizer.vocabulary
        ['<unk>', '.', 'I', 'do', '\n', "n't"]
        >>> tokenizer.decode(tokenizer.encode("I don't do."))
        "I don't do."
    """

    unit = "word"
    unknown_token = "<unk>"

    def decode(self, ids: Sequence[int] | Ids) -> str:
        decoder = self.decoder()
        pieces = [decoder.push(self.vocabulary[i]) for i in np.asarray(ids, np.int64).tolist()]
        return "".join(pieces)

    def decoder(self) -> Decoder:
        if self.settings.pristine_input or self.settings.pristine_output:
            return _Joiner(" ")
        return treebank.StreamingDetokenizer()

    def prompt(self, text: str) -> tuple[Ids, Decoder]:
        """See `Tokenizer.prompt`; a space at the end of `text` belongs to the word to come."""
        stripped = text.rstrip(" \t")
        if not stripped:
            raise TextgenError(f"a seed of spaces alone has no words. Received: {text!r}")
        decoder = self.decoder()
        words = _tokens(stripped, self.settings)
        for word in words:
            decoder.push(word)
        # No words: a newline, which a pristine vocabulary does not have.
        ids = self.ids(words or [self.unknown_token])
        return ids, decoder if stripped == text else _AfterSpace(decoder)


KINDS: dict[bool, type[Tokenizer]] = {False: CharTokenizer, True: WordTokenizer}


def build_tokenizer(text: str, settings: TokenizerSettings) -> Tokenizer:
    """The tokenizer that `settings` asks for, its vocabulary taken from the training `text`.

    Raises:
        TextgenError: see `tokenizer_from`.
    """
    return tokenizer_from(count(text, settings), settings)


def tokenizer_from(counts: Counts, settings: TokenizerSettings) -> Tokenizer:
    """The tokenizer that `settings` asks for, its vocabulary taken from the training text's tokens.

    Raises:
        TextgenError: if there are fewer than two distinct tokens; there is nothing to learn.
    """
    tokenizer = KINDS[settings.word_tokens](_vocabulary(counts, settings), settings)
    if len(tokenizer.vocabulary) < 3:
        raise TextgenError(
            f"the training text has {len(tokenizer.vocabulary) - 1} distinct {tokenizer.unit}(s),"
            " and a model needs at least 2 to choose from. Add text to input.txt"
        )
    return tokenizer


def extended(known: Tokenizer, counts: Counts) -> Tokenizer:
    """The vocabulary of `known`, its ids unchanged, and after it the tokens that a text adds."""
    new = tokenizer_from(counts, known.settings).vocabulary
    together = list(dict.fromkeys([*known.vocabulary, *new]))
    return KINDS[known.settings.word_tokens](together, known.settings)


def count(text: str, settings: TokenizerSettings) -> Counts:
    """How often each token stands in `text`."""
    piece, _ = read_piece(text, settings)
    return dict(zip(piece.kinds, piece.counts, strict=True))


def to_metadata(tokenizer: Tokenizer) -> dict[str, Any]:
    """The tokenizer as built-in values."""
    return {"config": tokenizer.settings.to_dict(), "vocabulary": list(tokenizer.vocabulary)}


def from_metadata(metadata: Any) -> Tokenizer:
    """The inverse of `to_metadata`. Raises TextgenError on values that it does not give."""
    if not isinstance(metadata, dict) or not {"config", "vocabulary"} <= metadata.keys():
        raise TextgenError("its tokenizer is not a configuration and a vocabulary")
    settings = TokenizerSettings.from_dict(metadata["config"])
    vocabulary = metadata["vocabulary"]
    if not isinstance(vocabulary, list) or not all(type(token) is str for token in vocabulary):
        raise TextgenError("its vocabulary is not a list of texts")
    return KINDS[settings.word_tokens](vocabulary, settings)


class _Joiner:
    """A decoder that puts `separator` between tokens, except beside a newline."""

    def __init__(self, separator: str) -> None:
        self._separator = separator
        self._last = "\n"

    def push(self, token: str) -> str:
        separator = "" if "\n" in (token, self._last) else self._separator
        self._last = token
        return separator + token


class _AfterSpace:
    """A decoder for text that already ends with the space which `decoder` would begin with."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._begun = False

    def push(self, token: str) -> str:
        piece = self._decoder.push(token)
        trimmed = piece if self._begun else piece.removeprefix(" ")
        self._begun = self._begun or bool(piece)
        return trimmed


def _tokens(text: str, settings: TokenizerSettings) -> list[str]:
    piece, _ = read_piece(text, settings)
    return [piece.kinds[place] for place in piece.places.tolist()]


def _folded(character: str, settings: TokenizerSettings) -> str:
    lowered = character.lower()
    return character if settings.pristine_input or len(lowered) != 1 else lowered


def _code_points(text: str) -> npt.NDArray[Any]:
    """Those of each character (N,), in the smallest unsigned type that holds them all."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    data = text.encode("utf-16-le", "surrogatepass")
    if len(data) == 2 * len(text):
        return np.frombuffer(data, "<u2")
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _vocabulary(counts: Counts, settings: TokenizerSettings) -> list[str]:
    """The tokens to know, most common first (ties by spelling), after the unknown token."""
    unknown = KINDS[settings.word_tokens].unknown_token
    total = sum(counts.values()) - counts.get(unknown, 0)
    least = settings.min_count or (2 if settings.word_tokens and total > MANY_WORDS else 1)
    kept = [token for token, n in counts.items() if n >= least and token != unknown]
    kept.sort(key=lambda token: (-counts[token], token))
    return [unknown, *kept[: settings.max_vocab - 1]]


def _checked(vocabulary: Sequence[str]) -> list[str]:
    if not 1 <= len(vocabulary) <= MAX_VOCABULARY:
        raise TextgenError(
            f"a vocabulary has 1 to {MAX_VOCABULARY:,} tokens. Received: {len(vocabulary):,}"
        )
    if len(set(vocabulary)) != len(vocabulary):
        raise TextgenError("a vocabulary must not hold a token twice")
    return list(vocabulary)
