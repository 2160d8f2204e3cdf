"""Trials in their order, as a table and as files."""

import csv
import io

import pytest
import yaml

from tests.search.studies import mixed
from textgen.search import ranking


@pytest.mark.parametrize("objective", ["loss", "loss,speed"])
def test_trials_csv_ranks_the_trials(objective: str) -> None:
    text = ranking.csv_text(mixed(objective))
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
        "parameters", "tokens_per_second", "state", "pareto_front", "dropout", "cell", "reason",
    ]  # fmt: skip
    assert rows[0] == {
        "rank": "1", "trial": "1", "validation_loss": "1.5", "training_loss": "1.0", "epochs": "4",
        "seconds_per_epoch": "1.5", "parameters": "1234", "tokens_per_second": "100",
        "state": "complete", "pareto_front": "yes", "dropout": "0.1", "cell": "gru", "reason": "",
    }  # fmt: skip
    assert rows[5]["reason"] == "MemoryError: no room"
    assert rows[5]["validation_loss"] == ""


@pytest.mark.parametrize("objective", ["loss", "loss,speed"])
def test_the_front_has_what_nothing_beats_in_both(objective: str) -> None:
    assert ranking.front(mixed(objective)) == {0, 1, 2}, "6 is worse and slower than 2"


def test_the_best_trial_and_that_of_the_defaults() -> None:
    study = mixed("loss,speed")
    best, first = ranking.best(study), ranking.defaults(study)
    assert best is not None
    assert first is not None
    assert (best.number, first.number) == (1, 0)


def test_a_line_of_the_table() -> None:
    trials = mixed().trials
    head, line = ranking.heading(), ranking.line(trials[1])
    assert line.split() == [
        "1", "complete", "1.5000", "1.0000", "4", "1.5", "1,234", "100", "dropout", "0.1,", "cell",
        "gru",
    ]  # fmt: skip
    assert line.index("dropout") == head.index("settings")
    assert ranking.line(trials[4]).split(maxsplit=2)[1:] == [
        "failed", "MemoryError: no room",
    ]  # fmt: skip
    assert ranking.line(trials[5]).endswith("its settings are tried again")


def test_best_yaml_has_the_settings_as_flags() -> None:
    text = ranking.settings_text("data/x", mixed().trials[1])
    assert text.startswith("# Trial 1: validation loss 1.5000 nats per token.")
    expected = {"data-dir": "data/x", "rnn-size": 8, "dropout": 0.1, "cell": "gru"}
    assert yaml.safe_load(text) == expected
