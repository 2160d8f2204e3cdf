"""Runs the service: its socket, its process, its log; alone, or beside a training."""

import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from textgen.server import HEADER_BYTES, ServerSettings, check_installed
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.parallel import begin_child, single_threaded_blas

if TYPE_CHECKING:
    from textgen.server.service import Service

BACKLOG = 2048
"""Connections that the system keeps while they wait to be taken."""
SECONDS_TO_END = 10


def listening(settings: ServerSettings) -> socket.socket:
    """Returns a socket that listens where `settings` says. Raises TextgenError."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:  # the latter for names like "a..b"
        reason = str(getattr(error, "strerror", None) or error).partition(" (while")[0]
        raise TextgenError(
            f"cannot listen on {settings.host} port {settings.port} ({reason}). Choose another"
            " `host`, or another `port`; 0 is any that is free"
        ) from error


def serve(folders: Sequence[Path], settings: ServerSettings, listener: socket.socket) -> None:
    """Serves the models of `folders` until Ctrl-C or SIGTERM.

    Raises:
        TextgenError: if there is no model.
        KeyboardInterrupt: at the end, after either signal.
    """
    from textgen.server.service import Service

    with single_threaded_blas():
        service = Service(folders, settings)
        host, port = listener.getsockname()[:2]
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        console.say(f"serving {', '.join(service.models)} on {address}")
        signal.signal(signal.SIGTERM, _interrupt)
        _run(service, listener)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(service: "Service", listener: socket.socket) -> None:
    import uvicorn

    from textgen.server.app import build_app

    class Server(uvicorn.Server):
        """Tells the service at once that the end has come."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            service.call_soon(service.close)
            super().handle_exit(sig, frame)

    settings = service.settings
    options = uvicorn.Config(
        build_app(service),
        http=service.connections.protocol,  # type: ignore[arg-type]
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=int(settings.idle_seconds) + 1,
        timeout_graceful_shutdown=int(settings.grace_seconds) + 2,
        h11_max_incomplete_event_size=HEADER_BYTES,
    )
    Server(options).run(sockets=[listener])


@contextmanager
def beside(data_dir: Path, port: int) -> Iterator[None]:
    """Serves the folder of a training meanwhile, in a process of its own.

    That process takes nothing from the training but what its visitors ask for.

    Raises:
        TextgenError: if the port cannot be used, or the service is not installed.
    """
    check_installed()
    settings = ServerSettings(port=port, watch=True, grace_seconds=0)
    with listening(settings) as listener:
        process = begin_child(_serve, data_dir, settings, listener)
    try:
        yield
    finally:
        process.terminate()
        process.join(SECONDS_TO_END)
        process.kill()


def _serve(data_dir: Path, settings: ServerSettings, listener: socket.socket) -> None:
    """In the other process: serves until the training ends, whichever way."""
    try:
        serve([data_dir], settings, listener)
    except KeyboardInterrupt:
        os._exit(0)


_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class JsonLines(logging.Formatter):
    """Writes a record, and the facts that were given as `extra`, as a line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        facts = {name: value for name, value in vars(record).items() if name not in _USUAL}
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage().strip(),
            **facts,
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_as_json() -> None:
    """Lets the service and uvicorn write such lines on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name, level in (("textgen.serve", logging.INFO), ("uvicorn.error", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
