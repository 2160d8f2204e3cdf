"""`python -m textgen`: the table of commands."""

import sys
from pathlib import Path

import pytest

from tests.conftest import run_python
from textgen import __main__ as table
from textgen.support.errors import TextgenError


@pytest.mark.parametrize("arguments", [["--help"], []])
def test_help_lists_every_command_on_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["textgen", *arguments])
    table.main()
    lines = capsys.readouterr().out.splitlines()
    for name, command in table.COMMANDS.items():
        assert [line.split()[0] for line in lines if command.summary in line] == [name]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [(["dance"], "dance is not a command: choose from corpus"),
     (["train"], "train is not a command: run python train.py, or choose from corpus")],
)  # fmt: skip
def test_an_unknown_command_names_the_known_ones(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], problem: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["textgen", *arguments])
    with pytest.raises(TextgenError, match=problem):
        table.main()


def test_every_command_has_a_main(capsys: pytest.CaptureFixture[str]) -> None:
    for name, command in table.COMMANDS.items():
        module = __import__(f"textgen.{command.module}", fromlist=["main"])
        with pytest.raises(SystemExit) as caught:
            module.main(["--help"])
        assert caught.value.code == 0
        assert f"python -m textgen {name}" in capsys.readouterr().out


def test_as_a_user_runs_it(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("café, café\n".encode("cp1252") * 50)
    done = run_python("-m", "textgen", "corpus", tmp_path / "a.txt", "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (0, "")
    assert "cp1252" in done.stderr
    again = run_python("-m", "textgen", "corpus", tmp_path / "a.txt", "--out", tmp_path / "out")
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr.startswith("error: ")
    assert again.stderr.count("\n") == 1
    assert run_python("-m", "textgen", "corpus", "--bad").returncode == 2


def test_a_command_imports_no_heavy_library() -> None:
    code = (
        "import sys; sys.argv = ['textgen', 'corpus', 'nothing.txt']\n"
        "import textgen.__main__ as table\n"
        "try: table.main()\n"
        "except Exception as error: print(type(error).__name__)\n"
        "print([name for name in ('numpy', 'tensorflow', 'keras', 'nltk') if name in sys.modules])"
    )
    assert run_python("-c", code).stdout == "TextgenError\n[]\n"
