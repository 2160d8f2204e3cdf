"""The study of a search: its trials in a database, which survives all its processes.

Optuna's storage is the only thing that workers share: it hands out trials, so that none is run
twice, and knows by heartbeats which of them died. A folder's own trials are in SQLite: a journal
of Optuna's cannot be read any more when a full disk has cut a line short, and the lock of one that
was killed holds up the next for half a minute.
"""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import optuna
import sqlalchemy
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from textgen.support.errors import TextgenError

HEARTBEAT = 20
"""Seconds between two signs of life of a trial in a shared storage."""
GRACE = 90
"""Seconds without a sign of life after which another worker takes a trial for dead."""
SECONDS_TO_CONNECT = 20
SECONDS_TO_BEGIN = 20
"""For another process to say what the study is about that it has made."""
TENTHS = 10
"""The steps of a trial that is measured in time: its loss is compared after each of them."""
MOST_TRIES = 3
"""How often settings are tried whose trial is interrupted every time."""
DRIVERS = {"psycopg": "'psycopg[binary]'", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
"""The packages that bring these modules, where the names differ."""
UNUSABLE = (StorageInternalError, sqlalchemy.exc.SQLAlchemyError)
"""The errors of a storage."""
FACTS = "textgen"
"""The study's attribute that says what is searched, on which text."""
DEFAULTS = "defaults"
"""The attribute of the first trial, and of those that try it again: the settings of `train`."""
LOSS, SPEED = "validation_loss", "tokens_per_second"
OBJECTIVES = {"loss": (LOSS,), "loss,speed": (LOSS, SPEED)}
"""The results that are judged, by `objective`."""
DIRECTIONS: dict[str, Literal["minimize", "maximize"]] = {LOSS: "minimize", SPEED: "maximize"}
TITLES = {LOSS: "validation loss, nats per token", SPEED: "tokens per second, in training"}
STATES = ("complete", "pruned", "running", "failed", "interrupted", "left out", "waiting")
"""The ends of a trial and the ways there; results list them in this order."""
COUNTED = STATES[:4]
"""States of trials that were asked for: not of those that are tried again, or not trained."""

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=ExperimentalWarning)


def sqlite_url(path: os.PathLike[str]) -> str:
    """Returns the address of a database in a file."""
    return sqlalchemy.URL.create("sqlite", database=os.fspath(path)).render_as_string()


