r"""Penn Treebank tokens: text -> words and punctuation -> the same text again.

    tokenize("I can't go.")                     ['I', 'ca', "n't", 'go', '.']
    detokenize(['I', 'ca', "n't", 'go', '.'])   "I can't go."

`detokenize(tokenize(text)) == text` for every string. A spacing rule (`spacing.step`) says
which white space stands before a token, given the tokens before it. `detokenize` writes by that
rule, and `tokenize` runs it too: where the text departs from it, a spacing token goes before the
token, either the exact run of white space or GLUE where there is none.

    tokenize("word--word  word -- word")   ['word', '--', 'word', '  ', 'word', ' ', '--', 'word']

A newline is a token, "\n", and no spacing token. In ordinary prose the rule is nearly always
right. It follows quotation marks (straight ones open and close in turn) and learns how a writer
spaces dashes, sentences, ellipses and French punctuation from a paragraph's first spacing tokens.

Where text may be cut: all that the rule remembers ends with the paragraph, so
`tokenize(a + b) == tokenize(a) + tokenize(b)` if `a` ends in a blank line, that is in "\n" and
then a line of nothing but white space with its "\n". `number_from` takes the state of the rule
along, and with it every cut that `last_cut` finds: after any line, and within long ones.

The tokens are those of nltk's `TreebankWordTokenizer` (the rules of Robert MacIntyre's sed script,
and its contractions; tests and benchmarks measure ours against nltk's) but for these:

- Nothing is replaced: double quotes stay as they are, so that they can be written again.
- A sentence ends in mid-line too: `end. Then` gives `end` `.`, whatever follows. Abbreviations and
  initials keep their period, also at the end of a line. nltk sees only the end of a line.
- Curly quotes are apart, as in `NLTKWordTokenizer`, and curly apostrophes are apostrophes.
- A single quote is apart where it opens or closes a quotation or follows a plural (dogs '), and
  belongs to its word where letters are left out: 'em, 'bout, goin', 'n'. nltk splits the tail only.
- Page addresses, e-mail addresses, times, :-), <i>, AT&T and &amp; stay whole.
- Dashes, ellipses (. . . too), emphasis (_so_ and *so*), currency signs and the characters of
  scripts without spaces are apart, a longer run of one dash is one token, and hello,world splits.
"""

import re
import threading
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias, TypeVar

from textgen.treebank import spacing, words
from textgen.treebank.spacing import PARAGRAPH, State, is_spacing, shape, step, written
from textgen.treebank.words import (
    GLUE,
    PLAIN,
    PLAIN_OWNER,
    SPACED_DOTS,
    plain_word,
    split_chunk,
)

__all__ = [
    "GLUE",
    "PARAGRAPH",
    "RULES_VERSION",
    "State",
    "StreamingDetokenizer",
    "detokenize",
    "is_spacing",
    "last_cut",
    "number_from",
    "tables",
    "tokenize",
]

RULES_VERSION = 1
"""Raise it when some tokens give another text than before, or some text other tokens."""

_MAX_ENTRIES = 1 << 18  # remembered at most, about 50 MB; the next text is then read afresh
_MAX_LENGTH = 64  # of what is remembered: longer chunks hardly come twice
_LONG_GAP = 16  # white space that is longer is read with the rest of its line at once
_LONG_LINE = 1 << 16  # how far back to look for a cut within a line
_BETWEEN_WORDS = re.compile(r"[^\s.](?= \S)")  # not after a period: ". . ." is one token
_GAP_AND_CHUNK = re.compile(rf"(\s*)({SPACED_DOTS}\S*|\S+)")
_T = TypeVar("_T")


def tokenize(text: str) -> list[str]:
    """Splits text into words, punctuation, newlines and, where needed, spacing tokens.

    Example:
        >>> tokenize("I can't wait, (he said).")
        ['I', 'ca', "n't", 'wait', ',', '(', 'he', 'said', ')', '.']
    """
    numbers, kinds, _ = number_from(text, PARAGRAPH)
    return list(map(kinds.__getitem__, numbers))


def number_from(text: str, state: State) -> tuple[list[int], list[str], State]:
    """Splits the next piece of a text into tokens, each given by a number.

    Args:
        text: goes on where the piece before was cut, at a place that `last_cut` finds.
        state: where the piece before left off; `PARAGRAPH` at the start of the text.

    Returns:
        For each token where it is in the second; tokens, more than those of the text; and the
        state to go on from.
    """
    memory = _memory_with_room()
    numbers: list[int] = []
    reader = _read(text, memory.writer(state).reader(""), numbers)
    return numbers, memory.kinds, reader.writer.state


