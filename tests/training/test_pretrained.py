"""Vectors of other programs, on files that gensim writes here, and another model's weights."""

import gzip
import importlib.util
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gensim.models import FastText, KeyedVectors, Word2Vec

from tests.conftest import VERSES, run_here
from textgen.commands import train
from textgen.generation.generator import Generator
from textgen.model import checkpoint
from textgen.model.architecture import weight_shapes
from textgen.model.network import Network
from textgen.model.safe_pickle import PickleError
from textgen.settings.definitions import (
    CELL_NAMES,
    ModelSettings,
    TrainingSettings,
)
from textgen.settings.request import TrainRequest
from textgen.support.errors import TextgenError
from textgen.tokens import build_tokenizer
from textgen.training import pretrained
from textgen.training.plan import make_plan
from textgen.training.run import fit

WORDS = {"river": [1.0, 0.0, 2.0], "the": [0.0, 1.0, 0.0], "rain": [2.0, 2.0, 1.0]}
VOCABULARY = ["?", "The", "river", "moon", "rain"]


@pytest.fixture(params=["text", "binary", "gzip", "glove", "gensim"])
def vectors(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    made, path = KeyedVectors(3), tmp_path / "vectors"
    made.add_vectors(list(WORDS), np.array(list(WORDS.values()), np.float32))
    if request.param == "gensim":
        made.save(str(path))
        return path
    made.save_word2vec_format(
        str(path), binary=request.param == "binary", write_header=request.param != "glove"
    )
    if request.param == "gzip":
        path = tmp_path / "vectors.gz"
        path.write_bytes(gzip.compress((tmp_path / "vectors").read_bytes()))
    return path


def test_every_format_gives_the_vectors_of_the_vocabulary(vectors: Path) -> None:
    rows, found = pretrained.load_vectors(vectors, VOCABULARY, 3, random_seed=1)
    assert (rows.shape, rows.dtype, found) == ((5, 3), np.float32, 3)
    for position, word in ((1, "the"), (2, "river"), (4, "rain")):
        np.testing.assert_array_equal(rows[position], WORDS[word])


def text_file(folder: Path, text: str) -> Path:
    path = folder / "vectors.txt"
    path.write_text(text)
    return path


def test_tokens_without_vectors_are_drawn_like_those_with(tmp_path: Path) -> None:
    path = text_file(tmp_path, "a 5 1\nb 5 3\n")  # means 5 and 2, deviations 0 and 1
    rows, found = pretrained.load_vectors(
        path, ["a", "b", *map(str, range(1000))], 2, random_seed=1
    )
    assert found == 2
    assert (rows[2:, 0] == 5).all()
    assert rows[2:, 1].mean() == pytest.approx(2, abs=0.1)
    assert rows[2:, 1].std() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("text", "size", "message"),
    [
        ("river 1 2\n", 3, "has vectors of 2 numbers. Received: `embedding_size=3`. Use"),
        ("sea 1 2\n", 2, "has none of the 5 tokens"),
        ("river one two\n", 2, "cannot be read as vectors of word2vec, GloVe or gensim"),
        ("", 2, "cannot be read as vectors"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, text: str, size: int, message: str) -> None:
    with pytest.raises(TextgenError) as error:
        pretrained.load_vectors(text_file(tmp_path, text), VOCABULARY, size, None)
    assert message in str(error.value)


def test_a_file_that_is_missing_is_named_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_text("The river and the rain. " * 400)
    path = tmp_path / "no.txt"
    result = run_here(train.main, "--data-dir", tmp_path, "--word2vec", path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"error: {path} cannot be read (No such file or directory): give --word2vec the path of a"
        " file with vectors\n"
    )
    assert [left.name for left in tmp_path.iterdir()] == ["input.txt"]


def test_a_pickle_is_not_run_whatever_it_is_called(tmp_path: Path) -> None:
    path, written = tmp_path / "vectors.txt", tmp_path / "written"
    path.write_bytes(pickle.dumps(Writer(written), 4))
    with pytest.raises(TextgenError, match="no list of tokens: is it from gensim 4") as error:
        pretrained.load_vectors(path, VOCABULARY, 3, None)
    assert str(path) in str(error.value)
    assert not written.exists()
    pickle.loads(path.read_bytes())
    assert written.exists(), "the test's pickle does nothing, so it shows nothing"


class Writer:
    """What unpickles to a new file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_gensim_is_asked_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TextgenError, match=r"`word2vec` needs gensim\. Install it: pip install"):
        pretrained.load_vectors(tmp_path / "x", VOCABULARY, 2, None)


def test_frozen_vectors_are_those_of_the_file_after_training(
    light: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "input.txt").write_text("The river and the rain. " * 40)
    path = text_file(tmp_path, "river 1 2\nrain 2 1\nthe 0 1\n")
    given = {
        "tokens": "word", "embedding_size": 2, "rnn_size": 4, "num_layers": 1, "batch_size": 4,
        "seq_length": 5, "seq_step": 5, "num_epochs": 1, "random_seed": 1, "word2vec": str(path),
        "freeze_embeddings": True,
    }  # fmt: skip
    fit(tmp_path, make_plan(TrainRequest(tmp_path, given)))
    metadata, weights = checkpoint.load(tmp_path)
    rows = dict(zip(metadata.tokenizer.vocabulary, weights["embedding/embeddings"], strict=True))
    assert (rows["river"].tolist(), rows["The"].tolist()) == ([1, 2], [0, 1])
    assert "has vectors for 4 of the " in capsys.readouterr().err
    assert metadata.training.word2vec == str(path)


def test_contradictions_are_refused() -> None:
    with pytest.raises(TextgenError, match="`word2vec` x contradicts `init_from` y"):
        TrainingSettings(word2vec="x", init_from="y")
    with pytest.raises(TextgenError, match="`freeze_embeddings` would leave"):
        TrainingSettings(freeze_embeddings=True)


SENTENCES = [["river", "rain", "moon"]] * 5
EVERYTHING_APART = 1
"""`sep_limit`: arrays of so many bytes have their own files."""


def check(path: Path, vectors: KeyedVectors) -> None:
    row_of, rows = pretrained.read_gensim(path)
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
        pretrained.read_gensim(tmp_path / "vectors")
    np.save(tmp_path / "vectors.vectors.npy", np.array([["a"]]))
    with pytest.raises(PickleError, match="no plain numbers"):
        pretrained.read_gensim(tmp_path / "vectors")


def test_fasttext_keeps_no_vectors_of_words(tmp_path: Path) -> None:
    FastText(SENTENCES, vector_size=4, min_count=1, bucket=5).save(str(tmp_path / "vectors"))
    with pytest.raises(PickleError, match="has no vectors: is it from FastText"):
        pretrained.read_gensim(tmp_path / "vectors")


def pickled(**attributes: object) -> bytes:
    vectors = KeyedVectors(2)
    vars(vectors).clear()
    vars(vectors).update(attributes)
    return pickle.dumps(vectors, 4)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x80\x04N.", "not an object"),
        (b"\x80", "broken"),
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
        pretrained.read_gensim(tmp_path / "vectors")


def test_new_rows_are_near_the_mean_of_the_old_ones() -> None:
    rows = np.array([[1.0, 0.0], [3.0, 0.0], [5.0, 0.0]], np.float32)  # deviation 1.63, 0
    new = pretrained.extended(rows, 1000, np.random.default_rng(0))
    assert new.dtype == np.float32
    np.testing.assert_array_equal(new[:3], rows)
    assert new[3:, 0].mean() == pytest.approx(3, abs=0.02)
    assert new[3:, 0].std() == pytest.approx(0.163, abs=0.02)
    assert (new[3:, 1] == 0).all()


def test_an_extended_model_predicts_old_tokens_as_before(trained_dir: Path) -> None:
    origin, weights = checkpoint.load(trained_dir)
    tokenizer = origin.tokenizer.joined(
        [build_tokenizer("żółw " + VERSES, origin.tokenizer.settings)]
    )
    old, new = origin.tokenizer.vocabulary, tokenizer.vocabulary
    assert new[: len(old)] == old
    assert set(new[len(old) :]) == set("żółw") - set(old)
    more, rng = len(new) - len(old), np.random.default_rng(1)
    before = Generator.load(trained_dir).network
    after = Network(origin.model, pretrained.with_new_tokens(weights, more, origin.model, rng))
    ids = np.array([tokenizer.encode("The river")])
    logits, _ = before.read(ids, before.initial_state(1))
    longer, _ = after.read(ids, after.initial_state(1))
    np.testing.assert_allclose(longer[:, : len(old)], logits, atol=1e-5)
    assert longer[0, len(old) :].max() < logits.max()


def test_tied_weights_stay_tied() -> None:
    rng = np.random.default_rng(0)
    embedding = rng.normal(size=(5, 3)).astype(np.float32)
    weights = {
        "embedding/embeddings": embedding,
        "logits/kernel": embedding.T,
        "logits/bias": np.zeros(5, np.float32),
    }
    model = ModelSettings(embedding_size=3, rnn_size=3, tie_weights=True)
    new = pretrained.with_new_tokens(weights, 2, model, rng)
    assert new["logits/bias"].shape == (7,)
    np.testing.assert_array_equal(new["logits/kernel"].T, new["embedding/embeddings"])


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_one_hot_tokens_are_extended_too(cell: str) -> None:
    model = ModelSettings(embedding_size=0, rnn_size=3, cell=cell)
    rng = np.random.default_rng(0)
    shapes = weight_shapes(model, 5)
    weights = {path: rng.normal(size=shape).astype(np.float32) for path, shape in shapes.items()}
    weights["embedding/embeddings"] = np.eye(5, dtype=np.float32)
    before = Network(model, weights)
    after = Network(model, pretrained.with_new_tokens(weights, 2, model, rng))
    ids = np.array([[1, 4, 2]])
    logits, _ = before.read(ids, before.initial_state(1))
    longer, _ = after.read(ids, after.initial_state(1))
    np.testing.assert_allclose(longer[:, :5], logits, atol=1e-5)
    assert after.read(ids + 2, after.initial_state(1))[0].shape == (1, 7)


def test_the_first_logits_are_how_common_each_token_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "COUNTED_AT_ONCE", 2)
    ids = np.array([1, 2, 1, 1, 2], np.uint8)
    logits = pretrained.first_logits(ids, 4)
    assert logits.dtype == np.float32
    assert np.exp(logits) == pytest.approx(np.array([0.5, 3.5, 2.5, 0.5]) / 7)
