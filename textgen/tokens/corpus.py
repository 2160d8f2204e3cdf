"""The texts of a data directory -> token files: made when something changed, else just opened.

One pass over the text writes each part as its number among the parts of its piece, to a draft, and
counts them. When all are counted, the vocabulary is known, and the draft is renumbered to token
ids.

A token file begins with a line that names the format and the place of the header, which is JSON and
comes last, because much of what it says is known only when the text has been read. Between them
are the ids, of the smallest unsigned type that holds the vocabulary.
"""

from __future__ import annotations

import collections
import hashlib
import heapq
import itertools
import json
import mmap
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from textgen.settings.definitions import TokenizerSettings
from textgen.support import console
from textgen.support.files import (
    TOKENS,
    check_room,
    exclusive,
    explained,
    replacing,
    work_folder,
)
from textgen.support.parallel import cores
from textgen.text import documents, known
from textgen.text.splitting import Stream
from textgen.tokens import reading, tokenizer_class, tokenizer_from_dict
from textgen.tokens.tokenizer import END_ID, Counts, Parts, StoredIds, Tokenizer, smallest_type

FORMAT = "textgen tokens 3"
START = 64
"""Bytes before the first id: they are aligned for every type."""
MOST_KINDS = 10_000_000
"""Distinct parts that are counted at a time: about 1.5 GB."""
MOST_STARTS = 1_000
"""Line starts that are kept of a text."""
STARTS = 100
"""Line starts to draw from a piece."""
LOOKED_AT = 1_000
"""Characters of a line: those of its indentation too."""


@dataclass(frozen=True)
class VocabularyRule:
    """Which vocabulary a text is read with.

    Args:
        settings: what a token is, and how many the vocabulary may have.
        known: the tokenizer to read with; without one it is learned from the text.
        grows: whether the text adds to the vocabulary of `known`.
    """

    settings: TokenizerSettings
    known: Tokenizer | None = None
    grows: bool = False

    @property
    def fixed(self) -> Tokenizer | None:
        """The tokenizer, where it does not depend on the text."""
        return None if self.grows else self.known

    def tokenizer(self, counts: Counts) -> Tokenizer:
        """Returns the tokenizer for a text of so many parts.

        Raises:
            TextgenError: if they are too few.
        """
        if self.fixed:
            return self.fixed
        if self.known:
            return self.known.grown(counts)
        return tokenizer_class(self.settings).learn(counts, self.settings)

    def key(self) -> dict[str, Any]:
        """Returns what tells whether a token file was made by this rule."""
        known = self.known and _hash_of(self.known)
        return {"config": self.settings.to_dict(), "known": known, "grows": self.grows}

    def accepts(self, header: dict[str, Any]) -> bool:
        """Whether the ids of a token file are those that this rule gives."""
        if self.fixed is None:
            return bool(header["rule"] == self.key())
        same = header["vocabulary_hash"] == _hash_of(self.fixed)
        return same and bool(header["tokenizer"]["config"] == self.settings.to_dict())


class Tokenized(NamedTuple):
    """A text as token ids."""

    tokenizer: Tokenizer
    ids: StoredIds
    """(N,), memory-mapped."""
    content_hash: str
    """SHA-256 of the text in UTF-8."""
    num_unknown: int
    """Tokens that the vocabulary has not."""
    num_characters: int
    """Of the text; where it is many documents, of theirs, without labels and what stands between
    them, as a score counts."""
    line_starts: list[str]
    """How some of its lines begin."""

    @property
    def characters_per_token(self) -> float:
        """Characters of the text / its tokens: a loss per token / this is one per character."""
        return self.num_characters / len(self.ids)


class Corpus(NamedTuple):
    """A data directory's texts as token ids."""

    training: Tokenized
    validation: Tokenized | None

    @property
    def tokenizer(self) -> Tokenizer:
        """That of both texts."""
        return self.training.tokenizer

    @property
    def hashes(self) -> dict[str, str | None]:
        """SHA-256 of the training and of the validation text, by file name."""
        validation = self.validation and self.validation.content_hash
        return {"input.txt": self.training.content_hash, "validate.txt": validation}


