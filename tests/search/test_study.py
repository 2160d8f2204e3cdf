"""The study of a search in its database, and what is said where that fails."""

import itertools
import threading
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from textgen.search import study
from textgen.support.errors import TextgenError

ABOUT = {"objective": "loss", "fixed": {}}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return study.sqlite_url(tmp_path / "a b%c.db")


def begun(url: str, **about: Any) -> optuna.Study:
    database = study.connect(url)
    assert study.begin(database, "s", ABOUT | about, {"x": 0.5})
    return optuna.load_study(study_name="s", storage=database)


def test_a_study_is_found_again_with_what_it_is_about(url: str) -> None:
    begun(url)
    database = study.connect(url, shared=True)
    assert study.read_facts(database, "s", shared=True) == ABOUT
    assert study.read_facts(database, "other", shared=True) is None
    assert not study.begin(database, "s", ABOUT, {}), "another process was quicker"


def test_only_a_trial_that_is_there_or_may_come_can_be_applied(url: str) -> None:
    made = begun(url)
    storage = study.connect(url)
    made.tell(made.ask(), 1.0)
    made.tell(made.ask(), state=TrialState.FAIL)
    made.ask()
    for number in (0, 2):
        study.refuse_no_trial(storage, "s", number)
    for number in (1, 99):
        with pytest.raises(TextgenError, match=rf"`apply` {number} is no .* or choose from 0$"):
            study.refuse_no_trial(storage, "s", number)
    with pytest.raises(TextgenError, match=r"of the search new\. Leave .* takes the best one$"):
        study.refuse_no_trial(storage, "new", 1)


def test_the_first_trial_has_the_settings_of_train_py(url: str) -> None:
    first = begun(url).ask()
    assert first.suggest_float("x", 0, 1) == 0.5
    assert first.user_attrs == {study.DEFAULTS: True}


def test_a_study_that_was_cut_short_at_its_beginning(url: str, monkeypatch: Any) -> None:
    database = study.connect(url)
    optuna.create_study(storage=database, study_name="s")
    monkeypatch.setattr(study, "SECONDS_TO_BEGIN", 0.2)
    with pytest.raises(TextgenError, match="was not begun by textgen, or its beginning"):
        study.read_facts(database, "s", shared=True)
    assert study.read_facts(database, "s", shared=False) is None
    assert study.begin(database, "s", ABOUT, {}), "it is begun anew"


def test_two_objectives(url: str) -> None:
    found = begun(url, objective="loss,speed")
    assert [d.name for d in found.directions] == ["MINIMIZE", "MAXIMIZE"]


def test_which_trials_count(url: str) -> None:
    found = begun(url)
    for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL):
        trial = found.ask()
        trial.suggest_float("x", 0, 1)
        found.tell(trial, 1.0 if state == TrialState.COMPLETE else None, state=state)
    for name in ("failure", "left_out"):
        trial = found.ask()
        trial.set_user_attr(name, "why")
        state = TrialState.FAIL if name == "failure" else TrialState.PRUNED
        found.tell(trial, state=state)
    found.ask()
    found.enqueue_trial({"x": 0.1})
    states = [True, True, False, True, False, True, False]
    before = [study.count(found, before=number) for number in range(8)]
    assert [after - earlier for earlier, after in itertools.pairwise(before)] == states
    assert study.count(found) == 4


def test_trials_of_the_dead_fail_and_their_settings_are_tried_again(url: str) -> None:
    found = begun(url)
    for _ in range(study.MOST_TRIES):
        found.ask().suggest_float("x", 0, 1)
        study.fail_running(found)
    study.fail_running(found)
    assert [study.state_of(trial) for trial in found.trials] == ["interrupted"] * study.MOST_TRIES
    assert {trial.params["x"] for trial in found.trials} == {0.5}
    assert all(study.DEFAULTS in trial.user_attrs for trial in found.trials)


@pytest.mark.parametrize(("name", "stopped"), [("median", 3), ("halving", 2), ("none", None)])
def test_a_poor_trial_is_stopped_but_not_at_once(name: str, stopped: int | None) -> None:
    found = optuna.create_study(pruner=study.make_pruner(name, steps=10))
    for loss in (1.0, 1.1, 1.2, 1.3, 9.0):
        trial = found.ask()
        steps = []
        for step in range(1, 11):
            trial.report(loss, step)
            if trial.should_prune():
                steps.append(step)
        found.tell(trial, loss)
    assert (steps or [None])[0] == stopped


def test_no_two_threads_are_handed_the_same_trial(url: str) -> None:
    found = begun(url)
    for _ in range(19):
        found.enqueue_trial({"x": 0.5})
    numbers: list[int] = []

    def work() -> None:
        for _ in range(5):
            numbers.append(found.ask().number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(20))


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("nonsense", r"the storage nonsense cannot be used \(Could not parse"),
        ("redis://localhost", "cannot be used .*load plugin"),
        ("sqlite:////nonexistent/folder/x.db", r"cannot be used \(unable to open database file"),
        ("postgresql+psycopg://me:secret@127.0.0.1:9/x", r"me:\*\*\*@127.0.0.1.*cannot be used"),
    ],
)
def test_an_unreachable_storage_is_told_without_its_password(url: str, problem: str) -> None:
    with pytest.raises(TextgenError, match=problem) as caught:
        study.connect(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_driver_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(TextgenError, match=r"Install it: pip install 'psycopg\[binary\]'"):
        study.connect("postgresql+psycopg://127.0.0.1/x")


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(TextgenError, match="file is not a database"):
        study.connect(study.sqlite_url(tmp_path / "x.db"))


def test_a_thread_that_lost_the_storage_ends_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[type[BaseException]] = []
    monkeypatch.setattr(
        threading, "__excepthook__", lambda arguments: seen.append(arguments.exc_type)
    )
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    study.connect("sqlite://", shared=True)

    def fail(error: type[Exception]) -> None:
        raise error("x")

    for error in (optuna.exceptions.StorageInternalError, KeyError):
        thread = threading.Thread(target=fail, args=(error,))
        thread.start()
        thread.join()
    assert seen == [KeyError]
