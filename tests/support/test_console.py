import io
import sys

import pytest

from textgen.support import console
from textgen.support.errors import TextgenError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_paint_colours_only_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert console.paint("word", "red", io.StringIO()) == "word"
    assert console.paint("word", "red", Terminal()) == "\x1b[31mword\x1b[0m"


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert console.paint("word", "red", Terminal()) == "word"


def test_say_goes_to_stderr_and_show_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("status")
    console.show("text")
    assert capsys.readouterr() == ("text\n", "status\n")


def test_bar_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with console.bar("{desc}") as bar:
        bar.update(1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0:00"), (75, "1:15"), (3599.6, "1:00:00"), (3675, "1:01:15"), (float("inf"), "?")],
)
def test_duration(seconds: float, text: str) -> None:
    assert console.duration(seconds) == text


def failing(error: BaseException) -> int:
    def main() -> None:
        raise error

    return console.run(main)


def test_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run(lambda: None) == 0
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
    monkeypatch.setattr(console, "REQUIREMENTS", tmp_path / "requirements.txt")
    assert failing(missing) == 2
    assert capsys.readouterr().err.endswith(f"is not installed. Run: pip install {package}\n")


def test_closed_pipe_ends_quietly(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    with (tmp_path / "out").open("w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert failing(BrokenPipeError()) == 0


def test_quiet_says_warnings_and_errors_only(capsys: pytest.CaptureFixture[str]) -> None:
    with console.verbosity(console.Verbosity.QUIET):
        console.say("progress")
        console.heading("title")
        console.detail("detail")
        console.warn("careful")
    assert capsys.readouterr().err == "warning: careful\n"


def test_details_are_said_to_those_who_ask(capsys: pytest.CaptureFixture[str]) -> None:
    console.detail("unasked")
    with console.verbosity(console.Verbosity.VERBOSE):
        console.detail("asked")
    console.detail("unasked again")
    assert capsys.readouterr().err == "asked\n"
