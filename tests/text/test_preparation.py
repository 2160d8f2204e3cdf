"""Text files become data directories, whatever happens."""

import collections
import errno
import os
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.processes import beside
from tests.text.conftest import PARAGRAPHS, read, run
from textgen.settings.definitions import CorpusSettings
from textgen.support.errors import TextgenError
from textgen.text import preparation, sources
from textgen.text.documents import read_documents
from textgen.text.preparation import measure


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
        f"next: python train.py --data-dir {out} --pristine-input --minutes 2 --live-sample\n",
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
    assert f"stripped to {len(expected):,} characters in 59 lines" in printed
    assert f"unwrapped to {len(expected):,} characters in 39 lines" in printed


def test_strip_gutenberg_warns_when_there_is_nothing_to_strip(
    text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(text_file, "--out", tmp_path / "out", "--strip-gutenberg")
    assert "warning: " in (printed := capsys.readouterr().err)
    assert "no Project Gutenberg START line" in printed


@pytest.mark.parametrize("data", [b"", b"  \n", b"\x89PNG\r\n\x1a\n\0\0"])
def test_empty_and_binary_files_make_nothing(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(TextgenError, match=r"no text in .*a.txt|a.txt is a PNG image"):
        run(tmp_path / "a.txt", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


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
    for words in (
        "in 99 lines, the longest of 8 char",
        "between spaces: 100 words, 51 different",
        "30.67%",
    ):
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


needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")


@needs_pipes
def test_pipes_are_read_once(tmp_path: Path) -> None:
    pipes = [tmp_path / "a" / "clean.txt", tmp_path / "b" / "clean.txt"]
    for pipe in pipes:
        pipe.parent.mkdir()
        os.mkfifo(pipe)
    writers = [threading.Thread(target=pipe.write_text, args=(PARAGRAPHS,)) for pipe in pipes]
    for writer in writers:
        writer.start()
    run(*pipes, "--out", tmp_path / "out", "--strip-gutenberg", "--validation-split", 0)
    for writer in writers:
        writer.join()
    assert read(tmp_path / "out" / "input.txt") == (PARAGRAPHS * 2).rstrip("\n") + "\n"


@needs_pipes
def test_what_a_killed_command_leaves_goes_with_the_next_one(
    text_file: Path, tmp_path: Path
) -> None:
    pipe, out = tmp_path / "pipe", tmp_path / "out"
    os.mkfifo(pipe)
    corpus = beside("-m", "textgen", "corpus", pipe, "--out", out)
    with corpus as command, pipe.open("wb"):  # once the command has opened it too
        run(text_file, "--out", out)
        assert list(out.glob(".corpus-*")), "another command is at work there"
        command.kill()
    run(text_file, "--out", out, "--overwrite")
    assert sorted(path.name for path in out.iterdir()) == ["input.txt", "validate.txt"]


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
    written = sources.write_text

    def full(path: Path, chunks: Iterable[str]) -> None:
        if path.name.startswith(".input."):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written(path, chunks)

    monkeypatch.setattr(sources, "write_text", full)
    with pytest.raises(TextgenError, match="No space left"):
        run(text_file, "--out", tmp_path / "new" / "out")
    assert not (tmp_path / "new").exists()


# --- files in any encoding ---


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("size", [1, 2, 7, 1 << 20])
def test_any_encoding_is_read_in_chunks_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, size: int
) -> None:
    monkeypatch.setattr(preparation, "CHUNK", size)
    path, text = tmp_path / "a.txt", "Une crème brûlée\r\n“délicieuse”\r"
    path.write_bytes(text.encode(encoding))
    found = preparation.detect_file_encoding(path, CorpusSettings())
    assert "".join(preparation.decode_file(path, found)) == "Une crème brûlée\n“délicieuse”\n"


def test_a_bad_byte_beyond_the_head_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "HEAD", 8)
    monkeypatch.setattr(preparation, "CHUNK", 5)
    path = tmp_path / "a.txt"
    path.write_bytes(b"a cafe\n a caf\xe9 in Rome")
    assert preparation.detect_file_encoding(path, CorpusSettings()) == "utf-8"
    with pytest.raises(TextgenError, match="byte 0xe9 at offset 13"):
        list(preparation.decode_file(path, "utf-8"))


# --- documents ---

few = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30
)


@few
@given(st.lists(st.sampled_from(["one", "two", "", " ", "Żółw"])))
def test_each_unit_comes_once_and_blank_ones_always(tmp_path: Path, units: list[str]) -> None:
    (tmp_path / "seen").unlink(missing_ok=True)
    kept = list(preparation.drop_duplicates(units, tmp_path / "seen"))
    seen: set[str] = set()
    expected = [u for u in units if not u.strip() or not (u in seen or seen.add(u))]  # type: ignore[func-returns-value]
    assert kept == expected


@given(st.text("a\n", max_size=30), st.integers(1, 5))
def test_paragraphs_of_chunks_are_those_of_the_text(text: str, size: int) -> None:
    chunks = [text[start : start + size] for start in range(0, len(text), size)]
    parts = [part.strip("\n") for part in text.split("\n\n")]
    assert list(read_documents(chunks, "paragraphs")) == [part for part in parts if part]


def test_a_shuffle_over_several_files_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "BUCKET_BYTES", 100)
    units = [f"document {number}" for number in range(100)]
    rng = np.random.default_rng(0)
    shuffled = list(preparation.shuffle(units, 1_200, tmp_path, rng))
    assert shuffled != units
    assert sorted(shuffled) == sorted(units)
    assert list(tmp_path.iterdir()) == []


def test_every_order_is_as_likely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "BUCKET_BYTES", 1)
    rng = np.random.default_rng(0)
    orders = collections.Counter(
        "".join(preparation.shuffle("abc", 2, tmp_path, rng)) for _ in range(1200)
    )
    assert len(orders) == 6
    assert all(140 < count < 260 for count in orders.values()), orders


# --- the report ---


def test_a_report_by_hand() -> None:
    text = "to be or\nnot to be: Żółw\n\nto end"
    for size in (1, 3, 100):
        chunks = [text[start : start + size] for start in range(0, len(text), size)]
        report = measure(chunks)
        assert (report.num_characters, report.num_lines, report.longest_line) == (32, 3, 15)
        assert report.num_bytes == 32 + 3
        assert report.num_foreign == 3
        assert (report.num_words, report.num_kinds) == (9, 7)


def test_a_word_without_end_is_counted_in_bounded_memory() -> None:
    report = measure(["a b", *["x" * 100_000] * 3, " b"])
    assert report.longest_line == report.num_characters == 300_005
    assert (report.num_words, report.num_kinds) == (5, 4)  # a, bxx..., two that are only x, b


def test_distinct_words_are_counted_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "MOST_KINDS", 100)
    report = measure(f"{number} the " for number in range(6_000))
    assert (report.num_words, report.num_kinds) == (12_000, 100)
