"""Child processes of a search, here small Python programs."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.processes import beside
from textgen.search.children import ChildError, Children, StoppedError
from textgen.support.errors import TextgenError


def children(program: str) -> Children:
    return Children([sys.executable, "-c", "import os, sys, json\n" + program])


def heard(program: str) -> list[dict[str, Any]]:
    return list(children(program).messages({"number": 7}))


def test_a_child_gets_its_order_and_says_things() -> None:
    program = "print(sys.stdin.readline(), end='')\nprint(json.dumps({'two': 2}))"
    assert heard(program) == [{"number": 7}, {"two": 2}]


@pytest.mark.parametrize(
    ("program", "error", "reason"),
    [
        ("print(json.dumps({'error': 'no text'})); sys.exit(2)", TextgenError, "no text"),
        ("print('{}'); raise MemoryError('too much')", ChildError, "MemoryError: too much"),
        ("sys.exit(3)", ChildError, "exit code 3"),
        ("os.kill(os.getpid(), 9)", ChildError, r"killed by SIGKILL .*memory runs out"),
        ("os.abort()", ChildError, "killed by SIGABRT"),
        ("print('{\"ro', end='', flush=True); os.kill(os.getpid(), 9)", ChildError, "SIGKILL"),
    ],
)
def test_why_a_child_failed_is_told(program: str, error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        heard(program)


def test_a_child_that_cannot_be_started_well_has_its_reason_too() -> None:
    with pytest.raises(ChildError, match="No module named"):
        list(Children([sys.executable, "-m", "textgen.nonsense"]).messages({"a": "b" * 100_000}))


ENDLESS = "print(json.dumps({'pid': os.getpid()}), flush=True); sys.stdin.readlines()"


def is_running(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_child_that_is_not_listened_to_any_more_is_ended() -> None:
    with closing(children(ENDLESS).messages({})) as messages:
        number = next(messages)["pid"]
        assert is_running(number)
    assert not is_running(number)


def test_all_children_can_be_stopped_and_no_other_starts() -> None:
    several = children(ENDLESS)
    messages = several.messages({})
    next(messages)
    several.stop()
    with pytest.raises(StoppedError):
        next(messages)
    with pytest.raises(StoppedError):
        list(several.messages({}))


PARENT = """
import sys
from textgen.search.children import Children
child = "import json, os, sys; print(json.dumps({'pid': os.getpid()}), flush=True);"
child += " sys.stdin.readline();"
child += " from textgen.search import trial; trial._end_with_parent()"
for message in Children([sys.executable, "-c", child]).messages({}):
    print(message['pid'], flush=True)
"""


def test_a_child_ends_with_its_parent_however_that_ends() -> None:
    with beside("-c", PARENT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        number = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while is_running(number) and not is_zombie(number):
        assert time.monotonic() < deadline, "the child lives on"


def is_zombie(number: int) -> bool:
    """Whether a process has ended, and only nobody has asked after it."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True
