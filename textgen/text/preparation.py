"""Text files -> a data directory: decoded, cleaned, deduplicated, shuffled, and one part held out.

Files of any size: the text goes through a chain of steps, each of which holds a piece of it. What
has to be read more than once lies in a temporary folder of the data directory meanwhile.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import hashlib
import itertools
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import filelock
import numpy as np

from textgen.settings.definitions import CorpusSettings
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import STANDARD_INPUT, check_room, explained, made_folder
from textgen.text import tables
from textgen.text.cleaning import (
    gutenberg_books,
    join_texts,
    split_chunks,
    trim_newlines,
    unwrap_chunks,
)
from textgen.text.documents import (
    END,
    FILES,
    LINES,
    PARAGRAPHS,
    Document,
    held_out,
    join_documents,
    read_documents,
)
from textgen.text.sources import (
    CHUNK,
    MIXED,
    Source,
    decode_blocks,
    detect_encoding,
    open_text,
    repaired,
    write_text,
    write_texts,
)
from textgen.text.splitting import SlicedSplit, Stream

HEAD = 1 << 26
"""Bytes by which the encoding of a file is told."""
MOST_KINDS = 1_000_000
"""Distinct words that a report tells apart: about 100 MB."""
BUCKET_BYTES = 1 << 26
"""Bytes in a bucket of documents, about: as much is in memory."""
LONGEST_WORD = 1 << 16
"""Characters after which a report takes a word to end."""


def prepare(directory: Path, files: Sequence[str], settings: CorpusSettings) -> Report:
    """Makes a data directory of text files, joined in their order; returns measures of the text.

    Files may be compressed (.gz, .zst), in UTF-8, UTF-16 or cp1252, and pipes; tables where the
    settings name a column; and folders of such files where they say so.

    Raises:
        TextgenError: if that cannot be; a folder that is there is then as it was.
    """
    files = find_files(files, settings)
    with made_folder(directory), explained(directory), _work_folder(directory) as work:
        paths = [_repeatable(name, work) for name in files]
        files = ["standard input" if name == STANDARD_INPUT else name for name in files]
        size = sum(path.stat().st_size for path in paths)
        check_room(directory, 2 * size, f"making {directory}")  # one of two copies is temporary
        if settings.documents or settings.is_for_tables:
            found = _read_documents(paths, files, settings)
            return _prepare_documents(directory, found, files, settings, work)
        text = work / "clean.txt"
        chunks = _join_files(paths, files, settings)
        if settings.dedupe:
            split_units, between = UNITS[settings.dedupe]
            kept = drop_duplicates(split_units(trim_newlines(chunks)), work / "seen")
            chunks = _measured(join_texts(kept, between), f"without repeated {settings.dedupe}")
        write_text(text, chunks)
        _refuse_blank(text, files)
        if settings.shuffle_documents:
            text = _shuffle(text, settings.shuffle_documents, settings.random_seed)
        report = measure(_chunks(text))
        _write_parts(directory, text, settings.validation_split)
    return report


def _refuse_blank(text: Path, files: Sequence[str]) -> None:
    if not text.stat().st_size:
        raise TextgenError(f"no text in {console.listed(files)}: give a file with text")


def find_files(names: Sequence[str], settings: CorpusSettings) -> list[str]:
    """Returns the files to read, those in folders too; says which of them are left out.

    Raises:
        TextgenError: for a folder that is not to be read, or that has no such files.
    """
    kind = tables.is_table if settings.is_for_tables else _is_text
    wanted = "tables (.csv, .tsv, .jsonl)" if settings.is_for_tables else "text files (.txt)"
    found = list[str]()
    for name in names:
        folder = Path(name)
        if not folder.is_dir():
            found.append(name)
            continue
        if not settings.recursive:
            raise TextgenError(f"{name} is a folder: add `recursive` to read the {wanted} in it")
        inside = sorted(path for path in folder.rglob("[!.]*") if path.is_file())
        read = [str(path) for path in inside if kind(path.name)]
        skipped = [str(path.relative_to(folder)) for path in inside if not kind(path.name)]
        if not read:
            raise TextgenError(f"{name} has no {wanted}")
        if skipped:
            console.warn(f"{name}: left out, as they are no {wanted}: {console.listed(skipped)}")
        found += read
    return found


def _is_text(name: str) -> bool:
    return tables.suffix_of(name) == ".txt"


def _read_documents(
    paths: list[Path], names: Sequence[str], settings: CorpusSettings
) -> Iterator[str]:
    """Yields the documents of files, as the settings tell them."""
    kind = settings.documents
    for path, name in zip(paths, names, strict=True):
        if settings.is_for_tables:
            wanted = tables.Wanted.of(settings.column, settings.template, settings.label)
            chunks = _decoded(path, name, detect_file_encoding(path, settings))
            yield from tables.read_table(chunks, name, wanted)
        elif kind == FILES:
            yield "".join(trim_newlines(clean_file(path, name, settings))).replace(END, "")
        else:
            yield from read_documents(clean_file(path, name, settings), kind or "")


def _prepare_documents(
    directory: Path,
    found: Iterator[str],
    files: Sequence[str],
    settings: CorpusSettings,
    work: Path,
) -> Report:
    """Writes documents, of which some are held out; they are told apart in one way or the other."""
    documents = Counted(drop_duplicates(found, work / "seen") if settings.dedupe else found)
    text = work / "clean.txt"
    write_text(text, join_documents(documents, END))
    _refuse_blank(text, files)
    kind = settings.documents or (END if documents.has_lines else LINES)
    kind = END if kind == FILES else kind

    def side(share: float, those: bool) -> Iterator[str]:
        return join_documents(held_out(read_documents(_chunks(text), END), share, those), kind)

    share = settings.validation_split
    kept_out = sum(1 for _ in held_out(range(documents.count), share, those=True))
    if share and not 0 < kept_out < documents.count:
        raise TextgenError(
            f"{console.counted(documents.count, 'document')} are too few to hold out {share:.1%}:"
            " give more, or a `validation_split` of 0"
        )
    report = measure(side(0.0, those=False))
    if share:
        console.say(f"held out {kept_out:,} of {documents.count:,} documents")
    write_texts(directory, side(share, those=False), side(share, those=True) if share else None)
    labels = documents.labels.most_common()
    return report._replace(num_documents=documents.count, documents=kind, labels=labels)


class Counted:
    """Passes documents on, and notes what they are like.

    Attributes:
        count: how many have passed.
        has_lines: whether one has several lines.
        labels: theirs, and how often each came.
    """

    def __init__(self, documents: Iterable[str]) -> None:
        self._documents = documents
        self.count, self.has_lines = 0, False
        self.labels = collections.Counter[str]()

    def __iter__(self) -> Iterator[str]:
        for document in self._documents:
            self.count += 1
            self.has_lines = self.has_lines or "\n" in document
            if (label := Document.parse(document).label) and len(self.labels) < MOST_KINDS:
                self.labels[label] += 1
            yield document


@contextmanager
def _work_folder(directory: Path) -> Iterator[Path]:
    """Makes a folder for what is read more than once; removes those that killed processes left.

    Each is locked by its process. The lock is the operating system's, so it ends with that.
    """
    for folder in directory.glob(".corpus-*"):
        with contextlib.suppress(filelock.Timeout), _lock(folder):
            shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".corpus-", dir=directory) as work, _lock(Path(work)):
        yield Path(work)


def _lock(folder: Path) -> filelock.BaseFileLock:
    return filelock.FileLock(folder / "lock", blocking=False)


def _repeatable(name: str, work: Path) -> Path:
    """Returns where a file can be read repeatedly: a pipe, and standard input, is copied."""
    path = Path(name)
    if path.is_file() or path.is_dir():  # opening a folder will tell that it is one
        return path
    copy = Path(tempfile.mkdtemp(dir=work)) / path.name
    piped = name == STANDARD_INPUT
    opened = contextlib.nullcontext(sys.stdin.buffer) if piped else path.open("rb")
    with opened as pipe, copy.open("wb") as file:
        shutil.copyfileobj(pipe, file)
    return copy


def _join_files(paths: list[Path], names: Sequence[str], settings: CorpusSettings) -> Iterator[str]:
    """Yields the cleaned texts of files with a blank line between them."""
    for number, (path, name) in enumerate(zip(paths, names, strict=True)):
        if number:
            yield "\n\n"
        yield from trim_newlines(clean_file(path, name, settings))


def clean_file(path: Path, name: str, settings: CorpusSettings) -> Iterator[str]:
    """Yields the text of a file, cleaned as the settings say; says what it found and did.

    `name` is what the user calls the file. Raises TextgenError if it has no text to read.
    """
    encoding = detect_file_encoding(path, settings)
    _refuse_table(path, name, encoding)
    chunks = _decoded(path, name, encoding)
    if settings.strip_gutenberg:
        if next(gutenberg_books(decode_file(path, encoding)), None) is None:
            console.warn(f"{name} has no Project Gutenberg START line: nothing stripped")
        else:
            books = join_texts(gutenberg_books(chunks), "\n\n")
            chunks = _measured(itertools.chain(books, "\n"), "stripped to")
    if settings.unwrap:
        chunks = _measured(unwrap_chunks(chunks), "unwrapped to")
    yield from chunks


def _refuse_table(path: Path, name: str, encoding: str) -> None:
    """Raises TextgenError for a table, which would be learned with its commas and quotes."""
    if tables.is_table(name):
        columns = tables.columns_of(decode_file(path, encoding), name)
        raise TextgenError(
            f"{name} is a table, and {tables.described(columns)}. Say which has the texts, by"
            " `column`, or rename the file to .txt to read it as it is"
        )


def _decoded(path: Path, name: str, encoding: str) -> Iterator[str]:
    """Yields the text of a file as it is; says what it is."""
    shown = encoding.replace("-sig", " with byte order mark")
    return _measured(decode_file(path, encoding), f"read {name}: {shown},")


def detect_file_encoding(path: Path, settings: CorpusSettings) -> str:
    """Returns the encoding of a file, by its first 64 MB. Raises TextgenError if it has none."""
    with open_text(path) as (file, _):
        head = file.read(HEAD)
    if len(head) == HEAD and 0 not in head:  # UTF-8 may end within a character
        head = head[: head.rfind(b"\n") + 1 or HEAD]
    return detect_encoding(head, str(path), repair=settings.errors == "repair")


def decode_file(path: Path, encoding: str) -> Iterator[str]:
    """Yields the text of a file; see `sources.decode_blocks`."""
    with open_text(path) as (file, _):
        blocks: Iterator[bytes] = iter(lambda: file.read(CHUNK), b"")
        if encoding == MIXED:
            blocks, encoding = repaired(blocks, path.name), "utf-8"
        for chunk in decode_blocks(blocks, encoding, str(path)):
            yield chunk.text


def _measured(chunks: Iterable[str], title: str) -> Iterator[str]:
    """Yields the same chunks; says how much it was when all have passed."""
    characters = lines = 0
    for chunk in chunks:
        characters, lines = characters + len(chunk), lines + chunk.count("\n")
        yield chunk
    console.say(f"{title} {characters:,} characters in {lines:,} lines")


def _chunks(path: Path) -> Iterator[str]:
    """Yields the text of a file that `write_text` has written."""
    return (chunk.text for chunk in Source((path,)).read())


UNITS: dict[str, tuple[Callable[[Iterable[str]], Iterator[str]], str]] = {
    "lines": (functools.partial(split_chunks, separator="\n"), "\n"),
    "paragraphs": (functools.partial(read_documents, kind=PARAGRAPHS), "\n\n"),
}
"""Units that may come only once: how to find them in a text, and what to put between them."""


def drop_duplicates(units: Iterable[str], seen: Path) -> Iterator[str]:
    """Yields each unit the first time it comes; blank ones always.

    Units are told apart by 128 bits of BLAKE2, which are kept in the file `seen`: there may be
    more than fit into memory. Raises OSError where the disk has no room for it.
    """
    try:
        with contextlib.closing(sqlite3.connect(seen, isolation_level=None)) as table:
            table.executescript(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -64000;"
                " CREATE TABLE seen (digest BLOB PRIMARY KEY) WITHOUT ROWID; BEGIN"
            )
            add = "INSERT OR IGNORE INTO seen VALUES (?)"
            for unit in units:
                data = unit.encode("utf-8", "surrogatepass")
                row = (hashlib.blake2b(data, digest_size=16).digest(),)
                if not unit.strip() or table.execute(add, row).rowcount:
                    yield unit
    except sqlite3.Error as error:
        raise OSError(f"{seen.name}: {error}") from error


def _shuffle(text: Path, line: str, random_seed: int) -> Path:
    """Writes the documents of the text in random order in place of it; returns where.

    They end at lines that are `line`; a newline stands for a blank one.
    """
    line = line.rstrip("\n")
    between, size = f"\n{line}\n", text.stat().st_size
    found = read_documents(itertools.chain("\n", _chunks(text)), between)
    rng = np.random.default_rng(random_seed)
    result = text.with_name("shuffled.txt")
    write_text(result, join_texts(shuffle(found, size, text.parent, rng), between))
    console.say(f"shuffled the documents, which end at {line or 'blank lines'}")
    text.unlink()
    return result


def shuffle(
    documents: Iterable[str], num_bytes: int, folder: Path, rng: np.random.Generator
) -> Iterator[str]:
    r"""Yields documents in random order, every order as likely as any other.

    They are dealt out at random to files small enough to be shuffled in memory one by one.

    Args:
        documents: texts that have no \0.
        num_bytes: what they take in UTF-8, about.
        folder: for temporary files.
        rng: decides the order.
    """
    with ExitStack() as stack:
        count = num_bytes // BUCKET_BYTES + 1
        buckets = [stack.enter_context(tempfile.TemporaryFile(dir=folder)) for _ in range(count)]
        for document in documents:
            bucket = buckets[int(rng.integers(count))]
            bucket.write(document.encode("utf-8", "surrogatepass") + b"\0")
        for bucket in buckets:
            bucket.seek(0)
            dealt = bucket.read().split(b"\0")[:-1]
            for number in rng.permutation(len(dealt)):
                yield dealt[number].decode("utf-8", "surrogatepass")


def _write_parts(directory: Path, text: Path, share: float) -> None:
    """Writes the data directory's files: all of a text, or its two sides if a share is held out."""
    source = Source((text,))
    if not share:
        write_texts(directory, Stream(source).chunks(), None)
        return
    split = SlicedSplit(source, share)
    held_out, total = sum(piece.end - piece.cut for piece in split.slices), split.slices[-1].end
    console.say(f"held out {held_out:,} of {total:,} characters ({held_out / total:.1%})")
    training, validation = (Stream(source, split, held_out=side) for side in (False, True))
    write_texts(directory, training.chunks(), validation.chunks())


