import io
import os
import re
import sys
from pathlib import Path

import pytest

from textgen.commands.output import output, shaded
from textgen.support.errors import TextgenError


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")
    with output(path) as stream:
        stream.write("new \ud800\n")
        stream.flush()
        assert path.read_text() == "old"
    assert path.read_bytes() == b"new ?\n"


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), output(path) as stream:
        stream.write(str(1 / 0))
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_ctrl_c_keeps_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"

    def interrupted() -> None:
        with output(path) as stream:
            stream.write("so far")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "so far"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "no" / "out.txt"
    with pytest.raises(TextgenError, match=re.escape(f"cannot write {path} (No such file")):
        output(path).__enter__()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_device() -> None:
    with (
        pytest.raises(TextgenError, match="cannot write /dev/full"),
        output(Path("/dev/full")) as s,
    ):
        s.write("text")
    assert not Path("/dev/full").is_file(), "the device was replaced by a file"


def test_standard_output_takes_any_character(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    with output(None) as stream:
        stream.write("é")
    assert raw.getvalue() == b"?"


@pytest.mark.parametrize(
    ("log_probability", "color"),
    [(-99, 196), (-3, 208), (-1.5, 226), (-0.5, 154), (0, 46), (1e-9, 46)],
)
def test_likelier_tokens_are_greener(log_probability: float, color: int) -> None:
    assert shaded("a", log_probability) == f"\x1b[38;5;{color}ma\x1b[0m"
