"""The memory of a search: an Optuna study in a database, which survives all its processes.

Optuna's storage is the only thing that workers share: it hands out trials, so that none is run
twice, and knows by heartbeats which of them died.
"""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import optuna
import sqlalchemy
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from textgen.errors import TextgenError

HEARTBEAT = 20
"""Seconds between two signs of life of a trial in a shared storage."""
GRACE = 90
"""Seconds without a sign of life after which another worker takes a trial for dead."""
SECONDS_TO_CONNECT = 20
MOST_TRIES = 3
"""How often settings are tried whose trial is interrupted every time."""
FACTS = "textgen"
"""The study's attribute that says what is searched, on which text."""
DEFAULTS = "defaults"
"""The attribute of the first trial, and of those that try it again: the settings of train.py."""
DIRECTIONS: dict[str, list[Literal["minimize", "maximize"]]] = {
    "loss": ["minimize"],
    "loss,speed": ["minimize", "maximize"],
}
"""By `--objective`."""
DRIVERS = {"psycopg": "'psycopg[binary]'", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
"""What is installed to get a module, where the names differ."""

UNUSABLE = (StorageInternalError, sqlalchemy.exc.SQLAlchemyError)
"""What a storage fails with."""

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=ExperimentalWarning)


def shown(url: str) -> str:
    """A storage's address without its password."""
    try:
        return sqlalchemy.engine.make_url(url).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return url


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn what a storage fails with into a TextgenError that says what to do."""
    try:
        yield
    except ImportError as error:
        module = getattr(error.__cause__, "name", None) or "its driver"
        raise TextgenError(
            f"--storage {shown(url)} needs a package that is missing. Install it: pip install"
            f" {DRIVERS.get(module, module)}"
        ) from error
    except (*UNUSABLE, UnboundLocalError, AssertionError) as error:
        # Optuna 5.0 stumbles over its own bookkeeping where a storage fails at a trial's end.
        first = error if isinstance(error, UNUSABLE) else error.__context__
        if not isinstance(first, UNUSABLE):
            raise
        raise TextgenError(
            f"the storage {shown(url)} cannot be used ({_reason(first)}). Check the address, the"
            " server and the free space, then go on with --resume; trials that ended are kept"
        ) from error


def _reason(error: BaseException) -> str:
    """The first line of what the database itself said."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().split("\n")[0] or type(error).__name__


def open_storage(url: str, shared: bool) -> RDBStorage:
    """Connect to a database and make Optuna's tables there, if they are missing.

    Args:
        url: of SQLAlchemy's form.
        shared: whether other processes may work on the same study; then trials give signs of
            life, and those of others that stopped to do so are taken for dead.

    Raises:
        TextgenError: if that cannot be done.
    """
    beat: dict[str, Any] = {
        "heartbeat_interval": HEARTBEAT, "grace_period": GRACE,
        "heartbeat_stale_trial_callback": try_again,
    }  # fmt: skip
    with explained(url):
        name = sqlalchemy.engine.make_url(url).get_backend_name()
        wait = {"sqlite": "timeout", "postgresql": "connect_timeout"}.get(name)
        arguments = {wait: SECONDS_TO_CONNECT} if wait else {}
        engine = {"connect_args": arguments, "pool_pre_ping": True}
        try:
            storage = _connected(url, engine, **(beat if shared else {}))
        except RuntimeError as error:  # tables of another version of Optuna
            raise TextgenError(f"the storage {shown(url)} does not fit: {error}") from error
    if name == "sqlite":
        _let_one_write(storage.engine)
    return storage


def quieten_heartbeats() -> None:
    """Let the threads that give signs of life end silently; the next report says what is wrong."""
    usual = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if not isinstance(arguments.exc_value, UNUSABLE):
            usual(arguments)

    threading.excepthook = hook


def _connected(url: str, engine: dict[str, Any], **beat: Any) -> RDBStorage:
    """Open a storage; where another process makes the tables at this moment, once more."""
    for _ in range(5):
        try:
            return RDBStorage(url, engine, **beat)
        except (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError):
            time.sleep(0.5)
    return RDBStorage(url, engine, **beat)


