"""What a run starts from: counts of tokens, vectors of other programs, weights of a model."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from textgen.model import safe_pickle
from textgen.model.architecture import Array, describe_layers
from textgen.model.safe_pickle import PickleError, Record
from textgen.settings.definitions import ModelSettings
from textgen.support.errors import TextgenError
from textgen.tokens.tokenizer import StoredIds

GZIP = b"\x1f\x8b"
PICKLE = b"\x80"
"""The first byte of a pickle; a text in UTF-8 cannot begin with it."""
NUMBERS = ("f2", "f4", "f8")
BYTE_ORDERS = ("<", ">")
COUNTED_AT_ONCE = 1 << 20
"""Tokens; a count of them needs 8 bytes for each."""
NOISE = 0.1
"""Standard deviation of what is added to new rows, as a share of the old rows' own."""


Vectors: TypeAlias = tuple[dict[str, int], Array]
"""The rows of tokens in an array (V, D), and the array."""


def check_vectors(path: Path) -> None:
    """Raises TextgenError if gensim is missing or `path` cannot be opened."""
    if importlib.util.find_spec("gensim") is None:
        raise TextgenError("`word2vec` needs gensim. Install it: pip install gensim")
    try:
        path.open("rb").close()
    except OSError as error:
        raise _unreadable(path, error) from error


def load_vectors(
    path: Path, vocabulary: list[str], size: int, random_seed: int | None
) -> tuple[Array, int]:
    """Returns vectors of `vocabulary`, (V, D), and how many of them are from the file at `path`.

    A token that the file lacks is tried in lower case. The others are drawn with the mean and the
    deviation of those found, number by number, so that they are of the same size and none stands
    out.

    Args:
        path: vectors as word2vec (text or binary), GloVe or gensim write them, also gzipped.
            Nothing in it is run, though gensim's own format is a pickle.
        vocabulary: index = token id.
        size: D, `embedding_size`.
        random_seed: for the others.

    Raises:
        TextgenError: if gensim is missing, the file cannot be read, has vectors of another size,
            or none that is asked for.
    """
    check_vectors(path)
    row_of, vectors = _read(path)
    if (length := vectors.shape[1]) != size:
        raise TextgenError(
            f"{path} has vectors of {length} numbers. Received: `embedding_size={size}`. Use"
            f" `embedding_size={length}`"
        )
    place_of = {
        position: row_of[name]
        for position, token in enumerate(vocabulary)
        for name in (token.lower(), token)  # the token itself last, because the last counts
        if name in row_of
    }
    if not place_of:
        raise TextgenError(f"{path} has none of the {len(vocabulary):,} tokens. Leave it out")
    own, rng = vectors[list(place_of.values())], np.random.default_rng(random_seed)
    rows = own.mean(axis=0) + own.std(axis=0) * rng.standard_normal((len(vocabulary), size))
    rows[list(place_of)] = own
    return rows.astype(np.float32), len(place_of)


def _read(path: Path) -> Vectors:
    from gensim.models import KeyedVectors  # here, because it is optional and takes a second

    try:
        first, second = _beginning(path)
        if first.startswith(PICKLE):
            return read_gensim(path)
        has_header = len(first.split()) == 2
        loaded = KeyedVectors.load_word2vec_format(
            str(path), binary=has_header and not _is_text(second), no_header=not has_header
        )
        return loaded.key_to_index, loaded.vectors
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
        f"{error.filename or path} cannot be read ({error.strerror or error}): give `word2vec` the"
        " path of a file with vectors"
    )


def _beginning(path: Path) -> tuple[bytes, bytes]:
    """Returns the first two lines, out of gzip if it is that, the second up to 10,000 bytes."""
    with path.open("rb") as file:
        is_gzip = file.read(2) == GZIP
    with gzip.open(path) if is_gzip else path.open("rb") as file:
        return file.readline(10_000), file.readline(10_000)


def _is_text(line: bytes) -> bool:
    """Returns whether `line` is a word and numbers after it."""
    try:
        return all(np.isfinite([float(number) for number in line.split()[1:]]))
    except ValueError:
        return False


