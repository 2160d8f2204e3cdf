"""The service as users run it: a process of its own, on any free port of this machine."""

import json
import re
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.processes import beside


class Running:
    """A service that runs."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.log: list[str] = []
        self.address = self._find_address()
        self.port = int(self.address.rpartition(":")[2])
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _find_address(self) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if found := re.search(r"on (http://\S+)", line):
                return found[1]
        raise AssertionError("".join(self.log))

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.log.extend(self.process.stderr)

    def said(self) -> str:
        """All that a service said, which has ended."""
        self._reader.join(timeout=30)
        return "".join(self.log)

    def ask(
        self, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], str]:
        """Status, headers and content of an answer; `body` goes out as JSON."""
        data = None if body is None else json.dumps(body).encode()
        given = {"Content-Type": "application/json"} if data else {}
        request = urllib.request.Request(self.address + path, data, given | (headers or {}))
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, dict(answer.headers), answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read().decode()


@contextmanager
def serving(
    *folders: Path, flags: tuple[str, ...] = (), measured: bool = True
) -> Iterator[Running]:
    """A service of the models in `folders`, which is ended when it is idle; see `beside`."""
    command = ["-m", "textgen", "serve", "--port", "0", *flags]
    for folder in folders:
        command += ["--data-dir", str(folder)]
    options: dict[str, Any] = {"environment": {"PYTHONUNBUFFERED": 1}, "measured": measured}
    with beside(*command, stderr=subprocess.PIPE, **options) as process:
        running = Running(process)
        yield running
        process.terminate()
        process.wait(timeout=30)
        running.said()
