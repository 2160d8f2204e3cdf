"""The texts of a data directory -> token files: made when something changed, else just opened.

One pass over the text writes each part as its number among the parts of its piece, to a draft, and
counts them. When all are counted, the vocabulary is known, and the draft is renumbered to token
ids.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import operator
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from textgen.settings.definitions import TokenizerSettings
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import TOKENS, exclusive, explained, work_folder
from textgen.support.parallel import cores
from textgen.text import known
from textgen.text.splitting import Stream
from textgen.tokens import reading, token_files, tokenizer_class, tokenizer_from_dict
from textgen.tokens.line_starts import LineStarts
from textgen.tokens.tokenizer import Counts, Parts, StoredIds, Tokenizer, smallest_type

MOST_KINDS = 10_000_000
"""Distinct parts that are counted at a time: about 1.5 GB."""


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
        if self.known is None:
            return tokenizer_class(self.settings).learn(counts, self.settings)
        return self.known.extended(counts) if self.grows else self.known

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
    line_starts: list[str]
    """How some of its lines begin."""


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
    texts = known.find_or_make_texts(data_dir, validation_split)
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
    path = work_folder(data_dir) / TOKENS / f"{name}.tokens"
    file = token_files.stored(path)
    if file is None or not rule.accepts(file.header) or not _is_current(text, file.header):
        with explained(data_dir), exclusive(data_dir):
            path.parent.mkdir(exist_ok=True)
            with explained(path):
                file = _make(text, path, rule)
    header = file.header
    return Tokenized(
        tokenizer_from_dict(header["tokenizer"]), file.ids, header["content_hash"],
        header["num_unknown"], header["line_starts"],
    )  # fmt: skip


def _is_current(text: Stream, header: dict[str, Any]) -> bool:
    """Whether the text is still what the token file was made from.

    Where only the files' time of any change is another (their rights, or their content and then
    the time of that), the content decides.
    """
    stored, now = header["origin"], text.origin()
    if stored == now:
        return True
    if _but_for_changes(stored) != _but_for_changes(now):
        return False
    content = hashlib.sha256()
    for chunk in text.chunks():
        content.update(_bytes(chunk))
    return bool(content.hexdigest() == header["content_hash"])


def _but_for_changes(origin: dict[str, Any]) -> dict[str, Any]:
    return origin | {"files": [stamp[:3] for stamp in origin["files"]]}


class Counter:
    """Adds up counts; of more kinds than `most` it forgets the rarest.

    A part that was forgotten and comes again begins anew, so it may be counted up to `lost` times
    too few (after Manku & Motwani 2002, lossy counting). Frequent parts are hardly touched.
    """

    def __init__(self, most: int = MOST_KINDS) -> None:
        self.most = most
        self.counts: Counts = {}
        self.lost = 0

    def add(self, kinds: Sequence[str], counts: Sequence[int]) -> None:
        """Adds the counts of the distinct parts of a piece of text."""
        before = map(self.counts.get, kinds, itertools.repeat(0))
        self.counts.update(zip(kinds, map(operator.add, before, counts), strict=True))
        if len(self.counts) > self.most:
            self._prune()

    def _prune(self) -> None:
        """Forgets the rarest, until half of what is allowed is left."""
        rare = 0
        while len(self.counts) > self.most // 2:
            rare += 1
            self.counts = {kind: n for kind, n in self.counts.items() if n > rare}
        self.lost += rare
        console.warn(
            f"the text has more than {self.most:,} distinct words: those seen up to"
            f" {rare} times so far are forgotten, and rare words are counted too few times"
        )


class _Pass:
    """One pass over a text, and what is noted on the way."""

    def __init__(
        self, text: Stream, settings: TokenizerSettings, folder: Path, copies: int
    ) -> None:
        self.text, self.settings, self.folder, self.copies = text, settings, folder, copies
        self.origin = text.origin()
        self.content, self.starts = hashlib.sha256(), LineStarts()

    def pieces(self) -> Iterator[Parts]:
        """Yields the text's parts. Raises TextgenError where the disk has no room for them."""
        source = self.text.source
        with console.reading(f"preparing {source.paths[0].name}", source.num_bytes) as advance:
            chunks = self.text.chunks(advance)
            for number, (text, parts) in enumerate(reading.read(chunks, self.settings, cores())):
                data = _bytes(text)
                if number == 0:
                    self._check_room(parts, len(data))
                self.content.update(data)
                self.starts.add(text)
                yield parts

    def _check_room(self, parts: Parts, size: int) -> None:
        """Refuses a text whose tokens will not fit on the disk, if all is like the first piece."""
        needed = self.copies * parts.places.nbytes / size * self.text.num_bytes
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise TextgenError(
                f"the tokens of {self.text.source.paths[0]} need about {needed / 1e9:,.3f} GB in"
                f" {self.folder}, and {free / 1e9:,.3f} GB are free. Free some space, or move the"
                " data directory to a larger disk"
            )


def _make(text: Stream, path: Path, rule: VocabularyRule) -> token_files.TokenFile:
    """Reads a text and writes its token file. Raises OSError as writing does."""
    if rule.fixed:
        work = _Pass(text, rule.settings, path.parent, copies=1)
        pieces = ((parts.kinds, parts.places) for parts in work.pieces())
        return _write(path, work, rule, rule.fixed, pieces)
    work = _Pass(text, rule.settings, path.parent, copies=2)
    with tempfile.TemporaryFile(dir=path.parent) as file:
        draft, counter = _Draft(file), Counter()
        for parts in work.pieces():
            counter.add(parts.kinds, parts.counts)
            draft.add(parts)
        return _write(path, work, rule, rule.tokenizer(counter.counts), draft.read())


def _write(
    path: Path,
    work: _Pass,
    rule: VocabularyRule,
    tokenizer: Tokenizer,
    pieces: Iterator[tuple[list[str], StoredIds]],
) -> token_files.TokenFile:
    """Writes the token ids of pieces, which are given as distinct parts and places."""
    dtype = smallest_type(len(tokenizer.vocabulary))
    num_unknown = 0

    def ids() -> Iterator[StoredIds]:
        nonlocal num_unknown
        for kinds, places in pieces:
            found = tokenizer.encode_parts(kinds, places, dtype)
            num_unknown += len(found) - int(np.count_nonzero(found))
            yield found

    def header() -> dict[str, Any]:
        return {
            "tokenizer": tokenizer.to_dict(),
            "vocabulary_hash": _hash_of(tokenizer),
            "rule": rule.key(),
            "origin": work.origin,
            "content_hash": work.content.hexdigest(),
            "num_unknown": num_unknown,
            "line_starts": work.starts.starts,
        }

    return token_files.write(path, dtype, ids(), header)


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


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _hash_of(tokenizer: Tokenizer) -> str:
    """Returns a hash of all that a tokenizer has learned."""
    values = tokenizer.to_dict().items()
    learned = "".join(json.dumps(value) for name, value in values if name != "config")
    return hashlib.sha256(learned.encode()).hexdigest()
