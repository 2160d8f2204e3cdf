"""Texts as they are written to a data directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from textgen.support.errors import TextgenError
from textgen.text.writing import write, write_texts


def test_texts_are_written_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_texts(tmp_path / "new", ["\n\nŻół", "w\n", "a\n\n"], ["b"])
    assert (tmp_path / "new" / "input.txt").read_bytes() == "Żółw\na\n".encode()
    assert (tmp_path / "new" / "validate.txt").read_bytes() == b"b\n"
    assert capsys.readouterr().err.splitlines() == [
        f"wrote {tmp_path}/new/validate.txt: 2 characters in 1 lines",
        f"wrote {tmp_path}/new/input.txt: 7 characters in 2 lines",
    ]


def test_without_a_validation_text_that_of_before_stays(tmp_path: Path) -> None:
    (tmp_path / "validate.txt").write_text("precious")
    write_texts(tmp_path, ["a"], None)
    assert (tmp_path / "validate.txt").read_text() == "precious"


@pytest.mark.parametrize("chunks", [[], ["\n", "\n\n"], ["", " \n", "\t"]])
def test_a_blank_text_is_an_empty_file(tmp_path: Path, chunks: list[str]) -> None:
    assert write(tmp_path / "a.txt", chunks) == (0, 0)
    assert (tmp_path / "a.txt").read_bytes() == b""


def test_a_text_that_fails_leaves_no_input(tmp_path: Path) -> None:
    def failing() -> Iterator[str]:
        yield "text"
        raise OSError(28, "No space left")

    with pytest.raises(TextgenError, match=r"cannot write .*input.txt \(No space left\)"):
        write_texts(tmp_path, failing(), ["b"])
    assert [path.name for path in tmp_path.iterdir()] == ["validate.txt"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(TextgenError, match=r"cannot make the folder .*file/data .*choose another"):
        write_texts(tmp_path / "file" / "data", ["a"], None)
