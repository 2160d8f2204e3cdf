"""The base of all tokenizers: what each must say, and what holds for all unless one says otherwise.

A tokenizer is one class in one file of this package, and one line in `textgen.tokens`. A text is
first split into parts, each of which becomes token ids by itself. The vocabulary is learned from
how often each distinct part stands in the training text. A part is one token where tokens are
characters or words; it may be several, as with subwords.

Token id 0 is the unknown token of every vocabulary. It stands for whatever the training text did
not have, and is never generated.

Where the text is many documents, token id 1 ends each, and a document may begin with its label,
which is a token of its own. The network reads the end of a document before each, the first too.
"""

from __future__ import annotations

import abc
import collections
import itertools
import math
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from textgen.settings.definitions import MAX_VOCABULARY, TokenizerSettings
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.text import documents

Ids: TypeAlias = npt.NDArray[np.integer]
"""Token ids, or numbers of rows."""
StoredIds: TypeAlias = npt.NDArray[Any]
"""Token ids of the smallest unsigned type that holds the vocabulary."""
Counts: TypeAlias = dict[str, int]
"""How often each distinct part stands in a text."""
State: TypeAlias = Any
"""The state that the text before leaves for splitting what follows; can be compared and pickled."""

UNKNOWN_ID = 0
END_ID = 1
"""The token that ends a document, where the text is many documents."""
END_NUMBER = -1
"""Stands for it in what `number_documents` returns."""
BETWEEN = "\x1e"
"""Stands between documents while they are split together; ASCII's own separator of records."""
CLOSING = "\"'”’»)]"
"""Marks that may stand between the mark that ends a sentence and the end of its token."""


class Parts(NamedTuple):
    """A text, or a piece of one, as parts that become token ids each by itself."""

    kinds: list[str]
    """The distinct parts."""
    places: StoredIds
    """(N,): for each part, which of `kinds` it is; of the smallest unsigned type."""
    counts: list[int]
    """How often each of `kinds` is there."""


class Decoder(Protocol):
    """Turns tokens into text one at a time."""

    def push(self, token: str) -> str:
        """Returns the text that `token` adds, possibly empty."""


class Beginning(NamedTuple):
    """A text that is to go on."""

    ids: Ids
    """What a network reads first."""
    decoder: Decoder
    """Its output, put after the text, reads on from it."""
    typed: bytes = b""
    """The end of the text in UTF-8, where `ids` are without it: the tokens that follow spell it,
    and perhaps more, see `Tokenizer.openings`."""


class Size(NamedTuple):
    """A model that is best for some training times."""

    minutes: float
    """The shortest of them, on the machine that the tables were measured on."""
    rnn_size: int
    num_layers: int
    learning_rate: float
    tokens_per_second: float
    """In training, on that machine."""

    def settings(self) -> dict[str, Any]:
        """The sizes by the names of their settings."""
        names = ("rnn_size", "num_layers", "learning_rate")
        return {name: getattr(self, name) for name in names}


class Choice(NamedTuple):
    """Settings for a time budget, and how fast a model of them is trained."""

    settings: dict[str, Any]
    """Fields of `ModelSettings` and `TrainingSettings`."""
    tokens_per_second: float


