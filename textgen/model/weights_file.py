"""Reads plain arrays out of an HDF5 file, and follows nothing that leads out of them.

HDF5 can do much that a file of weights has no use for: links into other files, data kept in
other files, filters that unpack a kilobyte to a terabyte, arrays that are declared but not there.
Only hard links and whole, unfiltered float32 arrays of the expected shapes are taken, and none
before it is certain that the file is as large as all of them together.

The HDF5 library is written in C and has errors that a broken file can use. Two of them, found by
fuzzing, are in HDF5 1.14.6 (h5py 3.14) and in 2.0.0 (h5py 3.16) alike, and are kept from it here:
a superblock's extension may bring an image of the library's own memory, of which one broken file in
300 ended the process with a segmentation fault (see also CVE-2025-6269); and a heap of texts with
an entry of no size is read for ever. Keras writes no such extension, so a file with one is refused.
"""

import math
import mmap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeAlias

import h5py
import numpy as np

from textgen.model.architecture import Array
from textgen.support.errors import TextgenError

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]

MAX_BYTES = 2 * 2**30
"""All arrays together: 500 million weights, and more than one wants to wait for without a GPU."""
MAX_TEXT = 2**20
"""Length of an attribute; Keras' description of a model takes a kilobyte per layer."""
SIGNATURE = b"\x89HDF\r\n\x1a\n"
EXTENSION_PLACES = {0: 48, 1: 52, 2: 20, 3: 20}
"""By version of the superblock, where it has the address of what extends it: the driver's block
or the extension. HDF5 File Format Specification 3.0, section II.A."""
NO_ADDRESS = b"\xff" * 8
HEAP = b"GCOL\x01\0\0\0"
"""The first bytes of a global heap, which keeps texts; section III.E of the specification."""
HEADER_SIZE = 16
"""Of a heap and of each entry in it, bytes."""


class WeightsFile:
    """An open HDF5 file; `with` closes it.

    Args:
        path: the file.

    Raises:
        TextgenError: here and in every method, if the file is not as it should be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._reading():
            if not _is_simple(path):
                raise self._damaged("it does not begin like a file of Keras")
            self._file = h5py.File(path, "r")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def text(self, name: str) -> str | None:
        """Returns the text attribute `name` of the file, None if there is none."""
        with self._reading():
            if name not in self._file.attrs:
                return None
            attribute = self._file.attrs.get_id(name)
            is_text = isinstance(attribute.get_type(), h5py.h5t.TypeStringID)
            if attribute.shape != () or not is_text or attribute.get_storage_size() > MAX_TEXT:
                raise self._damaged(f"its attribute {name} is not a text")
            if not _heaps_end(self.path):
                raise self._damaged("its heap of texts does not end")
            value = self._file.attrs[name]
            text = value.decode() if isinstance(value, bytes) else str(value)
            return text[:MAX_TEXT]

    def arrays(self, shapes: Shapes) -> dict[str, Array]:
        """Returns the arrays at the paths of `shapes`, copied out of the file.

        Raises:
            TextgenError: if one is not there as a float32 array of its shape, or has a value
                that is not a finite number.
        """
        with self._reading():
            size = 4 * sum(map(math.prod, shapes.values()))
            if size > min(self._file.id.get_filesize(), MAX_BYTES):
                raise self._damaged(f"it cannot hold the {size:,} bytes of weights of its model")
            datasets = {path: self._dataset(path, shape) for path, shape in shapes.items()}
            return {path: self._read(path, dataset) for path, dataset in datasets.items()}

    def children(self, path: str) -> list[str]:
        """Returns the names in the group at `path`, in order; none if it is not a group."""
        with self._reading():
            found = self._found(path)
            return sorted(found) if isinstance(found, h5py.Group) else []

    def _found(self, path: str) -> Any:
        """Returns the object at `path`, None unless hard links lead to it."""
        found = self._file
        for name in path.split("/"):
            link = found.get(name, getlink=True) if isinstance(found, h5py.Group) else None
            if not isinstance(link, h5py.HardLink):
                return None
            found = found[name]
        return found

    def _dataset(self, path: str, shape: tuple[int, ...]) -> h5py.Dataset:
        found = self._found(path)
        if not isinstance(found, h5py.Dataset) or not _is_plain(found, shape):
            raise self._damaged(
                f"it has no plain float32 array {path[:100]!r} of shape {shape}, which its"
                " metadata calls for"
            )
        return found

    def _read(self, path: str, dataset: h5py.Dataset) -> Array:
        array: Array = dataset[...]
        if not np.isfinite(array).all():
            raise TextgenError(
                f"{self.path} has weights that are not finite numbers, in {path[:100]!r}: its"
                " training diverged. Train again with a lower `learning_rate`"
            )
        return array

    def _damaged(self, problem: str) -> TextgenError:
        return TextgenError(
            f"{self.path} is damaged: {problem}. Train again, or copy an intact file"
        )

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Raises TextgenError for what h5py raises on broken files, which is of many types."""
        try:
            yield
        except TextgenError:
            raise
        except Exception as error:
            raise TextgenError(
                f"{self.path} cannot be read as an HDF5 file. Train again, or copy an intact file"
            ) from error


def _is_simple(path: Path) -> bool:
    """Returns whether the file begins with an HDF5 superblock that nothing extends."""
    with path.open("rb") as file:
        head = file.read(60)
    place = EXTENSION_PLACES.get(head[8]) if head.startswith(SIGNATURE) and head[9:] else None
    return place is not None and head[place : place + 8] == NO_ADDRESS


def _heaps_end(path: Path) -> bool:
    """Returns whether the entries of every global heap in the file lead to its end."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data.find(HEAP)
        while start >= 0:
            if not _heap_ends(data, start):
                return False
            start = data.find(HEAP, start + 1)
    return True


def _heap_ends(data: mmap.mmap, start: int) -> bool:
    end = start + _number(data, start + 8, 8)
    place = start + HEADER_SIZE
    while place + HEADER_SIZE <= end <= len(data):
        size = _number(data, place + 8, 8)
        is_free = _number(data, place, 2) == 0  # its size includes the header
        step = size if is_free else HEADER_SIZE + -(-size // 8) * 8
        if step < HEADER_SIZE:
            return False
        place += step
    return place <= end <= len(data)


def _number(data: mmap.mmap, place: int, size: int) -> int:
    return int.from_bytes(data[place : place + size], "little")


def _is_plain(dataset: h5py.Dataset, shape: tuple[int, ...]) -> bool:
    """Returns whether `dataset` is wholly in its file, and there as it is in memory."""
    plan = dataset.id.get_create_plist()
    return bool(
        dataset.id.shape == shape
        and dataset.id.get_type() == h5py.h5t.IEEE_F32LE
        and plan.get_layout() == h5py.h5d.CONTIGUOUS
        and plan.get_external_count() == 0
        and dataset.id.get_storage_size() == 4 * math.prod(shape)
    )
