"""Pieces of words as tokens: byte-level byte-pair encoding (Sennrich et al. 2016)."""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from textgen.settings.definitions import BYTES, TokenizerSettings
from textgen.support.errors import TextgenError
from textgen.text import documents
from textgen.tokens.tokenizer import (
    BETWEEN,
    END_NUMBER,
    UNKNOWN_ID,
    Beginning,
    Counts,
    Decoder,
    Ids,
    Parts,
    Size,
    State,
    Tokenizer,
    ends_sentence,
    numbered,
    numbered_parts,
)

LONGEST = 32
"""Characters of a word, or a row of marks, in one part; Chinese and Japanese words have no spaces
between them, and some texts have no spaces at all."""
PART = re.compile(
    rf"[\n\x1e]| ?\w{{1,{LONGEST}}}(?:['’]\w{{1,{LONGEST}}})?| ?[^\w\s]{{1,{LONGEST}}}"
    rf"|[^\S\n\x1e]{{1,{LONGEST}}}(?!\S)|[^\S\n\x1e]"
)
"""A part: a newline, a word or a row of marks with the space before it, or other white space."""
LETTER = "a"
FARTHEST = 2 * LONGEST
"""Characters of the text that follows which may change where a part begins."""
SPACE = re.compile(r"(?<=\S) (?=\S)")
"""A space that begins a part, whatever stands before and after."""
NEARBY = 1_000
"""Characters in which a space is looked for."""
VOCAB_SIZES = ((2e6, 512), (2e7, 1_024), (2e8, 2_048), (math.inf, 4_096))
"""Tokens for at most so many characters of text."""
MOST_LEARNED = 5_000_000
"""Parts that pieces are learned from; those of a longer text are fewer in proportion."""
REPEATED = 10_000
"""Times that a part stands in what the library gets at once."""
NONE = np.iinfo(np.int32).max
"""The rank of two tokens that are never merged."""
MOST_OPENINGS = 1_000
"""Typed ends of texts whose openings are remembered."""
INSTALL = "pip install tokenizers"

Merge = tuple[int, int]
"""The ids of two tokens that become one."""


