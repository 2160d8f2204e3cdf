"""A raw text file -> its clean text in chunks: decoded, stripped of licences, unwrapped."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

from textgen.support import console
from textgen.text import decoding
from textgen.text.sources import CHUNK, opened

HEAD = 1 << 26
"""Bytes by which the encoding of a file is told."""


def cleaned(path: Path, name: str, strip_gutenberg: bool, unwrap: bool) -> Iterator[str]:
    """The text of a file, cleaned as asked; says what it found and did.

    `name` is what the user calls the file. Raises TextgenError where it has no text to read.
    """
    encoding = encoding_of(path)
    shown = encoding.replace("-sig", " with byte order mark")
    chunks = _measured(decoded(path, encoding), f"read {name}: {shown},")
    if strip_gutenberg:
        if next(decoding.gutenberg_books(decoded(path, encoding)), None) is None:
            console.warn(f"{name} has no Project Gutenberg START line: nothing stripped")
        else:
            books = joined(decoding.gutenberg_books(chunks), "\n\n")
            chunks = _measured(itertools.chain(books, "\n"), "stripped to")
    if unwrap:
        chunks = _measured(decoding.unwrapped(chunks), "unwrapped to")
    return chunks


def encoding_of(path: Path) -> str:
    """The encoding of a text file, by its first 64 MB. Raises TextgenError where there is none."""
    with opened(path) as (file, _):
        head = file.read(HEAD)
    if len(head) == HEAD and 0 not in head:  # UTF-8 may end within a character
        head = head[: head.rfind(b"\n") + 1 or HEAD]
    return decoding.detect_encoding(head, str(path))


def decoded(path: Path, encoding: str) -> Iterator[str]:
    """The text of a file; see `corpora.decoded`."""
    with opened(path) as (file, _):
        yield from decoding.decoded(iter(lambda: file.read(CHUNK), b""), encoding, str(path))


def joined(texts: Iterable[str], between: str) -> Iterator[str]:
    """`str.join`, a text at a time."""
    for number, text in enumerate(texts):
        yield between + text if number else text


def _measured(chunks: Iterable[str], what: str) -> Iterator[str]:
    """The same chunks; says how much it was when all have passed."""
    characters = lines = 0
    for chunk in chunks:
        characters, lines = characters + len(chunk), lines + chunk.count("\n")
        yield chunk
    console.say(f"{what} {characters:,} characters in {lines:,} lines")
