"""A PostgreSQL server of the tests' own.

`initdb` makes a cluster in a temporary folder, with trust on the loopback interface, and `pg_ctl`
starts a server on it at a free port of 127.0.0.1, without syncing to the disk; at the end it is
stopped and the folder removed. PostgreSQL refuses to run as root: where the tests are root, its
programs run as the user `postgres` that Debian's package makes.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.loopback import free_port


def programs() -> Path:
    """The folder of the server's programs; skips the test where they are not installed."""
    debian = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    found = shutil.which("initdb") or max(debian, default=None)
    if found is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    return Path(found).parent


@contextmanager
def server() -> Iterator[str]:
    """Run a server; yields the URL of its database."""
    folder = programs()
    user: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="postgres-") as place:
        if user:
            shutil.chown(place, "postgres", "postgres")
        cluster = f"{place}/cluster"

        def call(program: str, *arguments: str) -> None:
            subprocess.run(
                [str(folder / program), "-D", cluster, *arguments], cwd=place, check=True,
                stdout=subprocess.DEVNULL, timeout=120, extra_groups=[] if user else None, **user,
            )  # fmt: skip

        call("initdb", "--username=postgres", "--auth=trust", "--no-sync")
        port = free_port()
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {place} -c fsync=off"
        call("pg_ctl", "-l", f"{place}/log", "-o", options, "-w", "start")
        try:
            yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
        finally:
            call("pg_ctl", "-m", "immediate", "stop")
