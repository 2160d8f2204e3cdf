"""Texts as streams: what is read, however it is stored and cut."""

import gzip
import os
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import VERSES
from textgen.support.errors import TextgenError
from textgen.text import sources
from textgen.text.sources import (
    MIXED,
    Source,
    decode,
    detect_encoding,
    repaired,
    write_text,
    write_texts,
)

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\r\t"))
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(*paths: Path, size: int = sources.CHUNK) -> str:
    with mock.patch.object(sources, "CHUNK", size):
        return "".join(chunk.text for chunk in Source(paths).read())


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "input.txt"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "data",
    [b"na\xc3\xafve\nb\n", b"\xef\xbb\xbfna\xc3\xafve\nb\n", b"na\xc3\xafve\r\nb\r",
     b"na\xc3\xafve\rb\r\n"],
)  # fmt: skip
def test_a_text_evens_out_marks_and_line_ends(tmp_path: Path, data: bytes) -> None:
    assert read(write(tmp_path, data)) == "naïve\nb\n"


@pytest.mark.parametrize("data", [b"", b" \n\t\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_a_text_refuses_an_empty_file(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(TextgenError, match=r"input.txt is empty: put the text"):
        read(write(tmp_path, data))


def test_a_text_refuses_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(TextgenError, match=r"nothing.txt does not exist"):
        read(tmp_path / "nothing.txt")
    (tmp_path / "input.txt").mkdir()
    with pytest.raises(TextgenError, match=r"is not a file that can be read twice"):
        sources.find_source(tmp_path, "input")


def test_a_text_reports_missing_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    path = write(tmp_path, b"text")
    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    with pytest.raises(TextgenError, match=r"cannot read .*input.txt \(Permission denied\)"):
        read(path)


def test_a_text_names_the_byte_that_is_not_utf8_and_the_mend(tmp_path: Path) -> None:
    path = write(tmp_path, b"a caf\xe9 in Paris")
    with pytest.raises(TextgenError) as caught:
        read(path)
    assert str(caught.value) == (
        f"{path} is not UTF-8 (byte 0xe9 at offset 5): mend that place, or let"
        f" `python -m textgen corpus {path} --out DIR` convert it"
    )


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_for_the_corpus_command(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(TextgenError, match=r"(not UTF-8|has zero bytes).* corpus .* convert it"):
        read(write(tmp_path, VERSES.encode(encoding)))


def test_a_text_locates_damage_in_utf8(tmp_path: Path) -> None:
    with pytest.raises(TextgenError, match=r"not UTF-8 \(byte 0xff at offset 9\): mend"):
        read(write(tmp_path, "“Hi” ".encode() + b"\xff" + "“Hi”".encode()))


@same_folder
@given(TEXT, st.integers(1, 9), st.booleans())
def test_a_text_is_the_same_in_chunks_of_any_size(
    tmp_path: Path, text: str, size: int, mark: bool
) -> None:
    data = (b"\xef\xbb\xbf" if mark else b"") + ("x" + text).encode()
    path = write(tmp_path, data)
    assert read(path, size=size) == decode(data, "x")


@same_folder
@given(st.binary(max_size=30), st.integers(1, 9))
def test_what_is_not_utf8_is_refused_in_chunks_of_any_size(
    tmp_path: Path, data: bytes, size: int
) -> None:
    path = write(tmp_path, b"x" + data)
    try:
        text = read(path, size=size)
    except TextgenError:
        return
    assert text == (b"x" + data).decode().replace("\r\n", "\n").replace("\r", "\n")


def test_the_place_of_a_bad_byte_is_that_in_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, b"a cafe in Paris, a caf\xe9 in Rome")
    with pytest.raises(TextgenError, match="byte 0xe9 at offset 22"):
        read(path, size=5)


def test_files_of_a_folder_are_joined_in_the_order_of_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "input"
    folder.mkdir()
    (folder / "b.txt").write_bytes(b"second\r\n")
    (folder / "a.txt").write_bytes(b"\xef\xbb\xbffirst\r")
    with gzip.open(folder / "c.txt.gz", "wb") as file:
        file.write("thírd".encode())
    (folder / "notes.md").write_text("not a part of it")
    source = sources.find_source(tmp_path, "input")
    assert source is not None
    assert read(*source.paths, size=2) == "first\n\nsecond\n\nthírd"
    assert [stamp[0] for stamp in source.stamps()] == ["a.txt", "b.txt", "c.txt.gz"]


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_compressed_texts_are_read_as_what_they_hold(tmp_path: Path, ending: str) -> None:
    data = VERSES.encode()
    if ending == "zst":
        data = pytest.importorskip("zstandard").compress(data)
    else:
        data = gzip.compress(data)
    path = tmp_path / f"input.txt.{ending}"
    path.write_bytes(data)
    source = sources.find_source(tmp_path, "input")
    assert source is not None
    assert read(*source.paths) == VERSES
    path.write_bytes(data[:-20])
    with pytest.raises(TextgenError, match="is damaged"):
        read(path)


def test_zst_without_its_package_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    path = tmp_path / "input.txt.zst"
    path.write_bytes(b"x")
    with pytest.raises(TextgenError, match="pip install zstandard"):
        read(path)


def test_two_texts_of_one_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path, b"one")
    (tmp_path / "input").mkdir()
    with pytest.raises(TextgenError, match=r"has no \.txt files"):
        sources.find_source(tmp_path, "input")
    (tmp_path / "input" / "a.txt").write_text("two")
    with pytest.raises(TextgenError, match=r"both .*input.txt and .*input are there: keep one"):
        sources.find_source(tmp_path, "input")
    assert sources.find_source(tmp_path, "validate") is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_for_the_corpus_command(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "input.txt")
    with pytest.raises(TextgenError, match="is not a file that can be read twice"):
        sources.find_source(tmp_path, "input")


# --- bytes become text: encodings, line ends, and what is no text ---

PLAIN = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"))
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_decode_finds_the_encoding(encoding: str) -> None:
    text = "Il a mangé une crème brûlée — “délicieuse”, dit-il.\nVoilà!\n"
    assert decode(text.encode(encoding), "a.txt") == text


@pytest.mark.parametrize("order", ["le", "be"])
def test_decode_honours_a_utf16_mark_of_either_order(order: str) -> None:
    data = "\ufeffПривет, мир\n".encode(f"utf-16-{order}")
    assert decode(data, "a.txt") == "Привет, мир\n"


@given(PLAIN, st.sampled_from(["utf-8-sig", "utf-16", "utf-32"]))
def test_decode_round_trips_every_text_that_has_a_mark(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding), "a.txt") == text


