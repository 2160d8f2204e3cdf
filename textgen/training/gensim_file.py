"""Token vectors out of gensim's own files, which are pickles, without running what is in them.

Such a file is what `KeyedVectors.save` or `Word2Vec.save` of gensim 4 writes. Its larger arrays
are in files of NumPy's beside it.
"""

import gzip
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textgen.model import safe_pickle
from textgen.model.safe_pickle import PickleError, Record
from textgen.support.arrays import Array

BEGINS = b"\x80"
"""The first byte of a pickle; a text in UTF-8 cannot begin with it."""
NUMBERS = ("f2", "f4", "f8")
BYTE_ORDERS = ("<", ">")


class Vectors(NamedTuple):
    """Token vectors of a file."""

    row_of: dict[str, int]
    """By token."""
    rows: Array
    """(V, D)"""


def read(path: Path) -> Vectors:
    """The vectors of gensim's own file `path`, which may be compressed with gzip.

    Raises:
        PickleError: if it is no such file, or a broken one.
        OSError, ValueError: if a file of an array cannot be read.
    """
    data = path.read_bytes()
    if compressed := data.startswith(b"\x1f\x8b"):
        data = gzip.decompress(data)
    found, name = _attributes(safe_pickle.objects(data)), str(path)
    if "wv" in found:  # a whole Word2Vec
        found, name = _attributes(found["wv"]), f"{name}.wv"
    tokens, rows = found.get("index_to_key"), found.get("vectors")
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise PickleError("it has no list of tokens: is it from gensim 4?")
    apart = found.get("__numpys")
    if rows is None and not (isinstance(apart, list) and "vectors" in apart):
        raise PickleError("it has no vectors: is it from FastText?")
    array = _stored(f"{name}.vectors", compressed) if rows is None else _array(rows)
    if array.dtype.kind != "f":
        raise PickleError("its vectors are no plain numbers")
    if array.ndim != 2 or len(array) < len(tokens):
        raise PickleError(f"it has {len(tokens):,} tokens, but vectors of shape {array.shape}")
    return Vectors({token: row for row, token in enumerate(tokens)}, array)


def _attributes(value: Any) -> dict[str, Any]:
    if not isinstance(value, Record):
        raise PickleError("it is not an object of gensim's")
    return value.attributes


def _stored(path: str, compressed: bool) -> Array:
    """An array that has its own file, next to the pickle."""
    if compressed:
        with np.load(f"{path}.npz", allow_pickle=False) as arrays:
            array: Array = arrays["val"]
        return array
    array = np.load(f"{path}.npy", allow_pickle=False, mmap_mode="r")
    return array


def _array(record: Any) -> Array:
    """An array that is in the pickle, made of what `numpy.ndarray.__reduce__` gave."""
    try:
        _version, shape, kind, is_fortran, data = record.state
        code, order = kind.arguments[0], kind.state[1]
        if code not in NUMBERS or order not in BYTE_ORDERS:
            raise TypeError(code)
        array: Array = np.frombuffer(data, np.dtype(order + code))
        return array.reshape(shape, order="F" if is_fortran else "C")
    except (AttributeError, TypeError, IndexError, ValueError) as error:
        raise PickleError("its vectors are no plain numbers") from error
