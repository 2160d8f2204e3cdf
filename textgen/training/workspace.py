"""What surrounds a run in its data directory: the lock, leftovers of crashes, the model before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import filelock

from textgen.model import checkpoint
from textgen.model.checkpoint import Metadata
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import remove_leftovers, write_atomic
from textgen.training.history import judged

PAIR = ("model.h5", "model.pkl")
TOKENS = "tokens"
"""The folder of token files, in the work folder."""


def work_folder(data_dir: Path) -> Path:
    """`.textgen`: files that only training needs; safe to delete."""
    return data_dir / ".textgen"


@contextmanager
def exclusive(data_dir: Path) -> Iterator[None]:
    """Let no other training work in `data_dir` meanwhile, and remove what crashed ones left.

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
    """Have `folder`, made if missing, for this process alone.

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
            " or use another --data-dir"
        ) from error
    try:
        write_atomic(owner, str(os.getpid()).encode())
        yield
    finally:
        lock.release()


def _number_in(path: Path) -> str:
    return path.read_text() if path.exists() else "of unknown number"


def keep_previous(data_dir: Path) -> None:
    """Copy the model of `data_dir` to `previous/`, before a new run replaces it.

    A better model of the same tokens that is there already stays, so that a bad run in between
    does no harm. Files that are no model are moved, but not over a model.
    """
    if not any((data_dir / name).exists() for name in PAIR):
        return
    previous = data_dir / "previous"
    kept = _model_in(previous)
    try:
        current = checkpoint.load(data_dir).metadata
    except TextgenError as error:
        folder = previous / "unreadable" if kept else previous
        console.warn(f"the old files are put into {folder} as they are: {error}")
        _move_pair(data_dir, folder)
        return
    if kept is None or not _is_better(kept, current):
        checkpoint.save(previous, current, partial(shutil.copyfile, data_dir / "model.h5"))


def _model_in(folder: Path) -> Metadata | None:
    try:
        return checkpoint.load(folder).metadata
    except TextgenError:
        return None


def _move_pair(data_dir: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in PAIR:
        if (data_dir / name).exists():
            (data_dir / name).replace(folder / name)


def _is_better(kept: Metadata, current: Metadata) -> bool:
    alike = kept.tokenizer.vocabulary == current.tokenizer.vocabulary and (
        "val_loss" in kept.results
    ) == ("val_loss" in current.results)
    return alike and judged(kept.results) < judged(current.results)
