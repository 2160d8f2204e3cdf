"""The command `python -m textgen serve`."""

import importlib.util
import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from textgen.commands.flags import ArgumentParser, add_settings, given_settings
from textgen.settings.definitions import DEFAULT_FOLDER
from textgen.settings.server import HEADER_BYTES, ServerSettings
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.parallel import single_threaded_blas

if TYPE_CHECKING:
    from textgen.server.service import Service

NEEDED = ("fastapi", "uvicorn", "prometheus_client")
BACKLOG = 2048
"""Connections that the system keeps while they wait to be taken."""
KEY_VARIABLE = "TEXTGEN_API_KEY"


def main(argv: Sequence[str]) -> None:
    """Serve until Ctrl-C or SIGTERM. Raises TextgenError."""
    parser = ArgumentParser(
        prog=console.program("serve"),
        description="A page, and an API, where people let models write; see /docs when it runs.",
        epilog="example: python -m textgen serve --data-dir data/mine",
    )
    parser.add_argument(
        "--data-dir", metavar="FOLDER", type=Path, action="append",
        help=f"folder with a model; repeat the flag for more (default: {DEFAULT_FOLDER})",
    )  # fmt: skip
    add_settings(parser, ServerSettings)
    arguments = parser.read(argv)
    settings = ServerSettings.from_given(given_settings(arguments, ServerSettings))
    if settings.api_key is None:
        settings = replace(settings, api_key=os.environ.get(KEY_VARIABLE) or None)
    check_installed()
    from textgen.server import log

    with listening(settings) as listener:
        log.set_up()
        serve(arguments.data_dir or [DEFAULT_FOLDER], settings, listener)


def check_installed() -> None:
    """Raise TextgenError where what only the service needs is missing."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        names = " ".join(name.replace("_", "-") for name in missing)
        raise TextgenError(f"serve needs {names}. Install what is missing: pip install {names}")


def listening(settings: ServerSettings) -> socket.socket:
    """A socket that listens where `settings` says. Raises TextgenError."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:  # the latter for names like "a..b"
        reason = getattr(error, "strerror", None) or error
        raise TextgenError(
            f"cannot listen on {settings.host} port {settings.port} ({reason}). Choose another"
            " --host, or another --port; 0 is any that is free"
        ) from error


def address_of(listener: socket.socket) -> str:
    """What to type into a browser."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(folders: Sequence[Path], settings: ServerSettings, listener: socket.socket) -> None:
    """Serve the models of `folders` until Ctrl-C or SIGTERM.

    Raises:
        TextgenError: if there is no model.
        KeyboardInterrupt: at the end, after either signal.
    """
    from textgen.server.service import Service

    with single_threaded_blas():
        service = Service(folders, settings)
        console.say(f"serving {', '.join(service.models.by_name)} on {address_of(listener)}")
        signal.signal(signal.SIGTERM, _stop)
        _run(service, listener)


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(service: "Service", listener: socket.socket) -> None:
    import uvicorn

    from textgen.server.app import build_app
    from textgen.server.protocol import bounded

    class Server(uvicorn.Server):
        """Tells the service at once that the end has come."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            service.post([service.close])
            super().handle_exit(sig, frame)

    settings = service.settings
    options = uvicorn.Config(
        build_app(service),
        http=bounded(settings),
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
