"""The command line of the search."""

import argparse
import importlib.metadata
from pathlib import Path

import pytest

from tests.conftest import run_python
from textgen.commands import run, search
from textgen.search import SearchRequest, SearchSettings
from textgen.settings.request import TrainRequest
from textgen.support import console
from textgen.support.errors import TextgenError


def test_a_missing_optuna_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(TextgenError, match=r"search needs Optuna. Install it: pip install 'optuna"):
        search.main([])
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "4.9.0")
    with pytest.raises(TextgenError, match=r"search needs Optuna 5, not 4.9.0: pip install"):
        search.main([])


def test_help_needs_neither_optuna_nor_tensorflow() -> None:
    code = (
        "import sys, textgen.commands\n"
        "try: textgen.commands.main(['search', '--help'])\n"
        "except SystemExit: pass\n"
        "print({'optuna', 'tensorflow', 'sqlalchemy'} & set(sys.modules))"
    )
    assert run_python("-c", code).stdout.endswith("set()\n")


def test_the_parent_imports_no_tensorflow() -> None:
    code = "import sys, textgen.search.session; print('tensorflow' in sys.modules)"
    assert run_python("-c", code).stdout == "False\n"


def parse(*flags: str) -> tuple[argparse.Namespace, SearchRequest]:
    with console.flags_for_settings():
        return search.parse(flags)


def test_apply_stands_alone_or_with_a_number() -> None:
    assert parse()[0].apply is None
    assert parse("--apply")[0].apply == search.BEST
    assert parse("--apply", "7")[0].apply == 7


def test_a_request_has_what_was_given_and_nothing_else() -> None:
    _, request = parse("--data-dir", "data/x", "--cell", "gru", "--trials", "5", "--resume")
    assert request.training == TrainRequest(Path("data/x"), {"cell": "gru"})
    assert request.given == {"trials": 5, "resume": True}
    assert request.settings().workers == 1
    assert request.settings({"trials": 9, "pruner": "none"}) == SearchSettings(
        trials=5, pruner="none", resume=True
    )


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--trials", "0"], "--trials must be at least 1. Received: 0"),
        (["--workers", "-1"], "--workers must be at least 1. Received: -1"),
        (["--max-memory", "0"], "--max-memory must be above 0"),
        (["--study", "a/b"], "--study must be a name without slashes. Received: a/b"),
        (["--study", ""], "--study must not be empty"),
        (["--study", ".."], "--study must be a name without slashes"),
        (["--dropout", "2"], "--dropout must be below 1. Received: 2.0"),
        (["--pruner", "median", "--objective", "loss,speed"], "--pruner median contradicts"),
        (["--init-from", "x"], "unrecognized arguments: --init-from"),
        (["--objective", "speed"], "--objective must be one of loss, loss,speed. Received: speed"),
    ],
)
def test_wrong_flags_are_refused_at_once(
    flags: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(flags, search.main) == 2
    assert problem in capsys.readouterr().err


def test_quiet_and_verbose_contradict_each_other() -> None:
    with pytest.raises(TextgenError, match="--verbose: not allowed with argument --quiet"):
        search.main(["--quiet", "--verbose"])
