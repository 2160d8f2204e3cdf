"""Trials in their order, as a table, as files and pictures; what is said while they go on."""

import csv
import io
from pathlib import Path

import optuna
import pytest
import yaml
from optuna.trial import TrialState

from tests.search.studies import add, mixed
from textgen.search import report
from textgen.search.report import Reporter
from textgen.support.errors import TextgenError


@pytest.mark.parametrize("objective", ["loss", "loss,speed"])
def test_trials_csv_ranks_the_trials(objective: str) -> None:
    text = report.csv_text(mixed(objective))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["rank"], row["trial"], row["state"]) for row in rows] == [
        ("1", "1", "complete"),
        ("2", "2", "complete"),
        ("3", "6", "complete"),
        ("4", "0", "complete"),
        ("", "3", "pruned"),
        ("", "4", "failed"),
        ("", "5", "interrupted"),
        ("", "7", "left out"),
    ]
    assert list(rows[0]) == [
        "rank", "trial", "validation_loss", "training_loss", "epochs", "seconds_per_epoch",
        "parameters", "tokens_per_second", "nats_per_character", "bits_per_character", "state",
        "pareto_front", "dropout", "cell", "reason",
    ]  # fmt: skip
    assert rows[0] == {
        "rank": "1", "trial": "1", "validation_loss": "1.5", "training_loss": "1.0", "epochs": "4",
        "seconds_per_epoch": "1.5", "parameters": "1234", "tokens_per_second": "100",
        "nats_per_character": "0.3", "bits_per_character": str(1.5 / 3.5),
        "state": "complete", "pareto_front": "yes", "dropout": "0.1", "cell": "gru", "reason": "",
    }  # fmt: skip
    assert rows[5]["reason"] == "MemoryError: no room"
    assert rows[5]["validation_loss"] == ""


@pytest.mark.parametrize("objective", ["loss", "loss,speed"])
def test_the_front_has_what_nothing_beats_in_both(objective: str) -> None:
    assert report.pareto_front(mixed(objective)) == [0, 1, 2], "6 is worse and slower than 2"


def test_complete_trials_have_the_best_first() -> None:
    assert [trial.number for trial in report.complete(mixed("loss,speed"))] == [1, 2, 6, 0]


def test_a_line_of_the_table() -> None:
    trials = mixed().trials
    head, line = report.heading(), report.line(trials[1])
    assert line.split() == [
        "1", "complete", "1.5000", "0.4286", "1.0000", "4", "1.5", "1,234", "100", "dropout",
        "0.1,", "cell", "gru",
    ]  # fmt: skip
    assert line.index("dropout") == head.index("settings")
    assert report.line(trials[4]).split(maxsplit=2)[1:] == [
        "failed", "MemoryError: no room",
    ]  # fmt: skip
    assert report.line(trials[5]).endswith("its settings are tried again")


def reporter_in(folder: Path) -> Reporter:
    return Reporter(Path("data/x"), folder)


def test_each_trial_is_told_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, told = mixed(), reporter_in(tmp_path)
    told.tell(study, study.trials[0])
    told.tell(study, study.trials[1])
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["trial", "state"], ["0", "complete"], ["1", "complete"],
    ]  # fmt: skip
    assert (tmp_path / "trials.csv").read_text().count("\n") == 9
    text = (tmp_path / "best.yaml").read_text()
    assert text.startswith(
        "# Trial 1: validation loss 1.5000 nats per token (0.3000 nats, 0.4286 bits per character)."
    )
    expected = {"data-dir": "data/x", "rnn-size": 8, "dropout": 0.1, "cell": "gru"}
    assert yaml.safe_load(text) == expected, "the settings as flags"


def test_a_trial_that_was_hardly_compiled_has_the_speed_of_the_whole() -> None:
    row = {"epoch": 1, "step": 4, "seconds": 8.0, "loss": 2.0, "val_loss": 2.1}
    row |= {"nats_per_character": 0.5, "bits_per_character": 0.7}
    rows = [row | {"tokens_per_second": 0}]
    assert report.Results.of(rows, 9, tokens_per_step=100).tokens_per_second == 50
    rows.append(row | {"epoch": 2, "tokens_per_second": 300})
    assert report.Results.of(rows, 9, tokens_per_step=100).tokens_per_second == 300


