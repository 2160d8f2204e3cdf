"""Atomic writes: a reader sees the old file or the whole new one, whenever a crash comes."""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from textgen.support.errors import TextgenError

LEFTOVER = re.compile(r"\..+\.[0-9a-f]{8}\.tmp(\.\w+)?")
"""The names that `replacing` gives to its temporary files."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to; when the block ends well, that file takes the place of `path`.

    The temporary file is in the folder of `path` (a rename is atomic only within a file system)
    and keeps its ending (".h5"), because some writers choose the format by it. It is gone after
    an error or Ctrl-C, and `path` is then as it was. A symbolic link stays one.
    Raises OSError as writing does.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(4)}.tmp{target.suffix}")
    try:
        yield temporary
        sync_file(temporary)
        temporary.replace(target)
        _sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def explained(path: Path | str) -> Iterator[None]:
    """Turn what fails while writing to `path` into a TextgenError that says what to do.

    Not so that the reader of a pipe is gone, which is no error.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise TextgenError(
            f"cannot write {path} ({error.strerror or error}): check the folder, its permissions"
            " and the free space"
        ) from error


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all. Raises TextgenError where that cannot be."""
    with explained(path), replacing(path) as temporary:
        temporary.write_bytes(data)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it. Raises TextgenError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TextgenError(
            f"cannot make the folder {folder} ({error.strerror}): choose another"
        ) from error


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of writers in `folder` that were killed; none may be at work."""
    for path in folder.glob(".*.tmp*"):
        if LEFTOVER.fullmatch(path.name):
            path.unlink()


def sync_file(path: Path) -> None:
    """Make what was written to `path` durable."""
    with path.open("r+b") as file:  # Windows syncs only a file that is open for writing
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable, where folders can be opened (not on Windows)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def stamp(path: Path) -> tuple[int, ...]:
    """Tells a file from another that has taken its place; empty where there is none."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_ino, found.st_mtime_ns, found.st_size)
