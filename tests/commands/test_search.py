"""The command line of the search."""

import importlib.metadata
import re

import pytest

from tests.conftest import run_python
from textgen.commands import search
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
        "import sys; sys.argv = ['textgen', 'search', '--help']\n"
        "import textgen.__main__ as table\n"
        "try: table.main()\n"
        "except SystemExit: pass\n"
        "print({'optuna', 'tensorflow', 'sqlalchemy'} & set(sys.modules))"
    )
    assert run_python("-c", code).stdout.endswith("set()\n")


def test_the_parent_imports_no_tensorflow() -> None:
    code = "import sys, textgen.search.session; print('tensorflow' in sys.modules)"
    assert run_python("-c", code).stdout == "False\n"


def test_apply_stands_alone_or_with_a_number() -> None:
    assert search.parse([]).apply is None
    assert search.parse(["--apply"]).apply == search.BEST
    assert search.parse(["--apply", "7"]).apply == 7


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--trials", "0"], "--trials must be above 0. Received: 0"),
        (["--workers", "-1"], "--workers must be above 0. Received: -1"),
        (["--max-memory", "0"], "--max-memory must be above 0"),
        (["--study", "a/b"], "--study is a name without slashes. Received: a/b"),
        (["--study", ""], "--study is a name without slashes"),
        (["--study", ".."], "--study is a name without slashes"),
        (["--dropout", "2"], "--dropout must be below 1. Received: 2.0"),
        (["--pruner", "median", "--objective", "loss,speed"], "--pruner median contradicts"),
        (["--init-from", "x"], "unrecognized arguments: --init-from"),
        (["--objective", "speed"], "invalid choice: 'speed'"),
    ],
)
def test_wrong_flags_are_refused_at_once(flags: list[str], problem: str) -> None:
    with pytest.raises(TextgenError, match=re.escape(problem)):
        search.parse(flags)


def test_quiet_and_verbose_contradict_each_other() -> None:
    with pytest.raises(TextgenError, match="--quiet contradicts --verbose"):
        search.main(["--quiet", "--verbose"])
