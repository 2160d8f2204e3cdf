"""The study of a search in its database."""

import threading
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from textgen.errors import TextgenError
from textgen.search import study
from textgen.search.study import counted, counts

ABOUT = {"objective": "loss", "fixed": {}}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return study.sqlite_url(tmp_path / "a b%c.db")


def begun(url: str, **about: Any) -> optuna.Study:
    storage = study.open_storage(url, shared=False)
    assert study.begin(storage, "s", ABOUT | about, {"x": 0.5})
    return study.join(storage, "s", optuna.pruners.NopPruner(), 1, 5)


def test_a_study_is_found_again_with_what_it_is_about(url: str) -> None:
    begun(url)
    storage = study.open_storage(url, shared=True)
    assert study.facts(storage, "s", shared=True) == ABOUT
    assert study.facts(storage, "other", shared=True) is None
    assert not study.begin(storage, "s", ABOUT, {}), "another process was quicker"


def test_the_first_trial_has_the_settings_of_train_py(url: str) -> None:
    first = begun(url).ask()
    assert first.suggest_float("x", 0, 1) == 0.5
    assert first.user_attrs == {study.DEFAULTS: True}


def test_a_study_that_was_cut_short_at_its_beginning(url: str, monkeypatch: Any) -> None:
    storage = study.open_storage(url, shared=False)
    optuna.create_study(storage=storage, study_name="s")
    monkeypatch.setattr(study, "SECONDS_TO_CONNECT", 0.2)
    with pytest.raises(TextgenError, match="was not begun by textgen, or its beginning"):
        study.facts(storage, "s", shared=True)
    assert study.facts(storage, "s", shared=False) is None
    assert study.begin(storage, "s", ABOUT, {}), "it is begun anew"


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
    assert [counts(trial) for trial in found.trials] == states
    assert counted(found) == 4
    assert [study.is_surplus(found, n, 3) for n in (3, 4, 5)] == [False, True, True]


def test_trials_of_the_dead_fail_and_their_settings_are_tried_again(url: str) -> None:
    found = begun(url)
    for _ in range(study.MOST_TRIES):
        found.ask().suggest_float("x", 0, 1)
        assert study.fail_dead(found) == 1
    states = [trial.state.name for trial in found.trials]
    assert states == ["FAIL"] * study.MOST_TRIES, "and then no more"
    assert {trial.params["x"] for trial in found.trials} == {0.5}
    assert all(study.DEFAULTS in trial.user_attrs for trial in found.trials)
    assert study.fail_dead(found) == 0


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
        study.open_storage(url, shared=True)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_driver_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(TextgenError, match=r"Install it: pip install 'psycopg\[binary\]'"):
        study.open_storage("postgresql+psycopg://127.0.0.1/x", shared=True)


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(TextgenError, match="file is not a database"):
        study.open_storage(study.sqlite_url(tmp_path / "x.db"), shared=False)


def test_a_thread_that_lost_the_storage_ends_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: seen.append(arguments.exc_type))
    study.quieten_heartbeats()

    def fail(error: type[Exception]) -> None:
        raise error("x")

    for error in (optuna.exceptions.StorageInternalError, KeyError):
        thread = threading.Thread(target=fail, args=(error,))
        thread.start()
        thread.join()
    assert seen == [KeyError]