@given(PLAIN)
def test_decode_round_trips_utf8_without_a_mark(text: str) -> None:
    text = f"# {text}"  # no byte order mark or file signature by accident
    assert decode(text.encode(), "a.txt") == text


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1))
def test_decode_round_trips_ascii_as_utf16_without_a_mark(text: str) -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        assert decode(text.encode(encoding), "a.txt") == text


def test_decode_normalises_line_ends() -> None:
    assert decode(b"a\r\nb\rc\n\r\nd", "a.txt") == "a\nb\nc\n\nd"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "a PNG image"),
        (b"PK\x03\x04" + b"word/document.xml", "a zip archive"),
        (b"%PDF-1.7\n1 0 obj\n", "a PDF"),
        (b"text\0text, text\0text", "zero bytes"),
        (
            zlib.compress(b"Once upon a midnight dreary\n" * 400),
            "binary file|not CP1252",
        ),
        (random.Random(1).randbytes(5000), "zero bytes"),
        (bytes(byte for byte in random.Random(1).randbytes(5000) if 0 < byte < 128), "control"),
        (b"\x01\x02\x03\x04", "control characters"),
    ],
)
def test_decode_refuses_binary_data(data: bytes, kind: str) -> None:
    with pytest.raises(TextgenError, match=f"^a.bin is (?:.*{kind})"):
        decode(data, "a.bin")