def number_texts(texts: Iterable[str], end: int) -> tuple[list[int], list[str]]:
    """Splits texts that have nothing to do with each other into tokens, each given by a number.

    Args:
        texts: each is split as `tokenize` does.
        end: the number that comes after each text, below 0.

    Returns:
        For each token where it is in the second; tokens, more than those of the texts.
    """
    memory = _memory_with_room()
    reader, numbers = memory.writer(PARAGRAPH).reader(""), list[int]()
    for text in texts:
        _read(text, reader, numbers)
        numbers.append(end)
    return numbers, memory.kinds


def last_cut(text: str) -> int:
    """Returns the last place to cut `text` for `number_from`; 0 where there is none.

    That is after a newline, or where there is none, before a single space between words.
    """
    place = text.rfind("\n") + 1
    spaces = () if place else _BETWEEN_WORDS.finditer(text, max(0, len(text) - _LONG_LINE))
    return max((match.end() for match in spaces), default=place)


def detokenize(tokens: Iterable[str]) -> str:
    """Writes the text of tokens, whether they come from `tokenize` or from a model.

    Example:
        >>> detokenize(["I", "ca", "n't", "wait", ",", "(", "he", "said", ")", "."])
        "I can't wait, (he said)."
    """
    pieces: list[str] = []
    writer = _memory_with_room().writer(PARAGRAPH)
    for token in tokens:
        form, text = _forms[token]
        gap, writer = writer[form]
        pieces += gap, text
    return "".join(pieces)


def tables() -> dict[str, dict[str, Any]]:
    """Returns the lists and tables of the rules as built-in values, for other languages.

    `words` is what splitting knows of words, `spacing` what the spacing rule knows of tokens.
    """
    return {"words": words.tables(), "spacing": spacing.tables()}


class StreamingDetokenizer:
    """Writes text token by token; together the pieces are what `detokenize` would return.

    Every piece comes at once, because the spacing rule never looks ahead.
    """

    def __init__(self) -> None:
        self._writer = _memory_with_room().writer(PARAGRAPH)

    def push(self, token: str) -> str:
        """Returns the text that the token adds, with the white space before it."""
        form, text = _forms[token]
        gap, self._writer = self._writer[form]
        return gap + text


# Reading and writing are walks through states that are made when first reached. Most of a text is
# words seen before in states seen before, which cost one look-up in a dict each.


class _Forms(dict[str, tuple[str, str]]):
    """Maps a token to its shape, as which it enters the spacing rule, and to its own text."""

    def __missing__(self, token: str) -> tuple[str, str]:
        if len(self) >= _MAX_ENTRIES:
            self.clear()
        form = shape(token), written(token)
        if len(token) <= _MAX_LENGTH:
            self[token] = form
        return form


