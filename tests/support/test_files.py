"""Atomic writes: what is there after success, after failure, and where it was written."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.processes import beside
from textgen.support.errors import TextgenError
from textgen.support.files import exclusive, remove_leftovers, replacing, write_atomic


def test_write_atomic_makes_and_replaces_a_file(tmp_path: Path) -> None:
    path = tmp_path / "input.txt"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_replacing_yields_a_path_in_the_same_folder_with_the_same_ending(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    with replacing(path) as temporary:
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".h5")
        assert temporary != path
        temporary.write_bytes(b"weights")
        assert not path.exists()
    assert path.read_bytes() == b"weights"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_replacing_keeps_the_old_file_when_writing_fails(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "input.txt"
    path.write_bytes(b"old")

    def fail_half_way() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"ne")
            raise error

    with pytest.raises(error):
        fail_half_way()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_replacing_writes_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "input.txt"
    link.symlink_to(tmp_path / "real" / "text.txt")
    write_atomic(link, b"new")
    assert link.is_symlink()
    assert (tmp_path / "real" / "text.txt").read_bytes() == b"new"


def test_a_file_gets_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    write_atomic(tmp_path / "atomic", b"")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_write_atomic_says_where_it_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(TextgenError, match=r"cannot write .*gone.*check the folder"):
        write_atomic(tmp_path / "gone" / "input.txt", b"text")


def test_leftovers_are_what_a_killed_writer_would_leave(tmp_path: Path) -> None:
    with replacing(tmp_path / "model.h5") as temporary:
        temporary.write_bytes(b"half")
        left = temporary.read_bytes()
        remove_leftovers(tmp_path)
        assert not temporary.exists()
        temporary.write_bytes(left)
    assert [path.name for path in tmp_path.iterdir()] == ["model.h5"]


HOLDER = """
import sys
from pathlib import Path
from textgen.support.files import exclusive
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


def test_what_is_left_of_a_folder_that_was_being_written_is_removed(tmp_path: Path) -> None:
    left, own = tmp_path / ".saved-model.1a2b3c4d.tmp", tmp_path / ".mine.tmp"
    for folder in (left, own):
        folder.mkdir()
        (folder / "variables").touch()
    with exclusive(tmp_path):
        assert not left.exists()
    assert own.exists(), "the name is not of ours"