class SubwordTokenizer(Tokenizer):
    """Pieces of words: bytes, and what byte-pair encoding has made of them in the training text.

    Every text has tokens, because every byte is one, and comes back exactly. A text is cut into
    words, each with the space before it, marks, white space and newlines; no token crosses a cut.
    In such a part the bytes of its UTF-8 are merged pair by pair, in the order in which the pairs
    were learned.

    The text of a token is its bytes as UTF-8; a byte that is only a part of a character is a lone
    surrogate, as Python's `surrogateescape` has it.

    Args:
        vocabulary: the unknown token, the marks of documents, 256 bytes, and what was merged.
        settings: say what a token is.
        merges: of each merge, in their order, the ids of both tokens.

    Raises:
        TextgenError: if vocabulary and merges do not fit together.

    Example:
        >>> from textgen.tokens import build_tokenizer
        >>> text = "a rose is a rose is a rose"
        >>> tokenizer = build_tokenizer(text, TokenizerSettings("subword", vocab_size=262))
        >>> tokenizer.vocabulary[-3:]
        [' ros', ' rose', ' a']
        >>> tokenizer.decode(tokenizer.encode("Où est la rose?"))
        'Où est la rose?'
    """

    name = "subword"
    help = "model pieces of words, which the text suggests, instead of characters; needs tokenizers"
    unit = "subword"
    unknown_token = "<unk>"
    unused = types.MappingProxyType({
        "max_vocab": "give `vocab_size` instead",
        "min_count": "give `vocab_size` instead",
        "pristine_output": "leave it out: subwords are written as the text has them",
    })  # fmt: skip
    usual_length = 2.2
    live_length = 80
    defaults = types.MappingProxyType(
        {"embedding_size": 128, "dropout": 0.1, "learning_rate": 0.01}
    )
    piece_size = 1 << 22  # each distinct part is encoded once a piece
    parallel = True
    sizes = (
        Size(0.0, 128, 1, 0.02, 60_000),
        Size(0.2, 192, 1, 0.02, 45_000),
        Size(0.5, 256, 1, 0.015, 35_000),
        Size(1.2, 320, 1, 0.015, 28_000),
        Size(3.0, 384, 1, 0.012, 21_000),
        Size(6.0, 512, 1, 0.01, 13_000),
    )
    dropouts = (
        (4, 0.0), (6, 0.1), (8, 0.2), (14, 0.3), (25, 0.4), (math.inf, 0.5),
    )  # fmt: skip

    def __init__(
        self, vocabulary: Sequence[str], settings: TokenizerSettings, merges: Sequence[Merge]
    ) -> None:
        super().__init__(vocabulary, settings)
        self.merges = list(merges)
        self._spelled = [_bytes(token) for token in self.vocabulary]
        singles = [self.token_id(_text(bytes([byte]))) for byte in range(BYTES)]
        if UNKNOWN_ID in singles:
            raise TextgenError("a vocabulary of subwords has a token for each byte")
        self._singles = np.array(singles, np.int32)  # (256,)
        made = [self.token_id(_text(one + other)) for one, other in self._pieces()]
        if UNKNOWN_ID in made:
            raise TextgenError("its vocabulary lacks a token that is merged of two")
        pairs = np.array(self.merges, np.int64).reshape(-1, 2)
        codes = pairs[:, 0] * len(self.vocabulary) + pairs[:, 1]
        order = np.argsort(codes, kind="stable")
        self._codes = codes[order]  # (M,), rising: the pairs that are merged
        self._ranks = order.astype(np.int32)  # (M,): when each is
        self._made = np.array(made, np.int32)  # (M,): by rank, the token that becomes of them
        self._openings: dict[bytes, list[tuple[int, ...]]] = {}

    # Text -> parts.

    @classmethod
    def split(cls, text: str, settings: TokenizerSettings, state: State) -> tuple[Parts, State]:
        numbers, kinds = numbered(PART.findall(text))
        return numbered_parts(numbers, lambda i: cls.folded(kinds[i], settings)), state

    @classmethod
    def number_documents(
        cls, texts: Sequence[str], settings: TokenizerSettings
    ) -> tuple[npt.NDArray[np.int64], Callable[[int], str]]:
        if any(BETWEEN in text for text in texts):
            return super().number_documents(texts, settings)
        numbers, kinds = numbered(PART.findall("".join([text + BETWEEN for text in texts])))
        if texts:
            numbers[numbers == kinds.index(BETWEEN)] = END_NUMBER
        return numbers.astype(np.int64), lambda i: cls.folded(kinds[i], settings)

    @classmethod
    def folded(cls, text: str, settings: TokenizerSettings) -> str:
        return text.lower() if settings.lowercase else text

    @classmethod
    def last_cut(cls, text: str, settings: TokenizerSettings) -> int:
        if place := text.rfind("\n") + 1:
            return place
        last = len(text) - FARTHEST
        if spaces := list(SPACE.finditer(text, max(0, last - NEARBY), max(0, last))):
            return spaces[-1].start()
        starts = (part.start() for part in PART.finditer(text))
        return max(itertools.takewhile(lambda start: start <= last, starts), default=0)

    # What is learned from a text.

    @classmethod
    def learn(cls, counts: Counts, settings: TokenizerSettings) -> Self:
        """See `Tokenizer.learn`; merges are learned by Hugging Face tokenizers.

        Raises:
            TextgenError: if there is nothing to learn, or no such package.
        """
        first = cls.first_tokens(counts, settings)
        marks = set(first)
        words = {part: count for part, count in counts.items() if part not in marks}
        if not words:
            raise TextgenError("the training text is empty. Add text to input.txt")
        characters = sum(len(part) * count for part, count in words.items())
        size = settings.vocab_size or default_vocab_size(characters)
        learned = _learned_merges(words, max(0, size - len(first) - BYTES))
        spelled = [bytes([byte]) for byte in range(BYTES)]
        spelled += dict.fromkeys(one + other for one, other in learned)
        ids = {data: len(first) + i for i, data in enumerate(spelled)}
        merges = [(ids[one], ids[other]) for one, other in learned]
        return cls([*first, *map(_text, spelled)], settings, merges)

    def grown(self, counts: Counts) -> Self:
        """See `Tokenizer.grown`: every text has tokens already, only labels may be new."""
        tokens = dict.fromkeys([*self.vocabulary, *self.first_tokens(counts, self.settings)])
        return type(self)(list(tokens), self.settings, self.merges)

    def joined(self, others: Sequence[Tokenizer]) -> Self:
        pieces = self._pieces()
        if any(not isinstance(one, SubwordTokenizer) or one._pieces() != pieces for one in others):
            raise TextgenError(
                "the models have different subwords, which do not fit together. Train one of them"
                " from the other, with `init_from`"
            )
        return super().joined(others)

    def _pieces(self) -> list[tuple[bytes, bytes]]:
        return [(self._spelled[one], self._spelled[other]) for one, other in self.merges]

    # Text -> token ids.

    def ids_of(self, kinds: Sequence[str]) -> tuple[Ids, Ids | None]:
        ids, lengths = self._encoded([_utf8(kind) for kind in kinds])
        if self.settings.documents:
            marks = [row for row, kind in enumerate(kinds) if _is_mark(kind)]
            found = [self.marks.get(kinds[row], UNKNOWN_ID) for row in marks]
            ids[marks, 0], lengths[marks] = found, 1
        return ids[np.arange(ids.shape[1]) < lengths[:, np.newaxis]], lengths

    def _encoded(self, data: Sequence[bytes]) -> tuple[Ids, Ids]:
        """Returns the token ids of K parts, (K, L), and how many each has, (K,)."""
        lengths = np.fromiter(map(len, data), np.int64, len(data))  # (K,), at last of ids
        ids = np.zeros((len(data), int(lengths.max(initial=1))), np.int32)
        for length in np.unique(lengths).tolist():
            rows = np.flatnonzero(lengths == length)
            joined = b"".join([data[row] for row in rows.tolist()])
            table = self._singles[np.frombuffer(joined, np.uint8)].reshape(len(rows), length)
            for found, merged in self._merged(table):
                ids[rows[found], : merged.shape[1]] = merged
                lengths[rows[found]] = merged.shape[1]
        return ids, lengths

    def _merged(self, ids: Ids) -> Iterator[tuple[Ids, Ids]]:
        """Merges rows of L tokens each, (N, L), the pair that was learned first, first.

        Yields:
            Rows that are done, and their tokens: (n,) and (n, l).
        """
        rows = np.arange(len(ids))
        ranks = self._ranks_of(ids[:, :-1], ids[:, 1:])  # (N, L - 1)
        while len(rows):
            if not ranks.shape[1]:
                yield rows, ids
                return
            places = ranks.argmin(axis=1)  # the first of equals, (N,)
            best = ranks[np.arange(len(rows)), places]  # (N,)
            done = best == NONE
            if done.any():
                yield rows[done], ids[done]
                rows, ids, ranks = rows[~done], ids[~done], ranks[~done]
                places, best = places[~done], best[~done]
            each, count = np.arange(len(rows)), ids.shape[1] - 1
            ids[each, places] = self._made[best]
            ids = _without(ids, places + 1)
            ranks = _without(ranks, places)
            if not count - 1:
                continue
            before, after = np.maximum(places - 1, 0), np.minimum(places, count - 2)
            for pair in (before, after):  # the pairs that the new token is in
                ranks[each, pair] = self._ranks_of(ids[each, pair], ids[each, pair + 1])

    def _ranks_of(self, one: Ids, other: Ids) -> Ids:
        """Returns when each two tokens are merged, of the shape of both; `NONE`: never."""
        if not len(self._codes):
            return np.full(one.shape, NONE, np.int32)
        codes = one.astype(np.int64) * len(self.vocabulary) + other
        places = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        return np.where(self._codes[places] == codes, self._ranks[places], NONE)

    def go_on(self, text: str, whole: bool) -> Beginning:
        """See `Tokenizer.go_on`; the part that `text` ends with is typed only, as it may go on.

        It is the part that a letter would join, such as the last of several spaces.
        """
        last = PART.findall(text + LETTER)[-1].removesuffix(LETTER) or PART.findall(text)[-1]
        if whole or last in ("\n", BETWEEN):
            return Beginning(self.encode(text), self.decoder())
        typed = _utf8(self.folded(last, self.settings))
        before = text[: len(text) - len(last)]
        return Beginning(self.encode(before), _Utf8Decoder(typed), typed)

    def openings(self, typed: bytes) -> Sequence[tuple[int, ...]]:
        """See `Tokenizer.openings`; each is as such a text would be encoded.

        So the openings of `typed` exclude each other, and one of them begins every text that
        begins with it (Vieira et al. 2024, who call this a cover).
        """
        if typed not in self._openings:
            if len(self._openings) >= MOST_OPENINGS:
                self._openings.clear()
            self._openings[typed] = self._found_openings(typed)
        return self._openings[typed]

    def _found_openings(self, typed: bytes) -> list[tuple[int, ...]]:
        pieces = [(i, data) for i, data in enumerate(self.spelled_bytes()) if data]
        done: list[tuple[int, ...]] = []
        going: list[tuple[tuple[int, ...], bytes]] = [((), typed)]
        while going:
            longer = []
            for ids, left in going:
                done += [(*ids, i) for i, data in pieces if data.startswith(left)]
                begun = ((i, data) for i, data in pieces if left.startswith(data) and data != left)
                longer += [((*ids, i), left[len(data) :]) for i, data in begun]
            kept = self._as_encoded([ids for ids, _ in longer])
            going = [one for one in longer if one[0] in kept]
        kept = self._as_encoded(done)
        return [ids for ids in done if ids in kept]

    def _as_encoded(self, rows: Sequence[tuple[int, ...]]) -> set[tuple[int, ...]]:
        """Returns those that are how the text that they spell is encoded."""
        ids, lengths = self._encoded([b"".join([self._spelled[i] for i in row]) for row in rows])
        found = (tuple(row[:n]) for row, n in zip(ids.tolist(), lengths.tolist(), strict=True))
        return set(found) & set(rows)

    # Token ids -> text.

    def decoder(self) -> Decoder:
        return _Utf8Decoder()

    def decode_text(self, ids: Ids) -> str:
        return _decoded(b"".join([self._spelled[i] for i in ids.tolist()]))[0]

    def text_of(self, token_id: int) -> str:
        token = self.vocabulary[token_id]
        return token if token in self.marks else self._spelled[token_id].decode("utf-8", "replace")

    def begins_word(self, token: str) -> bool:
        return token[:1].isspace()

    def inserted(self, text: str, before: str) -> tuple[int, ...]:
        is_apart = before[-1:].isspace() or text[:1].isspace()
        return super().inserted(text if is_apart else " " + text, before)

    def spelled_bytes(self) -> Sequence[bytes]:
        marks = {UNKNOWN_ID, *self.marks.values()}
        return [b"" if i in marks else data for i, data in enumerate(self._spelled)]

    def ends_phrase(self, token: str) -> bool:
        return ends_sentence(token)

    # Files.

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"merges": list(itertools.chain.from_iterable(self.merges))}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], settings: TokenizerSettings) -> Self:
        vocabulary, merges = cls.vocabulary_of(values), values.get("merges")
        if not isinstance(merges, list) or len(merges) % 2:
            raise TextgenError("its merges are not pairs of token ids")
        if not all(type(i) is int and 0 <= i < len(vocabulary) for i in merges):
            raise TextgenError("its merges are not of tokens that it has")
        return cls(vocabulary, settings, list(zip(merges[::2], merges[1::2], strict=True)))


