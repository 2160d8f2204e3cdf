"""What the flags of train.py lead to."""

import argparse
import shutil
from pathlib import Path

import pytest

from tests.conftest import VERSES
from textgen.support.errors import TextgenError
from textgen.training import fit, planning


def arguments(folder: Path, **given: object) -> argparse.Namespace:
    base = {"data_dir": folder, "resume": False}
    return argparse.Namespace(**base | given)


@pytest.fixture
def folder(trained_dir: Path, tmp_path: Path) -> Path:
    """A copy of a folder in which a run came to its end."""
    shutil.copytree(trained_dir, tmp_path / "copy")
    return tmp_path / "copy"


def test_a_resumed_run_has_the_settings_it_was_begun_with(folder: Path) -> None:
    plan = planning.plan(arguments(folder, resume=True))
    assert plan.resume
    assert (plan.model_config.rnn_size, plan.settings.num_epochs) == (16, 20)
    longer = planning.plan(arguments(folder, resume=True, num_epochs=30, rnn_size=16))
    assert (longer.settings.num_epochs, longer.settings.random_seed) == (30, 1)
    timed = planning.plan(arguments(folder, resume=True, minutes=2.0))
    assert timed.settings.minutes == 2.0


def test_a_package_that_is_missing_is_told_before_the_text_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TextgenError, match="pip install tensorboard"):
        planning.plan(arguments(tmp_path, tensorboard=True))


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        (
            "rnn_size",
            32,
            "--rnn-size 32 does not fit: the interrupted run has 16.*without --resume$",
        ),
        ("pristine_input", False, "--pristine-input False does not fit"),
        ("batch_size", 8, "--batch-size 8 does not fit: the interrupted run has 4"),
        ("random_seed", 2, "--random-seed 2 does not fit: the interrupted run has 1"),
    ],
)
def test_flags_of_another_run_are_refused(
    folder: Path, flag: str, value: object, message: str
) -> None:
    with pytest.raises(TextgenError, match=message):
        planning.plan(arguments(folder, resume=True, **{flag: value}))


@pytest.mark.parametrize("name", ["input.txt", "validate.txt"])
def test_a_changed_text_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text(VERSES * 5)
    with pytest.raises(TextgenError, match=f"{name} is not what it was"):
        planning.plan(arguments(folder, resume=True))


def test_a_folder_without_a_run_starts_from_the_beginning(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(folder / ".textgen")
    plan = planning.plan(arguments(folder, resume=True, rnn_size=8))
    assert not plan.resume
    assert "no interrupted run in" in capsys.readouterr().err
    assert plan.model_config.rnn_size == 8


def test_a_run_from_another_model_takes_its_sizes_and_vocabulary(
    light: None, trained_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "input.txt").write_text("Żółw: " + VERSES * 4)
    given = {"batch_size": 4, "seq_length": 20, "num_epochs": 1, "embedding_dropout": 0.1}
    plan = planning.plan(arguments(tmp_path, init_from=str(trained_dir), **given))
    assert (plan.model_config.rnn_size, plan.model_config.embedding_dropout) == (16, 0.1)
    assert plan.corpus.tokenizer.vocabulary[-3:] == ["ó", "ł", "Ż"]
    best = fit.fit(tmp_path, plan)
    fresh = fit.fit(tmp_path, plan._replace(weights=None))
    assert best["loss"] < fresh["loss"]


def test_a_run_from_another_model_refuses_other_sizes(trained_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(TextgenError, match=r"the model in .* has 16.*without --init-from$"):
        planning.plan(arguments(tmp_path, init_from=str(trained_dir), rnn_size=32))
