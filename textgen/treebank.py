r"""Penn Treebank tokens: text -> words and punctuation -> the same text again.

    tokenize("I can't go.")                     ['I', 'ca', "n't", 'go', '.']
    detokenize(['I', 'ca', "n't", 'go', '.'])   "I can't go."

`detokenize(tokenize(text)) == text` for every string. A spacing rule (`_treebank_rule.step`) says
which white space stands before a token, given the tokens before it. `detokenize` writes by that
rule, and `tokenize` runs it too: where the text departs from it, a spacing token goes before the
token, either the exact run of white space or GLUE where there is none.

    tokenize("word--word  word -- word")   ['word', '--', 'word', '  ', 'word', ' ', '--', 'word']

A newline is a token, "\n", and no spacing token. In ordinary prose the rule is nearly always
right. It follows quotation marks (straight ones open and close in turn) and learns how a writer
spaces dashes, sentences, ellipses and French punctuation from a paragraph's first spacing tokens.

Where text may be cut: all that the rule remembers ends with the paragraph, so
`tokenize(a + b) == tokenize(a) + tokenize(b)` if `a` ends in a blank line, that is in "\n" and
then a line of nothing but white space with its "\n". `tokenize_from` takes the state of the rule
along, and with it every cut that `last_cut` finds: after any line, and within long ones.

The tokens are those of nltk's `TreebankWordTokenizer` (the rules of Robert MacIntyre's sed script,
with nltk's table of contractions) but for these:

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
from collections.abc import Iterable
from typing import TypeVar

from textgen._treebank_rule import PARAGRAPH, State, is_spacing, shape, step, written
from textgen._treebank_words import GLUE, SPACED_DOTS, split_chunk

__all__ = [
    "GLUE",
    "PARAGRAPH",
    "State",
    "StreamingDetokenizer",
    "detokenize",
    "is_spacing",
    "last_cut",
    "tokenize",
    "tokenize_from",
]

_MAX_ENTRIES = 1 << 18  # remembered at most, about 50 MB; then all is forgotten and learned anew
_MAX_LENGTH = 64  # of what is remembered: longer chunks hardly come twice
_LONG_LINE = 1 << 16  # how far back to look for a cut within a line
_BETWEEN_WORDS = re.compile(r"[^\s.](?= \S)")  # not after a period: ". . ." is one token
_GAP_AND_CHUNK = re.compile(rf"(\s*)({SPACED_DOTS}\S*|\S+)")
_T = TypeVar("_T")


def tokenize(text: str) -> list[str]:
    """Splits text into words, punctuation, newlines and, where needed, spacing tokens."""
    return tokenize_from(text, PARAGRAPH)[0]


def tokenize_from(text: str, state: State) -> tuple[list[str], State]:
    """Splits the next piece of a text.

    Args:
        text: goes on where the piece before was cut, at a place that `last_cut` finds.
        state: where the piece before left off; `PARAGRAPH` at the start of the text.

    Returns:
        The tokens, and the state to go on from.
    """
    tokens: list[str] = []
    reader = _read(text, _writer(state).reader(""), tokens)
    return tokens, reader.writer.state


def last_cut(text: str) -> int:
    """The last place to cut `text` for `tokenize_from`; 0 where there is none.

    That is after a newline, or where there is none, before a single space between words.
    """
    place = text.rfind("\n") + 1
    spaces = () if place else _BETWEEN_WORDS.finditer(text, max(0, len(text) - _LONG_LINE))
    return max((match.end() for match in spaces), default=place)


def detokenize(tokens: Iterable[str]) -> str:
    """Writes the text of tokens, whether they come from `tokenize` or from a model."""
    pieces: list[str] = []
    writer = _writer(PARAGRAPH)
    for token in tokens:
        form, text = _forms[token]
        gap, writer = writer[form]
        pieces += gap, text
    return "".join(pieces)


class StreamingDetokenizer:
    """Writes text token by token; together the pieces are what `detokenize` would return.

    Every piece comes at once, because the spacing rule never looks ahead.
    """

    def __init__(self) -> None:
        self._writer = _writer(PARAGRAPH)

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
        return _remember(self, token, (shape(token), written(token)))


class _Writer(dict[str, tuple[str, "_Writer"]]):
    """A state of the spacing rule: maps a shape to the white space before it and the next state."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.state = state
        self.quoting = "'" in state.open
        self.readers: dict[str, _Reader] = {}

    def __missing__(self, shape: str) -> tuple[str, "_Writer"]:
        gap, state = step(self.state, shape)
        return _remember(self, shape, (gap, _writer(state)))

    def reader(self, gap: str) -> "_Reader":
        """The reader of what follows some white space in the text."""
        reader = self.readers.get(gap)
        return _remember(self.readers, gap, _Reader(self, gap)) if reader is None else reader


