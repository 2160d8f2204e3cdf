"""How well a model knows a text: the probability that it gives each token, without any training.

A text is read as one stream from an empty state, however long it is. As in validation its first
token is only read, and each of the others is scored. Where the model was trained on documents, each
of them is read by itself, after the end of a document, and its own end is scored too; a label that
it begins with is given, and not scored.

A token that the vocabulary lacks is scored as the unknown token, and counted.

Shapes: B rows, T tokens of each, N tokens, V vocabulary size.
"""

from __future__ import annotations

import itertools
import math
import reprlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from textgen.generation import notebook
from textgen.generation.batch import Model, Stepper
from textgen.generation.sampling import log_softmax
from textgen.model.history import perplexity
from textgen.model.network import Network
from textgen.support.errors import TextgenError
from textgen.support.parallel import map_in_threads, single_threaded_blas
from textgen.text import documents
from textgen.tokens.tokenizer import (
    END_ID,
    UNKNOWN_ID,
    Ids,
    Parts,
    Tokenizer,
)

Reals: TypeAlias = npt.NDArray[np.float64]

MOST_PIECES = 100_000
"""Tokens of which a score keeps the text and the probability: as many as a browser shows."""
MOST_UNKNOWN = 10
"""Different tokens that the vocabulary lacks of which a score keeps the text."""
MOST_LOOKED_AT = 1000
"""Tokens of a piece among which these are sought."""
PIECE = 1 << 16
"""Characters of one long text that are read at a time, about."""
POOL = 1 << 18
"""Characters of many texts among which those of like length are sought."""
ROWS = 64
"""Texts that are read side by side; more would not be faster."""


@dataclass(frozen=True)
class Score:
    """How well a model knows a text."""

    tokens: int
    """How many were scored."""
    unknown: int
    """How many of them the vocabulary lacks: they are scored as the unknown token."""
    characters: int
    """Of the text, without a first token that was only read, a label, and what is between
    documents."""
    nats: float
    """The negative logarithm of the probability of all these tokens together."""
    unknown_tokens: tuple[str, ...] = ()
    """Some different ones that the vocabulary lacks."""
    pieces: tuple[tuple[str, float], ...] = field(default=(), repr=False)
    """The text of each token and its log-probability, nan where it was only read; of a long text
    those of its beginning."""

    @property
    def nats_per_token(self) -> float:
        """The loss, as in training."""
        return self.nats / self.tokens

    @property
    def nats_per_character(self) -> float:
        """Nats / characters, which compares models of any tokens; nan where there are none."""
        return self.nats / self.characters if self.characters else math.nan

    @property
    def bits_per_character(self) -> float:
        """Nats per character / ln 2."""
        return self.nats_per_character / math.log(2)

    @property
    def perplexity(self) -> float:
        """exp(nats per token)."""
        return perplexity(self.nats_per_token)

    def to_dict(self) -> dict[str, Any]:
        """Returns the figures as built-in values, for JSON; None for what is infinite or nan."""
        figures = {
            "nats_per_token": self.nats_per_token,
            "nats_per_character": self.nats_per_character,
            "bits_per_character": self.bits_per_character,
            "perplexity": self.perplexity,
            "nats": self.nats,
        }
        shown = {name: x if math.isfinite(x) else None for name, x in figures.items()}
        counts = {"tokens": self.tokens, "unknown": self.unknown, "characters": self.characters}
        return shown | counts

    def facts(self) -> dict[str, str]:
        """Returns the figures for people, by name; once where each token is a character."""
        nats = {"nats per token": f"{self.nats_per_token:.4f}"}
        if self.characters != self.tokens:
            nats["nats per character"] = f"{self.nats_per_character:.4f}"
        return {
            **nats,
            "bits per character": f"{self.bits_per_character:.4f}",
            "perplexity": f"{self.perplexity:,.2f}",
            "tokens": f"{self.tokens:,}",
            "unknown": f"{self.unknown:,}",
        }

    def __str__(self) -> str:
        return ", ".join(f"{name} {fact}" for name, fact in self.facts().items())

    def _repr_html_(self) -> str:
        """What a notebook shows: the figures, and the text shaded by probability."""
        shown = notebook.shaded("", self.pieces) if self.pieces else ""
        return notebook.table("textgen score", self.facts()) + shown

    @classmethod
    def total(cls, scores: Iterable[Score], pieces: bool = False) -> Score:
        """Returns the score of several texts together, with the pieces of the first ones."""
        tokens = unknown = characters = 0
        nats, lacking, shown = 0.0, dict[str, None](), list[tuple[str, float]]()
        for score in scores:
            tokens, unknown = tokens + score.tokens, unknown + score.unknown
            characters, nats = characters + score.characters, nats + score.nats
            if len(lacking) < MOST_UNKNOWN:
                lacking.update(dict.fromkeys(score.unknown_tokens))
            if pieces and len(shown) < MOST_PIECES:
                shown += score.pieces[: MOST_PIECES - len(shown)]
        few = tuple(itertools.islice(lacking, MOST_UNKNOWN))
        return cls(tokens, unknown, characters, nats, few, tuple(shown))


