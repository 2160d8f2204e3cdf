"""A trial as Optuna is told of it, and whole searches as a user runs them.

What trains in them only pretends to (`tests.search.quick`); everything else is real. Searches that
are killed, stopped or measured run in processes of their own, as their trials do; the others run
here, trials and all (`search_here`).
"""

import contextlib
import csv
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
import yaml
from optuna.trial import TrialState

from tests.conftest import ROOT, VERSES, run_here, run_python
from tests.processes import beside
from tests.search import postgres, quick
from tests.training.test_never_lose_work import small_disk
from textgen.commands import search as command
from textgen.model import checkpoint
from textgen.search import SearchSettings, report, session, study, trial
from textgen.search.session import Objective
from textgen.search.trial import ChildError, Children, StoppedError
from textgen.support.errors import TextgenError

SPACE = {"learning_rate": {"log": [0.001, 0.1]}}


@pytest.fixture
def objective(tmp_path: Path) -> Objective:
    (tmp_path / "input.txt").write_text("text")
    base = quick.plan({"data_dir": tmp_path, "given": {"num_epochs": 4}})["settings"]
    return Objective(
        tmp_path, tmp_path / "work", logs=None,
        facts={"space": SPACE, "base": base, "fixed": {}, "objective": "loss"},
        plan={"vocabulary_size": 65, "num_tokens": 100_000},
        settings=SearchSettings(trials=9, workers=1), children=Children(quick.child),
    )  # fmt: skip


def optimize(
    objective: Objective, number: int = 1, pruner: Any = None, **options: Any
) -> optuna.Study:
    """Run trials of a learning rate of 0.1, then 0.01 and so on."""
    found = optuna.create_study(pruner=pruner or optuna.pruners.NopPruner(), **options)
    for exponent in range(1, number + 1):
        found.enqueue_trial({"learning_rate": 10.0**-exponent})
    found.optimize(objective, n_trials=number, catch=(TextgenError, StoppedError))
    return found


def test_a_trial_reports_how_it_goes_and_what_came_of_it(objective: Objective) -> None:
    trial = optimize(objective).trials[0]
    assert trial.intermediate_values == {1: 2.5, 2: 2.25, 3: 2.125, 4: 2.0625}, "by epochs"
    assert trial.value == 2.0625
    assert trial.user_attrs["results"] == {
        "validation_loss": 2.0625, "training_loss": pytest.approx(1.9625), "epochs": 4,
        "seconds_per_epoch": 0.5, "parameters": 242_945, "tokens_per_second": 781.25,
        "nats_per_character": 0.515625, "bits_per_character": pytest.approx(0.7438896),
    }  # fmt: skip
    assert trial.user_attrs["settings"] == objective.facts["base"] | {"learning_rate": 0.1}
    assert list(objective.work.glob("*")) == []


def test_a_trial_in_time_reports_each_tenth_of_it(objective: Objective) -> None:
    objective.facts["base"]["minutes"] = 1.0
    assert list(optimize(objective).trials[0].intermediate_values) == [2, 5, 7, 10]


def test_a_poor_trial_is_stopped_early(objective: Objective) -> None:
    pruner = optuna.pruners.ThresholdPruner(upper=2.2, n_warmup_steps=3)
    trial = optimize(objective, pruner=pruner).trials[0]
    assert trial.state == TrialState.COMPLETE, "2.125 after three epochs"
    pruner = optuna.pruners.ThresholdPruner(upper=2.2)
    trial = optimize(objective, pruner=pruner).trials[0]
    assert (trial.state, trial.last_step) == (TrialState.PRUNED, 1)
    assert trial.user_attrs["results"]["epochs"] == 1


def test_two_objectives_give_two_values_and_no_reports(objective: Objective) -> None:
    objective.facts["objective"] = "loss,speed"
    trial = optimize(objective, directions=["minimize", "maximize"]).trials[0]
    assert trial.values == [2.0625, 781.25]
    assert trial.intermediate_values == {}


def test_a_crash_is_one_failed_trial(objective: Objective, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRASH", "1")
    trials = optimize(objective, 3).trials
    states = [trial.state for trial in trials]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE]
    assert trials[1].user_attrs["failure"] == "MemoryError: no room for the model"
    assert all(study.state_of(trial) in study.COUNTED for trial in trials)


