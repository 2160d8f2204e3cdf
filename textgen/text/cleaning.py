"""Text -> clean text: strips Project Gutenberg's licence, unwraps paragraphs, trims the edges.

Works on whole texts and, in bounded memory, on texts that come in chunks, cut anywhere.
"""

import itertools
import re
from collections.abc import Iterable, Iterator

# What Project Gutenberg puts around a book (https://www.gutenberg.org/policy/license.html).
GUTENBERG_START = re.compile(r"\*\*\* ?START OF TH(?:E|IS) PROJECT GUTENBERG", re.IGNORECASE)
GUTENBERG_END = re.compile(
    r"\*\*\* ?END OF TH(?:E|IS) PROJECT GUTENBERG|End of (?:the |this )?Project Gutenberg",
    re.IGNORECASE,
)
GUTENBERG_CREDITS = re.compile(
    r"\A\s*(?:produced|e-?text prepared|transcribed) (?s:.*?)(?:\n\s*\n|\Z)", re.IGNORECASE
)
EDITORS_NOTES = re.compile(
    r"\[(?:Illustration|Transcriber.?s.? Notes?)\b[^\]]{0,2000}\][ \t]*\n?", re.IGNORECASE
)


def strip_gutenberg(text: str) -> str:
    """Returns the books in `text`, a blank line between them; without a START line all of it."""
    books = list(gutenberg_books([text]))
    return "\n\n".join(books) + "\n" if books else text


def gutenberg_books(chunks: Iterable[str]) -> Iterator[str]:
    """Yields the books in a text without Project Gutenberg's header, licence, credits and notes.

    Keeps what is between the START and END lines (of each book, where a file has several), less
    the "Produced by ..." paragraph and notes such as [Illustration: ...] and [Transcriber's
    Note: ...]. A START line may be wrapped. One book is in memory at a time.
    """
    opening = ""
    book: list[str] | None = None
    end = "*** END OF THE PROJECT GUTENBERG EBOOK"  # of a text that breaks off
    for line in itertools.chain(split_chunks(chunks, "\n"), [end]):
        if book is not None and GUTENBERG_END.match(line):
            yield _clean_book("\n".join(book))
            book = None
        elif book is not None:
            book.append(line)
        elif line.strip() and (opening or GUTENBERG_START.match(line)):
            opening += line
            if "***" in opening[3:]:
                opening, book = "", []
        else:
            opening = ""


def _clean_book(book: str) -> str:
    """Returns a book without credits, notes and the newlines around it."""
    return EDITORS_NOTES.sub("", GUTENBERG_CREDITS.sub("", book)).strip("\n")


FULL_LINE = 55  # columns; hard wraps are at 60 to 80, most verse stays below
LONGEST_WRAP = 100  # columns; longer lines were never wrapped
LONGEST_PARAGRAPH = 1 << 24  # characters; what is longer is no hard-wrapped paragraph
BLOCK = re.compile(r"^[^\S\n]*\S.*(?:\n[^\S\n]*\S.*)+", re.MULTILINE)
KEPT_LINE = re.compile(r" {2}|\t|[-*+•|>] |#+ |\d{1,3}[.)] ")  # indented, list, quote, heading
DASH_AT_END = re.compile(r"[^\s-](?:--?|—)$")
DASH_AT_START = re.compile(r"(?:--|—)[^\s-]")
OPENING_MARKS = "\"'\u201c\u2018\u00ab([_*"


def unwrap(text: str) -> str:
    """Returns `text` with every hard-wrapped paragraph made one line, and all else as it is.

    A block of lines between blank lines is a wrapped paragraph when each line but the last is
    full, that is, when the first word of the next line would have passed column 55, as a wrap
    at 60 to 80 columns implies. One short line makes the whole block keep its lines (verse,
    addresses, `Speaker:` blocks), and so does a line beyond 100 columns (paragraphs that are
    lines already), an indented line (two spaces or a tab; one space is a wrapping slip), a list
    item or heading, or a capital at the start of each of four or more lines (long verse).
    Applying it twice changes nothing more.
    """
    return BLOCK.sub(_unwrap_block, text)


def unwrap_chunks(chunks: Iterable[str]) -> Iterator[str]:
    """Yields what `unwrap` makes of a text in chunks.

    Paragraphs beyond 16 million characters keep their lines.
    """
    held = ""
    for chunk in chunks:
        held += chunk
        place = held.rfind("\n\n") + 2
        if place > 1:
            yield unwrap(held[:place])
            held = held[place:]
        elif len(held) > LONGEST_PARAGRAPH:
            place = held.rfind("\n") + 1 or len(held)
            yield held[:place]
            held = held[place:]
    yield unwrap(held)


def _unwrap_block(match: re.Match[str]) -> str:
    lines = match[0].split("\n")
    return _join_lines(lines) if _is_wrapped(lines) else match[0]


def _is_wrapped(lines: list[str]) -> bool:
    if any(KEPT_LINE.match(line) or len(line) > LONGEST_WRAP for line in lines):
        return False
    if len(lines) >= 4 and all(line.lstrip(OPENING_MARKS)[:1].isupper() for line in lines):
        return False
    return all(
        len(line.rstrip()) + 1 + len(following.split(maxsplit=1)[0]) > FULL_LINE
        for line, following in itertools.pairwise(lines)
    )


def _join_lines(lines: list[str]) -> str:
    """Joins lines to one; a dash or hyphen at a line's edge keeps its words together."""
    joined = lines[0].strip()
    for line in map(str.strip, lines[1:]):
        tight = DASH_AT_END.search(joined) or DASH_AT_START.match(line)
        joined += line if tight else f" {line}"
    return joined


def split_chunks(chunks: Iterable[str], separator: str) -> Iterator[str]:
    """Yields what stands between separators in a text in chunks, as `str.split` of the whole."""
    held = ""
    for chunk in chunks:
        if separator in held[-len(separator) :] + chunk:
            *whole, held = (held + chunk).split(separator)
            yield from whole
        else:
            held += chunk
    yield held


def trim_newlines(chunks: Iterable[str]) -> Iterator[str]:
    """Yields a text in chunks without the newlines around it."""
    held, begun = "", False
    for chunk in chunks:
        text = chunk if begun else chunk.lstrip("\n")
        begun = begun or bool(text)
        body = text.rstrip("\n")
        if body:
            yield held + body
            held = ""
        held += text[len(body) :]


def join_texts(texts: Iterable[str], between: str) -> Iterator[str]:
    """Yields texts one by one with `between` before each but the first, as `str.join`."""
    for number, text in enumerate(texts):
        yield between + text if number else text