def score(
    model: Model,
    tokenizer: Tokenizer,
    chunks: Iterable[str],
    pieces: bool = False,
    name: str = "the text",
) -> Score:
    """Scores a text of any length, of which memory holds a piece at a time.

    Args:
        model: a network, or a mixture.
        tokenizer: its own.
        chunks: the text, cut anywhere.
        pieces: whether to keep the text and the probability of tokens, of the first `MOST_PIECES`.
        name: what messages call the text.

    Raises:
        TextgenError: if there is no token to score.
    """
    if tokenizer.settings.documents:
        found = Score.total(_score_documents(model, tokenizer, chunks, pieces), pieces)
        if not found.tokens:
            raise TextgenError(f"{name} is empty: give one with text to score")
        return found
    parts = _score_stream(model, tokenizer, chunks, pieces)
    with single_threaded_blas():
        found = Score.total(parts, pieces)
    if not found.tokens:
        raise TextgenError(
            f"{name} has no {tokenizer.unit} after the first, which is only read: a text to score"
            " has at least 2. Give a longer one"
        )
    return found


def _score_documents(
    model: Model, tokenizer: Tokenizer, chunks: Iterable[str], pieces: bool
) -> Iterator[Score]:
    """Yields the score of each document; the pieces of the first ones."""
    shown = 0
    texts = documents.read_documents(chunks, tokenizer.settings.documents or documents.LINES)
    for pool in _pools(texts):
        for found in scores(model, tokenizer, pool, pieces and shown < MOST_PIECES):
            shown += len(found.pieces)
            yield found


def scores(
    model: Model, tokenizer: Tokenizer, texts: Iterable[str], pieces: bool = False
) -> Iterator[Score]:
    """Yields the score of each of many texts, which are read side by side.

    Each is read by itself. A text that is no document is read after a newline, as one that begins
    a line, so that its first token is scored too; its end is not.

    Args:
        model: a network, or a mixture.
        tokenizer: its own.
        texts: the texts.
        pieces: whether to keep the text and the probability of tokens, of each text the first
            `MOST_PIECES`.

    Raises:
        TextgenError: if a text has no token to score.
    """
    for pool in _pools(texts):
        found = _rows_of_documents if tokenizer.settings.documents else _rows_of_texts
        rows = found(tokenizer, pool)
        scored = _score_rows(model, rows)
        for row, log_probabilities in zip(rows, scored, strict=True):
            yield row.score(log_probabilities, tokenizer, pieces)


