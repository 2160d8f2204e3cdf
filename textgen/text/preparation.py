"""Text files -> a data directory: decoded, cleaned, deduplicated, shuffled, and one part held out.

Files of any size: the text goes through a chain of steps, each of which holds a piece of it. What
has to be read more than once lies in a temporary folder of the data directory meanwhile.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import filelock
import numpy as np

from textgen.settings.definitions import CorpusSettings
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import explained, make_folder
from textgen.text import decoding, documents
from textgen.text.cleaning import gutenberg_books, join_texts, trim_newlines, unwrap_chunks
from textgen.text.sources import CHUNK, Source, open_text, write_text, write_texts
from textgen.text.splitting import Split, Stream

HEAD = 1 << 26
"""Bytes by which the encoding of a file is told."""
MOST_KINDS = 1_000_000
"""Distinct words that a report tells apart: about 100 MB."""
FIRST_MARK = 1_000
"""Words after which a report counts the distinct ones first."""
LONGEST_WORD = 1 << 16
"""Characters after which a report takes a word to end."""


def prepare(directory: Path, files: Sequence[str], settings: CorpusSettings) -> Report:
    """Makes a data directory of text files, joined in their order; returns measures of the text.

    Files may be compressed (.gz, .zst), in UTF-8, UTF-16 or cp1252, and pipes.

    Raises:
        TextgenError: if that cannot be; a folder that is there is then as it was.
    """
    with _made_folder(directory), explained(directory), _work_folder(directory) as work:
        paths = [_repeatable(Path(name), work) for name in files]
        _check_room(paths, directory)
        text = work / "clean.txt"
        if write_text(text, _join_files(paths, files, settings)) == (0, 0):
            raise TextgenError(f"no text in {', '.join(files)}: give a file with text")
        if settings.dedupe:
            text = _drop_duplicates(text, settings.dedupe)
        if settings.shuffle_documents:
            text = _shuffle(text, settings.shuffle_documents, settings.random_seed)
        report = measure(_chunks(text))
        _write_parts(directory, text, settings.validation_split)
    return report


@contextmanager
def _made_folder(directory: Path) -> Iterator[None]:
    """Makes a folder, and takes it away again if the work fails."""
    made = [path for path in (directory, *directory.parents) if not path.exists()]
    make_folder(directory)
    try:
        yield
    except BaseException:
        if made:
            shutil.rmtree(made[-1], ignore_errors=True)
        raise


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


def _repeatable(path: Path, work: Path) -> Path:
    """Returns where a file can be read repeatedly: a pipe is copied."""
    if path.is_dir():
        raise TextgenError(f"{path} is a folder: give a text file")
    if path.is_file():
        return path
    copy = Path(tempfile.mkdtemp(dir=work)) / path.name
    with path.open("rb") as pipe, copy.open("wb") as file:
        shutil.copyfileobj(pipe, file)
    return copy


def _check_room(paths: list[Path], directory: Path) -> None:
    """Raises TextgenError if the disk cannot take two copies of a text, one of them temporary."""
    needed = 2 * sum(path.stat().st_size for path in paths)
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise TextgenError(
            f"making {directory} needs about {needed / 1e9:,.3f} GB on its disk, and"
            f" {free / 1e9:,.3f} GB are free. Free some space, or choose a folder on a larger disk"
        )


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
    encoding = detect_file_encoding(path)
    shown = encoding.replace("-sig", " with byte order mark")
    chunks = _measured(decode_file(path, encoding), f"read {name}: {shown},")
    if settings.strip_gutenberg:
        if next(gutenberg_books(decode_file(path, encoding)), None) is None:
            console.warn(f"{name} has no Project Gutenberg START line: nothing stripped")
        else:
            books = join_texts(gutenberg_books(chunks), "\n\n")
            chunks = _measured(itertools.chain(books, "\n"), "stripped to")
    if settings.unwrap:
        chunks = _measured(unwrap_chunks(chunks), "unwrapped to")
    yield from chunks


def detect_file_encoding(path: Path) -> str:
    """Returns the codec of a text file, by its first 64 MB. Raises TextgenError if it has none."""
    with open_text(path) as (file, _):
        head = file.read(HEAD)
    if len(head) == HEAD and 0 not in head:  # UTF-8 may end within a character
        head = head[: head.rfind(b"\n") + 1 or HEAD]
    return decoding.detect_encoding(head, str(path))


def decode_file(path: Path, encoding: str) -> Iterator[str]:
    """Yields the text of a file; see `decoding.decode_blocks`."""
    with open_text(path) as (file, _):
        blocks = iter(lambda: file.read(CHUNK), b"")
        yield from decoding.decode_blocks(blocks, encoding, str(path))


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


def _drop_duplicates(text: Path, unit: str) -> Path:
    """Writes the text without repeated units in place of it; returns where."""
    split_units, between = documents.UNITS[unit]
    first, again = split_units(_chunks(text)), split_units(_chunks(text))
    result = text.with_name("dedupe.txt")
    write_text(result, join_texts(documents.drop_duplicates(first, again, text.parent), between))
    before, after = text.stat().st_size, result.stat().st_size
    console.say(
        f"left out repeated {unit}: {(before - after) / 1e6:,.1f} of {before / 1e6:,.1f} MB"
    )
    text.unlink()
    return result


def _shuffle(text: Path, line: str, random_seed: int) -> Path:
    """Writes the documents of the text in random order in place of it; returns where.

    They end at lines that are `line`; a newline stands for a blank one.
    """
    chunks, line = _chunks(text), line.rstrip("\n")
    found = documents.split_at_lines(chunks, line) if line else documents.split_paragraphs(chunks)
    rng = np.random.default_rng(random_seed)
    result = text.with_name("shuffled.txt")
    shuffled = documents.shuffle(found, text.stat().st_size, text.parent, rng)
    write_text(result, join_texts(shuffled, f"\n{line}\n"))
    console.say(f"shuffled the documents, which end at {line or 'blank lines'}")
    text.unlink()
    return result


def _write_parts(directory: Path, text: Path, share: float) -> None:
    """Writes the data directory's files: all of a text, or its two sides if a share is held out."""
    source = Source((text,))
    if not share:
        write_texts(directory, Stream(source).chunks(), None)
        return
    split = Split(source, share)
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
    word_kinds: list[tuple[int, int]]
    """The first 1,000, 10,000, ... and all words, and how many are distinct (to `MOST_KINDS`)."""


