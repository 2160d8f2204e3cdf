"""The child processes of a search, seen from the parent: started, listened to, ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from textgen.support.errors import TextgenError

COMMAND = (sys.executable, "-m", "textgen.search.trial")


class StoppedError(Exception):
    """The search was asked to stop."""


class ChildError(Exception):
    """A child process failed, for the reason in the message."""


class Children:
    """The running child processes; from any thread, all of them can be ended at once.

    Args:
        command: what they run (default: `COMMAND`).
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self.command = command or COMMAND
        self.stopped = False
        self._running: set[subprocess.Popen[str]] = set()

    def stop(self) -> None:
        """End all children, and start none any more."""
        self.stopped = True
        for process in list(self._running):
            process.kill()

    def messages(self, order: dict[str, Any], loud: bool = False) -> Generator[dict[str, Any]]:
        """Start a child and yield what it says; where the caller ends listening, it is killed.

        Args:
            order: see `textgen.search.trial`.
            loud: whether its standard error is shown.

        Raises:
            TextgenError: with what the child says of a mistake.
            ChildError: if it fails otherwise.
            StoppedError: if `stop` was called.
        """
        with tempfile.TemporaryFile() as errors, self._started(
            order, None if loud else errors
        ) as process:  # fmt: skip
            for line in process.stdout or ():
                if not line.endswith("\n"):  # it was killed while it said so
                    break
                message = json.loads(line)
                if "error" in message:
                    raise TextgenError(message["error"])
                yield message
            code = process.wait()
            if self.stopped:
                raise StoppedError
            if code:
                raise ChildError(_reason(code, errors))

    @contextmanager
    def _started(
        self, order: dict[str, Any], errors: IO[bytes] | None
    ) -> Iterator[subprocess.Popen[str]]:
        # A session of its own: Ctrl-C in the terminal is for the parent alone.
        process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            encoding="utf-8", env=_environment(), start_new_session=True,
        )  # fmt: skip
        self._running.add(process)
        try:
            if self.stopped:
                raise StoppedError
            _give(process, order)
            yield process
        finally:
            process.kill()
            process.wait()
            self._running.discard(process)
            for pipe in (process.stdin, process.stdout):
                _close(pipe)


def _give(process: subprocess.Popen[str], order: dict[str, Any]) -> None:
    """Write the order; standard input stays open, because the child ends with it."""
    if process.stdin:
        with suppress(BrokenPipeError):  # it has ended already, and its exit code says why
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()


def _close(pipe: IO[str] | None) -> None:
    with suppress(BrokenPipeError):
        if pipe:
            pipe.close()


def _environment() -> dict[str, str]:
    """The environment, in which the child finds the same textgen."""
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _reason(code: int, errors: IO[bytes]) -> str:
    """Why a child failed: the signal that ended it, or the last line that it wrote."""
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (the system does so when memory runs out)" if name == "SIGKILL" else ""
        return f"killed by {name}{hint}"
    errors.seek(0)
    lines = errors.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {code}"