def _pools(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yields the texts in lists of about `POOL` characters; a short text counts as one of 64."""
    pool, size = list[str](), 0
    for text in texts:
        if not isinstance(text, str):
            raise TextgenError(f"a text to score is a str. Received: {reprlib.repr(text)}")
        pool.append(text)
        size += max(len(text), 64)
        if size >= POOL:
            yield pool
            pool, size = [], 0
    if pool:
        yield pool


class Tokens(NamedTuple):
    """Tokens of a text: their ids, and how the text has them."""

    ids: Ids
    """(N,)"""
    texts: Callable[[int], str]
    """Gives the text of the one at a place, as a decoder takes it: also of one that the vocabulary
    lacks."""
    start: int = 0
    """The place of the first."""

    @classmethod
    def of(cls, tokenizer: Tokenizer, parts: Parts) -> Tokens:
        """Returns the tokens of a text that was split."""
        ids = tokenizer.encode_parts(parts.kinds, parts.places)
        if len(ids) == len(parts.places):  # each part is a token
            return cls(ids, lambda i: parts.kinds[parts.places[i]])
        return cls(ids, lambda i: tokenizer.vocabulary[ids[i]])

    def cut(self, start: int, stop: int | None = None) -> Tokens:
        """Returns those from `start` to `stop`."""
        return Tokens(self.ids[start:stop], self.texts, self.start + start)

    def spelled(self) -> Iterator[str]:
        """Yields the text of each."""
        return map(self.texts, range(self.start, self.start + len(self.ids)))

    def unknown(self) -> tuple[int, tuple[str, ...]]:
        """Returns how many the vocabulary lacks, and the texts of some different ones."""
        places = np.flatnonzero(self.ids == UNKNOWN_ID)
        texts = (self.texts(self.start + place) for place in places[:MOST_LOOKED_AT].tolist())
        return len(places), tuple(dict.fromkeys(texts))[:MOST_UNKNOWN]


def _score_stream(
    model: Model, tokenizer: Tokenizer, chunks: Iterable[str], pieces: bool
) -> Iterator[Score]:
    """Yields the scores of the pieces of a text, each of which goes on from the one before."""
    from textgen.tokens import reading  # here, for the start of `sample.py`

    read, decoder = _reader(model), tokenizer.decoder()
    before = np.zeros(0, np.int32)  # the last token of the piece before
    room = MOST_PIECES if pieces else 0
    for text, parts in reading.read(chunks, tokenizer.settings, 1, PIECE):
        tokens = Tokens.of(tokenizer, parts)
        ids = np.concatenate([before, tokens.ids])[np.newaxis]  # (1, T)
        found = read(ids[:, :-1], ids[:, 1:])[0] if ids.size > 1 else np.zeros(0)
        written, length = list[tuple[str, float]](), len(text)
        if tokens.ids.size > len(found):  # the first of all
            written.append((decoder.push(next(tokens.spelled())), math.nan))
            length -= len(written[0][0])
            tokens = tokens.cut(1)
        shown = map(decoder.push, tokens.cut(0, max(0, room)).spelled())
        written += zip(shown, found.tolist(), strict=False)
        room -= len(written)
        unknown, lacking = tokens.unknown()
        yield Score(len(found), unknown, length, -float(found.sum()), lacking, tuple(written))
        before = ids[0, -1:]


class Row(NamedTuple):
    """A text that is read with others side by side."""

    context: Ids
    """What is read before: at least one token."""
    tokens: Tokens
    given: int
    """How many of the tokens are only read: 1 for a label."""
    characters: int

    @property
    def ids(self) -> Ids:
        """All tokens, (T,)."""
        return np.concatenate([self.context, self.tokens.ids])

    def score(self, log_probabilities: Reals, tokenizer: Tokenizer, pieces: bool) -> Score:
        """Returns the score, given the log-probabilities of all tokens but the first, (T - 1,)."""
        found = log_probabilities[len(self.context) - 1 :].copy()  # of `tokens`
        nats = -float(found[self.given :].sum())
        found[: self.given] = math.nan
        unknown, lacking = self.tokens.cut(self.given).unknown()
        written: tuple[tuple[str, float], ...] = ()
        if pieces:
            shown = self.tokens.cut(0, MOST_PIECES)
            written = tuple(
                zip(_written(shown, self.given, tokenizer), found.tolist(), strict=False)
            )
        count = len(found) - self.given
        return Score(count, unknown, self.characters, nats, lacking, written)


def _written(tokens: Tokens, given: int, tokenizer: Tokenizer) -> Iterator[str]:
    """Yields what each token adds to a text; an end of a document what stands after it."""
    decoder, kind = tokenizer.decoder(), tokenizer.settings.documents
    for place, (token_id, text) in enumerate(
        zip(tokens.ids.tolist(), tokens.spelled(), strict=True)
    ):
        if kind and token_id == END_ID:
            yield documents.separator(kind)
        elif place < given:
            yield text
        else:
            yield decoder.push(text)


def _rows_of_texts(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Row]:
    """Returns texts that each begin a line."""
    context = tokenizer.prompt("").ids
    rows = []
    for text in texts:
        parts, _ = tokenizer.split(text, tokenizer.settings, tokenizer.start)
        tokens = Tokens.of(tokenizer, parts)
        if not len(tokens.ids):
            raise TextgenError(
                f"a text to score has at least one {tokenizer.unit}. Received: {text!r}"
            )
        rows.append(Row(context, tokens, 0, len(text)))
    return rows


def _rows_of_documents(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Row]:
    """Returns documents, each with its label and its end."""
    tokens = Tokens.of(tokenizer, tokenizer.split_documents(texts, tokenizer.settings))
    stops = np.flatnonzero(tokens.ids == END_ID) + 1
    if len(stops) != len(texts):  # some text has the token as a word of its own
        if len(texts) > 1:
            return [row for text in texts for row in _rows_of_documents(tokenizer, [text])]
        stops = stops[-1:]
    context = np.array([END_ID], np.int32)
    rows = []
    for text, start, stop in zip(texts, [0, *stops[:-1].tolist()], stops.tolist(), strict=True):
        document = documents.Document.parse(text)
        given = 1 if document.label else 0
        rows.append(Row(context, tokens.cut(start, stop), given, len(document.text)))
    return rows


def _score_rows(model: Model, rows: Sequence[Row]) -> list[Reals]:
    """Returns of each row the log-probabilities of all its tokens but the first, (T - 1,)."""
    lengths = np.array([len(row.context) + len(row.tokens.ids) for row in rows])
    order = np.argsort(-lengths, kind="stable")
    batches = list(_batches(lengths, order))

    def work(batches: Sequence[Ids], given_up: threading.Event) -> list[Reals]:
        return [
            found
            for batch in batches
            if not given_up.is_set()
            for found in _score_batch(model, [rows[place].ids for place in batch])
        ]

    with single_threaded_blas():
        found = map_in_threads(work, batches, 1)
    scored = dict(zip(order.tolist(), found, strict=True))
    return [scored[place] for place in range(len(rows))]


def _batches(lengths: Ids, order: Ids) -> Iterator[Ids]:
    """Yields places of up to `ROWS` texts at a time, in order of their lengths, longest first.

    In a batch the shortest has at least half the length of the longest.
    """
    start = 0
    while start < len(order):
        batch = order[start : start + ROWS]
        batch = batch[2 * lengths[batch] >= lengths[batch[0]]]
        yield batch
        start += len(batch)


def _score_batch(model: Model, texts: Sequence[Ids]) -> list[Reals]:
    """Returns the log-probabilities of each text's tokens but the first; the longest text first."""
    ids = np.full((len(texts), len(texts[0])), END_ID, np.int32)  # (B, T)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = text
    found = _reader(model)(ids[:, :-1], ids[:, 1:])
    return [row[: len(text) - 1] for row, text in zip(found, texts, strict=True)]


def _reader(model: Model) -> Callable[[Ids, Ids], Reals]:
    """Returns what reads B texts from their beginning on, piece by piece, and scores tokens.

    It takes token ids and the targets after them, (B, T) each, T above 0, and gives the
    log-probabilities of the targets, (B, T).
    """
    if not isinstance(model, Network):
        return _Steps(model).read
    state = None

    def read(ids: Ids, targets: Ids) -> Reals:
        nonlocal state
        state = state or model.initial_state(len(ids))
        found, state = model.log_probabilities(ids, targets, state)
        return found

    return read


class _Steps:
    """Reads texts with a model that can but step, as a mixture."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._stepper: Stepper | None = None

    def read(self, ids: Ids, targets: Ids) -> Reals:
        """See `_reader`."""
        found, rows = np.empty(ids.shape), np.arange(len(ids))
        for place, (column, wanted) in enumerate(zip(ids.T, targets.T, strict=True)):
            if self._stepper is None:
                self._stepper = self._model.stepper(column[:, np.newaxis])
            else:
                self._stepper.step(column)
            found[:, place] = log_softmax(self._stepper.logits)[rows, wanted]
        return found
