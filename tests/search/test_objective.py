"""One trial: what Optuna is told of it. The children only pretend to train."""

import math
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from tests.search import quick
from textgen.search import study
from textgen.search.children import Children, StoppedError
from textgen.search.limits import Limits
from textgen.search.objective import FAILURES, Objective, Task, described

COMMAND = (sys.executable, "-m", "tests.search.quick", "child")
SPACE = {"learning_rate": {"log": [0.001, 0.1]}}


@pytest.fixture
def task(tmp_path: Path) -> Task:
    (tmp_path / "input.txt").write_text("text")
    base = quick.plan({"data_dir": tmp_path, "given": {"num_epochs": 4}})["settings"]
    limits = Limits(math.inf, math.inf, 100_000)
    return Task(tmp_path, tmp_path / "work", None, SPACE, base, {}, 65, limits, 1, 9)


def run(task: Task, number: int = 1, pruner: Any = None, **options: Any) -> optuna.Study:
    """Run trials of a learning rate of 0.1, then 0.01 and so on."""
    found = optuna.create_study(pruner=pruner or optuna.pruners.NopPruner(), **options)
    for exponent in range(1, number + 1):
        found.enqueue_trial({"learning_rate": 10.0**-exponent})
    found.optimize(
        Objective(task, Children(COMMAND)), n_trials=number,
        catch=(*FAILURES, StoppedError),
    )  # fmt: skip
    return found


def test_a_trial_reports_each_epoch_and_what_came_of_it(task: Task) -> None:
    trial = run(task).trials[0]
    assert trial.intermediate_values == {1: 2.5, 2: 2.25, 3: 2.125, 4: 2.0625}
    assert trial.value == 2.0625
    assert trial.user_attrs["results"] == {
        "validation_loss": 2.0625, "training_loss": pytest.approx(1.9625), "epochs": 4,
        "seconds_per_epoch": 0.5, "parameters": 242_945, "tokens_per_second": 781.25,
    }  # fmt: skip
    assert trial.user_attrs["settings"] == task.base | {"learning_rate": 0.1}
    assert list(task.work.glob("*")) == []


def test_a_trial_in_time_reports_each_tenth_of_it(task: Task) -> None:
    task.base["minutes"] = 1.0
    assert list(run(task).trials[0].intermediate_values) == [2, 5, 7, 10]


def test_a_poor_trial_is_stopped_early(task: Task) -> None:
    pruner = optuna.pruners.ThresholdPruner(upper=2.2, n_warmup_steps=3)
    trial = run(task, pruner=pruner).trials[0]
    assert trial.state == TrialState.COMPLETE, "2.125 after three epochs"
    pruner = optuna.pruners.ThresholdPruner(upper=2.2)
    trial = run(task, pruner=pruner).trials[0]
    assert (trial.state, trial.last_step) == (TrialState.PRUNED, 1)
    assert trial.user_attrs["results"]["epochs"] == 1


def test_two_objectives_give_two_values_and_no_reports(task: Task) -> None:
    trial = run(task, directions=["minimize", "maximize"]).trials[0]
    assert trial.values == [2.0625, 781.25]
    assert trial.intermediate_values == {}


def test_a_crash_is_one_failed_trial(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRASH", "1")
    trials = run(task, 3).trials
    states = [trial.state for trial in trials]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE]
    assert trials[1].user_attrs["failure"] == "MemoryError: no room for the model"
    assert all(map(study.counts, trials))


@pytest.mark.parametrize(
    ("limits", "fixed", "reason"),
    [
        (Limits(1000, math.inf, 100_000), {}, "parameters: 242,945 of 1,000"),
        (Limits(math.inf, 2**20, 100_000), {}, r"memory: 0.03 of 0.00 GiB"),
        (Limits(math.inf, math.inf, 100), {}, "tokens: 1,626 of 100"),
        (Limits(math.inf, math.inf, 1e9), {"residual": True, "num_layers": 1}, "--residual needs"),
    ],
)
def test_what_cannot_be_trained_is_left_out(
    task: Task, limits: Limits, fixed: dict[str, Any], reason: str
) -> None:
    trial = run(replace(task, limits=limits, fixed=fixed)).trials[0]
    assert trial.state == TrialState.PRUNED
    assert reason in trial.user_attrs["left_out"]
    assert not study.counts(trial)
    assert set(trial.user_attrs) == {"left_out"}, "each would be a write"
    assert set(trial.constraints) == ({"excess"} if limits.tokens < 1e9 else set())
    assert all(excess > 0 for excess in trial.constraints.values()), "Optuna learns from it"


def test_a_trial_too_many_is_not_trained(task: Task) -> None:
    trials = run(replace(task, wanted=2), 3).trials
    assert "there are enough" in trials[2].user_attrs["left_out"]
    assert [study.counts(trial) for trial in trials] == [True, True, False]


def test_when_the_storage_fails_all_children_end(task: Task, monkeypatch: Any) -> None:
    def fail(*arguments: object) -> None:
        raise optuna.exceptions.StorageInternalError("gone")

    monkeypatch.setattr(optuna.Trial, "report", fail)
    children = Children(COMMAND)
    found = optuna.create_study()
    with pytest.raises(optuna.exceptions.StorageInternalError):
        found.optimize(Objective(task, children), n_trials=1)
    assert children.stopped
    assert os.listdir(task.work.parent) == ["input.txt"]


def test_settings_are_described_shortly() -> None:
    settings = {"learning_rate": 0.0123456, "rnn_size": 256, "cell": "gru"}
    assert described(settings) == "learning-rate 0.0123, rnn-size 256, cell gru"