@pytest.mark.parametrize(
    ("limits", "fixed", "reason"),
    [
        ({"max_parameters": 1000}, {}, "242,945 of 1,000 weights"),
        ({"max_memory": 2**-10}, {}, "of 0.000976562 GiB of memory"),
        ({"num_tokens": 100}, {}, "1,626 of 100 tokens of text"),
        ({}, {"residual": True, "num_layers": 1}, "`residual` needs"),
    ],
)
def test_what_cannot_be_trained_is_left_out(
    objective: Objective, limits: dict[str, Any], fixed: dict[str, Any], reason: str
) -> None:
    facts = objective.facts | {"fixed": fixed}
    plan = objective.plan | {n: v for n, v in limits.items() if n == "num_tokens"}
    settings = replace(objective.settings, **{n: v for n, v in limits.items() if n not in plan})
    found = optimize(replace(objective, facts=facts, plan=plan, settings=settings))
    (trial,) = found.trials
    assert trial.state == TrialState.PRUNED
    assert reason in trial.user_attrs["left_out"]
    assert study.count(found) == 0
    assert set(trial.user_attrs) == {"left_out"}, "each would be a write"
    assert set(trial.constraints) == ({"excess"} if limits else set())
    assert all(excess > 0 for excess in trial.constraints.values()), "Optuna learns from it"


def test_a_trial_too_many_is_not_trained(objective: Objective) -> None:
    found = optimize(replace(objective, settings=SearchSettings(trials=2)), 3)
    assert "there are enough" in found.trials[2].user_attrs["left_out"]
    assert study.count(found) == 2


def test_what_killed_trials_left_is_removed_and_what_others_begin_stays(
    objective: Objective,
) -> None:
    (objective.work / "3").mkdir(parents=True)
    found = optuna.create_study()
    number = found.ask().number
    (objective.work / str(number)).mkdir()
    objective.remove_leftovers(found)
    assert [path.name for path in objective.work.iterdir()] == [str(number)]


def test_when_the_storage_fails_all_children_end(objective: Objective, monkeypatch: Any) -> None:
    def fail(*arguments: object) -> None:
        raise optuna.exceptions.StorageInternalError("gone")

    monkeypatch.setattr(optuna.Trial, "report", fail)
    with pytest.raises(optuna.exceptions.StorageInternalError):
        optimize(objective)
    assert objective.children.stopped
    assert os.listdir(objective.work.parent) == ["input.txt"]


QUICK = ("-m", "tests.search.quick")
TINY_SPACE = "base: none\nlearning-rate: {log: [0.001, 0.1]}\nrnn-size: {int: [8, 16]}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "input.txt").write_text(VERSES * 4)
    (tmp_path / "space.yaml").write_text(TINY_SPACE)
    return tmp_path


def flags(folder: Path, trials: int, *more: object) -> list[str]:
    space = folder / "space.yaml"
    found = ["--data-dir", folder, "--trials", trials, "--num-epochs", 3, "--space", space, *more]
    return [str(flag) for flag in found]


class Here(Children):
    """Children that are no processes: what they would do is done in this one."""

    def messages(self, order: dict[str, Any], loud: bool = False) -> Generator[dict[str, Any]]:
        said: list[dict[str, Any]] = []
        try:
            quick.child(order, said.append)
        except MemoryError as error:
            raise ChildError(f"MemoryError: {error}") from error
        yield from said


def command_here(*arguments: object, children: type[Children] = Here) -> Any:
    """The command of the search in this process; its children are processes where that is said."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "Children", children)
        patch.setattr(trial, "carry_out", quick.child)
        patch.setattr(report, "draw", lambda *arguments: [])
        return run_here(command.main, *arguments)


def search_here(folder: Path, trials: int, *more: object, children: type[Children] = Here) -> Any:
    return command_here(*flags(folder, trials, *more), children=children)


def search(folder: Path, trials: int, *more: object, **environment: object) -> Any:
    env = os.environ | {name: str(value) for name, value in environment.items()}
    return run_python(*QUICK, *flags(folder, trials, *more), env=env)


def begun(
    folder: Path, trials: int, *more: object, measured: bool = False, **environment: object
) -> Any:
    """A search that goes on beside the test."""
    arguments = flags(folder, trials, *more)
    options = {"environment": environment, "measured": measured}
    return beside(*QUICK, *arguments, stderr=subprocess.PIPE, **options)


def wait_for(path: Path, text: str) -> None:
    deadline = time.monotonic() + 120
    while not path.exists() or text not in path.read_text():
        assert time.monotonic() < deadline, f"{text} does not come"
        time.sleep(0.02)


def rows(folder: Path, name: str = "") -> dict[str, dict[str, str]]:
    """The rows of `trials.csv`, by the trial's number."""
    with (folder / "search" / name / "trials.csv").open() as file:
        return {row["trial"]: row for row in csv.DictReader(file)}