def read_corpus(data_dir: Path, rule: VocabularyRule, validation_split: float) -> Corpus:
    """Opens the token files of the texts of `data_dir`, making them where they are out of date.

    Raises:
        TextgenError: if the texts cannot be used.
    """
    texts = known.find_or_make_texts(data_dir, validation_split, rule.settings.documents)
    training = tokenized(data_dir, "input", texts.training, rule)
    if texts.validation is None:
        return Corpus(training, None)
    fixed = VocabularyRule(training.tokenizer.settings, training.tokenizer)
    return Corpus(training, tokenized(data_dir, "validate", texts.validation, fixed))


def tokenized(data_dir: Path, name: str, text: Stream, rule: VocabularyRule) -> Tokenized:
    """Returns the tokens of a text of `data_dir`, from its token file, which is made if need be.

    Raises:
        TextgenError: if the text cannot be used, or its token file not be written.
    """
    work = work_folder(data_dir)
    path = work / TOKENS / f"{name}.tokens"
    file = stored(path)
    if file is None or not rule.accepts(file.header) or file.header["origin"] != text.origin():
        is_new = not work.exists()
        with explained(data_dir), exclusive(data_dir):
            try:
                path.parent.mkdir(exist_ok=True)
                with explained(path):
                    file = _make(text, path, rule)
            except BaseException:
                if is_new:  # while nobody else may work there
                    shutil.rmtree(work, ignore_errors=True)
                raise
    header, tokenizer = file.header, tokenizer_from_dict(file.header["tokenizer"])
    starts = (tokenizer.folded(start, tokenizer.settings) for start in header["line_starts"])
    return Tokenized(
        tokenizer, file.ids, header["content_hash"], header["num_unknown"],
        header["num_characters"], list(dict.fromkeys(starts)),
    )  # fmt: skip


class Counter:
    """Adds up counts; of more kinds than `most` it forgets the rarest.

    A part that was forgotten and comes again begins anew, so it may be counted up to `lost` times
    too few (after Manku & Motwani 2002, lossy counting). Frequent parts are hardly touched.
    """

    def __init__(self, most: int = MOST_KINDS) -> None:
        self.most = most
        self.counts = collections.Counter[str]()
        self.lost = 0

    def add(self, kinds: Sequence[str], counts: Sequence[int]) -> None:
        """Adds the counts of the distinct parts of a piece of text."""
        self.counts.update(dict(zip(kinds, counts, strict=True)))
        if len(self.counts) > self.most:
            self._prune()

    def _prune(self) -> None:
        """Forgets the rarest, until half of what is allowed is left."""
        rare = 0
        while len(self.counts) > self.most // 2:
            rare += 1
            kept = {kind: n for kind, n in self.counts.items() if n > rare}
            self.counts = collections.Counter(kept)
        self.lost += rare
        console.warn(
            f"the text has more than {self.most:,} distinct words: those seen up to"
            f" {rare} times so far are forgotten, and rare words are counted too few times"
        )


class LineStarts:
    """A sample of line starts of a text that is seen piece by piece, to begin new texts with.

    Every start gets a random number, and those with the lowest numbers stay: so each has the same
    chance, wherever it stands. The same pieces give the same sample.
    """

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)
        self._kept: list[tuple[float, str]] = []

    def add(self, piece: str) -> None:
        """Samples the next piece of the text."""
        highest = self._kept[-1][0] if len(self._kept) == MOST_STARTS else 1.0
        count = int(self._rng.binomial(STARTS, highest))  # of so many the number is low enough
        if count and not piece.isspace():
            starts = some_line_starts(piece, self._rng, count)
            numbers = self._rng.uniform(0, highest, len(starts)).tolist()
            numbered = zip(numbers, starts, strict=True)
            self._kept = heapq.nsmallest(MOST_STARTS, [*self._kept, *numbered])

    @property
    def starts(self) -> list[str]:
        """The sample, in random order and without repeats."""
        return list(dict.fromkeys(start for _, start in self._kept))


