"""Raw text files -> clean text, as streams: decoded, stripped of licences, unwrapped.

Each function takes a text in chunks, cut anywhere, and yields it changed, in chunks.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from textgen import corpora
from textgen.errors import TextgenError
from textgen.sources import CHUNK, opened

HEAD = 1 << 26
"""Bytes by which the encoding of a file is told."""
LONGEST_PARAGRAPH = 1 << 24
"""Characters; what is longer is no hard-wrapped paragraph."""


def encoding_of(path: Path) -> str:
    """The encoding of a text file, by its first 64 MB. Raises TextgenError where there is none."""
    with opened(path) as (file, _):
        head = file.read(HEAD)
    if len(head) == HEAD and 0 not in head:  # UTF-8 may end within a character
        head = head[: head.rfind(b"\n") + 1 or HEAD]
    return corpora.detect_encoding(head, str(path))


def decoded(path: Path, encoding: str) -> Iterator[str]:
    r"""The text of a file, without byte order mark, with \n line ends.

    Raises TextgenError for data that is binary, damaged or in another encoding.
    """
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), True)
    read = controls = length = 0
    with opened(path) as (file, _):
        while True:
            data = file.read(CHUNK)
            read += len(data)
            try:
                text = decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                place = read - len(error.object) + error.start
                raise TextgenError(
                    f"{path} is not UTF-8, UTF-16 or cp1252 text ({encoding}: byte"
                    f" 0x{error.object[error.start]:02x} at offset {place}): save it as UTF-8 plain"
                    " text first"
                ) from error
            if "\0" in text:
                raise corpora.binary(str(path), "a binary file (it has zero bytes)")
            controls += corpora.count_controls(text.encode("utf-8", "surrogatepass"))
            length += len(text)
            yield text
            if not data:
                break
    corpora.refuse_controls(controls, length, str(path))


def lines(chunks: Iterable[str]) -> Iterator[list[str]]:
    """The lines of a text, with their ends, some at a time."""
    rest = ""
    for chunk in chunks:
        whole, newline, after = chunk.rpartition("\n")
        if newline:
            yield [line + "\n" for line in (rest + whole).split("\n")]
            rest = after
        else:
            rest += chunk
    if rest:
        yield [rest]


def has_gutenberg_book(chunks: Iterable[str]) -> bool:
    """Whether a text has a line with which Project Gutenberg starts a book."""
    return any(corpora.GUTENBERG_START.match(line) for some in lines(chunks) for line in some)


def gutenberg_books(chunks: Iterable[str]) -> Iterator[str]:
    """The books of a text, cleaned as `corpora.strip_gutenberg` does; one is in memory."""
    book: list[str] | None = None
    separator = ""
    for some in (*lines(chunks), ["*** END OF THE PROJECT GUTENBERG EBOOK"]):
        for line in some:
            if book is None:
                book = [] if corpora.GUTENBERG_START.match(line) else None
            elif corpora.GUTENBERG_END.match(line):
                yield separator + corpora.clean_book("".join(book))
                book, separator = None, "\n\n"
            else:
                book.append(line)
    yield "\n"


def unwrapped(chunks: Iterable[str]) -> Iterator[str]:
    """`corpora.unwrap`; paragraphs beyond 16 million characters keep their lines."""
    held = ""
    for chunk in chunks:
        held += chunk
        place = held.rfind("\n\n") + 2
        if place > 1:
            yield corpora.unwrap(held[:place])
            held = held[place:]
        elif len(held) > LONGEST_PARAGRAPH:
            place = held.rfind("\n") + 1 or len(held)
            yield held[:place]
            held = held[place:]
    yield corpora.unwrap(held)


def without_edge_newlines(chunks: Iterable[str]) -> Iterator[str]:
    """`str.strip` of newlines."""
    held, begun = "", False
    for chunk in chunks:
        text = chunk if begun else chunk.lstrip("\n")
        begun = begun or bool(text)
        body = text.rstrip("\n")
        if body:
            yield held + body
            held = ""
        held += text[len(body) :]