def test_a_binary_file_is_not_to_be_converted(tmp_path: Path) -> None:
    path = tmp_path / "input.txt"
    for number in (1, 0):
        path.write_bytes(bytes(b for b in random.Random(1).randbytes(5000) if b >= number))
        with pytest.raises(TextgenError, match=r"input.txt is a binary file .*, not text: save it"):
            list(Source((path,)).read())


def test_decode_refuses_what_cp1252_lacks_and_broken_utf16() -> None:
    with pytest.raises(TextgenError, match=r"is not CP1252 \(byte 0x81 at offset 4"):
        decode(b"abc \x81\x8d", "a.txt")
    with pytest.raises(TextgenError, match=r"is not UTF-16 \(byte 0x61 at offset 4"):
        decode("\ufeffa".encode("utf-16-le") + b"a", "a.txt")


def test_decode_keeps_form_feeds_and_a_dos_end_mark() -> None:
    assert decode(b"page\x0cpage\x1a", "a.txt") == "page\x0cpage\x1a"


# --- writing ---


def test_texts_are_written_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_texts(tmp_path / "new", ["\n\nŻół", "w\n", "a\n\n"], ["b"])
    assert (tmp_path / "new" / "input.txt").read_bytes() == "Żółw\na\n".encode()
    assert (tmp_path / "new" / "validate.txt").read_bytes() == b"b\n"
    assert capsys.readouterr().err.splitlines() == [
        f"wrote {tmp_path}/new/validate.txt: 2 bytes",
        f"wrote {tmp_path}/new/input.txt: 10 bytes",
    ]


def test_without_a_validation_text_that_of_before_stays(tmp_path: Path) -> None:
    (tmp_path / "validate.txt").write_text("precious")
    write_texts(tmp_path, ["a"], None)
    assert (tmp_path / "validate.txt").read_text() == "precious"


@pytest.mark.parametrize("chunks", [[], ["\n", "\n\n"], ["", " \n", "\t"]])
def test_a_blank_text_is_an_empty_file(tmp_path: Path, chunks: list[str]) -> None:
    write_text(tmp_path / "a.txt", chunks)
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
    with pytest.raises(TextgenError, match=r"cannot write .*data \(Not a directory\): check the"):
        write_texts(tmp_path / "file" / "data", ["a"], None)


def test_stray_zero_bytes_are_left_out_of_what_is_made_a_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that what training refers to the corpus command, that takes."""
    scraped = write(tmp_path, "Le café, one line of many.\n".encode() * 99 + b"a\0b\0\n")
    with pytest.raises(TextgenError, match=r"zero bytes\), not text: .* corpus .* convert it"):
        read(scraped)
    assert detect_encoding(scraped.read_bytes(), "x", repair=True) == MIXED
    with pytest.raises(TextgenError, match=r"zero bytes\), not text: save it as UTF-8"):
        detect_encoding(scraped.read_bytes(), "x")
    assert b"".join(repaired([scraped.read_bytes()], "x")).endswith(b".\nab\n")
    assert capsys.readouterr().err == "x: 1 line had zero bytes, which are left out\n"
    with pytest.raises(TextgenError, match=r"zero bytes\), not text: save it"):
        detect_encoding(random.Random(1).randbytes(5000), "x", repair=True)


def test_an_empty_validation_text_is_not_to_be_learned_from(tmp_path: Path) -> None:
    path = tmp_path / "validate.txt"
    path.write_text("\n")
    with pytest.raises(TextgenError, match=r"validate.txt is empty: put text to measure with in"):
        list(Source((path,)).read())


def test_damage_is_mended_behind_a_byte_order_mark_too() -> None:
    data = b"\xef\xbb\xbf" + "café, and more\n".encode() * 9 + b"caf\xe9\n"
    assert detect_encoding(data, "x", repair=True) == MIXED
    for size in (3, 5, 100):
        blocks = [data[at : at + size] for at in range(0, len(data), size)]
        assert b"".join(repaired(blocks, "x")).decode() == "café, and more\n" * 9 + "café\n"
