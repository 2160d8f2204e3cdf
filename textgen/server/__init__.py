"""The sampling service: a page, and an API that streams to many at once."""

import importlib.util

from textgen.support.errors import TextgenError

NEEDED = ("fastapi", "uvicorn", "prometheus_client")


def check_installed() -> None:
    """Raise TextgenError where what only the service needs is missing."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        names = " ".join(name.replace("_", "-") for name in missing)
        raise TextgenError(f"serve needs {names}. Install what is missing: pip install {names}")
