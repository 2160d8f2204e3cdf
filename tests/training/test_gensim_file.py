"""gensim's own files, which gensim writes here, and what pretends to be one."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from gensim.models import FastText, KeyedVectors, Word2Vec

from textgen.model.safe_pickle import PickleError
from textgen.training import gensim_file

SENTENCES = [["river", "rain", "moon"]] * 5
EVERYTHING_APART = 1
"""`sep_limit`: arrays of so many bytes have their own files."""


def check(path: Path, vectors: KeyedVectors) -> None:
    row_of, rows = gensim_file.read(path)
    assert row_of == vectors.key_to_index
    np.testing.assert_array_equal(rows, vectors.vectors)


@pytest.mark.parametrize("name", ["vectors", "vectors.gz"])
@pytest.mark.parametrize("limit", [10**7, EVERYTHING_APART])
def test_vectors_and_whole_models(tmp_path: Path, limit: int, name: str) -> None:
    model = Word2Vec(SENTENCES, vector_size=4, min_count=1, seed=1)
    for saved in (model, model.wv):
        saved.save(str(tmp_path / name), sep_limit=limit)
        check(tmp_path / name, model.wv)


@pytest.mark.parametrize("kind", [np.float64, np.float16, ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_every_layout(tmp_path: Path, kind: str, order: str) -> None:
    vectors = KeyedVectors(3, dtype=kind)
    vectors.add_vectors(["a", "b"], np.arange(6).reshape(2, 3))
    vectors.vectors = np.array(vectors.vectors, kind, order=order)
    vectors.save(str(tmp_path / "vectors"))
    check(tmp_path / "vectors", vectors)


def test_an_array_that_is_a_pickle_itself_is_refused(tmp_path: Path) -> None:
    vectors = KeyedVectors(1)
    vectors.add_vectors(["a"], [[1.0]])
    vectors.save(str(tmp_path / "vectors"), sep_limit=EVERYTHING_APART)
    np.save(tmp_path / "vectors.vectors.npy", np.array([["a"]], object), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        gensim_file.read(tmp_path / "vectors")
    np.save(tmp_path / "vectors.vectors.npy", np.array([["a"]]))
    with pytest.raises(PickleError, match="no plain numbers"):
        gensim_file.read(tmp_path / "vectors")


def test_fasttext_keeps_no_vectors_of_words(tmp_path: Path) -> None:
    FastText(SENTENCES, vector_size=4, min_count=1, bucket=5).save(str(tmp_path / "vectors"))
    with pytest.raises(PickleError, match="has no vectors: is it from FastText"):
        gensim_file.read(tmp_path / "vectors")


def pickled(**attributes: object) -> bytes:
    vectors = KeyedVectors(2)
    vars(vectors).clear()
    vars(vectors).update(attributes)
    return pickle.dumps(vectors, 4)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x80\x04N.", "not an object"),
        (b"\x80", "too early"),
        (b"\x80\x04" + b"h\x00.", "not a text"),
        (pickled(wv=3), "not an object"),
        (pickled(index_to_key=3), "no list of tokens"),
        (pickled(index_to_key=[3]), "no list of tokens"),
        (pickled(index_to_key=["a"]), "no vectors"),
        (pickled(index_to_key=["a"], __numpys=3), "no vectors"),
        (pickled(index_to_key=["a"], vectors=3), "no plain numbers"),
        (pickled(index_to_key=["a"], vectors=np.array(["x"])), "no plain numbers"),
        (pickled(index_to_key=["a"], vectors=np.array([["x"]], object)), "no plain numbers"),
        (pickled(index_to_key=["a"], vectors=np.ones(2)), r"1 tokens, but vectors of shape \(2,\)"),
        (pickled(index_to_key=["a", "b"], vectors=np.ones((1, 2))), r"of shape \(1, 2\)"),
    ],
)
def test_what_is_no_file_of_vectors_is_refused(tmp_path: Path, data: bytes, problem: str) -> None:
    (tmp_path / "vectors").write_bytes(data)
    with pytest.raises(PickleError, match=problem):
        gensim_file.read(tmp_path / "vectors")