def is_installed() -> bool:
    """Whether there is the package that learns subwords; to use them, none is needed."""
    return importlib.util.find_spec("tokenizers") is not None


def default_vocab_size(characters: int) -> int:
    """Returns how many tokens suit a text of so many characters.

    Measured as docs/tokens.md tells: with 4 million characters 1,024 and 2,048 learn alike.
    """
    return next(size for most, size in VOCAB_SIZES if characters <= most)


def _is_mark(kind: str) -> bool:
    return kind == documents.END or documents.LABEL.fullmatch(kind) is not None


def _without(table: Ids, columns: Ids) -> Ids:
    """Returns a table, (N, L), without one column of each row, (N,)."""
    kept = np.ones(table.shape, bool)
    kept[np.arange(len(table)), columns] = False
    return table[kept].reshape(len(table), table.shape[1] - 1)


def _learned_merges(counts: Counts, number: int) -> list[tuple[bytes, bytes]]:
    """Returns up to so many merges for parts that stand so often in a text, in their order."""
    if not is_installed():
        raise TextgenError(
            "subwords are learned by Hugging Face tokenizers, which is not installed. Install it:"
            f" {INSTALL}"
        )
    from tokenizers import Tokenizer as Library
    from tokenizers import models, pre_tokenizers, trainers

    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.Split("\0", "removed")
    trainer = trainers.BpeTrainer(
        vocab_size=BYTES + number,
        min_frequency=2,
        initial_alphabet=[chr(byte) for byte in range(BYTES)],
        show_progress=False,
    )
    library.train_from_iterator(_repeated(counts), trainer)
    merges = json.loads(library.to_str())["model"]["merges"]
    return [(one.encode("latin-1"), other.encode("latin-1")) for one, other in merges]


