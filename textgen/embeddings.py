"""Token vectors that were learned elsewhere: word2vec, GloVe and gensim files."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textgen.errors import TextgenError
from textgen.network import Array

PICKLE = b"\x80"
"""What a file of gensim's own begins with."""


class Pretrained(NamedTuple):
    """Vectors for a vocabulary."""

    rows: Array
    """(V, D)"""
    found: int
    """How many of the rows are from the file."""


def load(path: Path, vocabulary: list[str], size: int, random_seed: int | None) -> Pretrained:
    """The vectors of `vocabulary`; a token that the file has not is looked for in lower case.

    The others are drawn with the mean and the deviation of those found, number by number, so that
    they are of the same size and none stands out.

    Args:
        path: vectors as word2vec (text or binary), GloVe or gensim write them, also gzipped.
            gensim's own files are pickles: reading one can run code, so know where it is from.
        vocabulary: index = token id.
        size: D, `--embedding-size`.
        random_seed: for the others.

    Raises:
        TextgenError: if gensim is missing, the file cannot be read, has vectors of another size,
            or none that is asked for.
    """
    if importlib.util.find_spec("gensim") is None:
        raise TextgenError("--word2vec needs gensim. Install it: pip install gensim")
    vectors = _read(path)
    if vectors.vector_size != size:
        raise TextgenError(
            f"{path} has vectors of {vectors.vector_size} numbers. Received: --embedding-size"
            f" {size}. Use --embedding-size {vectors.vector_size}"
        )
    known = {n: _vector(vectors, token) for n, token in enumerate(vocabulary)}
    present = {n: vector for n, vector in known.items() if vector is not None}
    if not present:
        raise TextgenError(f"{path} has none of the {len(vocabulary):,} tokens. Leave it out")
    own, rng = np.stack(list(present.values())), np.random.default_rng(random_seed)
    rows = own.mean(axis=0) + own.std(axis=0) * rng.standard_normal((len(vocabulary), size))
    rows[list(present)] = own
    return Pretrained(rows.astype(np.float32), len(present))


def _vector(vectors: Any, token: str) -> Array | None:
    for name in (token, token.lower()):
        if name in vectors:
            vector: Array = vectors[name]
            return vector
    return None


def _read(path: Path) -> Any:
    """Gensim's `KeyedVectors`."""
    from gensim.models import KeyedVectors  # here, because it is optional and takes a second

    try:
        first, second = _beginning(path)
        if first.startswith(PICKLE):
            loaded = KeyedVectors.load(str(path))
            return getattr(loaded, "wv", loaded)
        has_header = len(first.split()) == 2
        return KeyedVectors.load_word2vec_format(
            str(path), binary=has_header and not _is_text(second), no_header=not has_header
        )
    except Exception as error:  # gensim raises whatever its parsing meets
        reason = " ".join(str(error).split())
        raise TextgenError(
            f"{path} cannot be read as vectors of word2vec, GloVe or gensim ({reason})"
        ) from error


def _beginning(path: Path) -> tuple[bytes, bytes]:
    """The first two lines, out of gzip if it is that, the second up to 10,000 bytes."""
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if is_gzip else path.open("rb") as file:
        return file.readline(10_000), file.readline(10_000)


def _is_text(line: bytes) -> bool:
    """Whether `line` is a word and numbers after it."""
    try:
        return all(np.isfinite([float(number) for number in line.split()[1:]]))
    except ValueError:
        return False