def some_line_starts(text: str, rng: np.random.Generator, count: int = STARTS) -> list[str]:
    """Returns the beginnings, up to 5 words or 40 characters, of `count` random lines of `text`.

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


def _make(text: Stream, path: Path, rule: VocabularyRule) -> TokenFile:
    """Reads a text and writes its token file. Raises OSError as writing does."""
    origin, first = text.origin(), text.source.paths[0]
    content, starts, counter = hashlib.sha256(), LineStarts(), Counter()
    num_characters = 0
    with tempfile.TemporaryFile(dir=path.parent) as file:
        draft = _Draft(file)
        with console.reading(f"preparing {first.name}", text.source.num_bytes) as advance:
            chunks = text.chunks(advance)
            for number, (piece, parts) in enumerate(reading.read(chunks, rule.settings, cores())):
                data = _bytes(piece)
                if number == 0:  # if all is like this, with the draft
                    needed = 2 * parts.places.nbytes / len(data) * text.num_bytes
                    check_room(path.parent, needed, f"making tokens of {first}")
                content.update(data)
                num_characters += _characters(piece, rule.settings.documents)
                starts.add(piece)
                draft.add(parts)
                if not rule.fixed:
                    counter.add(parts.kinds, parts.counts)
        tokenizer = rule.tokenizer(counter.counts)
        header = {
            "tokenizer": tokenizer.to_dict(),
            "vocabulary_hash": _hash_of(tokenizer),
            "rule": rule.key(),
            "origin": origin,
            "content_hash": content.hexdigest(),
            "num_characters": num_characters,
            "line_starts": starts.starts,
        }
        dtype = smallest_type(len(tokenizer.vocabulary))
        pieces = (tokenizer.encode_parts(kinds, places, dtype) for kinds, places in draft.read())
        before = [np.array([END_ID], dtype)] if rule.settings.documents else []
        return write(path, dtype, itertools.chain(before, pieces), header)


def _characters(piece: str, kind: str | None) -> int:
    """Returns the characters of a piece of text, or those of its documents."""
    if kind is None:
        return len(piece)
    texts = documents.split_documents(piece, kind)
    return sum(len(documents.Document.parse(text).text) for text in texts)


class _Draft:
    """The pieces of a text in a file: of each its distinct parts, and their places."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._types: list[tuple[int, int, np.dtype[Any]]] = []

    def add(self, parts: Parts) -> None:
        kinds = _bytes("\0".join(parts.kinds))
        self._file.write(kinds)
        self._file.write(parts.places.data)
        self._types.append((len(kinds), len(parts.places), parts.places.dtype))

    def read(self) -> Iterator[tuple[list[str], StoredIds]]:
        self._file.seek(0)
        for size, count, dtype in self._types:
            kinds = self._file.read(size).decode("utf-8", "surrogatepass").split("\0")
            yield kinds, np.frombuffer(self._file.read(count * dtype.itemsize), dtype)


class TokenFile(NamedTuple):
    """An open token file."""

    header: dict[str, Any]
    ids: StoredIds
    """(N,), read from the disk when they are used."""


def write(
    path: Path, dtype: np.dtype[Any], pieces: Iterable[StoredIds], header: dict[str, Any]
) -> TokenFile:
    """Writes ids and then the header, whole or not at all, and opens the file.

    Raises OSError as writing does.
    """
    num_unknown = 0
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(bytes(START))
        for ids in pieces:
            num_unknown += len(ids) - int(np.count_nonzero(ids))
            file.write(np.ascontiguousarray(ids, dtype).data)
        end = file.tell()
        count = (end - START) // dtype.itemsize
        header = header | {"num_unknown": num_unknown, "dtype": dtype.name, "count": count}
        file.write(json.dumps(header).encode())
        file.seek(0)
        file.write(f"{FORMAT} {end}\n".ljust(START).encode())
    return TokenFile(header, _mapped(path, header))


def stored(path: Path) -> TokenFile | None:
    """Opens a token file; None where there is none, or none that is whole."""
    try:
        with path.open("rb") as file:
            name, end = file.read(START).decode("ascii").rsplit(maxsplit=1)
            file.seek(int(end))
            header = json.loads(file.read())
        return TokenFile(header, _mapped(path, header)) if name == FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _mapped(path: Path, header: dict[str, Any]) -> StoredIds:
    """Raises ValueError where the file is shorter than its header says."""
    dtype, count = np.dtype(header["dtype"]), int(header["count"])
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, dtype, count, START)


def release(ids: StoredIds) -> None:
    """Gives back the memory of what was read from a token file; arrays in memory stay.

    The pages are the system's anyway, but count as this process' while they are mapped.
    """
    if isinstance(ids.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        ids.base.madvise(mmap.MADV_DONTNEED)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _hash_of(tokenizer: Tokenizer) -> str:
    """Returns a hash of all that a tokenizer has learned."""
    values = tokenizer.to_dict().items()
    learned = "".join(json.dumps(value) for name, value in values if name != "config")
    return hashlib.sha256(learned.encode()).hexdigest()