def _repeated(counts: Counts) -> Iterator[str]:
    """Yields each part as often as it stands in a text, a character for each of its bytes.

    A part with a zero character, which stands between them, is left out.
    """
    scale = min(1.0, MOST_LEARNED / sum(counts.values()))
    for part, count in counts.items():
        word = _utf8(part).decode("latin-1") + "\0"
        left = round(count * scale) if "\0" not in part else 0
        for start in range(0, left, REPEATED):
            yield word * min(REPEATED, left - start)


def _utf8(text: str) -> bytes:
    """Returns the bytes of a text, also where it has lone surrogates."""
    return text.encode("utf-8", "surrogatepass")


def _bytes(token: str) -> bytes:
    """Returns the bytes of a token's text."""
    return token.encode("utf-8", "surrogateescape")


def _text(data: bytes) -> str:
    """Returns the text of a token of these bytes."""
    return data.decode("utf-8", "surrogateescape")


def _decoded(data: bytes) -> tuple[str, bytes]:
    """Returns the text of bytes, and the beginning of a character that they end with.

    What is no UTF-8 becomes U+FFFD; lone surrogates, which Python's texts may have, stay.
    """
    whole = len(data) - _incomplete(data)
    try:
        return data[:whole].decode("utf-8"), data[whole:]
    except UnicodeDecodeError:
        pass
    pieces, start = [], 0
    while start < whole:
        try:
            pieces.append(data[start:whole].decode("utf-8", "surrogatepass"))
            break
        except UnicodeDecodeError as error:
            pieces += [data[start : start + error.start].decode("utf-8", "surrogatepass"), "\ufffd"]
            start += error.end
    return "".join(pieces), data[whole:]


def _incomplete(data: bytes) -> int:
    """Returns how many bytes at the end may be the beginning of a character."""
    for count, byte in enumerate(reversed(data[-3:]), start=1):
        if byte >= 0xC0:  # the first byte of a character says how many it has
            needed = 2 + (byte >= 0xE0) + (byte >= 0xF0) if byte < 0xF5 else 1
            return count if count < needed else 0
        if byte < 0x80:
            return 0
    return 0


class _Utf8Decoder:
    """Turns tokens into text; the beginning of a character is held back until it is whole.

    Args:
        typed: what the first tokens spell before they add anything.
    """

    def __init__(self, typed: bytes = b"") -> None:
        self._typed = typed
        self._held = b""

    def push(self, token: str) -> str:
        if not (self._typed or self._held) and token.isascii():
            return token
        new = self._after_typed(_bytes(token)) if self._typed else _bytes(token)
        text, self._held = _decoded(self._held + new)
        return text

    def _after_typed(self, new: bytes) -> bytes:
        """Returns what bytes add to what was typed; other ones follow it."""
        typed, self._typed = self._typed, b""
        if new.startswith(typed):
            return new[len(typed) :]
        if typed.startswith(new):
            self._typed = typed[len(new) :]
            return b""
        return new
