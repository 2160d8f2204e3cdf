"""Files that outlast crashes: atomic writes, and the work folder of a data directory with its lock.

A reader sees the old file or the whole new one, whenever a crash comes.
"""

import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from textgen.support import console
from textgen.support.errors import TextgenError

LEFTOVER = re.compile(r"\..+\.[0-9a-f]{8}\.tmp(\.\w+)?")
"""The names that `replacing` gives to its temporary files."""
STANDARD_INPUT = "-"
"""Stands for what is piped into a command, in place of a file."""
TOKENS = "tokens"
"""The folder of token files, in the work folder."""
LATEST, PREVIOUS = "latest", "previous"
"""The folders of other models in a data directory: the newest, and that of the run before."""


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


def refuse_needed(path: Path, needed: Iterable[Path]) -> None:
    """Raises TextgenError if a file to be written would replace one that is needed."""
    for other in needed:
        if path.exists() and other.exists() and path.samefile(other):
            raise TextgenError(
                f"{path} is what is read here, or belongs to the model, and would be replaced: give"
                " another file"
            )


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all. Raises TextgenError where that cannot be."""
    with explained(path), replacing(path) as temporary:
        temporary.write_bytes(data)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it. Raises TextgenError where that cannot be."""
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Makes a folder and those above it, and takes them away again if the work fails."""
    made = []
    with explained(folder):
        for path in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
            with suppress(FileExistsError):  # another process was first, so that it is not ours
                path.mkdir()
                made.append(path)
    make_folder(folder)
    try:
        yield
    except BaseException:
        if made:
            shutil.rmtree(made[0], ignore_errors=True)
        raise


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of writers in `folder` that were killed; none may be at work."""
    for path in folder.glob(".*.tmp*"):
        if not LEFTOVER.fullmatch(path.name):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


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


def check_room(folder: Path, needed: float, work: str) -> None:
    """Raises TextgenError if the disk of a folder has not the bytes that some work needs."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise TextgenError(
            f"{work} needs about {console.size(needed)} in {folder}, and {console.size(free)} are"
            " free. Free some space, or use a folder on a larger disk"
        )


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
        for used in (data_dir, data_dir / LATEST, data_dir / PREVIOUS, folder, folder / TOKENS):
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
    import filelock  # here, so that generating starts without it

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
