"""What the flags of train.py lead to."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import VERSES
from textgen.settings.definitions import TokenizerSettings, TrainingSettings
from textgen.settings.request import TrainRequest
from textgen.support.errors import TextgenError
from textgen.training import plan as planning
from textgen.training import sizing
from textgen.training.plan import Plan, make_plan
from textgen.training.run import fit


def planned(folder: Path, resume: bool = False, **given: object) -> Plan:
    return make_plan(TrainRequest(folder, given, resume))


def test_a_new_run_has_the_defaults_of_its_tokens(tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_text(VERSES)
    plan = planned(tmp_path, word_tokens=True, num_layers=3)
    assert plan.corpus.tokenizer.settings == TokenizerSettings("word")
    assert (plan.model.rnn_size, plan.model.num_layers, plan.model.tie_weights) == (256, 3, True)
    assert planned(tmp_path, word_tokens=False).model.rnn_size == 128
    with pytest.raises(TextgenError, match="`tokens` must be one of character, word"):
        planned(tmp_path, wrod_tokens=True)


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ({"minutes": 1.0, "dropout": 0.1}, 320),
        ({"minutes": 1.0, "rnn_size": 64}, 64),
        ({"minutes": 1.0, "num_layers": 1}, 128),
        ({}, 128),
    ],
)
def test_sizes_are_chosen_only_for_minutes_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, float], size: int
) -> None:
    (tmp_path / "input.txt").write_text(VERSES)
    monkeypatch.setattr(sizing, "measure_speed", lambda *given: 50_000.0)
    plan = planned(tmp_path, **given)
    assert plan.model.rnn_size == size
    assert plan.model.dropout == given.get("dropout", 0.0)


def test_what_is_chosen_fits_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "input.txt").write_text(VERSES[:300])
    monkeypatch.setattr(sizing, "measure_speed", lambda *given: 50_000.0)
    assert planned(tmp_path, minutes=1.0, dropout=0.3).training.batch_size == 8
    chosen = capsys.readouterr().err.splitlines()[-3]
    assert "`batch_size=8`" in chosen
    assert "dropout" not in chosen, "it was given"
    assert planned(tmp_path, minutes=1.0, batch_size=64).training.batch_size == 64


@pytest.fixture
def folder(trained_dir: Path, tmp_path: Path) -> Path:
    """A copy of a folder in which a run came to its end."""
    shutil.copytree(trained_dir, tmp_path / "copy")
    return tmp_path / "copy"


def test_a_resumed_run_has_the_settings_it_was_begun_with(folder: Path) -> None:
    plan = planned(folder, resume=True)
    assert plan.resume
    assert (plan.model.rnn_size, plan.training.num_epochs) == (16, 20)
    assert planned(folder, resume=True, device="cpu").training.device == "cpu"
    longer = planned(folder, resume=True, num_epochs=30, rnn_size=16)
    assert (longer.training.num_epochs, longer.training.random_seed) == (30, 1)
    timed = planned(folder, resume=True, minutes=2.0)
    assert timed.training.length == "2 minutes", "instead of 20 epochs"
    both = planned(folder, resume=True, minutes=2.0, num_epochs=30)
    assert both.training.length == "2 minutes or 30 epochs"


def test_a_package_that_is_missing_is_told_before_the_text_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TextgenError, match="pip install tensorboard"):
        planned(tmp_path, tensorboard=True)


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        (
            "rnn_size",
            32,
            "`rnn_size=32` does not fit: the interrupted run has 16.*without `resume`$",
        ),
        ("word_tokens", True, "`word_tokens=True` does not fit: the interrupted run has character"),
        ("pristine_input", False, "`pristine_input=False` does not fit"),
        ("batch_size", 8, "`batch_size=8` does not fit: the interrupted run has 4"),
        ("random_seed", 2, "`random_seed=2` does not fit: the interrupted run has 1"),
    ],
)
def test_flags_of_another_run_are_refused(
    folder: Path, flag: str, value: object, message: str
) -> None:
    with pytest.raises(TextgenError, match=message):
        planned(folder, resume=True, **{flag: value})


@pytest.mark.parametrize("name", ["input.txt", "validate.txt"])
def test_a_changed_text_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text(VERSES * 5)
    with pytest.raises(TextgenError, match=f"{name} is not what it was"):
        planned(folder, resume=True)


def test_a_folder_without_a_run_starts_from_the_beginning(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(folder / ".textgen")
    plan = planned(folder, resume=True, rnn_size=8)
    assert not plan.resume
    assert "no interrupted run in" in capsys.readouterr().err
    assert plan.model.rnn_size == 8


def test_a_run_from_another_model_takes_its_sizes_and_vocabulary(
    light: None, trained_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "input.txt").write_text("Żółw: " + VERSES * 4)
    given = {"batch_size": 4, "seq_length": 20, "num_epochs": 1, "embedding_dropout": 0.1}
    plan = planned(tmp_path, init_from=str(trained_dir), **given)
    assert (plan.model.rnn_size, plan.model.embedding_dropout) == (16, 0.1)
    assert plan.corpus.tokenizer.vocabulary[-3:] == ["ó", "ł", "Ż"]
    best = fit(tmp_path, plan)
    fresh = fit(tmp_path, plan._replace(weights=None))
    assert best["loss"] < fresh["loss"]


def test_a_run_from_another_model_refuses_other_sizes(trained_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(TextgenError, match=r"the model in .* has 16.*without `init_from`$"):
        planned(tmp_path, init_from=str(trained_dir), rnn_size=32)


@pytest.mark.parametrize(
    ("given", "minutes", "num_epochs"),
    [
        ({"minutes": "+5"}, 7.5, None),
        ({"minutes": 5.0}, 5.0, None),
        ({"num_epochs": "+3"}, None, 5),
        ({"num_epochs": "+3", "minutes": "+0.5"}, 3.0, 5),
        ({"num_epochs": 9, "minutes": "+0.5"}, 3.0, 9),
    ],
)
def test_more_is_on_top_of_what_a_run_has_had(
    folder: Path, monkeypatch: pytest.MonkeyPatch,
    given: dict[str, Any], minutes: float | None, num_epochs: int | None,
) -> None:  # fmt: skip
    """Two and a half minutes, and 1.4 epochs, which count as two."""
    progress = planning.stored_progress(folder)
    assert progress is not None
    had = replace(progress, clock=progress.clock | {"seconds": 150.0}, history=[{"epoch": 1.4}])
    monkeypatch.setattr(planning, "stored_progress", lambda folder: had)
    plan = planned(folder, resume=True, **given)
    assert (plan.training.minutes, plan.training.num_epochs) == (minutes, num_epochs)


def test_more_of_nothing_is_so_much(folder: Path) -> None:
    request = TrainRequest(folder, {"minutes": "+0.5", "num_epochs": "+3"})
    settings = request.settings(TrainingSettings)
    assert (settings.minutes, settings.num_epochs) == (0.5, 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"minutes": "+0"}, "`minutes` must be above 0"),
        ({"minutes": "+x"}, "`minutes` takes a value of type float. Received: '[+]x'"),
        ({"num_epochs": "+1.5"}, "`num_epochs` takes a value of type int. Received: 1.5"),
        ({"rnn_size": "+5"}, "`rnn_size` takes a value of type int. Received: '[+]5'"),
    ],
)
def test_more_must_be_a_length(folder: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(TextgenError, match=message):
        TrainRequest(folder, given)


def test_marks_that_are_taken_for_text_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "input.txt").write_text("a\nb\n<|endoftext|>\nc\n" * 20)
    planned(tmp_path, documents="lines", num_epochs=1)
    told = "the text has the mark <|endoftext|>, and `documents` lines takes it for text"
    assert told in capsys.readouterr().err
    planned(tmp_path, documents="<|endoftext|>", num_epochs=1)
    assert "takes it for text" not in capsys.readouterr().err


def test_minutes_choose_how_a_model_is_trained_further(
    trained_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """535 characters, which are read 561 times; what was given stays, and a short text fits."""
    (tmp_path / "input.txt").write_text(VERSES)
    monkeypatch.setattr(sizing, "measure_speed", lambda *given: 5_000.0)
    plan = planned(tmp_path, init_from=str(trained_dir), minutes=1.0)
    assert (plan.training.learning_rate, plan.model.dropout) == (0.003, 0.5)
    assert (plan.training.batch_size, plan.model.rnn_size) == (8, 16)
    said = capsys.readouterr().err
    assert "chosen for 560.7 readings of the text: `learning_rate=0.003` `dropout=0.5`" in said
    assert plan.training.steps_per_epoch, "so that epochs are no flood"
    own = planned(tmp_path, init_from=str(trained_dir), minutes=1.0, dropout=0.1)
    assert (own.training.learning_rate, own.model.dropout) == (0.003, 0.1)
