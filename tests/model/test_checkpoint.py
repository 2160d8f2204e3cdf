import contextlib
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

from textgen.generation.generator import Generator
from textgen.model import checkpoint, safe_pickle
from textgen.model.checkpoint import Metadata
from textgen.model.keras_model import build_model, get_weights
from textgen.settings.definitions import ModelSettings, TokenizerSettings, TrainingSettings
from textgen.support.errors import TextgenError
from textgen.tokens import build_tokenizer

CONFIG = ModelSettings(embedding_size=3, rnn_size=4, num_layers=1)


def metadata(**results: float) -> Metadata:
    tokenizer = build_tokenizer("abcd", TokenizerSettings())
    return Metadata(CONFIG, tokenizer, TrainingSettings(), results, ["ab"])


def save(directory: Path, random_seed: int = 0, **results: float) -> dict[str, np.ndarray]:
    model = build_model(CONFIG, 5, batch_size=1, random_seed=random_seed)
    checkpoint.save(directory, metadata(**results), model.save)
    return get_weights(model)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    save(folder, loss=1.5)
    return folder


@pytest.fixture
def pair(saved: Path, tmp_path: Path) -> Path:
    """A saved model, to be changed by the test."""
    return shutil.copytree(saved, tmp_path, dirs_exist_ok=True)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    weights = save(tmp_path, loss=1.5)
    loaded = checkpoint.load(tmp_path)
    assert loaded.metadata.to_dict() == metadata(loss=1.5).to_dict()
    assert loaded.weights.keys() == weights.keys()
    for path, array in weights.items():
        np.testing.assert_array_equal(loaded.weights[path], array)
    assert sorted(os.listdir(tmp_path)) == ["model.h5", "model.pkl", "model.yaml"]


def unpickled(directory: Path) -> dict[str, Any]:
    return pickle.loads((directory / "model.pkl").read_bytes())


def change(directory: Path, **values: object) -> None:
    """Put other values into `model.pkl`."""
    (directory / "model.pkl").write_bytes(pickle.dumps(unpickled(directory) | values))


def test_what_is_on_the_disk(pair: Path) -> None:
    """Neither the version, nor the protocol, nor the parts change without thought."""
    assert (pair / "model.pkl").read_bytes().startswith(b"\x80\x04"), "protocol 4: Python 3.4"
    values = unpickled(pair)
    assert values.pop("format_version") == 3
    with h5py.File(pair / "model.h5") as file:
        assert file.attrs["model_id"] == values.pop("model_id")
    assert values == {
        "model": CONFIG.to_dict(), "training": TrainingSettings().to_dict(),
        "results": {"loss": 1.5},
        "tokenizer": metadata().tokenizer.to_dict(), "line_starts": ["ab"],
    }  # fmt: skip


def test_folders_are_made_for_a_model(tmp_path: Path) -> None:
    save(tmp_path / "one" / "two")
    assert checkpoint.load(tmp_path / "one" / "two").metadata.results == {}


def test_stock_keras_opens_the_model(trained_dir: Path, tmp_path: Path) -> None:
    from tests.conftest import run_python

    np.save(tmp_path / "ids.npy", np.array([[1, 2, 3, 4]], np.int32))
    stock = (
        "import sys, numpy, keras; folder, data = sys.argv[1:];"
        "model = keras.models.load_model(folder + '/model.h5');"
        "numpy.save(data + '/logits.npy', model(numpy.load(data + '/ids.npy')));"
        "assert 'textgen' not in sys.modules"
    )
    result = run_python("-c", stock, trained_dir, tmp_path)
    assert result.returncode == 0, result.stderr
    generator = Generator.load(trained_dir)
    network = generator.network
    logits, _ = network.read(np.array([[1, 2, 3, 4]]), network.initial_state(1))
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy")[:, -1], logits, atol=1e-5)


class Crash(Exception):
    pass