def _let_one_write(engine: sqlalchemy.Engine) -> None:
    """Lock the database from a transaction's beginning on, as SELECT FOR UPDATE does elsewhere.

    SQLite has no such SELECT, and without it two threads can be handed the same trial.
    """

    @sqlalchemy.event.listens_for(engine, "connect")
    def leave_transactions_alone(connection: Any, record: Any) -> None:
        connection.isolation_level = None

    @sqlalchemy.event.listens_for(engine, "begin")
    def lock(connection: sqlalchemy.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def facts(storage: RDBStorage, name: str, shared: bool) -> dict[str, Any] | None:
    """What is searched in the study `name`, or None where there is no such study.

    The process that makes a study says so a moment later. In a shared storage that is waited
    for; in one's own it was killed in between, and the study is begun anew.

    Raises:
        TextgenError: if it is a study of something else.
    """
    if name not in optuna.get_all_study_names(storage):
        return None
    study = optuna.load_study(study_name=name, storage=storage)
    deadline = time.monotonic() + SECONDS_TO_CONNECT
    while time.monotonic() < deadline:
        if found := study.user_attrs.get(FACTS):
            return dict(found)
        if not shared:
            optuna.delete_study(study_name=name, storage=storage)
            return None
        time.sleep(0.1)
    raise TextgenError(
        f"the study {name} was not begun by textgen, or its beginning was cut short. Choose"
        " another --study NAME"
    )


def begin(
    storage: RDBStorage, name: str, about: Mapping[str, Any], first: Mapping[str, Any]
) -> bool:
    """Make a study; False where another process did so just before.

    Args:
        storage: where.
        name: of the study.
        about: its facts; `objective` is one of `DIRECTIONS`.
        first: the settings of its first trial.
    """
    try:
        study = optuna.create_study(
            storage=storage, study_name=name, directions=DIRECTIONS[about["objective"]]
        )
    except DuplicatedStudyError:
        return False
    study.set_metric_names(["validation loss", "tokens per second"][: len(study.directions)])
    study.enqueue_trial(dict(first), user_attrs={DEFAULTS: True})
    study.set_user_attr(FACTS, dict(about))
    return True


def join(
    storage: RDBStorage, name: str, pruner: optuna.pruners.BasePruner, random_seed: int | None,
    startup_trials: int,
) -> Study:  # fmt: skip
    """Open a study to work on it.

    Args:
        storage: where it is.
        name: of the study.
        pruner: decides which trials are stopped early.
        random_seed: of the sampler; None where several processes must not draw the same.
        startup_trials: trials drawn at random before those that learn from others.
    """
    sampler = optuna.samplers.TPESampler(seed=random_seed, n_startup_trials=startup_trials)
    return optuna.load_study(study_name=name, storage=storage, sampler=sampler, pruner=pruner)


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial is one of those that were asked for.

    All are that were begun, but for those that were interrupted and those that were not trained.
    """
    if trial.state == TrialState.FAIL:
        return "failure" in trial.user_attrs
    return trial.state != TrialState.WAITING and "left_out" not in trial.user_attrs


def counted(study: Study) -> int:
    """The trials that were begun of those that were asked for."""
    return sum(map(counts, study.get_trials(deepcopy=False)))


def is_surplus(study: Study, number: int, wanted: int) -> bool:
    """Whether trial `number` was begun when there were enough: another worker was as quick."""
    earlier = (t for t in study.get_trials(deepcopy=False) if t.number < number)
    return sum(map(counts, earlier)) >= wanted


def fail_dead(study: Study) -> int:
    """Mark the running trials of a study, on which nobody works, as failed; returns how many."""
    dead = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    for trial in dead:
        study.tell(trial.number, state=TrialState.FAIL)
        try_again(study, trial)
    return len(dead)


def try_again(study: Study, trial: FrozenTrial) -> None:
    """Let the settings of a trial that was interrupted be the next ones that are tried."""
    tries = trial.user_attrs.get("tries", 1)
    if trial.params and tries < MOST_TRIES:
        attributes = {name: trial.user_attrs[name] for name in trial.user_attrs.keys() & {DEFAULTS}}
        study.enqueue_trial(trial.params, user_attrs=attributes | {"tries": tries + 1})


def sqlite_url(path: os.PathLike[str]) -> str:
    """The address of a database in a file."""
    return sqlalchemy.URL.create("sqlite", database=os.fspath(path)).render_as_string()