def states(folder: Path, name: str = "") -> Counter[str]:
    return Counter(row["state"] for row in rows(folder, name).values())


def test_a_search_killed_in_mid_trial_is_resumed(folder: Path) -> None:
    ran = folder / "ran"
    with begun(folder, 6, "--pruner", "none", RAN=ran, HANG=3) as process:
        wait_for(ran, "3 ")
        process.send_signal(signal.SIGKILL)
    kept = rows(folder)
    assert states(folder) == {"complete": 3}

    refused = search_here(folder, 6)
    assert refused.returncode == 2
    assert "has a search already. Add --resume" in refused.stderr

    done = command_here("--data-dir", folder, "--resume")
    assert done.returncode == 0, done.stderr
    now = rows(folder)
    assert states(folder) == {"complete": 6, "interrupted": 1}
    assert now["3"]["state"] == "interrupted"
    assert now["4"]["learning_rate"] == now["3"]["learning_rate"], "its settings are tried again"
    for number in ("0", "1", "2"):
        same = ("validation_loss", "learning_rate", "epochs", "state")
        assert [now[number][name] for name in same] == [kept[number][name] for name in same]
    assert sorted(ran.read_text().split()[::2]) == ["0", "1", "2", "3"], "none is run twice"
    again = command_here("--data-dir", folder, "--resume")
    assert "6 of 6 trials are there" in again.stderr
    assert states(folder) == {"complete": 6, "interrupted": 1}


def test_a_search_of_the_version_before_goes_on(folder: Path) -> None:
    """It kept what was not given as None, and counted tries in an attribute of its own."""
    search_here(folder, 1)
    url = study.sqlite_url(folder / ".textgen" / "search.db")
    found = optuna.load_study(study_name=folder.name, storage=url)
    unset = dict.fromkeys(["pruner", "max_parameters", "max_memory"])
    found.set_user_attr(study.FACTS, found.user_attrs[study.FACTS] | unset)
    found.enqueue_trial({"learning_rate": 0.02, "rnn_size": 8}, user_attrs={"tries": 2})
    done = command_here("--data-dir", folder, "--resume", "--trials", 2)
    assert done.returncode == 0, done.stderr
    assert "1 of 2 trials are there" in done.stderr
    assert rows(folder)["1"]["learning_rate"] == "0.02"


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 1), (signal.SIGTERM, 2)])
def test_a_search_that_is_stopped_keeps_its_results(
    folder: Path, number: signal.Signals, workers: int
) -> None:
    ran = folder / "ran"
    more = ("--workers", workers, "--pruner", "none")
    with begun(folder, 6, *more, RAN=ran, HANG=workers) as process:
        wait_for(ran, f"{workers} ")  # so at least one is complete
        process.send_signal(number)
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert "ending the trials; once more stops at once" in said
    assert said.splitlines()[-1] == "interrupted"
    assert "Traceback" not in said
    assert states(folder)["complete"] >= 1
    assert states(folder)["interrupted"] >= 1
    assert (folder / "search" / "best.yaml").exists()
    done = command_here("--data-dir", folder, "--resume", "--trials", 4)
    assert done.returncode == 0, done.stderr
    assert states(folder)["complete"] >= 4


def test_a_crash_is_not_the_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRASH", "1")
    monkeypatch.setenv("SIGNAL", str(int(signal.SIGKILL)))
    done = search_here(folder, 3, children=Children)
    assert done.returncode == 0, done.stderr
    assert states(folder) == {"complete": 2, "failed": 1}
    assert rows(folder)["1"]["reason"].startswith("killed by SIGKILL (the system does so when")
    assert "killed by SIGKILL" in done.stderr


