"""The database of a search, and what is said where it fails."""

import threading
from pathlib import Path

import optuna
import pytest

from textgen.search import storage
from textgen.support.errors import TextgenError


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
        storage.connect(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_driver_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(TextgenError, match=r"Install it: pip install 'psycopg\[binary\]'"):
        storage.connect("postgresql+psycopg://127.0.0.1/x")


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(TextgenError, match="file is not a database"):
        storage.connect(storage.sqlite_url(tmp_path / "x.db"))


def test_a_thread_that_lost_the_storage_ends_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: seen.append(arguments.exc_type))
    storage.quieten_heartbeats()

    def fail(error: type[Exception]) -> None:
        raise error("x")

    for error in (optuna.exceptions.StorageInternalError, KeyError):
        thread = threading.Thread(target=fail, args=(error,))
        thread.start()
        thread.join()
    assert seen == [KeyError]
