import io
import subprocess
import sys
import threading

import pytest

from textgen.support import console


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


def test_a_bar_takes_no_semaphore_which_a_killed_process_would_leave_behind() -> None:
    with console.bar("{desc}") as bar:
        assert isinstance(bar.get_lock(), type(threading.RLock()))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0:00"), (75, "1:15"), (3599.6, "1:00:00"), (3675, "1:01:15"), (float("inf"), "?")],
)
def test_duration(seconds: float, text: str) -> None:
    assert console.duration(seconds) == text


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (1, "1 byte"),
        (999, "999 bytes"),
        (1500, "1.5 KB"),
        (1_000_000, "1.0 MB"),
        (2_500_000_000, "2.5 GB"),
    ],
)
def test_size(num_bytes: int, text: str) -> None:
    assert console.size(num_bytes) == text


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


def test_the_logger_of_a_program_is_afterwards_as_it_was() -> None:
    program = """
import logging
from textgen.support import console
log = logging.getLogger("textgen")
log.setLevel(logging.INFO)
for _ in range(2):
    with console.verbosity(console.Verbosity.VERBOSE), console.verbosity(console.Verbosity.QUIET):
        pass
    assert (log.level, log.propagate, log.handlers) == (logging.INFO, True, []), log
"""
    subprocess.run([sys.executable, "-c", program], check=True)