class Tokenizer(abc.ABC):
    """Text <-> token ids, and all that the rest of textgen has to know of a kind of token.

    A tokenizer must give `name`, `unit`, `help`, `unknown_token`, `split` and `decoder`. What else
    is here suits small tokens, of which a word has several.

    Args:
        vocabulary: the tokens; index = token id.
        settings: says what a token is.

    Raises:
        TextgenError: if the vocabulary is too large, or has a token twice.
    """

    name: ClassVar[str]
    """Its value of the setting `tokens`; `NAME_tokens` asks for it, `--NAME-tokens` too."""
    help: ClassVar[str]
    """The help text of that flag."""
    unit: ClassVar[str]
    """The noun for a token, only to be printed."""
    unknown_token: ClassVar[str]
    unused: ClassVar[Mapping[str, str]] = types.MappingProxyType(
        {"vocab_size": "give `max_vocab` instead, or add `subword_tokens`"}
    )
    """Settings of tokens that mean nothing to it, and what to do instead."""
    defaults: ClassVar[Mapping[str, Any]] = types.MappingProxyType({})
    """Settings of model and training whose defaults are others than those of characters."""
    usual_length: ClassVar[float] = 1.0
    """Characters of a token, about, in English."""
    live_length: ClassVar[int] = 200
    """Tokens in a sample that is shown while a model is trained."""
    loss_name: ClassVar[str] = "perplexity"
    """The column in `history.csv` with the loss as the field quotes it; `bits_per_character` where
    perplexity is not worth telling."""

    least_copied: ClassVar[tuple[int, str]] = (30, "character")
    """The run of characters or words that counts as copied where a text shares it with another."""

    start: ClassVar[State] = None
    """The state in which the first piece of a text is split."""
    piece_size: ClassVar[int] = 1 << 19
    """Characters in a piece of a long text, about."""
    parallel: ClassVar[bool] = False
    """Whether splitting a piece costs more than to give it to another process."""

    sizes: ClassVar[Sequence[Size]] = (
        Size(0.0, 128, 1, 0.015, 115_000),
        Size(0.2, 256, 1, 0.015, 95_000),
        Size(0.6, 320, 1, 0.015, 50_000),
        Size(1.6, 384, 1, 0.012, 40_000),
        Size(4.0, 512, 1, 0.008, 25_000),
    )
    """Models to choose from, for more time each; measured on characters."""
    dropouts: ClassVar[Sequence[tuple[float, float]]] = (
        (4, 0.0), (5, 0.1), (8, 0.2), (30, 0.3), (60, 0.4), (math.inf, 0.5),
    )  # fmt: skip
    """Dropout for at most so many readings of the text."""

    def __init__(self, vocabulary: Sequence[str], settings: TokenizerSettings) -> None:
        if not 1 <= len(vocabulary) <= MAX_VOCABULARY:
            raise TextgenError(
                f"a vocabulary has 1 to {MAX_VOCABULARY:,} tokens. Received: {len(vocabulary):,}"
            )
        if len(set(vocabulary)) != len(vocabulary):
            raise TextgenError("a vocabulary must not hold a token twice")
        self.vocabulary = list(vocabulary)
        self.settings = settings
        self._ids = {token: i for i, token in enumerate(vocabulary)}
        self.marks = self._marks() if settings.documents else {}
        """The ids of the tokens that mark documents: their end and their labels."""

    def _marks(self) -> dict[str, int]:
        if self._ids.get(documents.END) != END_ID:
            raise TextgenError(f"a vocabulary of documents has {documents.END} as number {END_ID}")
        labels = filter(documents.LABEL.fullmatch, self.vocabulary)
        return {token: self._ids[token] for token in (documents.END, *labels)}

    @property
    def labels(self) -> list[str]:
        """The labels that documents may begin with, commonest first; empty where they have none."""
        return [documents.Document.parse(token).label for token in self.marks][1:]

    # Text -> parts.

    @classmethod
    @abc.abstractmethod
    def split(cls, text: str, settings: TokenizerSettings, state: State) -> tuple[Parts, State]:
        """Splits a text, or the next piece of one that was cut where `last_cut` says, into parts.

        A text that is split in pieces has the parts that it has as a whole.

        Returns:
            The parts, and the state in which the next piece is to be split.
        """

    @classmethod
    def split_documents(cls, texts: Sequence[str], settings: TokenizerSettings) -> Parts:
        """Returns the parts of documents one after another: of each its label, text and end.

        Args:
            texts: the documents as they stand in a file, see `textgen.text.documents`.
            settings: says what a token is.
        """
        parsed = list(map(documents.Document.parse, texts))
        numbers, part = cls.number_documents([one.text for one in parsed], settings)
        labels = list(dict.fromkeys(one.label for one in parsed if one.label))
        if labels:
            places = {label: place for place, label in enumerate(labels)}
            ends = np.flatnonzero(numbers == END_NUMBER)
            starts = np.concatenate([[0], ends[:-1] + 1])
            labelled = np.array([place for place, one in enumerate(parsed) if one.label])
            own = [END_NUMBER - 1 - places[parsed[place].label] for place in labelled]
            numbers = np.insert(numbers, starts[labelled], own)
        marks = [documents.END, *map(documents.label_token, labels)]

        def part_or_mark(number: int) -> str:
            return part(number - len(marks)) if number >= len(marks) else marks[-1 - number]

        return numbered_parts(numbers + len(marks), part_or_mark)

    @classmethod
    def number_documents(
        cls, texts: Sequence[str], settings: TokenizerSettings
    ) -> tuple[npt.NDArray[np.int64], Callable[[int], str]]:
        """Splits documents into parts, each given by a number from 0 on.

        Returns:
            The parts of all documents, (N,), with `END_NUMBER` after each, and what gives the
            part of a number.
        """
        met: dict[str, int] = collections.defaultdict(itertools.count().__next__)
        end = np.array([END_NUMBER])
        numbers = [np.zeros(0, np.int64)]
        for text in texts:
            parts, _ = cls.split(text, settings, cls.start)
            table = np.array([met[kind] for kind in parts.kinds], np.int64)
            numbers += [table.take(parts.places), end]
        return np.concatenate(numbers), list(met).__getitem__

    @classmethod
    def last_cut(cls, text: str, settings: TokenizerSettings) -> int:
        """Returns the last place to cut `text` for `split`, or 0 where there is none."""
        return text.rfind("\n") + 1

    @classmethod
    def folded(cls, text: str, settings: TokenizerSettings) -> str:
        """Returns a text with the letters that its parts have: in lower case, where those are."""
        return text

    # What is learned from a text.

    @classmethod
    def learn(cls, counts: Counts, settings: TokenizerSettings) -> Self:
        """Returns the tokenizer for a text of so many parts: the commonest are its tokens.

        Raises:
            TextgenError: if there are fewer than two distinct tokens; there is nothing to learn.
        """
        first = cls.first_tokens(counts, settings)
        total = sum(counts.values()) - counts.get(cls.unknown_token, 0)
        least = settings.min_count or cls.default_min_count(total)
        others = set(first)
        kept = [token for token, n in counts.items() if n >= least and token not in others]
        kept = _commonest(kept, counts)[: max(0, settings.max_vocab - len(first))]
        if len(kept) < 2:
            raise TextgenError(
                f"the training text has {len(kept)} distinct {cls.unit}(s), and a model needs at"
                " least 2 to choose from. Add text to input.txt"
            )
        return cls([*first, *kept], settings)

    @classmethod
    def first_tokens(cls, counts: Counts, settings: TokenizerSettings) -> list[str]:
        """Returns the tokens that are kept however rare they are: unknown, end, and labels."""
        if not settings.documents:
            return [cls.unknown_token]
        labels = _commonest(filter(documents.LABEL.fullmatch, counts), counts)
        return [cls.unknown_token, documents.END, *labels]

    @classmethod
    def default_min_count(cls, num_parts: int) -> int:
        """Returns how often a part has to stand in a text of so many parts to be a token."""
        return 1

    def grown(self, counts: Counts) -> Self:
        """Returns this tokenizer with the tokens of a text of so many parts after its own."""
        return self.joined([self.learn(counts, self.settings)])

    def joined(self, others: Sequence[Tokenizer]) -> Self:
        """Returns this tokenizer, its ids unchanged, with the tokens of others after them."""
        together: list[Tokenizer] = [self, *others]
        tokens = dict.fromkeys(token for one in together for token in one.vocabulary)
        return self.from_dict(self.to_dict() | {"vocabulary": list(tokens)}, self.settings)

    # Text -> token ids.

    def encode(self, text: str) -> Ids:
        """Returns the token ids (N,), int32; 0 where the vocabulary lacks the token."""
        parts, _ = self.split(text, self.settings, self.start)
        return self.encode_parts(parts.kinds, parts.places)

    def encode_parts(
        self, kinds: Sequence[str], places: StoredIds, dtype: npt.DTypeLike = np.int32
    ) -> StoredIds:
        """Returns the token ids (N,) of parts; `kinds` and `places` are those of `Parts`."""
        ids, lengths = self.ids_of(kinds)
        table: StoredIds = ids.astype(dtype)
        if lengths is None:
            return table.take(places)
        counts = lengths.take(places)  # (N,): how many ids each part of the text has
        begins = (np.cumsum(lengths) - lengths).take(places)  # (N,): where they are in the table
        shifts = np.repeat(begins - (np.cumsum(counts) - counts), counts)
        return table.take(shifts + np.arange(len(shifts)))

    def ids_of(self, kinds: Sequence[str]) -> tuple[Ids, Ids | None]:
        """Returns the token ids of K distinct parts, and how many each has, (K,); None: one each.

        0 stands for what the vocabulary lacks.
        """
        found = map(self._ids.get, kinds, itertools.repeat(UNKNOWN_ID))
        return np.fromiter(found, np.int32, len(kinds)), None

    def token_id(self, token: str) -> int:
        """Returns the id of a token of the vocabulary, or 0 where it is none."""
        return self._ids.get(token, UNKNOWN_ID)

    def unknown(self, text: str) -> list[str]:
        """Returns the distinct parts of `text` that the vocabulary lacks, as they appear."""
        parts, _ = self.split(text, self.settings, self.start)
        kinds = [parts.kinds[place] for place in dict.fromkeys(parts.places.tolist())]
        return [kind for kind in kinds if UNKNOWN_ID in self.ids_of([kind])[0]]

    def encode_documents(self, text: str) -> Ids:
        r"""Returns the token ids (N,), int32, of a file of documents, an end before and after each.

        Example:
            >>> from textgen.tokens import build_tokenizer
            >>> tokenizer = build_tokenizer("ab\nb\n", TokenizerSettings(documents="lines"))
            >>> tokenizer.vocabulary
            ['\ufffd', '<|endoftext|>', 'b', 'a']
            >>> tokenizer.encode_documents("ab\nb\n").tolist()
            [1, 3, 2, 1, 2, 1]
        """
        texts = documents.split_documents(text, self.settings.documents or documents.LINES)
        parts = self.split_documents(texts, self.settings)
        return np.concatenate([[END_ID], self.encode_parts(parts.kinds, parts.places)])

    def prompt(self, text: str, label: str | None = None, whole: bool = False) -> Beginning:
        """Returns what a network reads before it goes on with `text`, and a decoder for the rest.

        A document is begun; other text, where it is empty, begins a line.

        Args:
            text: the text before.
            label: of the document.
            whole: whether all of the text is read, though a token may be cut at its end.

        Returns:
            At least one token id, and what goes with them.

        Raises:
            TextgenError: if there is nothing to read in `text`, or no such label.
        """
        first = [] if label is None else [self._label_id(label)]
        if not self.settings.documents and not text:
            text = "\n"
        begun = Beginning(np.zeros(0, np.int32), self.decoder())
        if text:
            begun = self.go_on(text, whole)
        context = [END_ID, *first] if self.settings.documents else []
        if not len(begun.ids) and not context:
            context = self.encode("\n").tolist()
        return begun._replace(ids=np.concatenate([context, begun.ids]).astype(np.int32))

    def _label_id(self, label: str) -> int:
        if not self.labels:
            raise TextgenError(
                f"this model has no labels to choose `label` {label!r} from. Train it on documents"
                f" that begin with theirs, such as {documents.label_token(label)}"
            )
        if label not in self.labels:
            known = console.listed(self.labels, 20)
            raise TextgenError(f"`label` must be one of {known}. Received: {label}")
        return self.marks[documents.label_token(label)]

    def go_on(self, text: str, whole: bool) -> Beginning:
        """Returns the ids of a text that is to go on, and a decoder; see `prompt`."""
        return Beginning(self.encode(text), self.decoder())

    def openings(self, typed: bytes) -> Sequence[tuple[int, ...]]:
        """Returns the tokens, one or more in a row, that spell `typed` and perhaps more."""
        return []

    # Token ids -> text.

    @abc.abstractmethod
    def decoder(self) -> Decoder:
        """Returns a new decoder for a stream of tokens."""

    def decode(self, ids: Sequence[int] | Ids) -> str:
        """Returns the text of token ids; that of documents as a file has them."""
        array = np.asarray(ids, np.int64)
        if not self.marks or not np.isin(array, list(self.marks.values())).any():
            return self.decode_text(array)
        texts = [
            self._decode_document(part) for part in np.split(array, np.where(array == END_ID)[0])
        ]
        kept = [text for text in texts if text]
        return "".join(documents.join_documents(kept, self.settings.documents or documents.LINES))

    def _decode_document(self, ids: Ids) -> str:
        ids = ids[ids != END_ID]
        labels = np.isin(ids, list(self.marks.values()))
        tokens = "".join(self.vocabulary[i] for i in ids[labels].tolist())
        return tokens + self.decode_text(ids[~labels])

    def decode_text(self, ids: Ids) -> str:
        """Returns the text of token ids without marks of documents."""
        push = self.decoder().push
        return "".join([push(self.vocabulary[i]) for i in ids.tolist()])

    def text_of(self, token_id: int) -> str:
        """Returns a token as people see it."""
        return self.vocabulary[token_id]

    def ends_word(self, token: str) -> bool:
        """Whether another word may begin after `token`."""
        return token[-1:].isspace()

    def begins_word(self, token: str) -> bool:
        """Whether a word ends before `token`, so that another one may come in its place."""
        return False

    def inserted(self, text: str, before: str) -> tuple[int, ...]:
        """Returns the ids of a text that is put after the token `before`, as words of their own."""
        return tuple(self.encode(text).tolist())

    def spelled_bytes(self) -> Sequence[bytes] | None:
        """Returns the bytes of each token, where a text can be cut into tokens in several ways."""
        return None

    def ends_phrase(self, token: str) -> bool:
        """Whether with `token` ends what should hang together: a word, or a sentence of words.

        The sample mode `spaces` draws after it, and models that take turns change.
        """
        return self.ends_word(token)

    # Training.

    @classmethod
    def choose_size(cls, minutes: float, num_tokens: int, speed: float) -> Choice:
        """Chooses size, dropout, batch and learning rate for `minutes` of training.

        The larger the time and the faster the machine, the larger the model; the more often the
        text is read in that time, the more dropout.

        Args:
            minutes: wall time of the training.
            num_tokens: tokens of the training text.
            speed: of this machine, as a multiple of the one that the tables were measured on.
        """
        size = [row for row in cls.sizes if row.minutes <= minutes * speed][-1]
        tokens_per_second = speed * size.tokens_per_second
        readings = 60 * minutes * tokens_per_second / num_tokens
        dropout = next(share for most, share in cls.dropouts if readings <= most)
        batch = {"dropout": dropout, "batch_size": 32, "seq_length": 32, "seq_step": 16}
        return Choice(size.settings() | batch, tokens_per_second)

    # Files.

    def to_dict(self) -> dict[str, Any]:
        """Returns all that makes this tokenizer, as built-in values."""
        return {"config": self.settings.to_dict(), "vocabulary": list(self.vocabulary)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], settings: TokenizerSettings) -> Self:
        """Returns the tokenizer of what `to_dict` gave, of which `config` is read already.

        Raises:
            TextgenError: on values that `to_dict` does not give.
        """
        return cls(cls.vocabulary_of(values), settings)

    @staticmethod
    def vocabulary_of(values: Mapping[str, Any]) -> list[str]:
        """Returns the vocabulary in what `to_dict` gave. Raises TextgenError if it is none."""
        vocabulary = values.get("vocabulary")
        if not isinstance(vocabulary, list) or not all(type(token) is str for token in vocabulary):
            raise TextgenError("its vocabulary is not a list of texts")
        return vocabulary


