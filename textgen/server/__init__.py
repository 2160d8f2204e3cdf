"""The sampling service: a page, and an API that streams to many at once."""

import importlib.util
from dataclasses import dataclass

from textgen.settings.fields import Settings, setting
from textgen.support.errors import TextgenError

NEEDED = ("fastapi", "uvicorn", "prometheus_client")
HEADER_BYTES = 16_384
"""Of a request's head at most; more is answered with 431, or 400 where it is not complete."""


@dataclass(frozen=True)
class ServerSettings(Settings):
    """Where the service listens and how much it does for whom."""

    host: str = setting(
        "127.0.0.1", "address to listen on; 0.0.0.0 lets other machines in: then put a proxy with"
        " TLS before it", metavar="ADDRESS",
        group="where it listens",
    )  # fmt: skip
    port: int = setting(8080, "port to listen on; 0: any that is free", minimum=0, maximum=65535)
    max_length: int = setting(10_000, "most tokens of a text", minimum=1, group="limits")
    max_seed_length: int = setting(
        10_000, "most characters of a seed", minimum=1, flags=("--max-seed-length", "--max-prompt")
    )
    max_running: int = setting(128, "most requests that a model writes at once", minimum=1)
    max_queue: int = setting(
        256, "most requests that wait for a model; one more is told to come back (429)", minimum=0
    )
    max_seconds: float = setting(
        120.0,
        "most seconds of a request; then its text ends, or (503) its waiting",
        above=0,
    )
    max_connections: int = setting(
        500,
        "most connections; one more takes the place of the one that has been idle for longest, or"
        " is refused (503) where none is",
        minimum=1,
    )
    idle_seconds: float = setting(
        10.0, "seconds in which a client must send its request, or take some of the answer",
        above=0,
    )  # fmt: skip
    grace_seconds: float = setting(
        5.0, "seconds that running texts have to finish after Ctrl-C or SIGTERM", minimum=0
    )
    api_key: str | None = setting(
        None, "ask for this key, `Authorization: Bearer KEY`; better in TEXTGEN_API_KEY, because"
        " other users of a machine can see flags",
        metavar="KEY", group="who may see what",
    )  # fmt: skip
    production: bool = setting(False, "no API documentation, and no details of internal errors")
    log_seeds: bool = setting(
        False, "write seeds to the log too", flags=("--log-seeds", "--log-prompts")
    )
    watch: bool = setting(False, "show the training in each folder, live; it need not have a model")


def check_installed() -> None:
    """Raise TextgenError where what only the service needs is missing."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        names = " ".join(name.replace("_", "-") for name in missing)
        raise TextgenError(f"serve needs {names}. Install what is missing: pip install {names}")