class _UnevenError(Exception):
    """A chunk shows that a line is not just chunks with single spaces between them."""


class _Reader(dict[str, tuple[tuple[str, ...], "_Reader"]]):
    """A writer and the white space that comes next in the text.

    Maps the chunk after that (what stands between white space) to its tokens, with the spacing
    tokens they need, and to the reader of a chunk that follows one space on.
    """

    def __init__(self, writer: _Writer, gap: str) -> None:
        super().__init__()
        self.writer = writer
        self.gap = gap

    def __missing__(self, chunk: str) -> tuple[tuple[str, ...], "_Reader"]:
        if chunk == "." or chunk.split() != [chunk]:
            raise _UnevenError
        return self.read(chunk)

    def read(self, chunk: str) -> tuple[tuple[str, ...], "_Reader"]:
        tokens: list[str] = []
        writer, gap = self.writer, self.gap
        for token in split_chunk(chunk, writer.quoting):
            form = _forms[token][0]
            predicted, after = writer[form]
            if predicted != gap:
                mark = gap or GLUE
                tokens.append(mark)
                after = writer[_forms[mark][0]][1][form][1]
            tokens.append(token)
            writer, gap = after, ""
        result = tuple(tokens), writer.reader(" ")
        return result if chunk == "." else _remember(self, chunk, result)


_forms = _Forms()
_writers: dict[State, _Writer] = {}
_entries = 0


def _writer(state: State) -> _Writer:
    writer = _writers.get(state)
    if writer is None:
        writer = _writers[state] = _Writer(state)
    return writer


def _remember(table: dict[str, _T], key: str, value: _T) -> _T:
    global _entries
    _entries += 1
    if _entries > _MAX_ENTRIES:
        _forget()
    if len(key) <= _MAX_LENGTH:
        table[key] = value
    return value


def _forget() -> None:
    global _entries
    for writer in list(_writers.values()):  # a list, as other threads may add to it
        for reader in list(writer.readers.values()):
            reader.clear()
        writer.readers.clear()
        writer.clear()
    _writers.clear()
    _forms.clear()
    _entries = 0


def _read(text: str, reader: _Reader, tokens: list[str]) -> _Reader:
    """Appends the tokens of a text to a list; returns the reader of what follows the text."""
    for number, line in enumerate(text.split("\n")):
        if number:
            tokens.append("\n")
            reader = reader.writer["\n"][1].reader("")
        if line:
            reader = _read_line(line, reader, tokens)
    return reader


def _read_line(line: str, reader: _Reader, tokens: list[str]) -> _Reader:
    length, start = len(tokens), reader
    try:
        for chunk in line.split(" "):
            new, reader = reader[chunk]
            tokens += new
    except _UnevenError:
        del tokens[length:]
        return _read_uneven_line(line, start, tokens)
    return reader


def _read_uneven_line(line: str, reader: _Reader, tokens: list[str]) -> _Reader:
    body = line.rstrip()
    for gap, chunk in _GAP_AND_CHUNK.findall(body):
        if gap != reader.gap:
            reader = reader.writer.reader(gap)
        new, reader = reader.get(chunk) or reader.read(chunk)
        tokens += new
    if trailing := line[len(body) :]:
        tokens.append(trailing)
        reader = reader.writer[_forms[trailing][0]][1].reader("")
    return reader
