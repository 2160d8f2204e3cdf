"""Documents: a corpus that is many texts, such as lines, paragraphs, or what stands between marks.

A document may begin with its label: `<|politics|>Taxes rise`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

END = "<|endoftext|>"
"""The token that ends a document, and what such files put between documents."""
LINES, PARAGRAPHS, FILES = "lines", "paragraphs", "files"
SEPARATORS = {LINES: "\n", PARAGRAPHS: "\n\n", FILES: END}
"""What documents are written with between them; any other text stands for itself."""
LABEL = re.compile(r"<\|(?!endoftext\|>)([^|\n]{1,100})\|>")
"""The label that a document begins with."""
GOLDEN = (5**0.5 - 1) / 2
"""Of its multiples, the fractional parts are spread over 0 to 1 as evenly as can be."""


Kind = TypeVar("Kind")


class Document(NamedTuple):
    """One of the texts of a corpus."""

    label: str
    """Without the marks around it; empty for none."""
    text: str

    @classmethod
    def parse(cls, text: str) -> Document:
        """Returns the document that a file has in this form."""
        found = LABEL.match(text)
        return cls(found[1], text[found.end() :]) if found else cls("", text)


def label_token(label: str) -> str:
    """Returns a label with the marks around it, as it stands before a document."""
    return f"<|{label}|>"


def separator(kind: str) -> str:
    r"""Returns what stands between documents of a kind: `lines`, `paragraphs`, or a text.

    In a text, the characters \n stand for a newline.
    """
    return SEPARATORS.get(kind, kind.replace("\\n", "\n"))


def split_documents(text: str, kind: str) -> list[str]:
    r"""Returns the documents of a text, without the newlines around them; none is blank.

    Example:
        >>> split_documents("one\n\ntwo\nlines\n", "paragraphs")
        ['one', 'two\nlines']
    """
    return list(read_documents([text], kind))


def last_cut(text: str, kind: str) -> int:
    """Returns the last place to cut a text between two documents; 0 where there is none."""
    _, *others = text.split(separator(kind))  # from the left, as marks may overlap
    return len(text) - len(others[-1]) if others else 0


def read_documents(chunks: Iterable[str], kind: str) -> Iterator[str]:
    """Yields the documents of a text in chunks, cut anywhere; see `split_documents`."""
    from textgen.text.cleaning import split_chunks  # here, for the start of `sample.py`

    for part in split_chunks(chunks, separator(kind)):
        text = part.strip("\n")
        if text and not text.isspace():
            yield text


def join_documents(documents: Iterable[str], kind: str) -> Iterator[str]:
    """Yields documents with what stands between them."""
    from textgen.text.cleaning import join_texts  # here, for the start of `sample.py`

    return join_texts(documents, between(kind))


def between(kind: str) -> str:
    """Returns what is written between documents of a kind; a mark is on a line of its own."""
    mark = separator(kind)
    return mark if mark.strip("\n") == "" else f"\n{mark.strip()}\n"


def held_out(documents: Iterable[Kind], share: float, those: bool) -> Iterator[Kind]:
    """Yields the documents that are held out, about one in `1 / share`, or the others.

    They are spread evenly and not periodically, and the same for the same number of documents.

    Args:
        documents: all of them.
        share: how many to hold out, 0 to 1.
        those: whether those held out are wanted.
    """
    for number, document in enumerate(documents, start=1):
        if (number * GOLDEN % 1 < share) == those:
            yield document