def measure(chunks: Iterable[str]) -> Report:
    """Returns measures of a text, cut anywhere, after one pass in bounded memory."""
    num_bytes = num_characters = num_lines = num_foreign = longest_line = line = 0
    words = _WordCounter()
    for text in chunks:
        data = text.encode("utf-8", "surrogatepass")
        num_bytes += len(data)
        num_characters += len(text)
        if len(data) != len(text):
            num_foreign += len(text) - len(text.encode("ascii", "ignore"))
        first, *others = map(len, text.split("\n"))
        num_lines += len(others)
        longest_line = max(longest_line, line + first, *others)
        line = others[-1] if others else line + first
        words.read(text)
    return Report(num_bytes, num_characters, num_lines, longest_line, num_foreign, words.finish())


class _WordCounter:
    """Counts the words of a text, and the distinct ones among the first 1,000, 10,000, ..."""

    def __init__(self) -> None:
        self._count = 0
        self._kinds: set[str] = set()
        self._points: list[tuple[int, int]] = []
        self._mark = FIRST_MARK
        self._begun = ""

    def read(self, text: str) -> None:
        """Counts the words of the next chunk, but for one at its end that may go on."""
        words = (self._begun + text).split()
        goes_on = bool(words) and not text[-1:].isspace() and len(words[-1]) < LONGEST_WORD
        self._begun = words.pop() if goes_on else ""
        self._add(words)

    def finish(self) -> list[tuple[int, int]]:
        """Returns numbers of words, all of them last, and of the distinct ones among them."""
        self._add(self._begun.split())
        self._note()
        return self._points

    def _add(self, words: list[str]) -> None:
        while self._count + len(words) >= self._mark:
            before = self._mark - self._count
            self._remember(words[:before])
            words = words[before:]
            self._note()
            self._mark *= 10
        self._remember(words)

    def _note(self) -> None:
        self._points.append((self._count, min(len(self._kinds), MOST_KINDS)))

    def _remember(self, words: list[str]) -> None:
        self._count += len(words)
        if len(self._kinds) < MOST_KINDS:
            self._kinds.update(words)
