"""Token vectors that were learned elsewhere: word2vec, GloVe and gensim files."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path
from typing import NamedTuple

import numpy as np

from textgen.support.arrays import Array
from textgen.support.errors import TextgenError
from textgen.training import gensim_file
from textgen.training.gensim_file import Vectors


class Pretrained(NamedTuple):
    """Vectors for a vocabulary."""

    rows: Array
    """(V, D)"""
    found: int
    """How many of the rows are from the file."""


def check(path: Path) -> None:
    """Raise TextgenError if gensim is missing or `path` cannot be opened."""
    if importlib.util.find_spec("gensim") is None:
        raise TextgenError("--word2vec needs gensim. Install it: pip install gensim")
    try:
        path.open("rb").close()
    except OSError as error:
        raise _unreadable(path, error) from error


def load(path: Path, vocabulary: list[str], size: int, random_seed: int | None) -> Pretrained:
    """The vectors of `vocabulary`; a token that the file has not is looked for in lower case.

    The others are drawn with the mean and the deviation of those found, number by number, so that
    they are of the same size and none stands out.

    Args:
        path: vectors as word2vec (text or binary), GloVe or gensim write them, also gzipped.
            Nothing in it is run, though gensim's own format is a pickle.
        vocabulary: index = token id.
        size: D, `--embedding-size`.
        random_seed: for the others.

    Raises:
        TextgenError: if gensim is missing, the file cannot be read, has vectors of another size,
            or none that is asked for.
    """
    check(path)
    vectors = _read(path)
    if (length := vectors.rows.shape[1]) != size:
        raise TextgenError(
            f"{path} has vectors of {length} numbers. Received: --embedding-size {size}. Use"
            f" --embedding-size {length}"
        )
    known = {n: _vector(vectors, token) for n, token in enumerate(vocabulary)}
    present = {n: vector for n, vector in known.items() if vector is not None}
    if not present:
        raise TextgenError(f"{path} has none of the {len(vocabulary):,} tokens. Leave it out")
    own, rng = np.stack(list(present.values())), np.random.default_rng(random_seed)
    rows = own.mean(axis=0) + own.std(axis=0) * rng.standard_normal((len(vocabulary), size))
    rows[list(present)] = own
    return Pretrained(rows.astype(np.float32), len(present))


def _vector(vectors: Vectors, token: str) -> Array | None:
    for name in (token, token.lower()):
        if name in vectors.row_of:
            vector: Array = vectors.rows[vectors.row_of[name]]
            return vector
    return None


def _read(path: Path) -> Vectors:
    from gensim.models import KeyedVectors  # here, because it is optional and takes a second

    try:
        first, second = _beginning(path)
        if first.startswith(gensim_file.BEGINS):
            return gensim_file.read(path)
        has_header = len(first.split()) == 2
        loaded = KeyedVectors.load_word2vec_format(
            str(path), binary=has_header and not _is_text(second), no_header=not has_header
        )
        return Vectors(loaded.key_to_index, loaded.vectors)
    except OSError as error:
        raise _unreadable(path, error) from error
    except Exception as error:  # gensim raises whatever its parsing meets
        reason = " ".join(str(error).split())
        raise TextgenError(
            f"{path} cannot be read as vectors of word2vec, GloVe or gensim ({reason}): have gensim"
            " write it with save_word2vec_format"
        ) from error


def _unreadable(path: Path, error: OSError) -> TextgenError:
    return TextgenError(
        f"{error.filename or path} cannot be read ({error.strerror or error}): give --word2vec the"
        " path of a file with vectors"
    )


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
