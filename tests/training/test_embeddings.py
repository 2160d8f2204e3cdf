"""Vectors of other programs, on files that gensim writes here."""

import gzip
import importlib.util
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gensim.models import KeyedVectors

from tests.conftest import run_python
from textgen.model import checkpoint
from textgen.settings.definitions import TrainingSettings
from textgen.settings.request import TrainRequest
from textgen.support.errors import TextgenError
from textgen.training import embeddings
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
    rows, found = embeddings.load(vectors, VOCABULARY, 3, random_seed=1)
    assert (rows.shape, rows.dtype, found) == ((5, 3), np.float32, 3)
    for position, word in ((1, "the"), (2, "river"), (4, "rain")):
        np.testing.assert_array_equal(rows[position], WORDS[word])


def text_file(folder: Path, text: str) -> Path:
    path = folder / "vectors.txt"
    path.write_text(text)
    return path


def test_tokens_without_vectors_are_drawn_like_those_with(tmp_path: Path) -> None:
    path = text_file(tmp_path, "a 5 1\nb 5 3\n")  # means 5 and 2, deviations 0 and 1
    rows, found = embeddings.load(path, ["a", "b", *map(str, range(1000))], 2, random_seed=1)
    assert found == 2
    assert (rows[2:, 0] == 5).all()
    assert rows[2:, 1].mean() == pytest.approx(2, abs=0.1)
    assert rows[2:, 1].std() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("text", "size", "message"),
    [
        ("river 1 2\n", 3, "has vectors of 2 numbers. Received: --embedding-size 3. Use"),
        ("sea 1 2\n", 2, "has none of the 5 tokens"),
        ("river one two\n", 2, "cannot be read as vectors of word2vec, GloVe or gensim"),
        ("", 2, "cannot be read as vectors"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, text: str, size: int, message: str) -> None:
    with pytest.raises(TextgenError) as error:
        embeddings.load(text_file(tmp_path, text), VOCABULARY, size, None)
    assert message in str(error.value)


def test_a_file_that_is_missing_is_named_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_text("The river and the rain. " * 400)
    path = tmp_path / "no.txt"
    result = run_python("train.py", "--data-dir", tmp_path, "--word2vec", path)
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
        embeddings.load(path, VOCABULARY, 3, None)
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
    with pytest.raises(TextgenError, match=r"--word2vec needs gensim\. Install it: pip install"):
        embeddings.load(tmp_path / "x", VOCABULARY, 2, None)


def test_frozen_vectors_are_those_of_the_file_after_training(
    light: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "input.txt").write_text("The river and the rain. " * 40)
    path = text_file(tmp_path, "river 1 2\nrain 2 1\nthe 0 1\n")
    given = {
        "word_tokens": True, "embedding_size": 2, "rnn_size": 4, "num_layers": 1, "batch_size": 4,
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
    with pytest.raises(TextgenError, match="--word2vec x contradicts --init-from y"):
        TrainingSettings(word2vec="x", init_from="y")
    with pytest.raises(TextgenError, match="--freeze-embeddings would leave"):
        TrainingSettings(freeze_embeddings=True)