class Report(NamedTuple):
    """Measures of a text."""

    num_bytes: int
    """In UTF-8."""
    num_characters: int
    num_lines: int
    """Ends of lines."""
    longest_line: int
    """In characters."""
    num_foreign: int
    """Characters that are not ASCII."""
    num_words: int
    """Between white space."""
    num_kinds: int
    """Distinct words, counted to `MOST_KINDS`."""
    num_documents: int = 0
    """Where the text is many."""
    documents: str = ""
    """What tells them apart, for training; empty where the text is one."""
    labels: Sequence[tuple[str, int]] = ()
    """Of the documents, and how often each comes, commonest first."""


def measure(chunks: Iterable[str]) -> Report:
    """Returns measures of a text, cut anywhere, after one pass in bounded memory."""
    num_bytes = num_characters = num_lines = num_foreign = num_words = longest_line = line = 0
    kinds: set[str] = set()
    begun = ""  # a word that may go on in the next chunk
    for text in itertools.chain(chunks, [""]):
        data = text.encode("utf-8", "surrogatepass")
        num_bytes += len(data)
        num_characters += len(text)
        if len(data) != len(text):
            num_foreign += len(text) - len(text.encode("ascii", "ignore"))
        first, *others = map(len, text.split("\n"))
        num_lines += len(others)
        longest_line = max(longest_line, line + first, *others)
        line = others[-1] if others else line + first
        words = (begun + text).split()
        goes_on = text and words and not text[-1].isspace() and len(words[-1]) < LONGEST_WORD
        begun = words.pop() if goes_on else ""
        num_words += len(words)
        if len(kinds) < MOST_KINDS:
            kinds.update(words)
    num_kinds = min(len(kinds), MOST_KINDS)
    return Report(
        num_bytes, num_characters, num_lines, longest_line, num_foreign, num_words, num_kinds
    )