def test_when_every_trial_fails_the_search_stops(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRASH", "all")
    stopped = search_here(folder, 50)
    assert stopped.returncode == 2
    last = stopped.stderr.splitlines()[-1]
    assert last.startswith("error: 5 trials in a row failed, the last one so: MemoryError: no room")
    assert states(folder) == {"failed": 5}


def test_workers_share_the_cores(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cores = len(os.sched_getaffinity(0))
    monkeypatch.setenv("RAN", str(folder / "alone"))
    search_here(folder, 3)
    monkeypatch.setenv("RAN", str(folder / "pair"))
    search_here(folder, 3, "--study", "pair", "--workers", 2)
    assert (folder / "search" / "pair" / "trials.csv").exists(), "of --study NAME"
    assert set((folder / "alone").read_text().split()[1::2]) == {str(cores)}
    assert set((folder / "pair").read_text().split()[1::2]) == {str(max(1, cores // 2))}


def check_memory(
    folder: Path, first: int, trials: int, growth: float, **environment: object
) -> None:
    """The parent's resident memory grows by less than that share, from trial `first` to the end."""
    memory = folder / "memory"
    tiny = ("--num-layers", 1, "--embedding-size", 8, "--batch-size", 4, "--seq-length", 20)
    arguments = flags(folder, trials, "--workers", 2, *tiny)
    env = os.environ | {"MEMORY": str(memory)} | {n: str(v) for n, v in environment.items()}
    child = [sys.executable, *QUICK, *arguments]
    done = subprocess.run(child, cwd=ROOT, capture_output=True, encoding="utf-8", env=env)
    assert done.returncode == 0, done.stderr
    sizes = [int(line) for line in memory.read_text().split()]
    assert len(sizes) == trials
    # The sampler is imported when it has trials to learn from, after the tenth at most.
    assert sizes[-1] < (1 + growth) * sizes[first - 1], sizes


@pytest.mark.slow
def test_the_memory_of_the_parent_stays_flat(folder: Path) -> None:
    check_memory(folder, first=12, trials=22, growth=0.0125)


@pytest.mark.slow
@pytest.mark.parametrize("real", [{}, {"REAL": 1}], ids=["pretended", "real"])
def test_the_memory_of_the_parent_stays_flat_for_long(folder: Path, real: dict[str, int]) -> None:
    check_memory(folder, first=10, trials=50, growth=0.05, **real)


def test_two_searches_in_one_folder_are_refused(folder: Path) -> None:
    with begun(folder, 4, RAN=folder / "ran", HANG=0) as process:
        wait_for(folder / "ran", "0 ")
        refused = search_here(folder, 4, "--resume")
        process.kill()
    assert refused.returncode == 2
    assert f"process {process.pid} is searching in {folder}. Wait until" in refused.stderr


def test_loss_and_speed(folder: Path) -> None:
    done = search_here(folder, 5, "--objective", "loss,speed")
    assert done.returncode == 0, done.stderr
    assert "no trial is stopped early: Optuna does so for one objective only" in done.stderr
    assert states(folder) == {"complete": 5}
    front = [row for row in rows(folder).values() if row["pareto_front"]]
    assert rows(folder)[front[0]["trial"]]["rank"] == "1"
    refused = command_here("--data-dir", folder, "--resume", "--objective", "loss")
    assert "--objective loss does not fit" in refused.stderr


def test_limits_are_kept(folder: Path) -> None:
    tiny = ("--num-layers", 1, "--embedding-size", 8)
    done = search_here(folder, 4, *tiny, "--max-parameters", 2500)
    assert done.returncode == 0, done.stderr
    assert states(folder)["complete"] + states(folder)["pruned"] == 4
    assert states(folder)["left out"] >= 1, "the defaults, at least"
    trained = [int(row["parameters"]) for row in rows(folder).values() if row["parameters"]]
    assert len(trained) == 4
    assert max(trained) <= 2500


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (["--data-dir", "/nonexistent/x"], "--data-dir is given twice"),
        (["--storage", "postgresql+psycopg://127.0.0.1:9/x"], "cannot be used (connection"),
        (["--apply", "70"], "--apply 70 is no complete trial of the search"),
        (["--max-parameters", "5"], "30 trials in a row left out, the last one so: "),
    ],
)
def test_bad_input_ends_in_one_line(folder: Path, more: list[str], problem: str) -> None:
    done = search_here(folder, 1, *more)
    assert done.returncode == 2, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert problem in errors[0]
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def begun_search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("begun")
    (folder / "input.txt").write_text(VERSES * 4)
    (folder / "space.yaml").write_text(TINY_SPACE)
    assert search_here(folder, 1).returncode == 0
    return folder


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (["--num-epochs", "2"], "--num-epochs 2 does not fit: the search was begun with 3"),
        (["--word-tokens"], "--word-tokens does not fit: the search was begun without it"),
        (["--dropout", "0.1"], "--dropout 0.1 does not fit: the search was begun without it"),
        (["--objective", "loss,speed"], "--objective loss,speed does not fit"),
        (["--space", "other.yaml"], "does not fit: the search was begun with {'learning_rate'"),
    ],
)
def test_a_search_of_something_else_is_refused(
    begun_search: Path, more: list[str], problem: str
) -> None:
    (begun_search / "other.yaml").write_text("dropout: {float: [0, 0.2]}\n")
    more = [str(begun_search / flag) if flag == "other.yaml" else flag for flag in more]
    refused = command_here("--data-dir", begun_search, "--resume", *more)
    assert refused.returncode == 2
    assert problem in refused.stderr


def test_a_changed_text_is_refused(folder: Path) -> None:
    search_here(folder, 1)
    (folder / "input.txt").write_text(VERSES * 5)
    refused = command_here("--data-dir", folder, "--resume", "--trials", 2)
    assert refused.returncode == 2
    assert "is not that of the search" in refused.stderr


def test_resume_without_a_search_begins_one(folder: Path) -> None:
    done = search_here(folder, 1, "--resume")
    assert "starting from the beginning" in done.stderr
    assert states(folder) == {"complete": 1}


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres.server() as url:
        yield url


@pytest.mark.xdist_group("postgresql")
@pytest.mark.parametrize(("number", "trials"), [(2, 6), pytest.param(3, 9, marks=pytest.mark.slow)])
def test_processes_share_a_study_in_postgresql(
    folder: Path, database: str, number: int, trials: int
) -> None:
    """Processes of the same command line, on a real PostgreSQL, run so many trials in all."""
    logs = [folder / f"ran-{number}" for number in range(number)]
    with contextlib.ExitStack() as stack:
        flags = (trials, "--storage", database)
        ongoing = [begun(folder, *flags, measured=True, RAN=log) for log in logs]
        processes = [stack.enter_context(one) for one in ongoing]
        said = [process.communicate(timeout=240)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * number, said
    ran = [log.read_text().split()[::2] if log.exists() else [] for log in logs]
    assert sorted(int(number) for numbers in ran for number in numbers) == list(range(trials)), (
        "no trial twice, and none too many"
    )
    assert sum(map(bool, ran)) > 1, "more than one process did the work"
    surplus = [row["state"] for number, row in rows(folder).items() if int(number) >= trials]
    assert set(surplus) <= {"left out"}, "two may begin the last one at once"
    assert sum(states(folder)[state] for state in ("complete", "pruned")) == trials
    assert rows(folder)["0"]["learning_rate"] == "0.008", "the defaults come first, and once"
    again = search_here(folder, *flags)
    assert f"{trials} of {trials} trials are there" in again.stderr


@pytest.mark.xdist_group("postgresql")
def test_a_dead_machine_is_noticed_by_the_others(
    folder: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = folder / "ran"
    more = ("--storage", database, "--study", "dying", "--pruner", "none")
    beats = {"HEARTBEAT": 1, "GRACE": 2}
    for name, seconds in beats.items():
        monkeypatch.setattr(study, name, seconds)
    with begun(folder, 4, *more, RAN=ran, HANG=1, **beats) as process:
        wait_for(ran, "1 ")
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 120
    for trials in itertools.count(4):
        assert time.monotonic() < deadline
        done = search_here(folder, trials, *more)
        assert done.returncode == 0, done.stderr
        if states(folder, "dying")["interrupted"]:
            break
    assert rows(folder, "dying")["1"]["state"] == "interrupted"


@pytest.mark.slow
def test_a_machine_that_slept_goes_on(folder: Path, database: str) -> None:
    """Its trial was taken for dead, and is another's by now."""
    ran, go = folder / "ran", folder / "go"
    more = ("--storage", database, "--study", "sleepy", "--pruner", "none")
    beats = {"HEARTBEAT": 1, "GRACE": 2}
    with begun(folder, 3, *more, RAN=ran, HANG=0, GO=go, **beats) as process:
        wait_for(ran, "0 ")
        process.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 120
        for trials in itertools.count(2):
            assert time.monotonic() < deadline
            assert search(folder, trials, *more, **beats).returncode == 0
            if states(folder, "sleepy")["interrupted"]:
                break
        go.touch()
        process.send_signal(signal.SIGCONT)
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    assert "a trial was taken for dead meanwhile" in said
    assert rows(folder, "sleepy")["0"]["state"] == "interrupted"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 20_000):
        (tmp_path / "disk" / "input.txt").write_text(VERSES * 4)
        (tmp_path / "disk" / "space.yaml").write_text(TINY_SPACE)
        yield tmp_path / "disk"


def test_a_full_disk_ends_the_search_in_one_line(disk: Path) -> None:
    """Without any space, and with so much that it is full in the middle of a trial."""
    assert search_here(disk, 1).returncode == 0
    kept = rows(disk)["0"]
    filler = disk / "filler"
    for spare_kilobytes in (0, 16):
        filler.unlink(missing_ok=True)
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
        filler.write_bytes(bytes(free - 1024 * spare_kilobytes))
        stopped = search(disk, 8, "--resume")
        assert stopped.returncode == 2, stopped.stderr
        assert stopped.stderr.splitlines()[-1].startswith("error: ")
        assert "Traceback" not in stopped.stderr
        assert rows(disk)["0"] == kept
    filler.unlink()
    done = search_here(disk, 3, "--resume", "--pruner", "none")
    assert done.returncode == 0, done.stderr
    assert rows(disk)["0"]["validation_loss"] == kept["validation_loss"]
    assert states(disk)["complete"] >= 3


def test_a_server_that_goes_away_ends_the_search_in_one_line(folder: Path) -> None:
    ran, go = folder / "ran", folder / "go"
    with contextlib.ExitStack() as stack:
        with postgres.server() as url:
            ongoing = begun(folder, 4, "--storage", url, measured=True, RAN=ran, HANG=1, GO=go)
            process = stack.enter_context(ongoing)
            wait_for(ran, "1 ")
        go.touch()
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 2, said
    assert said.splitlines()[-1].startswith("error: the storage postgresql")
    assert "Traceback" not in said


def test_optuna_dashboard_shows_the_search(folder: Path) -> None:
    import optuna_dashboard

    search_here(folder, 2, "--pruner", "none")
    database = optuna.storages.RDBStorage(study.sqlite_url(folder / ".textgen" / "search.db"))
    application = optuna_dashboard.wsgi(database)
    answer: list[str] = []

    def get(path: str) -> Any:
        request = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "wsgi.input": io.BytesIO()}
        setup_testing_defaults(request)
        parts = application(request, lambda status, headers, *_: answer.append(status))
        return json.loads(b"".join(parts))

    (shown,) = get("/api/studies")["study_summaries"]
    assert shown["study_name"] == folder.name
    trials = get(f"/api/studies/{shown['study_id']}")["trials"]
    assert [trial["state"] for trial in trials] == ["Complete", "Complete"]
    assert answer == ["200 OK", "200 OK"]


@pytest.mark.slow
def test_a_real_search_finds_settings_and_trains_the_final_model(tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_text(VERSES * 4)
    (tmp_path / "space.yaml").write_text(TINY_SPACE)
    fixed = ("--num-layers", 1, "--embedding-size", 8, "--batch-size", 4, "--seq-length", 20)
    done = run_python(
        "-m", "textgen", "search", *flags(tmp_path, 2, "--apply", "--tensorboard", *fixed)
    )
    assert done.returncode == 0, done.stderr
    assert "no validate.txt: holding out 10%" in done.stderr
    assert "(--validation-split takes another share)" in done.stderr
    assert states(tmp_path) == {"complete": 2}
    logs = tmp_path / ".textgen" / "search" / "tensorboard" / tmp_path.name
    assert {path.name for path in logs.iterdir()} == {"0", "1"}
    best = yaml.safe_load((tmp_path / "search" / "best.yaml").read_text())
    row = next(row for row in rows(tmp_path).values() if row["rank"] == "1")
    assert best["learning-rate"] == float(row["learning_rate"])
    made = checkpoint.load(tmp_path).metadata
    assert made.training.learning_rate == best["learning-rate"]
    assert made.model.rnn_size == best["rnn-size"] == int(row["rnn_size"])
    loss = made.results["val_loss"]
    assert loss == pytest.approx(float(row["validation_loss"]), rel=1e-3), "the same training"
    later = run_python("train.py", "--config", tmp_path / "search" / "best.yaml")
    assert later.returncode == 0, later.stderr
    again = checkpoint.load(tmp_path).metadata.results["val_loss"]
    assert again == pytest.approx(loss, rel=1e-3), "train.py does the same later, in its folder"