def shown(url: str) -> str:
    """Returns a storage's address without its password."""
    try:
        return sqlalchemy.engine.make_url(url).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return url


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turns the errors of a storage into a TextgenError that says what to do."""
    try:
        yield
    except ImportError as error:
        module = getattr(error.__cause__, "name", None) or "its driver"
        raise TextgenError(
            f"the storage {shown(url)} needs a package that is missing. Install it: pip install"
            f" {DRIVERS.get(module, module)}"
        ) from error
    except (*UNUSABLE, UnboundLocalError, AssertionError) as error:
        # Optuna 5.0 stumbles over its own bookkeeping where a storage fails at a trial's end.
        first = error if isinstance(error, UNUSABLE) else error.__context__
        if not isinstance(first, UNUSABLE):
            raise
        while first.__cause__ is not None:  # down to what the database itself said
            first = first.__cause__
        reason = str(first).strip().split("\n")[0] or type(first).__name__
        raise TextgenError(
            f"the storage {shown(url)} cannot be used ({reason}). Check the address, the server"
            " and the free space, then go on with `resume`; trials that ended are kept"
        ) from error


def connect(url: str, shared: bool = False) -> RDBStorage:
    """Connects to a database and makes Optuna's tables there, if they are missing.

    Args:
        url: of SQLAlchemy's form.
        shared: whether other processes may work on the same study: then trials give signs of
            life, and those that stopped to do so are tried again.

    Raises:
        TextgenError: if that cannot be done.
    """
    options: dict[str, Any] = {}
    if shared:
        options = {
            "heartbeat_interval": HEARTBEAT, "grace_period": GRACE,
            "heartbeat_stale_trial_callback": try_again,
        }  # fmt: skip
        threading.excepthook = _end_silently
    with explained(url):
        name = sqlalchemy.engine.make_url(url).get_backend_name()
        connection = {
            "sqlite": {"timeout": SECONDS_TO_CONNECT, "isolation_level": None},
            "postgresql": {"connect_timeout": SECONDS_TO_CONNECT},
        }.get(name, {})
        engine = {"connect_args": connection, "pool_pre_ping": True}
        for attempt in range(5):
            try:
                storage = RDBStorage(url, engine, **options)
                break
            except (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError):
                if attempt == 4:
                    raise
                time.sleep(0.5)  # another process makes the tables at this moment
            except RuntimeError as error:  # tables of another version of Optuna
                raise TextgenError(f"the storage {shown(url)} does not fit: {error}") from error
    if name == "sqlite":
        # It knows no SELECT FOR UPDATE: without this, two threads are handed the same trial.
        sqlalchemy.event.listen(
            storage.engine,
            "begin",
            lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"),
        )
    return storage


def _end_silently(arguments: threading.ExceptHookArgs) -> None:
    """Ends a thread that gave signs of life; the next report of a loss says what is wrong."""
    if not isinstance(arguments.exc_value, UNUSABLE):
        threading.__excepthook__(arguments)


def read_facts(storage: RDBStorage, name: str, shared: bool) -> dict[str, Any] | None:
    """Returns what is searched in the study `name`, or None where there is no such study.

    The process that makes a study says so a moment later. In a shared storage that is waited
    for; in one's own it was killed in between, and the study is begun anew.

    Raises:
        TextgenError: if it is a study of something else.
    """
    if name not in optuna.get_all_study_names(storage):
        return None
    study = optuna.load_study(study_name=name, storage=storage)
    deadline = time.monotonic() + SECONDS_TO_BEGIN
    while time.monotonic() < deadline:
        if found := study.user_attrs.get(FACTS):
            return dict(found)
        if not shared:
            optuna.delete_study(study_name=name, storage=storage)
            return None
        time.sleep(0.1)
    raise TextgenError(
        f"the study {name} was not begun by textgen, or its beginning was cut short. Choose"
        " another name for `study`"
    )


def new_study(results: Sequence[str], **options: Any) -> Study:
    """Returns a study that judges its trials by some of their results: `LOSS`, `SPEED` or both."""
    study = optuna.create_study(directions=[DIRECTIONS[name] for name in results], **options)
    study.set_metric_names([TITLES[name] for name in results])
    return study


def begin(
    storage: RDBStorage, name: str, facts: Mapping[str, Any], first: Mapping[str, Any]
) -> bool:
    """Makes a study; returns False where another process did so just before.

    Args:
        storage: the database.
        name: of the study.
        facts: what is searched; `objective` is one of `OBJECTIVES`.
        first: the settings of its first trial.
    """
    try:
        study = new_study(OBJECTIVES[facts["objective"]], storage=storage, study_name=name)
    except DuplicatedStudyError:
        return False
    study.enqueue_trial(dict(first), user_attrs={DEFAULTS: True})
    study.set_user_attr(FACTS, dict(facts))
    return True


def make_sampler(random_seed: int | None, trials: int) -> optuna.samplers.BaseSampler:
    """Returns what draws settings: at random at first, then by what is known of trials before.

    Args:
        random_seed: None where several processes must not draw the same.
        trials: their number in all.
    """
    return optuna.samplers.TPESampler(
        seed=random_seed, n_startup_trials=max(3, min(10, trials // 4))
    )


def num_steps(base: Mapping[str, Any]) -> int:
    """Returns the steps that losses are compared after: tenths of the time, or epochs."""
    return TENTHS if base.get("minutes") else int(base["num_epochs"])


def make_pruner(name: str, steps: int) -> optuna.pruners.BasePruner:
    """Returns what stops trials early, but none in the first fifth of its steps.

    Args:
        name: one of the choices of `pruner`.
        steps: of a whole trial.
    """
    if name == "none":
        return optuna.pruners.NopPruner()
    if name == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(max(1, steps // 5), reduction_factor=3)
    return optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=3 * steps // 10)


def state_of(trial: FrozenTrial) -> str:
    """Returns what became of a trial: one of `STATES`."""
    if trial.state == TrialState.FAIL:
        return "failed" if "failure" in trial.user_attrs else "interrupted"
    return "left out" if "left_out" in trial.user_attrs else trial.state.name.lower()


def count(study: Study, before: int | None = None) -> int:
    """Returns how many of the trials that were asked for were begun, or were `before` a number."""
    trials = study.get_trials(deepcopy=False)[:before]
    return sum(state_of(trial) in COUNTED for trial in trials)


def refuse_no_trial(storage: RDBStorage, name: str, number: int) -> None:
    """Raises TextgenError if the study `name` has no trial of that number that is or may come."""
    is_there = name in optuna.get_all_study_names(storage)
    trials = optuna.load_study(study_name=name, storage=storage).trials if is_there else []
    if number in {t.number for t in trials if state_of(t) in ("complete", "running", "waiting")}:
        return
    complete = [str(trial.number) for trial in trials if state_of(trial) == "complete"]
    others = f", or choose from {', '.join(complete)}" if complete else ""
    raise TextgenError(
        f"`apply` {number} is no complete trial of the search {name}. Leave the number out, which"
        f" takes the best one{others}"
    )


def fail_running(study: Study) -> None:
    """Marks the running trials, on which nobody works, as failed; they are tried again."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        try_again(study, trial)


def try_again(study: Study, trial: FrozenTrial) -> None:
    """Lets the settings of an interrupted trial be the next ones tried, not too often."""
    trial.user_attrs.pop("results", None)
    RetryHeartbeatStaleTrialCallback(max_retry=MOST_TRIES - 1)(study, trial)