def read_gensim(path: Path) -> Vectors:
    """Returns the vectors of a file that `KeyedVectors.save` or `Word2Vec.save` of gensim 4 wrote.

    That is a pickle, perhaps compressed with gzip, whose larger arrays are in files of NumPy's
    beside it. Nothing in it is run.

    Raises:
        PickleError: if it is no such file, or a broken one.
        OSError, ValueError: if a file of an array cannot be read.
    """
    data = path.read_bytes()
    if compressed := data.startswith(GZIP):
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
    return {token: row for row, token in enumerate(tokens)}, array


def _attributes(value: Any) -> dict[str, Any]:
    if not isinstance(value, Record):
        raise PickleError("it is not an object of gensim's")
    return value.attributes


def _stored(path: str, compressed: bool) -> Array:
    """Returns an array that has its own file, next to the pickle."""
    if compressed:
        with np.load(f"{path}.npz", allow_pickle=False) as arrays:
            array: Array = arrays["val"]
        return array
    array = np.load(f"{path}.npy", allow_pickle=False, mmap_mode="r")
    return array


def _array(record: Any) -> Array:
    """Returns an array that is in the pickle, of what `numpy.ndarray.__reduce__` gave."""
    try:
        _version, shape, kind, is_fortran, data = record.state
        code, order = kind.arguments[0], kind.state[1]
        if code not in NUMBERS or order not in BYTE_ORDERS:
            raise TypeError(code)
        array: Array = np.frombuffer(data, np.dtype(order + code))
        return array.reshape(shape, order="F" if is_fortran else "C")
    except (AttributeError, TypeError, IndexError, ValueError) as error:
        raise PickleError("its vectors are no plain numbers") from error


def first_logits(ids: StoredIds, vocabulary_size: int) -> Array:
    """Returns the bias of logits that a new model begins with, (V,), float32.

    It makes each token as probable as it is common in the text, so that no steps are spent on
    learning that. After as many steps (60 seconds on two cores, 4 MB of plays) 1,024 subwords came
    to 1.359 nats per character, with a bias of zeros to 1.405.

    Args:
        ids: the training text, (N,).
        vocabulary_size: V.
    """
    counts = np.full(vocabulary_size, 0.5)  # what is not in the text is rare, not impossible
    for start in range(0, len(ids), COUNTED_AT_ONCE):
        counts += np.bincount(ids[start : start + COUNTED_AT_ONCE], minlength=vocabulary_size)
    logits: Array = np.log(counts / counts.sum()).astype(np.float32)
    return logits


def with_new_tokens(
    weights: dict[str, Array], count: int, model: ModelSettings, rng: np.random.Generator
) -> dict[str, Array]:
    """Returns the weights of a model with `count` more tokens at the end of its vocabulary.

    Args:
        weights: those of the model, by path.
        count: how many tokens are added.
        model: what the weights are of.
        rng: for the noise in the new rows.
    """
    new: dict[str, Array] = {}
    if model.embedding_size:
        embedding = extended(weights["embedding/embeddings"], count, rng)
    else:  # one-hot: what a token means is its row of the first layer's kernel
        embedding = np.eye(len(weights["embedding/embeddings"]) + count, dtype=np.float32)
        path = f"{describe_layers(model)[0].cell_path}/kernel"
        new[path] = extended(weights[path], count, rng)
    kernel = embedding.T if model.is_tied else extended(weights["logits/kernel"].T, count, rng).T
    bias = extended(weights["logits/bias"][:, None], count, rng)[:, 0]
    new |= {"embedding/embeddings": embedding, "logits/kernel": kernel, "logits/bias": bias}
    return weights | new


def extended(rows: Array, count: int, rng: np.random.Generator) -> Array:
    """Returns `rows`, (N, D), and `count` more: their mean and a little noise.

    With the mean a new token is about as likely as the average one, so the network's predictions
    for the old tokens hardly change (Hewitt 2021, https://nlp.stanford.edu/~johnhew/vocab-expansion.html);
    a small random row would outdo every trained row of low logit. The noise lets new tokens part.
    """
    noise = NOISE * rows.std(axis=0) * rng.standard_normal((count, rows.shape[1]))
    return np.concatenate([rows, rows.mean(axis=0) + noise]).astype(np.float32)
