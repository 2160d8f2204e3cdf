"""Token files: the ids of a text on disk, memory-mapped, with a header that says what they are.

The file begins with a line that names the format and the place of the header, which is JSON and
comes last, because much of what it says is known only when the text has been read. Between them
are the ids, of the smallest unsigned type that holds the vocabulary.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textgen.support.files import replacing
from textgen.tokens.tokenizer import StoredIds

FORMAT = "textgen tokens 1"
START = 64
"""Bytes before the first id: they are aligned for every type."""


class TokenFile(NamedTuple):
    """An open token file."""

    header: dict[str, Any]
    ids: StoredIds
    """(N,), read from the disk when they are used."""


def write(
    path: Path, dtype: np.dtype[Any], parts: Iterable[StoredIds],
    header: Callable[[], dict[str, Any]],
) -> TokenFile:  # fmt: skip
    """Write the ids in `parts` and then the header, whole or not at all, and open the file.

    Raises OSError as writing does.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(bytes(START))
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype).data)
        end = file.tell()
        about = header() | {"dtype": dtype.name, "count": (end - START) // dtype.itemsize}
        file.write(json.dumps(about).encode())
        file.seek(0)
        file.write(f"{FORMAT} {end}\n".ljust(START).encode())
    return TokenFile(about, _mapped(path, about))


def stored(path: Path) -> TokenFile | None:
    """Open a token file, or None where there is none, or none that is whole."""
    try:
        with path.open("rb") as file:
            name, end = file.read(START).decode("ascii").rsplit(maxsplit=1)
            file.seek(int(end))
            header = json.loads(file.read())
        if name != FORMAT:
            return None
        return TokenFile(header, _mapped(path, header))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _mapped(path: Path, header: dict[str, Any]) -> StoredIds:
    """Raises ValueError where the file is shorter than its header says."""
    dtype, count = np.dtype(header["dtype"]), int(header["count"])
    if not count:
        return np.zeros(0, dtype)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, dtype, count, START)


def release(ids: StoredIds) -> None:
    """Give back the memory of what was read from a token file; arrays in memory stay.

    The pages are the system's anyway, but count as this process' while they are mapped.
    """
    if isinstance(ids.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        ids.base.madvise(mmap.MADV_DONTNEED)