class _Numbers(dict[str, int]):
    """Maps a token to where it is in `kinds`; a new one goes to the end."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: list[str] = []
        self._lock = threading.Lock()

    def __missing__(self, token: str) -> int:
        with self._lock:
            number = self.setdefault(token, len(self.kinds))
            if number == len(self.kinds):
                self.kinds.append(token)
        return number


class _Memory:
    """The states and tokens that have been met, in which walks go on for as long as they last.

    One that is full learns nothing more, and later walks take place in a new one.
    """

    def __init__(self) -> None:
        self.numbers = _Numbers()
        self.kinds = self.numbers.kinds
        self._writers: dict[State, _Writer] = {}
        self._entries = 0

    @property
    def full(self) -> bool:
        return self._entries >= _MAX_ENTRIES or len(self.kinds) >= _MAX_ENTRIES

    def writer(self, state: State) -> "_Writer":
        writer = self._writers.get(state)
        return self._writers.setdefault(state, _Writer(self, state)) if writer is None else writer

    def keep(self, table: dict[str, _T], key: str, value: _T) -> _T:
        if not self.full and len(key) <= _MAX_LENGTH:
            self._entries += 1
            table[key] = value
        return value


class _Writer(dict[str, tuple[str, "_Writer"]]):
    """A state of the spacing rule: maps a shape to the white space before it and the next state."""

    def __init__(self, memory: _Memory, state: State) -> None:
        super().__init__()
        self.memory = memory
        self.state = state
        self.quoting = "'" in state.open
        self.readers: dict[str, _Reader] = {}

    def __missing__(self, shape: str) -> tuple[str, "_Writer"]:
        gap, state = step(self.state, shape)
        return self.memory.keep(self, shape, (gap, self.memory.writer(state)))

    def reader(self, gap: str) -> "_Reader":
        """Returns the reader of what follows some white space in the text."""
        reader = self.readers.get(gap)
        return self.memory.keep(self.readers, gap, _Reader(self, gap)) if reader is None else reader


_Pattern: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], "_Reader"]
"""Tokens before and after a word, and the reader of what follows."""


class _UnevenError(Exception):
    """A chunk cannot be read by itself: what follows it matters, or much white space before it."""


class _Reader(dict[str, tuple[tuple[int, ...], "_Reader"]]):
    """A writer and the white space that comes next in the text.

    Maps the chunk after that (what stands between spaces, or a newline) to the numbers of its
    tokens, with the spacing tokens they need, and to the reader of a chunk that follows one space
    on.
    """

    def __init__(self, writer: _Writer, gap: str) -> None:
        super().__init__()
        self.writer = writer
        self.gap = gap
        self._patterns: dict[str, _Pattern] = {}

    def __missing__(self, chunk: str) -> tuple[tuple[int, ...], "_Reader"]:
        if found := plain_word(chunk):
            word, pattern = found
            before, after, reader = self._patterns.get(pattern) or self._pattern(pattern)
            memory = self.writer.memory
            return memory.keep(self, chunk, ((*before, memory.numbers[word], *after), reader))
        words = chunk.split()
        if words == [chunk] != ["."]:
            return self._keep(chunk, *self.read(chunk))
        if chunk == "\n":
            return self._keep(chunk, *self._newline())
        if "." in words or len(self.gap) >= _LONG_GAP:
            raise _UnevenError
        numbers: list[int] = []
        return self._keep(chunk, numbers, _read_uneven(chunk, self, numbers))

    def _pattern(self, pattern: str) -> "_Pattern":
        """Returns what chunks of a pattern of `plain_word` have in common."""
        memory = self.writer.memory
        numbers, reader = self.read(pattern)
        at = numbers.index(memory.numbers[PLAIN_OWNER if PLAIN_OWNER in pattern else PLAIN])
        value = tuple(numbers[:at]), tuple(numbers[at + 1 :]), reader
        return memory.keep(self._patterns, pattern, value)

    def _keep(
        self, chunk: str, numbers: list[int], reader: "_Reader"
    ) -> tuple[tuple[int, ...], "_Reader"]:
        return self.writer.memory.keep(self, chunk, (tuple(numbers), reader))

    def read(self, chunk: str) -> tuple[list[int], "_Reader"]:
        """Returns the numbers of the tokens of a chunk, and the reader of what follows it.

        The chunk has no white space, but for a spaced ellipsis.
        """
        numbers: list[int] = []
        writer, gap = self.writer, self.gap
        places = writer.memory.numbers
        for token in split_chunk(chunk, writer.quoting):
            form = _forms[token][0]
            predicted, after = writer[form]
            if predicted != gap:
                mark = gap or GLUE
                numbers.append(places[mark])
                after = writer[_forms[mark][0]][1][form][1]
            numbers.append(places[token])
            writer, gap = after, ""
        return numbers, writer.reader(" ")

    def _newline(self) -> tuple[list[int], "_Reader"]:
        numbers, reader = self.end()
        number = self.writer.memory.numbers["\n"]
        return [*numbers, number], reader.writer["\n"][1].reader("")

    def end(self) -> tuple[list[int], "_Reader"]:
        """Ends a line, before which a space was put that the text does not have."""
        trailing = self.gap[:-1]
        if not trailing:
            return [], self
        number = self.writer.memory.numbers[trailing]
        return [number], self.writer[_forms[trailing][0]][1].reader("")


_forms = _Forms()
_memory = _Memory()


def _memory_with_room() -> _Memory:
    global _memory
    if _memory.full:
        _memory = _Memory()
    return _memory


def _read(text: str, reader: _Reader, numbers: list[int]) -> _Reader:
    """Appends the tokens of a text to a list; returns the reader of what follows the text."""
    chunks = iter(text.replace("\n", " \n ").split(" "))
    for chunk in chunks:
        try:
            new, reader = reader[chunk]
        except _UnevenError:
            new, reader = _read_uneven_line(chunk, chunks, reader)
        numbers += new
    last, reader = reader.end()
    numbers += last
    return reader


def _read_uneven_line(
    first: str, chunks: Iterator[str], reader: _Reader
) -> tuple[tuple[int, ...], _Reader]:
    """Returns the tokens of the rest of a line, its newline too, and the reader of what follows."""
    line, ended = [first], False
    for chunk in chunks:
        if ended := chunk == "\n":
            break
        line.append(chunk)
    numbers: list[int] = []
    reader = _read_uneven(" ".join(line), reader, numbers)
    newline, reader = reader["\n"] if ended else ((), reader)
    return (*numbers, *newline), reader


def _read_uneven(text: str, reader: _Reader, numbers: list[int]) -> _Reader:
    """Appends the tokens of chunks with any white space between them, and of a space after them."""
    text = reader.gap + text
    body = text.rstrip()
    for gap, chunk in _GAP_AND_CHUNK.findall(body):
        if gap != reader.gap:
            reader = reader.writer.reader(gap)
        new, reader = reader.get(chunk) or reader.read(chunk)
        numbers += new
    return reader.writer.reader(text[len(body) :] + " ")
