"""What is searched: the default space, space files, and what a trial's settings become."""

from pathlib import Path

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgen.search import SearchRequest, space
from textgen.settings.definitions import CELL_NAMES, ModelSettings, TrainingSettings
from textgen.settings.request import TrainRequest
from textgen.support.errors import TextgenError
from textgen.tokens.words import WordTokenizer

CHARACTERS = ModelSettings().to_dict() | TrainingSettings().to_dict()
WORDS = {**CHARACTERS, **WordTokenizer.defaults}


def written(folder: Path, text: str) -> Path:
    (folder / "space.yaml").write_text(text)
    return folder / "space.yaml"


def test_the_default_space_is_around_the_defaults() -> None:
    found = space.default(CHARACTERS)
    assert found["rnn_size"] == {"int": [64, 256], "step": 32}
    assert found["learning_rate"] == {"log": [0.0027, 0.024]}
    assert found["dropout"] == {"float": [0.0, 0.3]}
    assert found["seq_length"] == {"int": [25, 100], "step": 1}
    assert space.nearest(found, CHARACTERS) == {name: CHARACTERS[name] for name in found}
    named = {"rnn_size", "num_layers", "embedding_size", "dropout", "learning_rate", "batch_size",
             "seq_length", "cell", "optimizer"}  # fmt: skip
    assert set(found) == named


def test_a_space_is_written_as_it_is_read(tmp_path: Path) -> None:
    found = space.default(WORDS)
    assert "rnn-size:\n  int: [128, 512]\n  step: 32\n" in space.as_text(found)
    assert space.read(written(tmp_path, space.as_text(found))).space == found
    assert found["embedding_dropout"] == {"float": [0.0, 0.6]}
    assert not {"embedding_dropout", "tie_weights"} & space.default(CHARACTERS).keys()


def test_tied_weights_keep_the_embedding_as_wide_as_the_layer() -> None:
    found = space.default(WORDS)
    assert "embedding_size" not in found
    assert found["tie_weights"] == {"choice": [True, False]}
    for tied in (True, False):
        settled = space.all_settings(WORDS, {"rnn_size": 384, "tie_weights": tied}, {})
        assert (settled["embedding_size"], settled["tie_weights"]) == (384, tied)
    settled = space.all_settings(WORDS, {"rnn_size": 384}, {"embedding_size": 100})
    assert (settled["embedding_size"], settled["tie_weights"]) == (100, False)
    settled = space.all_settings(CHARACTERS, {"tie_weights": True}, {"rnn_size": 96})
    assert settled["embedding_size"] == 96


def test_settings_that_belong_together_go_together() -> None:
    both = space.all_settings(CHARACTERS, {"seq_length": 81, "optimizer": "adam"}, {})
    assert (both["seq_step"], both["weight_decay"]) == (41, 0.0)
    assert (
        space.all_settings(CHARACTERS, {"seq_length": 50}, {})["seq_step"] == CHARACTERS["seq_step"]
    )
    suggested = {"optimizer": "rmsprop", "learning_rate": 0.01}
    assert space.all_settings(CHARACTERS, suggested, {})["learning_rate"] == 0.01
    assert space.all_settings(CHARACTERS, {"seq_length": 80}, {"seq_step": 5})["seq_step"] == 5


@pytest.mark.parametrize(
    ("entry", "value", "expected"),
    [
        ({"int": [8, 32], "step": 8}, 21, 24),
        ({"int": [8, 30], "step": 8}, 128, 24),
        ({"float": [0.1, 0.5]}, 0.0, 0.1),
        ({"log": [1e-4, 1e-2]}, 0.003, 0.003),
        ({"choice": ["gru", "rnn"]}, "lstm", "gru"),
        ({"choice": [16, 32]}, 32, 32),
    ],
)
def test_the_nearest_value_in_the_space(entry, value: object, expected: object) -> None:
    assert space.nearest({"name": entry}, {"name": value}) == {"name": expected}


@settings(max_examples=20)
@given(st.integers(1, 2000), st.integers(1, 300), st.integers(1, 600), st.integers(0, 600))
def test_what_is_suggested_is_a_setting_that_can_be(
    rnn: int, batch: int, length: int, embedding: int
) -> None:
    sizes = {"rnn_size": rnn, "batch_size": batch, "seq_length": length}
    base = CHARACTERS | sizes | {"embedding_size": embedding}
    found = space.default(base)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    study.enqueue_trial(space.nearest(found, base))
    for _ in range(2):
        full = space.all_settings(base, space.suggest(found, study.ask()), {})
        ModelSettings.from_dict({n: full[n] for n in ModelSettings.names()})
        TrainingSettings.from_dict({n: full[n] for n in TrainingSettings.names()})


