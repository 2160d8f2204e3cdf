"""What is said and written while a search goes on."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from tests.search.studies import add, mixed
from textgen.search import reporter
from textgen.search.reporter import Reporter
from textgen.support.errors import TextgenError


def reporter_in(folder: Path) -> Reporter:
    return Reporter(Path("data/x"), folder, 8)


def test_each_trial_is_told_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, told = mixed(), reporter_in(tmp_path)
    told.tell(study, study.trials[0])
    told.tell(study, study.trials[1])
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["trial", "state"], ["0", "complete"], ["1", "complete"],
    ]  # fmt: skip
    assert (tmp_path / "trials.csv").read_text().count("\n") == 9
    assert (tmp_path / "best.yaml").read_text().startswith("# Trial 1:")


def test_failures_in_a_row_are_a_problem(tmp_path: Path) -> None:
    study, told = mixed(), reporter_in(tmp_path)
    failed, complete = study.trials[4], study.trials[0]
    for trial in [failed] * (reporter.MOST_FAILURES - 1) + [complete]:
        told.tell(study, trial)
    assert not told.problem
    for _ in range(reporter.MOST_FAILURES):
        told.tell(study, failed)
    assert "5 trials in a row failed, the last one so: MemoryError: no room" in told.problem


def test_a_space_beyond_all_limits_is_a_problem(tmp_path: Path) -> None:
    study, told = mixed(), reporter_in(tmp_path)
    for _ in range(reporter.MOST_LEFT_OUT):
        assert not told.problem
        told._count(study.trials[7])
    assert "could not be trained, the last ones because of memory: 9 of 1 GiB" in told.problem


def test_a_trial_is_chosen(tmp_path: Path) -> None:
    study, told = mixed(), reporter_in(tmp_path)
    assert told.chosen(study, None).number == told.chosen(study, -1).number == 1
    assert told.chosen(study, 2).number == 2
    assert (tmp_path / "best.yaml").read_text().startswith("# Trial 2:")
    with pytest.raises(
        TextgenError, match=r"--apply 3 is no complete trial. Choose from 1, 2, 6, 0"
    ):
        told.chosen(study, 3)


def test_a_search_without_a_complete_trial_has_no_best(tmp_path: Path) -> None:
    study = optuna.create_study()
    add(study, TrialState.FAIL, failure="x")
    told = reporter_in(tmp_path)
    told.write(study)
    assert not (tmp_path / "best.yaml").exists()
    with pytest.raises(TextgenError, match="none of the 8 trials is complete"):
        told.chosen(study, None)


def test_the_end_compares_with_the_defaults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = mixed()
    reporter_in(tmp_path).close(study, study.trials[1], "sqlite:///x.db")
    said = capsys.readouterr().err
    assert "trial 1: validation loss 1.5000, 100 tokens/s" in said
    assert "settings of train.py (trial 0): validation loss 2.0000" in said
    assert "no trial is both better and faster than: 0, 1, 2" in said
    assert f"python train.py --config {tmp_path / 'best.yaml'}" in said
