"""`python -m textgen corpus`: files and known corpora to data directories."""

import collections
import errno
import os
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from textgen import recipes
from textgen.errors import TextgenError
from textgen.preparation import command

PARAGRAPHS = "".join(f"Paragraph {number} of a short text.\n\n" for number in range(100))


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """A text of 100 paragraphs in UTF-16 with CRLF."""
    path = tmp_path / "mine.txt"
    path.write_bytes(PARAGRAPHS.replace("\n", "\r\n").encode("utf-16"))
    return path


@pytest.fixture
def twain(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Replace the recipe of twain; the list collects the sources it is called with."""
    sources: list[str | None] = []

    def make(source: str | None) -> recipes.Texts:
        sources.append(source)
        return recipes.Texts("training\n", "validation\n")

    monkeypatch.setitem(recipes.KNOWN, "twain", recipes.Recipe("a stand-in", make))
    return sources


def run(*arguments: object) -> None:
    command.main([str(argument) for argument in arguments])


def read(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


def test_a_file_becomes_a_data_directory(
    text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "data" / "mine"
    run(text_file, "--out", out)
    training, validation = read(out / "input.txt"), read(out / "validate.txt")
    assert sorted(f"{training}\n{validation}".split()) == sorted(PARAGRAPHS.split())
    assert len(validation) / len(PARAGRAPHS) == pytest.approx(0.1, abs=0.01)
    printed = capsys.readouterr()
    assert printed.out == ""
    for words in (
        "utf-16",
        "in 200 lines",
        "held out",
        "(10.",
        f"next: python train.py --data-dir {out}",
    ):
        assert words in printed.err


def test_no_validation_split_and_several_files(text_file: Path, tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("\n\nlast", encoding="utf-8")
    run(text_file, tmp_path / "b.txt", "--out", tmp_path / "out", "--validation-split", 0)
    assert read(tmp_path / "out" / "input.txt") == PARAGRAPHS + "last\n"
    assert not (tmp_path / "out" / "validate.txt").exists()


def test_unwrap_and_strip_say_what_they_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "A line of prose that is as long as the lines of books are when wrapped,"
    book = tmp_path / "book.txt"
    book.write_text(
        "*** START OF THE PROJECT GUTENBERG EBOOK X ***\n" + f"{line}\nand goes on.\n\n" * 20
        + "*** END OF THE PROJECT GUTENBERG EBOOK X ***\nLicense\n", encoding="utf-8"
    )  # fmt: skip
    run(book, "--out", tmp_path / "out", "--unwrap", "--strip-gutenberg", "--validation-split", 0)
    expected = "\n\n".join([f"{line} and goes on."] * 20) + "\n"
    assert read(tmp_path / "out" / "input.txt") == expected
    printed = capsys.readouterr().err
    assert "unwrapped to 1,818 characters in 39 lines" in printed or "39 lines" in printed
    assert "stripped to" in printed


def test_strip_gutenberg_warns_when_there_is_nothing_to_strip(
    text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(text_file, "--out", tmp_path / "out", "--strip-gutenberg")
    assert "warning: " in (printed := capsys.readouterr().err)
    assert "no Project Gutenberg START line" in printed


@pytest.mark.parametrize("present", ["input.txt", "validate.txt"])
def test_a_text_that_is_there_is_replaced_only_on_request(
    text_file: Path, tmp_path: Path, present: str
) -> None:
    (tmp_path / present).write_text("precious", encoding="utf-8")
    with pytest.raises(TextgenError, match=rf"{present} is there already: add --overwrite"):
        run(text_file, "--out", tmp_path)
    assert read(tmp_path / present) == "precious"
    run(text_file, "--out", tmp_path, "--overwrite")
    assert read(tmp_path / present).startswith("Paragraph")


def test_input_can_be_converted_in_place(tmp_path: Path) -> None:
    path = tmp_path / "input.txt"
    path.write_bytes("café\r\n".encode("cp1252"))
    run(path, "--out", tmp_path, "--overwrite", "--validation-split", 0)
    assert path.read_bytes() == "café\n".encode()


def test_a_validation_text_that_stays_is_mentioned(
    text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "validate.txt").write_text("precious", encoding="utf-8")
    run(text_file, "--out", tmp_path, "--validation-split", 0)
    assert read(tmp_path / "validate.txt") == "precious"
    assert "validate.txt stays as it is and will be used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["nothing"], r"nothing is neither a file nor a known corpus \(tinyshakespeare, twain\)"),
        (["FILE"], "where to\\? Add --out DIR"),
        (["FILE", "--out", "FILE"], "mine.txt is a file, not a folder: give another --out"),
        (["FILE", "--out", "new", "--source", "x"], "--source x goes with a known corpus"),
        (["FILE", "--out", "new", "--validation-split", "1"], "`validation_split` 1.0 is not"),
        (["FILE", "--out", "new", "--validation-split", "x"], "invalid float value: 'x'"),
        ([".", "--out", "new"], r"\. is a folder: give a text file"),
        (["twain", "tinyshakespeare"], "twain is a known corpus: name it alone, received 2"),
        (["twain", "--unwrap"], "--unwrap is for files: the corpus twain"),
        (["twain", "--validation-split", "0.2"], "--validation-split is for files"),
        ([], "required: NAME"),
        (["FILE", "--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_mistakes_are_one_line_errors(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: list[str], problem: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TextgenError, match=problem) as caught:
        run(*[text_file if argument == "FILE" else argument for argument in arguments])
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("data", [b"", b"  \n", b"\x89PNG\r\n\x1a\n\0\0"])
def test_empty_and_binary_files_make_nothing(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(TextgenError, match=r"no text in .*a.txt|a.txt is a PNG image"):
        run(tmp_path / "a.txt", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_known_corpus_goes_to_its_folder(
    twain: list[str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run("twain")
    assert read(tmp_path / "data" / "twain" / "input.txt") == "training\n"
    assert read(tmp_path / "data" / "twain" / "validate.txt") == "validation\n"
    with pytest.raises(TextgenError, match="is there already: add --overwrite"):
        run("twain")
    run("twain", "--source", "here", "--overwrite")
    run("twain", "--out", "elsewhere")
    assert read(tmp_path / "elsewhere" / "input.txt") == "training\n"
    assert twain == [None, "here", None]


def test_a_file_of_a_known_name_goes_first(
    twain: list[str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("twain").write_text("my own text", encoding="utf-8")
    run("twain", "--out", "out", "--validation-split", 0)
    assert read(tmp_path / "out" / "input.txt") == "my own text\n"
    assert "twain is a file here: reading it" in capsys.readouterr().err
    assert twain == []


def test_documents_are_deduplicated_shuffled_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "many.txt"
    path.write_text("".join(f"Żółw {number}.\n\n" for number in [*range(50), *range(30)]))
    options = ("--dedupe", "paragraphs", "--shuffle-documents", "--validation-split", 0)
    run(path, "--out", tmp_path / "out", *options)
    text = read(tmp_path / "out" / "input.txt")
    found = text.strip().split("\n\n")
    assert sorted(found) == sorted(f"Żółw {number}." for number in range(50))
    assert found != sorted(found, key=lambda part: int(part.split()[1][:-1]))
    printed = capsys.readouterr().err
    for words in ("in 99 lines, the longest of 8 char", "different words: 51 in 100", "30.67%"):
        assert words in printed, printed
    run(path, "--out", tmp_path / "other", *options, "--random-seed", 1)
    assert read(tmp_path / "other" / "input.txt") != text
    run(path, "--out", tmp_path / "same", *options)
    assert read(tmp_path / "same" / "input.txt") == text


def test_documents_that_end_at_a_line(tmp_path: Path) -> None:
    path = tmp_path / "many.txt"
    path.write_text("one\n\nmore\n<end>\ntwo\n<end>\nthree\n<end>\n")
    run(path, "--out", tmp_path, "--shuffle-documents", "<end>", "--validation-split", 0)
    parts = read(tmp_path / "input.txt").removesuffix("\n").split("\n<end>\n")
    assert sorted(parts) == ["one\n\nmore", "three", "two"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(PARAGRAPHS,))
    writer.start()
    run(pipe, "--out", tmp_path / "out", "--strip-gutenberg", "--validation-split", 0)
    writer.join()
    assert read(tmp_path / "out" / "input.txt") == PARAGRAPHS.rstrip("\n") + "\n"


@pytest.mark.parametrize("place", ["before", "during"])
def test_a_disk_without_room_leaves_the_folder_as_it_was(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "input.txt").write_text("precious", encoding="utf-8")
    if place == "before":
        usage = collections.namedtuple("usage", "total used free")
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 100))
    else:

        def full(*arguments: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TextgenError, match=r"No space left|Free some space"):
        run(text_file, "--out", out, "--overwrite")
    assert read(out / "input.txt") == "precious"
    assert [path.name for path in out.iterdir()] == ["input.txt"]


def test_a_disk_that_fills_after_the_first_text_leaves_no_new_folder(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """validate.txt is written before input.txt, and goes with the folder that was made for it."""
    written = command._written

    def full(path: Path, chunks: Iterable[str]) -> Path:
        if path.name.startswith(".input."):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written(path, chunks)

    monkeypatch.setattr(command, "_written", full)
    with pytest.raises(TextgenError, match="No space left"):
        run(text_file, "--out", tmp_path / "new" / "out")
    assert not (tmp_path / "new").exists()