class Joiner:
    """A decoder that puts `separator` between tokens, except beside a newline."""

    def __init__(self, separator: str) -> None:
        self._separator = separator
        self._last = "\n"

    def push(self, token: str) -> str:
        separator = "" if "\n" in (token, self._last) else self._separator
        self._last = token
        return separator + token


def _commonest(tokens: Iterable[str], counts: Counts) -> list[str]:
    """Returns tokens in the order of their counts; the commonest first."""
    return sorted(tokens, key=lambda token: (-counts[token], token))


def ends_sentence(text: str) -> bool:
    """Whether a sentence is over with a token, or with what it adds to a text."""
    return "\n" in text or text.rstrip(CLOSING).endswith((".", "!", "?", "…", "。"))


def numbered(parts: Sequence[str]) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Returns parts as numbers of the distinct ones, (N,), from 0 on as they are met, and those."""
    met: dict[str, int] = collections.defaultdict(itertools.count().__next__)
    return np.fromiter(map(met.__getitem__, parts), np.int32, len(parts)), list(met)


def numbered_parts(numbers: npt.NDArray[Any], part: Callable[[int], str]) -> Parts:
    """Returns the parts that some numbers (N,) stand for; several may stand for the same part."""
    met = np.bincount(numbers)
    found = np.flatnonzero(met)
    parts = list(map(part, found.tolist()))
    counts: dict[str, int] = collections.defaultdict(int)
    for kind, count in zip(parts, met[found].tolist(), strict=True):
        counts[kind] += count
    places = {kind: place for place, kind in enumerate(counts)}
    table = np.zeros(len(met), smallest_type(len(places)))
    table[found] = [places[kind] for kind in parts]
    return Parts(list(counts), table.take(numbers), list(counts.values()))


def smallest_type(count: int) -> np.dtype[Any]:
    """Returns the smallest unsigned type for `count` different numbers from 0 on."""
    return np.min_scalar_type(max(count - 1, 0))
