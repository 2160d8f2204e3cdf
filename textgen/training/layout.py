"""Which machines train together, and which of them this is: TF_CONFIG, checked."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from textgen.support.errors import TextgenError

VARIABLE = "TF_CONFIG"
EXAMPLE = (
    '{"cluster": {"worker": ["one:2222", "two:2222"]}, "task": {"type": "worker", "index": 0}}'
)
CONNECT_SECONDS = 120.0
"""How long workers that are started one after another wait for each other."""


@dataclass(frozen=True)
class Layout:
    """The workers of a run."""

    workers: tuple[str, ...]
    """HOST:PORT of each; the first is the chief."""
    index: int
    """Which of them this process is."""

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that prints and writes files."""
        return self.index == 0

    def name(self, index: int) -> str:
        """Returns how messages call a worker."""
        return f"worker {index} ({self.workers[index]})"

    def to_json(self) -> str:
        """The value of TF_CONFIG, https://www.tensorflow.org/guide/distributed_training."""
        task = {"type": "worker", "index": self.index}
        return json.dumps({"cluster": {"worker": list(self.workers)}, "task": task})


def from_flags(workers: str | None, index: int | None, distribute: bool) -> Layout | None:
    """Returns the workers that are asked for, or None for this process alone.

    Args:
        workers: `HOST:PORT,HOST:PORT`, instead of TF_CONFIG.
        index: which of them this process is.
        distribute: take the workers of TF_CONFIG.

    Raises:
        TextgenError: if they, or TF_CONFIG, are wrong or say but half of it.
    """
    if workers is not None or index is not None:
        if workers is None or index is None:
            raise TextgenError(
                "`workers` HOST:PORT,HOST:PORT and `worker_index` I go together: add the other one"
            )
        return checked(tuple(workers.split(",")), index, "`workers`")
    return from_environment(os.environ) if distribute else None


def from_environment(environment: Mapping[str, str]) -> Layout:
    """The workers that TF_CONFIG tells. Raises TextgenError."""
    text = environment.get(VARIABLE)
    if not text:
        raise TextgenError(
            f"`distribute` reads the environment variable {VARIABLE}, which is not set. Set it, or"
            " give `workers` HOST:PORT,HOST:PORT and `worker_index` I"
        )
    try:
        values = json.loads(text)
        cluster, task = values["cluster"], values["task"]
        kind, index = task["type"], int(task["index"])
        groups = {name: _addresses(found) for name, found in cluster.items() if name != "evaluator"}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TextgenError(
            f"{VARIABLE} must be JSON like {EXAMPLE}. Received: {text[:200]} ({error!r})"
        ) from error
    if "ps" in groups or kind not in groups or not set(groups) <= {"chief", "worker"}:
        raise TextgenError(
            f"{VARIABLE} must name workers, and perhaps a chief, and this task be one of them."
            f" Received: cluster of {', '.join(cluster) or 'nothing'}, task of type {kind}"
        )
    if not 0 <= index < len(groups[kind]):
        raise TextgenError(
            f"{VARIABLE}: task index {index} is not one of the {len(groups[kind])} of type {kind}"
        )
    chiefs = groups.get("chief", [])
    position = index + (len(chiefs) if kind == "worker" else 0)
    return checked((*chiefs, *groups.get("worker", [])), position, VARIABLE)


def _addresses(found: Any) -> list[str]:
    """Raises TypeError where `found` is no list of texts."""
    if not isinstance(found, list) or not all(isinstance(address, str) for address in found):
        raise TypeError("addresses come as a list of HOST:PORT")
    return found


def checked(workers: tuple[str, ...], index: int, source: str) -> Layout:
    """The layout, if it can be one. Raises TextgenError."""
    for address in workers:
        _, _, port = address.rpartition(":")
        if not (port.isdecimal() and 0 < int(port) < 2**16 and len(address) > len(port) + 1):
            raise TextgenError(f"{source}: an address is HOST:PORT. Received: {address!r}")
    if len(set(workers)) < len(workers):
        twice = next(address for address in workers if workers.count(address) > 1)
        raise TextgenError(f"{source} names {twice} twice; each worker needs a port of its own")
    if not 0 <= index < len(workers):
        raise TextgenError(
            f"`worker_index` is 0 to {len(workers) - 1} for {len(workers)} workers. Received:"
            f" {index}"
        )
    return Layout(workers, index)


def wait_for_peers(layout: Layout, seconds: float = CONNECT_SECONDS) -> None:
    """Return when the addresses of all workers answer.

    TensorFlow connects by itself, but waits for ever for a worker that does not come and ends the
    process where its port is taken. So this looks beforehand: that the own port is free, and that
    there is somebody at each of the others.

    Raises:
        TextgenError: if the own port is taken, or others do not answer, naming them.
    """
    missing = [index for index in range(len(layout.workers)) if index != layout.index]
    deadline = time.monotonic() + seconds
    with _listening(layout):
        while missing := [index for index in missing if not answers(layout.workers[index])]:
            if time.monotonic() > deadline:
                names = ", ".join(map(layout.name, missing))
                raise TextgenError(
                    f"no answer from {names} in {seconds:g} seconds. Start train.py there with the"
                    " same flags, and see that the address is right and no firewall in between"
                )
            time.sleep(0.1)


@contextlib.contextmanager
def _listening(layout: Layout) -> Iterator[None]:
    """Hold the own port, so that the others see that this worker is there."""
    port = int(layout.workers[layout.index].rpartition(":")[2])
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("", port))
        except OSError as error:
            raise TextgenError(
                f"port {port} of {layout.name(layout.index)} cannot be used ({error.strerror})."
                " Stop what uses it, or name another port on all workers"
            ) from error
        server.listen(len(layout.workers))
        yield


def answers(address: str) -> bool:
    """Whether somebody listens there."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
    except (OSError, UnicodeError):  # the latter for what can be no host's name, such as "a..b"
        return False
    return True
