"""`python -m textgen`: the table of commands."""

import sys
from pathlib import Path

import pytest

from tests.conftest import run_python
from textgen import commands as table
from textgen.support import console
from textgen.support.errors import TextgenError


@pytest.mark.parametrize("arguments", [["--help"], []])
def test_help_lists_every_command_on_a_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    table.main(arguments)
    lines = capsys.readouterr().out.splitlines()
    for name, command in table.COMMANDS.items():
        assert [line.split()[0] for line in lines if command.summary in line] == [name]


def test_an_unknown_command_names_the_known_ones() -> None:
    with pytest.raises(TextgenError, match="dance is not a command: choose from train, sample"):
        table.main(["dance"])


def test_every_command_has_a_main(capsys: pytest.CaptureFixture[str]) -> None:
    for name, command in table.COMMANDS.items():
        module = __import__(f"textgen.commands.{command.module}", fromlist=["main"])
        with pytest.raises(SystemExit) as caught:
            module.main(["--help"])
        assert caught.value.code == 0
        assert f"usage: {console.program(name)}" in capsys.readouterr().out


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
        "import sys\n"
        "from textgen import commands\n"
        "try: commands.main(['corpus', 'nothing.txt'])\n"
        "except Exception as error: print(type(error).__name__)\n"
        "print([name for name in ('numpy', 'tensorflow', 'keras', 'nltk') if name in sys.modules])"
    )
    assert run_python("-c", code).stdout == "TextgenError\n[]\n"


def failing(error: BaseException) -> int:
    def main(argv: object) -> None:
        raise error

    return table.run([], main)


def test_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert table.run([], lambda argv: None) == 0
    assert failing(TextgenError("--size is 0. Raise it")) == 2
    assert capsys.readouterr().err == "error: --size is 0. Raise it\n"
    assert failing(KeyboardInterrupt()) == 130
    with pytest.raises(ZeroDivisionError):
        failing(ZeroDivisionError())


@pytest.mark.parametrize(("module", "package"), [("h5py._x", "h5py"), ("yaml", "pyyaml")])
def test_a_missing_package_is_named_where_there_is_no_clone(
    monkeypatch: pytest.MonkeyPatch, tmp_path, capsys: pytest.CaptureFixture[str],
    module: str, package: str,
) -> None:  # fmt: skip
    missing = ModuleNotFoundError(name=module)
    assert failing(missing) == 2
    assert capsys.readouterr().err.endswith("Run: pip install -r requirements.txt\n")
    monkeypatch.setattr(table, "REQUIREMENTS", tmp_path / "requirements.txt")
    assert failing(missing) == 2
    assert capsys.readouterr().err.endswith(f"is not installed. Run: pip install {package}\n")


def test_closed_pipe_ends_quietly(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    with (tmp_path / "out").open("w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert failing(BrokenPipeError()) == 0


def test_a_path_that_cannot_be_looked_at_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert table.run(["score", "a" * 300]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: 'aaa")
    assert said.endswith("File name too long. Give another\n")
