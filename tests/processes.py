"""Python processes that run beside a test, which talks to them or ends them by a signal.

Each ends with its test, however that ends. Where a signal is handled while the process is at work,
it must not be measured by coverage.py (7.17): that holds a lock for a moment in every call of a
function, and a handler that comes in that moment leaves the process waiting for itself for ever.
"""

import codecs
import contextlib
import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from tests.conftest import ROOT

SECONDS = 60
"""In which a process says something in its terminal, and ends when it was told to."""
LOG_IN = "import os, sys; os.login_tty(0); os.execv(sys.argv[1], sys.argv[1:])"
"""Makes standard input the terminal from which Ctrl-C comes, and becomes another program."""


@contextlib.contextmanager
def beside(
    *arguments: object,
    environment: Mapping[str, object] | None = None,
    measured: bool = False,
    **options: Any,
) -> Iterator["subprocess.Popen[str]"]:
    """Run Python from the project's root; where the test fails, the process is killed.

    The test tells it to end; that is waited for.

    Args:
        arguments: of Python.
        environment: variables beside those of this process.
        measured: whether what it runs counts as covered, see above.
        options: of `subprocess.Popen`.
    """
    variables = dict(os.environ)
    if not measured:
        variables = {name: text for name, text in variables.items() if "COVERAGE" not in name}
    variables |= {name: str(value) for name, value in (environment or {}).items()}
    with subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT, encoding="utf-8", env=variables, **options,
    ) as process:  # fmt: skip
        try:
            yield process
            process.wait(SECONDS)
        finally:
            process.kill()


class Terminal:
    """A pseudo-terminal, seen by the person before it.

    Attributes:
        process: what runs in it.
    """

    def __init__(self, process: "subprocess.Popen[str]", descriptor: int) -> None:
        self.process, self._descriptor = process, descriptor
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def type(self, keys: str) -> None:
        """Type something; "\\x03" is Ctrl-C."""
        os.write(self._descriptor, keys.encode())

    def read_until(self, text: str) -> str:
        """What is shown up to `text`. It must come."""
        shown = ""
        while text not in shown:
            part = self._read()
            assert part is not None, f"it ended without {text!r}: {shown}"
            shown += part
        return shown

    def read_to_end(self) -> str:
        """What is shown until the process has ended."""
        return "".join(iter(self._read, None))

    def _read(self) -> str | None:
        ready, _, _ = select.select([self._descriptor], [], [], SECONDS)
        assert ready, f"nothing is shown for {SECONDS} s"
        try:
            data = os.read(self._descriptor, 4096)
        except OSError:  # so Linux says that the other side is closed
            return None
        return self._decoder.decode(data) if data else None


@contextlib.contextmanager
def in_a_terminal(*arguments: object) -> Iterator[Terminal]:
    """Run Python in a terminal of its own. See `beside`."""
    ours, its = pty.openpty()
    program = ("-c", LOG_IN, sys.executable, *arguments)
    try:
        with beside(*program, stdin=its, stdout=its, stderr=its) as process:
            os.close(its)
            yield Terminal(process, ours)
    finally:
        os.close(ours)