@pytest.mark.parametrize("survived", range(8))
def test_a_crash_at_any_step_of_saving_leaves_a_whole_pair(
    pair: Path, survived: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk stops working after `survived` renames, fsyncs and removals."""
    left = iter(range(survived))

    def failing(real):
        def call(*arguments, **options):
            if next(left, None) is None:
                raise Crash
            return real(*arguments, **options)

        return call

    monkeypatch.setattr(os, "fsync", failing(os.fsync))
    monkeypatch.setattr(Path, "replace", failing(Path.replace))
    with contextlib.suppress(Crash):
        save(pair, random_seed=1, loss=0.5)
    monkeypatch.undo()
    loaded = checkpoint.load(pair)
    seed = {1.5: 0, 0.5: 1}[loaded.metadata.results["loss"]]
    expected = get_weights(build_model(CONFIG, 5, batch_size=1, random_seed=seed))
    np.testing.assert_array_equal(loaded.weights["logits/kernel"], expected["logits/kernel"])


@pytest.mark.parametrize("kind", [OSError, RuntimeError])
def test_a_disk_that_takes_no_model_is_named(pair: Path, kind: type[Exception]) -> None:
    """h5py raises either."""

    def full(path: Path) -> None:
        path.write_bytes(b"half of")
        raise kind("No space left on device")

    with pytest.raises(TextgenError, match=rf"cannot write the model to {pair} \(No space left"):
        checkpoint.save(pair, metadata(loss=0.5), full)
    assert checkpoint.load(pair).metadata.results == {"loss": 1.5}
    assert sorted(os.listdir(pair)) == ["model.h5", "model.pkl", "model.yaml"]


def refused(directory: Path) -> str:
    with pytest.raises(TextgenError) as error:
        checkpoint.load(directory)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_missing_files_are_named(pair: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = tmp_path_factory.mktemp("empty")
    assert f"no model in {empty}. Train one: python train.py" in refused(empty)
    spaced = empty / "a b"
    assert refused(spaced).endswith(f"python train.py --data-dir '{spaced}'")
    file = pair / "model.h5"
    assert refused(file) == f"{file} is a file: give its folder, {pair}"
    (pair / "model.pkl").unlink()
    assert f"{pair / 'model.pkl'} is missing" in refused(pair)


def test_files_of_two_models_are_refused(
    pair: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    save(other)
    shutil.copy(other / "model.h5", pair)
    assert "belong to different models" in refused(pair)


@pytest.mark.parametrize("name", ["model.h5", "model.pkl"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"\x80\x04\x95"])
def test_broken_files_are_named(pair: Path, name: str, content: bytes) -> None:
    (pair / name).write_bytes(content)
    assert str(pair / name) in refused(pair)


def test_a_pickle_that_would_run_code_is_refused(pair: Path) -> None:
    class Exploit:
        def __reduce__(self):
            return os.mkdir, (str(pair / "broken-in"),)

    (pair / "model.pkl").write_bytes(pickle.dumps(Exploit()))
    assert "is not for plain values" in refused(pair)
    assert not (pair / "broken-in").exists()


def test_a_newer_format_is_refused_by_version(pair: Path) -> None:
    change(pair, format_version=4)
    message = refused(pair)
    assert "model.pkl has format 4, and this textgen reads up to 3. Use the newer" in message


def test_metadata_with_a_missing_part_is_refused(pair: Path) -> None:
    values = unpickled(pair)
    del values["tokenizer"]
    (pair / "model.pkl").write_bytes(pickle.dumps(values))
    assert "model.pkl is damaged: it has no tokenizer" in refused(pair)


@pytest.mark.parametrize(
    ("part", "value", "problem"),
    [
        ("model", None, "settings come by name. Received: None"),
        ("model", {"num_layers": 10**12}, "`num_layers` must be at most 100"),
        ("model", {"rnn_size": "x" * 10**6}, "`rnn_size` takes a value of type int"),
        ("model", {"x" * 10**6: 1}, "unknown setting"),
        ("model", {"rnn_size": 2**62}, "model.h5 is damaged: it cannot hold the"),
        ("model", {"rnn_size": 5}, "model.h5 is damaged: it has no plain float32 array"),
        ("training", ["batch_size"], "settings come by name"),
        ("tokenizer", {"config": {}}, "not a configuration and a vocabulary"),
        ("tokenizer", {"config": {}, "vocabulary": "abcde"}, "not a list of texts"),
        ("tokenizer", {"config": {}, "vocabulary": ["a", 1]}, "not a list of texts"),
        ("tokenizer", {"config": {}, "vocabulary": []}, "has 1 to 300,000 tokens. Received: 0"),
        ("tokenizer", {"config": {}, "vocabulary": ["a", "a"]}, "must not hold a token twice"),
        ("tokenizer", {"config": {}, "vocabulary": ["a", "bc"]}, "single characters only"),
        ("tokenizer", {"config": {}, "vocabulary": list("abcdef")}, "no plain float32 array"),
        ("results", {"step": 1, "loss": "low"}, "its results are not numbers"),
        ("results", {"loss": True}, "its results are not numbers"),
        ("results", ["loss"], "its results are not numbers"),
        ("results", {"step": 1, 1: 1.0}, "its results are not numbers"),
        ("results", {"x" * 1001: 1.0}, "its results are not numbers"),
        ("line_starts", "ab", "its line starts are not"),
        ("line_starts", ["x" * 1001], "its line starts are not"),
        ("line_starts", ["a", None], "its line starts are not"),
    ],
)
def test_every_field_is_checked(pair: Path, part: str, value: object, problem: str) -> None:
    change(pair, **{part: value})
    message = refused(pair)
    assert problem in message
    assert len(message) < 500


def test_as_much_as_is_allowed_is_read(pair: Path) -> None:
    results = {f"{n:01000}": n for n in range(300)}
    change(pair, results=results, line_starts=["x" * 1000] * 1000)
    found = checkpoint.load(pair).metadata
    assert (found.results, len(found.line_starts)) == (results, 1000)


@pytest.mark.parametrize("version", [None, True, 0, -1, "1"])
def test_a_version_is_a_number(pair: Path, version: object) -> None:
    change(pair, format_version=version)
    assert "is not metadata of a textgen model" in refused(pair)


def test_a_pickle_of_something_else_is_refused(pair: Path) -> None:
    (pair / "model.pkl").write_bytes(pickle.dumps(["format_version"]))
    assert "is not metadata of a textgen model" in refused(pair)


def test_no_more_of_a_pickle_is_read_than_it_takes_to_refuse_it(
    pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safe_pickle, "MAX_BYTES", 100)
    assert len(checkpoint.read_bytes(pair / "model.pkl")) == 101
    assert "it has more than 100 bytes" in refused(pair)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(TextgenError, match=r"cannot read .*\(Is a directory\): check its perm"):
        checkpoint.read_bytes(tmp_path)


def test_files_without_an_id_are_no_pair(pair: Path) -> None:
    change(pair, model_id=None)
    with h5py.File(pair / "model.h5", "a") as file:
        del file.attrs["model_id"]
    assert "belong to different models" in refused(pair)


def test_crash_after_crash_leaves_two_descriptions_at_most(
    pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.replace
    for last, loss in (("model.h5", 0.5), ("model.pkl", 0.1)):

        def failing(path: Path, to: Path, last: str = last) -> None:
            rename(path, to)
            if to.name == last:
                raise Crash

        monkeypatch.setattr(Path, "replace", failing)
        with pytest.raises(Crash):
            save(pair, loss=loss)
        assert checkpoint.load(pair).metadata.results["loss"] == 0.5
    values = unpickled(pair)
    assert values["results"]["loss"] == 0.1
    assert "replaces" not in values["replaces"]


def test_the_model_of_the_ancestor_is_recognised(pair: Path) -> None:
    (pair / "model.pkl").write_bytes(b"\x80\x03cmodel\nMetaModel\nq\x00)\x81q\x01.")
    assert f"Convert the model, which runs nothing in it: python -m textgen convert {pair}" in (
        refused(pair)
    )


def test_the_ancestors_name_stands_at_the_beginning() -> None:
    """Further on it may be a word of the vocabulary."""
    assert checkpoint.is_keras_text_generation(bytes(191) + b"MetaModel")
    assert not checkpoint.is_keras_text_generation(bytes(192) + b"MetaModel")


def test_arrays_that_the_metadata_does_not_call_for_are_refused(pair: Path) -> None:
    with h5py.File(pair / "model.h5", "a") as file:
        group = file["model_weights/logits/logits"]
        del group["bias"]
        group["bias"] = np.zeros(5, np.float64)
    assert "has no plain float32 array 'model_weights/logits/logits/bias' of shape (5,)" in (
        refused(pair)
    )


def test_the_facts_for_people_leave_the_vocabulary_out(tmp_path: Path) -> None:
    about = replace(metadata(), training=TrainingSettings(init_from="données"))
    checkpoint.save(tmp_path, about, build_model(CONFIG, 5, batch_size=1).save)
    text = (tmp_path / "model.yaml").read_text(encoding="utf-8")
    assert "init_from: données\n" in text
    facts = yaml.safe_load(text)
    assert list(facts) == [
        "format_version", "model", "tokenizer", "training", "results", "model_id",
    ]  # fmt: skip
    assert facts["model"]["rnn_size"] == 4
    assert facts["tokenizer"] == TokenizerSettings().to_dict() | {"vocabulary_size": 5}


FORMAT_1 = Path(__file__).parents[1] / "data" / "format-1"
"""A pair that the textgen of format 1 left after `train(FORMAT_1, ModelSettings(4, 16, 1),
TokenizerSettings(), TrainingSettings(batch_size=2, seq_length=20, num_epochs=150,
learning_rate=0.02, random_seed=1))` on the VERSES of conftest.py. Never make it again: it is what
users have."""


def test_files_of_format_1_are_read_for_ever() -> None:
    """The likeliest character leads by 0.08 or more at every step, far beyond rounding."""
    generator = Generator.load(FORMAT_1)
    text = generator.generate("the ", length=60, temperature=0)
    assert text == "rmome rauand ever when walking it aws the was alke a sonl.\n\n"
    assert generator.line_starts[0] == "The evening falls, the other"


FORMAT_2 = FORMAT_1.with_name("format-2")
"""A pair of format 2, of words: `train.py --word-tokens --rnn-size 8 --embedding-size 8
--num-epochs 2 --batch-size 2 --seq-length 10 --random-seed 1` on twice the VERSES. Likewise."""


def test_files_of_format_2_are_read_for_ever() -> None:
    generator = Generator.load(FORMAT_2)
    text = generator.generate("the ", length=12, random_seed=1)
    assert text == "comes water? water It bank rain away dim, no different"
    assert generator.tokenizer.settings.documents is None
    assert generator.labels == []
