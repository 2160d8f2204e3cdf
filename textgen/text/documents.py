"""Larger changes of a text that lies on disk, in bounded memory: dropping duplicates, shuffling."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from textgen.text.decoding import parts

BUCKETS = 64
BUCKET_BYTES = 1 << 26
"""What a bucket of documents holds, about: as much is in memory."""
BLOCK = 1 << 16
"""Units that are looked at together."""
RECORD = np.dtype([("high", "<u8"), ("low", "<u8"), ("number", "<u8")])


def lines(chunks: Iterable[str]) -> Iterator[str]:
    """The lines of a text, without their ends."""
    return parts(chunks, "\n")


def paragraphs(chunks: Iterable[str]) -> Iterator[str]:
    """What stands between blank lines."""
    return (part for unit in parts(chunks, "\n\n") if (part := unit.strip("\n")))


def ended_by(chunks: Iterable[str], line: str) -> Iterator[str]:
    """What stands between lines that are `line`."""
    held: list[str] = []
    for found in lines(chunks):
        if found == line:
            yield "\n".join(held)
            held = []
        else:
            held.append(found)
    if any(held):
        yield "\n".join(held)


UNITS = {"lines": (lines, "\n"), "paragraphs": (paragraphs, "\n\n")}
"""What may come only once: how it is found in a text, and what is between."""


def without_duplicates(first: Iterable[str], again: Iterable[str], folder: Path) -> Iterator[str]:
    """Yield each unit the first time it comes; blank ones always.

    Units are told apart by 128 bits of BLAKE2. Their hashes go to files by their first bits, so
    that equal ones meet in one that fits into memory.

    Args:
        first: the units of a text.
        again: the same once more.
        folder: for temporary files.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        repeated = _repeated(first, folder, file)
        for number, unit in enumerate(again):
            if not repeated[number]:
                yield unit


def _repeated(found: Iterable[str], folder: Path, file: Any) -> npt.NDArray[np.bool_]:
    """Whether each unit was there before; a map of `file`."""
    with ExitStack() as stack:
        buckets = [stack.enter_context(tempfile.TemporaryFile(dir=folder)) for _ in range(BUCKETS)]
        count = 0
        for block in _blocks(found):
            records = _records(block, count)
            count += len(block)
            for bucket, target in enumerate(buckets):
                target.write(records[records["high"] % BUCKETS == bucket].tobytes())
        file.truncate(max(count, 1))
        repeated = np.memmap(file, np.bool_, "r+", shape=(max(count, 1),))
        for source in buckets:
            source.seek(0)
            repeated[_later_ones(np.frombuffer(source.read(), RECORD))] = True
    return repeated


def _blocks(found: Iterable[str]) -> Iterator[list[str]]:
    block: list[str] = []
    for unit in found:
        block.append(unit)
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block


def _records(block: list[str], start: int) -> npt.NDArray[Any]:
    """Hash and number of the units that are not blank."""
    records = np.zeros(len(block), RECORD)
    data = b"".join(
        hashlib.blake2b(unit.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        for unit in block
    )
    halves = np.frombuffer(data, "<u8").reshape(-1, 2)
    records["high"], records["low"] = halves[:, 0], halves[:, 1]
    records["number"] = np.arange(start, start + len(block))
    return records[[bool(unit.strip()) for unit in block]]


def _later_ones(records: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The numbers of units that have the hash of an earlier one."""
    ordered = records[np.lexsort((records["number"], records["low"], records["high"]))]
    same = (ordered["high"][1:] == ordered["high"][:-1]) & (
        ordered["low"][1:] == ordered["low"][:-1]
    )
    return np.asarray(ordered["number"][1:][same])


def shuffled(
    found: Iterable[str], num_bytes: int, folder: Path, rng: np.random.Generator
) -> Iterator[str]:
    r"""Yield documents (that have no \0) in random order, every order as likely as any other.

    They are dealt out at random to files small enough to be shuffled in memory one by one.
    """
    with ExitStack() as stack:
        count = num_bytes // BUCKET_BYTES + 1
        buckets = [stack.enter_context(tempfile.TemporaryFile(dir=folder)) for _ in range(count)]
        for document in found:
            bucket = buckets[int(rng.integers(count))]
            bucket.write(document.encode("utf-8", "surrogatepass") + b"\0")
        for bucket in buckets:
            bucket.seek(0)
            documents = bucket.read().split(b"\0")[:-1]
            for number in rng.permutation(len(documents)):
                yield documents[number].decode("utf-8", "surrogatepass")