def test_a_space_file_has_every_kind(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "rnn-size: {int: [64, 256], step: 64}\n"
        "num_layers: {int: [1, 4], log: true}\n"
        "dropout: {float: [0, 0.5], step: 0.1}\n"
        "learning-rate: {log: [1e-3, 0.1]}\n"
        "cell: {choice: [lstm, rnn]}\n"
        "weight-decay: {choice: [0, 1e-2]}\n"
        "batch-size: 8\n",
    )
    assert space.read(path) == space.Scope(
        {
            "rnn_size": {"int": [64, 256], "step": 64},
            "num_layers": {"int": [1, 4], "log": True},
            "dropout": {"float": [0.0, 0.5], "step": 0.1},
            "learning_rate": {"log": [0.001, 0.1]},
            "cell": {"choice": ["lstm", "rnn"]},
            "weight_decay": {"choice": [0, 0.01]},
        },
        {"batch_size": 8},
        replaces=False,
    )
    trial = optuna.create_study().ask()
    assert set(space.suggest(space.read(path).space, trial)) == set(trial.params)
    assert space.read(written(tmp_path, "base: none\ncell: gru\n")).replaces


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("dropout: [", "cannot be read as YAML"),
        ("- dropout", "must hold lines like dropout: {float: "),
        ("drop-out: {float: [0, 1]}", "cannot have the name 'drop-out'. Nearest: dropout"),
        ("minutes: {float: [1, 2]}", "cannot have the name 'minutes'"),
        ("cell: {choice: []}", "cell: choice needs values, as in [1, 2]. Received: []"),
        (
            "cell: {choice: [lstm, cnn]}",
            f"`cell` must be one of {', '.join(CELL_NAMES)}. Received: cnn",
        ),
        ("cell: {choice: [[lstm]]}", "`cell` takes a value of type str. Received: ['lstm']"),
        ("cell: cnn", "cell: `cell` must be one of"),
        ("dropout: {float: [0, 1]}", "`dropout` must be below 1. Received: 1.0"),
        ("dropout: {float: [0.5, 0.1]}", "float is [lowest, highest]. Received: [0.5, 0.1]"),
        ("rnn-size: {int: [16, 8]}", "int is [lowest, highest]. Received: [16, 8]"),
        ("dropout: {float: [0.5]}", "float is [lowest, highest]"),
        ("dropout: {float: 0.5}", "float needs values"),
        ("dropout: {log: [0, 0.5]}", "begins above 0 and has no step. Received: {'log': [0, 0.5]}"),
        ("dropout: {uniform: [0, 0.5]}", "takes one of choice, int, float, log"),
        ("dropout: {float: [0, 0.5], steps: 2}", "Received: 'steps'"),
        ("dropout: {float: [0, 0.5], step: 0}", "a step is above 0, and whole where values are"),
        ("rnn-size: {int: [8, 64], step: 0.5}", "whole where values are. Received: 0.5"),
        ("rnn-size: {int: [1.5, 3]}", "1.5 is not a whole number"),
        ("rnn-size: {int: [a, 3]}", "'a' is not a whole number"),
        ("dropout: {float: [a, 0.3]}", "`dropout` takes a value of type float. Received: 'a'"),
        (
            "dropout: {float: [0, 0.3], step: a}",
            "dropout: a step is above 0, and whole where values are. Received: 'a'",
        ),
        (
            "rnn-size: {int: [1, 8], step: 2, log: true}",
            "rnn-size: what is drawn by its logarithm begins above 0 and has no step. Received:",
        ),
        ("rnn-size: {float: [64, 128]}", "`rnn_size` takes a value of type int"),
        ("base: mine", "base is default or none. Received: 'mine'"),
    ],
)
def test_a_wrong_space_file_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(TextgenError) as caught:
        space.read(written(tmp_path, text))
    assert problem in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_an_unreadable_space_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(TextgenError, match=r"cannot be read \(.+\): give `space` the path of"):
            space.read(path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TextgenError, match=r"binary.yaml cannot be read as YAML"):
        space.read(tmp_path / "binary.yaml")


def scope(*path: Path, **given: object) -> space.Scope:
    asked = {"space": str(path[0])} if path else {}
    return space.read_scope(SearchRequest(TrainRequest(Path("data/x"), given), asked))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path, "dropout: {float: [0, 0.2]}\nbatch-size: 8\n")


def test_settings_that_are_given_are_not_searched() -> None:
    asked = scope(word_tokens=True, cell="gru", rnn_size=64)
    assert asked.fixed == {"word_tokens": True, "cell": "gru", "rnn_size": 64}
    assert not {"cell", "rnn_size"} & asked.full_space(CHARACTERS).keys()


def test_a_trial_takes_two_minutes_unless_told_otherwise() -> None:
    assert scope().fixed_with_length == {"minutes": 2.0}
    assert scope(minutes=5.0).fixed_with_length == {"minutes": 5.0}
    assert scope(num_epochs=3).fixed_with_length == {"num_epochs": 3}


def test_a_space_file_narrows_the_default_space_or_replaces_it(file: Path) -> None:
    full = scope(file).full_space(CHARACTERS)
    assert full["dropout"] == {"float": [0.0, 0.2]}
    assert "cell" in full
    assert "batch_size" not in full
    assert scope(file).fixed == {"batch_size": 8}
    file.write_text("base: none\n" + file.read_text())
    assert set(scope(file).full_space(CHARACTERS)) == {"dropout"}


def test_settings_and_space_file_must_agree(file: Path) -> None:
    with pytest.raises(TextgenError, match=r"`dropout=0.1` contradicts .*, which has that too"):
        scope(file, dropout=0.1)
    file.write_text("base: none\ndropout: 0.1\n")
    with pytest.raises(TextgenError, match="nothing to search: every setting is given"):
        scope(file).full_space(CHARACTERS)
