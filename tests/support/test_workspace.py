import os
import subprocess
from pathlib import Path

import pytest

from tests.processes import beside
from textgen.support.errors import TextgenError
from textgen.support.workspace import exclusive

HOLDER = """
import sys
from pathlib import Path
from textgen.support.workspace import exclusive
with exclusive(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with beside("-c", HOLDER, tmp_path, **pipes) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with (
            pytest.raises(TextgenError, match=f"process {holder.pid} is training"),
            exclusive(tmp_path),
        ):
            pass
        holder.kill()
        holder.wait()
        with exclusive(tmp_path):
            assert (tmp_path / ".textgen" / "process").read_text() == str(os.getpid())


def test_leftovers_of_killed_writers_are_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    latest = tmp_path / "latest"
    leftovers = [tmp_path / ".model.0123abcd.tmp.h5", latest / ".model.89ef0123.tmp.pkl"]
    others = [tmp_path / ".notes.tmp", tmp_path / ".x.tmp.h5", tmp_path / "model.0123abcd.tmp.h5"]
    for path in leftovers + others:
        path.touch()
    with exclusive(tmp_path):
        assert not any(path.exists() for path in leftovers)
        assert all(path.exists() for path in others)
