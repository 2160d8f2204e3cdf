"""Larger changes of a text that lies on disk, in bounded memory: drops duplicates, shuffles."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from textgen.text.cleaning import split_chunks

BUCKETS = 64
"""Files that digests are dealt out to."""
BUCKET_BYTES = 1 << 26
"""Bytes in a bucket of documents, about: as much is in memory."""
RECORD = np.dtype([("digest", "S16"), ("number", "<u8")])


def split_lines(chunks: Iterable[str]) -> Iterator[str]:
    """Yields the lines of a text, without their ends."""
    return split_chunks(chunks, "\n")


def split_paragraphs(chunks: Iterable[str]) -> Iterator[str]:
    """Yields what stands between blank lines."""
    return (part for unit in split_chunks(chunks, "\n\n") if (part := unit.strip("\n")))


def split_at_lines(chunks: Iterable[str], line: str) -> Iterator[str]:
    """Yields what stands between lines that are `line`."""
    held: list[str] = []
    for found in split_lines(chunks):
        if found == line:
            yield "\n".join(held)
            held = []
        else:
            held.append(found)
    if any(held):
        yield "\n".join(held)


UNITS = {"lines": (split_lines, "\n"), "paragraphs": (split_paragraphs, "\n\n")}
"""Units that may come only once: how to find them in a text, and what to put between them."""


def drop_duplicates(first: Iterable[str], again: Iterable[str], folder: Path) -> Iterator[str]:
    """Yields each unit the first time it comes; blank ones always.

    Units are told apart by 128 bits of BLAKE2. These go to files by their first bits, so that
    equal ones meet in a file that fits into memory (24 bytes a unit, shared by `BUCKETS` files).

    Args:
        first: the units of a text.
        again: the same once more.
        folder: for temporary files.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        repeated = _find_repeated(first, folder, file)
        for number, unit in enumerate(again):
            if not repeated[number]:
                yield unit


def _find_repeated(units: Iterable[str], folder: Path, file: Any) -> npt.NDArray[np.bool_]:
    """Returns whether each unit was there before, (num_units,), as a map of `file`."""
    with ExitStack() as stack:
        buckets = [stack.enter_context(tempfile.TemporaryFile(dir=folder)) for _ in range(BUCKETS)]
        count = 0
        for number, unit in enumerate(units):
            count += 1
            if unit.strip():
                data = unit.encode("utf-8", "surrogatepass")
                digest = hashlib.blake2b(data, digest_size=16).digest()
                buckets[digest[0] % BUCKETS].write(digest + number.to_bytes(8, "little"))
        file.truncate(max(count, 1))
        repeated = np.memmap(file, np.bool_, "r+", shape=(max(count, 1),))
        for bucket in buckets:
            bucket.seek(0)
            records = np.frombuffer(bucket.read(), RECORD)
            _, firsts = np.unique(records["digest"], return_index=True)
            repeated[np.delete(records["number"], firsts)] = True
    return repeated


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
