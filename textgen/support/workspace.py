"""The work folder of a data directory: its lock, and the leftovers of crashes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from textgen.support.errors import TextgenError
from textgen.support.files import remove_leftovers, write_atomic

TOKENS = "tokens"
"""The folder of token files, in the work folder."""


def work_folder(data_dir: Path) -> Path:
    """Returns `.textgen`: files that only training needs; safe to delete."""
    return data_dir / ".textgen"


@contextmanager
def exclusive(data_dir: Path) -> Iterator[None]:
    """Lets no other training work in `data_dir` meanwhile, and remove what crashed ones left.

    The lock is the operating system's, so it ends with its process, however that ends.

    Raises:
        TextgenError: if another one does, with its process id.
    """
    folder = work_folder(data_dir)
    with locked(folder, f"training in {data_dir}"):
        write_atomic(folder / ".gitignore", b"*\n")
        for used in (data_dir, data_dir / "latest", data_dir / "previous", folder, folder / TOKENS):
            remove_leftovers(used)
        yield


@contextmanager
def locked(folder: Path, work: str) -> Iterator[None]:
    """Has `folder`, made if missing, for this process alone.

    Args:
        folder: where the lock is.
        work: what is done, for the message to others.

    Raises:
        TextgenError: if another process has it, with its process id.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock, owner = filelock.FileLock(folder / "lock"), folder / "process"
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout as error:
        raise TextgenError(
            f"process {_number_in(owner)} is {work}. Wait until it is done, stop it with Ctrl-C,"
            " or use another `data_dir`"
        ) from error
    try:
        write_atomic(owner, str(os.getpid()).encode())
        yield
    finally:
        lock.release()


def _number_in(path: Path) -> str:
    return path.read_text() if path.exists() else "of unknown number"
