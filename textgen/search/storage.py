"""The database of a search: its address, the connection, and what to say where that fails."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial

from textgen.support.errors import TextgenError

HEARTBEAT = 20
"""Seconds between two signs of life of a trial in a shared storage."""
GRACE = 90
"""Seconds without a sign of life after which another worker takes a trial for dead."""
SECONDS_TO_CONNECT = 20
DRIVERS = {"psycopg": "'psycopg[binary]'", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
"""What is installed to get a module, where the names differ."""

UNUSABLE = (StorageInternalError, sqlalchemy.exc.SQLAlchemyError)
"""What a storage fails with."""


def sqlite_url(path: os.PathLike[str]) -> str:
    """The address of a database in a file."""
    return sqlalchemy.URL.create("sqlite", database=os.fspath(path)).render_as_string()


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


def connect(url: str, on_dead: Callable[[Study, FrozenTrial], None] | None = None) -> RDBStorage:
    """Connect to a database and make Optuna's tables there, if they are missing.

    Args:
        url: of SQLAlchemy's form.
        on_dead: given where other processes may work on the same study: then trials give signs of
            life, and this is called with each one that stopped to do so and was marked as failed.

    Raises:
        TextgenError: if that cannot be done.
    """
    beat: dict[str, Any] = {
        "heartbeat_interval": HEARTBEAT, "grace_period": GRACE,
        "heartbeat_stale_trial_callback": on_dead,
    }  # fmt: skip
    with explained(url):
        name = sqlalchemy.engine.make_url(url).get_backend_name()
        wait = {"sqlite": "timeout", "postgresql": "connect_timeout"}.get(name)
        arguments = {wait: SECONDS_TO_CONNECT} if wait else {}
        engine = {"connect_args": arguments, "pool_pre_ping": True}
        try:
            storage = _connected(url, engine, **(beat if on_dead else {}))
        except RuntimeError as error:  # tables of another version of Optuna
            raise TextgenError(f"the storage {shown(url)} does not fit: {error}") from error
    if name == "sqlite":
        _let_one_write(storage.engine)
    return storage


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


def quieten_heartbeats() -> None:
    """Let the threads that give signs of life end silently; the next report says what is wrong."""
    usual = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if not isinstance(arguments.exc_value, UNUSABLE):
            usual(arguments)

    threading.excepthook = hook
