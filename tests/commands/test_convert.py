"""Models as keras-text-generation left them, made here without its code."""

import json
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.conftest import run_here
from textgen.commands import convert, sample
from textgen.generation.generator import Generator
from textgen.model import checkpoint
from textgen.model.network import Network
from textgen.support.errors import TextgenError

RNG = np.random.default_rng(0)
TOKENS = ["e", " ", "t", "h", "\n"]
EMBEDDING, UNITS = 3, 4
GATES = 4 * UNITS


def array(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


ARRAYS = {
    "embedding_1": {"embeddings": array(len(TOKENS), EMBEDDING)},
    "lstm_1": {
        "kernel": array(EMBEDDING, GATES), "recurrent_kernel": array(UNITS, GATES),
        "bias": array(GATES),
    },
    "lstm_2": {
        "kernel": array(UNITS, GATES), "recurrent_kernel": array(UNITS, GATES),
        "bias": array(GATES),
    },
    "time_distributed_1": {"kernel": array(UNITS, len(TOKENS)), "bias": array(len(TOKENS))},
}  # fmt: skip


def reference_logits(ids: list[int]) -> Any:
    """What Keras 2 computes for the last of `ids`, written down from its documentation."""

    def sigmoid(x: Any) -> Any:
        return 1 / (1 + np.exp(-x))

    sequence = ARRAYS["embedding_1"]["embeddings"][ids].astype(np.float64)
    for layer in ("lstm_1", "lstm_2"):
        kernel, recurrent, bias = ARRAYS[layer].values()
        h = c = np.zeros(UNITS)
        outputs = []
        for x in sequence:
            i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            outputs.append(h)
        sequence = np.array(outputs)
    kernel, bias = ARRAYS["time_distributed_1"].values()
    return sequence[-1] @ kernel + bias


def lstm(name: str, **changes: Any) -> dict[str, Any]:
    settings = {
        "name": name, "trainable": False, "return_sequences": True, "go_backwards": False,
        "stateful": True, "unroll": False, "implementation": 0, "units": UNITS,
        "activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True,
        "unit_forget_bias": True, "dropout": 0.0, "recurrent_dropout": 0.0,
    }  # fmt: skip
    return {"class_name": "LSTM", "config": settings | changes}


def dropout(name: str) -> dict[str, Any]:
    return {"class_name": "Dropout", "config": {"name": name, "rate": 0.2}}


def layers() -> list[dict[str, Any]]:
    """As Keras 2.0 described them."""
    embedding = {
        "name": "embedding_1", "batch_input_shape": [1, None], "dtype": "float32",
        "input_dim": len(TOKENS), "output_dim": EMBEDDING, "mask_zero": False,
    }  # fmt: skip
    dense = {"name": "dense_1", "units": len(TOKENS), "activation": "softmax", "use_bias": True}
    distributed = {
        "name": "time_distributed_1",
        "layer": {"class_name": "Dense", "config": dense},
    }
    return [
        {"class_name": "Embedding", "config": embedding},
        lstm("lstm_1"), dropout("dropout_1"), lstm("lstm_2"), dropout("dropout_2"),
        {"class_name": "TimeDistributed", "config": distributed},
    ]  # fmt: skip


def write_h5(path: Path, description: Any, inner: str = "{layer}") -> None:
    """As Keras 2 saved it: groups by layer, arrays by the names of TensorFlow's variables."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = b"2.3.1"
        file.attrs["backend"] = b"tensorflow"
        file.attrs["model_config"] = json.dumps(description).encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in ARRAYS]
        group.create_group("dropout_1").attrs["weight_names"] = []
        for layer, arrays in ARRAYS.items():
            for name, values in arrays.items():
                group[f"{layer}/{inner.format(layer=layer)}/{name}:0"] = values


def objects(ancestor: Any, **changes: Any) -> Any:
    vectorizer, model = ancestor.Vectorizer(), ancestor.MetaModel()
    vectorizer.word_tokens = False
    vectorizer._pristine_input = False
    vectorizer._pristine_output = False
    vectorizer._token_indices = {token: i for i, token in enumerate(TOKENS)}
    vectorizer._indices_token = dict(enumerate(TOKENS))
    vectorizer.vocab_size = len(TOKENS)
    vars(vectorizer).update(changes)
    model.seeds = ["the", "he the"]
    model.vectorizer = vectorizer
    return model


@pytest.fixture
def folder(tmp_path: Path, ancestor: Any) -> Path:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(objects(ancestor), 3))
    write_h5(tmp_path / "model.h5", {"class_name": "Sequential", "config": layers()})
    return tmp_path


def assert_equal_to_reference(generator: Generator) -> None:
    ids = generator.tokenizer.encode("the t")
    logits, _ = generator.network.read(ids[None], generator.network.initial_state(1))
    expected = reference_logits([TOKENS.index(token) for token in "the t"])
    np.testing.assert_allclose(logits[0, 1:], expected, atol=1e-5)
    assert logits[0, 0] == convert.NEVER


def test_from_the_command_to_a_sample(folder: Path) -> None:
    before = {name: (folder / name).read_bytes() for name in ("model.h5", "model.pkl")}
    assert "python -m textgen convert" in run_here(sample.main, "--data-dir", folder).stderr
    done = run_here(convert.main, folder)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert before == {name: (folder / "original" / name).read_bytes() for name in before}
    generator = Generator.load(folder)
    assert generator.tokenizer.vocabulary == ["\ufffd", *TOKENS]
    assert generator.line_starts == ("the", "he the")
    assert checkpoint.load(folder).metadata.model.dropout == 0.2
    assert_equal_to_reference(generator)
    flags = ("--data-dir", folder, "--seed", "THE", "--length", "20")
    sampled = run_here(sample.main, *flags)
    assert (sampled.returncode, len(sampled.stdout), sampled.stderr) == (0, 24, "")
    again = run_here(convert.main, folder)
    assert again.returncode == 2
    assert (
        "is not a MetaModel of keras-text-generation: there is nothing to convert" in again.stderr
    )


def read(folder: Path) -> Generator:
    metadata, weights = convert.read(folder)
    return Generator(Network(metadata.model, weights), metadata.tokenizer)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_binary_protocol(folder: Path, ancestor: Any, protocol: int) -> None:
    (folder / "model.pkl").write_bytes(pickle.dumps(objects(ancestor), protocol))
    assert_equal_to_reference(read(folder))


@pytest.mark.parametrize("inner", ["{layer}_1", "{layer}/cell", "sequential/{layer}/lstm_cell_3"])
def test_every_depth_of_names(folder: Path, inner: str) -> None:
    first = {"class_name": "InputLayer", "config": {"name": "embedding_1_input"}}
    description = {"class_name": "Sequential", "config": {"layers": [first, *layers()]}}
    write_h5(folder / "model.h5", description, inner)
    assert_equal_to_reference(read(folder))


def test_pristine_words(folder: Path, ancestor: Any) -> None:
    words = ["the", "cat", "sat", "on", "mat"]
    model = objects(
        ancestor, word_tokens=True, _pristine_input=True, _pristine_output=True,
        _indices_token=dict(enumerate(words)),
    )  # fmt: skip
    (folder / "model.pkl").write_bytes(pickle.dumps(model, 3))
    tokenizer = read(folder).tokenizer
    assert tokenizer.vocabulary == ["<unk>", *words]
    assert tokenizer.encode("sat on a\nmat").tolist() == [3, 4, 0, 5]
    assert tokenizer.decode([1, 2, 3]) == "the cat sat"


def refused(folder: Path) -> str:
    with pytest.raises(TextgenError) as error:
        convert.read(folder)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500
    assert str(folder) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"word_tokens": True}, "a tokenizer that textgen does not have"),
        ({"word_tokens": None}, "type bool. Received: None"),
        ({"_indices_token": {1: "a"}}, "not numbered from 0"),
        ({"_indices_token": None}, "not numbered from 0"),
        ({"_indices_token": dict(enumerate("abcd"))}, "no plain float32 array"),
        ({"_indices_token": dict(enumerate("abca?"))}, "hold a token twice"),
        ({"_indices_token": dict(enumerate([1, 2, 3, 4, 5]))}, "not a list of texts"),
        ({"_indices_token": dict(enumerate("abc\ufffdd"))}, "for what is unknown"),
        ({"other": print}, "asks for 'builtins.print'"),
    ],
)
def test_vocabularies_that_cannot_be_kept(
    folder: Path, ancestor: Any, changes: dict[str, Any], problem: str
) -> None:
    (folder / "model.pkl").write_bytes(pickle.dumps(objects(ancestor, **changes), 3))
    assert problem in refused(folder)


def test_other_pickles(folder: Path, ancestor: Any) -> None:
    (folder / "model.pkl").write_bytes(pickle.dumps(objects(ancestor), 0))
    assert "written by Python 2" in refused(folder)
    (folder / "model.pkl").write_bytes(pickle.dumps(ancestor.MetaModel(), 3))
    assert "its MetaModel has no Vectorizer" in refused(folder)
    (folder / "model.pkl").write_bytes(pickle.dumps("MetaModel", 3))
    assert "its MetaModel has no Vectorizer" in refused(folder)
    (folder / "model.pkl").write_bytes(b"")
    assert "is not a MetaModel" in refused(folder)
    (folder / "model.pkl").unlink()
    assert "model.pkl is missing" in refused(folder)


def changed(number: int, **settings: Any) -> list[Any]:
    found = layers()
    found[number]["config"].update(settings)
    return found


@pytest.mark.parametrize(
    ("description", "problem"),
    [
        (changed(1, recurrent_activation="hard_sigmoid"), "recurrent_activation='hard_sigmoid'"),
        (changed(3, activation="relu"), "its LSTM has activation='relu' instead of tanh"),
        (changed(1, go_backwards=True), "go_backwards=True"),
        (changed(1, time_major=True), "time_major=True"),
        (changed(1, use_bias=False), "use_bias=False"),
        (changed(0, mask_zero=True), "mask_zero=True"),
        (changed(1, units=5), "no plain float32 array"),
        (changed(1, units="many"), "type int. Received: 'many'"),
        (changed(1, units=2**50), "it cannot hold"),
        (changed(1, name="lstm_9"), "no plain float32 array"),
        (changed(1, name=""), "is damaged: "),
        (changed(1, name=7), "does not describe a sequence"),
        (changed(1, name="line\n" * 10_000), "no plain float32 array 'model_weights/line\\nline"),
        ([{"class_name": "x" * 9999, "config": {"name": "f"}}], "Received: ['xxxx"),
        (layers()[:-1], "its layers are not Embedding, LSTM, Dense. Received: ['Embedding', "),
        ([], "its layers are not"),
        ([{"class_name": "Lambda", "config": {"name": "f"}}, *layers()], "Received: ['Lambda'"),
        ([None], "does not describe a sequence"),
        ("Sequential", "does not describe a sequence"),
        ({"layers": 5}, "does not describe a sequence"),
    ],
)
def test_networks_that_textgen_does_not_compute(
    folder: Path, description: Any, problem: str
) -> None:
    write_h5(folder / "model.h5", {"class_name": "Sequential", "config": description})
    assert problem in refused(folder)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "null", "5", "9" * 5000])
def test_descriptions_that_are_none(folder: Path, text: str) -> None:
    with h5py.File(folder / "model.h5", "a") as file:
        file.attrs["model_config"] = text
    assert "does not describe a sequence of Keras layers" in refused(folder)


def test_the_original_files_are_not_written_over(folder: Path) -> None:
    (folder / "original").mkdir()
    before = (folder / "model.pkl").read_bytes()
    with pytest.raises(TextgenError, match=r"cannot keep the original files in .*original"):
        convert.main([str(folder)])
    assert (folder / "model.pkl").read_bytes() == before
