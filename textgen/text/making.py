"""Text files -> a data directory.

Files of any size: the text goes through a chain of steps, each of which holds a piece of it. What
has to be read more than once lies in a temporary folder of the data directory meanwhile.
"""

import argparse
import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import numpy as np

from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import explained, make_folder
from textgen.text import documents
from textgen.text.cleaning import cleaned, joined
from textgen.text.decoding import without_edge_newlines
from textgen.text.report import Report
from textgen.text.sources import Source
from textgen.text.splitting import Split, Stream
from textgen.text.writing import write, write_texts


def make(directory: Path, options: argparse.Namespace) -> None:
    """Make a data directory as the command's options say.

    Raises TextgenError where it cannot be; a folder that is there is then as it was.
    """
    with _folder(directory), explained(directory), _work(directory) as work:
        paths = [_readable(Path(name), work) for name in options.texts]
        _check_room(paths, directory)
        text = work / "clean.txt"
        if write(text, _joined(paths, options)) == (0, 0):
            raise TextgenError(f"no text in {', '.join(options.texts)}: give a file with text")
        if options.dedupe:
            text = _deduplicated(text, options.dedupe)
        if options.shuffle_documents is not None:
            text = _shuffled(text, options.shuffle_documents, options.random_seed)
        for line in Report().read(_chunks(text)).lines():
            console.say(line)
        _write_parts(directory, text, options.validation_split)


@contextmanager
def _folder(directory: Path) -> Iterator[None]:
    """Make a folder, and take it away again where the work fails."""
    made = [path for path in (directory, *directory.parents) if not path.exists()]
    make_folder(directory)
    try:
        yield
    except BaseException:
        if made:
            shutil.rmtree(made[-1], ignore_errors=True)
        raise


@contextmanager
def _work(directory: Path) -> Iterator[Path]:
    """A folder for what is read more than once; those that killed processes left go.

    Each is locked by its process. The lock is the operating system's, so it ends with that.
    """
    for folder in directory.glob(".corpus-*"):
        with contextlib.suppress(filelock.Timeout), _lock(folder):
            shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".corpus-", dir=directory) as work, _lock(Path(work)):
        yield Path(work)


def _lock(folder: Path) -> filelock.BaseFileLock:
    return filelock.FileLock(folder / "lock", blocking=False)


def _readable(path: Path, work: Path) -> Path:
    """Where a file can be read repeatedly: a pipe is copied."""
    if path.is_dir():
        raise TextgenError(f"{path} is a folder: give a text file")
    if path.is_file():
        return path
    copy = Path(tempfile.mkdtemp(dir=work)) / path.name
    with path.open("rb") as pipe, copy.open("wb") as file:
        shutil.copyfileobj(pipe, file)
    return copy


def _check_room(paths: list[Path], directory: Path) -> None:
    """Refuse a text of which the disk cannot take two copies, one of them temporary."""
    needed = 2 * sum(path.stat().st_size for path in paths)
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise TextgenError(
            f"making {directory} needs about {needed / 1e9:,.3f} GB on its disk, and"
            f" {free / 1e9:,.3f} GB are free. Free some space, or give an --out on a larger disk"
        )


def _joined(paths: list[Path], options: argparse.Namespace) -> Iterator[str]:
    """The cleaned texts with a blank line between them."""
    for number, (path, name) in enumerate(zip(paths, options.texts, strict=True)):
        if number:
            yield "\n\n"
        chunks = cleaned(path, name, options.strip_gutenberg, options.unwrap)
        yield from without_edge_newlines(chunks)


def _chunks(path: Path) -> Iterator[str]:
    return (chunk.text for chunk in Source((path,)).read())


def _deduplicated(text: Path, unit: str) -> Path:
    units, between = documents.UNITS[unit]
    kept = documents.without_duplicates(units(_chunks(text)), units(_chunks(text)), text.parent)
    result = text.with_name("dedupe.txt")
    write(result, joined(kept, between))
    before, after = text.stat().st_size, result.stat().st_size
    console.say(
        f"left out repeated {unit}: {(before - after) / 1e6:,.1f} of {before / 1e6:,.1f} MB"
    )
    text.unlink()
    return result


def _shuffled(text: Path, line: str, random_seed: int) -> Path:
    chunks = _chunks(text)
    found = documents.ended_by(chunks, line) if line else documents.paragraphs(chunks)
    rng = np.random.default_rng(random_seed)
    result = text.with_name("shuffled.txt")
    shuffled = documents.shuffled(found, text.stat().st_size, text.parent, rng)
    write(result, joined(shuffled, f"\n{line}\n"))
    console.say(f"shuffled the documents, which end at {line or 'blank lines'}")
    text.unlink()
    return result


def _write_parts(directory: Path, text: Path, share: float) -> None:
    """Write the data directory's files: all of a text, or its parts where a share is held out."""
    source = Source((text,))
    if not share:
        write_texts(directory, Stream(source).chunks(), None)
        return
    split = Split(source, share)
    held_out, total = sum(piece.end - piece.cut for piece in split.slices), split.slices[-1].end
    console.say(f"held out {held_out:,} of {total:,} characters ({held_out / total:.1%})")
    parts = [Stream(source, split, held_out=side).chunks() for side in (False, True)]
    write_texts(directory, *parts)