def test_failures_in_a_row_are_a_problem(tmp_path: Path) -> None:
    study, told = mixed(), reporter_in(tmp_path)
    failed, complete = study.trials[4], study.trials[0]
    for trial in [failed] * (report.MOST_IN_A_ROW["failed"] - 1) + [complete]:
        told.tell(study, trial)
    assert not told.problem
    for _ in range(report.MOST_IN_A_ROW["failed"]):
        told.tell(study, failed)
    assert "5 trials in a row failed, the last one so: MemoryError: no room" in told.problem


def test_a_space_beyond_all_limits_is_a_problem(tmp_path: Path) -> None:
    study, told = mixed(), reporter_in(tmp_path)
    for _ in range(report.MOST_IN_A_ROW["left out"]):
        assert not told.problem
        told.tell(study, study.trials[7])
    assert "30 trials in a row left out, the last one so: memory: 9 of 1 GiB" in told.problem


def test_a_trial_is_chosen(tmp_path: Path) -> None:
    study, told = mixed(), reporter_in(tmp_path)
    assert told.choose(study, None).number == told.choose(study, -1).number == 1
    assert told.choose(study, 2).number == 2
    assert (tmp_path / "best.yaml").read_text().startswith("# Trial 2:")
    with pytest.raises(
        TextgenError, match=r"`apply` 3 is no complete trial. Choose from 1, 2, 6, 0"
    ):
        told.choose(study, 3)


def test_a_search_without_a_complete_trial_has_no_best(tmp_path: Path) -> None:
    study = optuna.create_study()
    add(study, TrialState.FAIL, failure="x")
    told = reporter_in(tmp_path)
    told.write(study)
    assert not (tmp_path / "best.yaml").exists()
    with pytest.raises(TextgenError, match="no trial is complete"):
        told.choose(study, None)


def test_the_end_compares_with_the_defaults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = mixed()
    reporter_in(tmp_path).close(study, study.trials[1], "sqlite:///x.db")
    said = capsys.readouterr().err
    per_character = "(0.3000 nats, 0.4286 bits per character), 100 tokens/s"
    assert f"trial 1: validation loss 1.5000 nats per token {per_character}" in said
    assert "default settings (trial 0): validation loss 2.0000" in said
    assert "no trial is both better and faster than: 0, 1, 2" in said
    assert f"train.py --config {tmp_path / 'best.yaml'}" in said


@pytest.mark.parametrize(
    ("measured", "told"),
    [
        ({"nats_per_character": 1.5, "bits_per_character": 2.164}, " (2.1640 bits per character)"),
        ({}, ""),  # of before it was measured
    ],
)
def test_the_end_tells_nats_once_and_nothing_that_is_not_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], measured: dict[str, float], told: str
) -> None:
    study = optuna.create_study()
    results = {"validation_loss": 1.5, "tokens_per_second": 100} | measured
    add(study, TrialState.COMPLETE, 1.5, 100, results=results)
    reporter_in(tmp_path).close(study, study.trials[0], "sqlite:///x.db")
    said = capsys.readouterr().err
    assert f"validation loss 1.5000 nats per token{told}, 100 tokens/s" in said


@pytest.mark.parametrize("objective", ["loss", "loss,speed"])
def test_every_picture_is_drawn(tmp_path: Path, objective: str) -> None:
    written = report.draw(tmp_path, mixed(objective))
    assert {path.name for path in written} == {"history.png", "pareto.png", "importance.png"}
    for path in written:
        assert path.read_bytes().startswith(b"\x89PNG")


def test_there_is_nothing_to_draw_without_complete_trials(tmp_path: Path) -> None:
    assert report.draw(tmp_path, optuna.create_study()) == []


def test_settings_are_described_shortly() -> None:
    settings = {"learning_rate": 0.0123456, "rnn_size": 256, "cell": "gru"}
    assert report.described(settings) == "learning-rate 0.0123, rnn-size 256, cell gru"
