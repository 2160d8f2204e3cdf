"""`python -m textgen originality` as a user runs it."""

import html
import json
import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import VERSES, run_here, run_python
from textgen.commands import originality
from textgen.support.errors import TextgenError

LINE = "The river keeps no record of the rain,"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(f"<script>alert(1)</script> & {LINE} he said.\n", encoding="utf-8")
    return path


def test_a_file_and_its_page(trained_dir: Path, text: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = run_here(originality.main, text, "--data-dir", trained_dir, "--html", page)
    assert (done.returncode, done.stderr) == (0, f"wrote {page}\n")
    number = len(text.read_text()) - 1
    assert f"{38 / number:.1%} of {number} characters; the longest run has 38\n" in done.stdout
    assert f"held-out text  100.0% of {number} characters" in done.stdout
    assert f"38 characters, line 2: {LINE!r}\n" in done.stdout
    written = page.read_text(encoding="utf-8")
    assert written.startswith("<!doctype html>")
    assert re.findall(r"<mark [^>]*>(.*?)</mark>", written) == [LINE]
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; <mark" in written
    assert not re.search(r"<script|<link|src=|https?:", written)
    assert '<meta name="color-scheme" content="light dark">' in written
    assert f"held-out text</th><td>100.0% of {number} characters" in written
    assert f"<h2>{text}</h2>" in written


def test_standard_input_as_json(trained_dir: Path) -> None:
    command = ("-m", "textgen", "originality", "-", "--data-dir", trained_dir, "--json")
    done = run_python(*command, input=f"He said: {LINE}\n")
    assert (done.returncode, done.stderr) == (0, "")
    values = json.loads(done.stdout)
    assert (values["characters"], values["copied"], values["longest"]) == (47, 38, 38)
    assert values["passages"][0]["line"] == 2


def test_samples_are_written_for_it(trained_dir: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    flags = ("--data-dir", trained_dir, "--samples", "2", "--length", "60", "--random-seed", "7")
    done = run_here(originality.main, *flags, "--html", page, "--json", "--seed", "The ")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["characters"] == 120
    assert "<h2>sample, random seed 8</h2>" in page.read_text(encoding="utf-8")
    again = run_here(originality.main, *flags, "--json", "--seed", "The ")
    assert again.stdout == done.stdout


def test_the_training_text_of_a_copied_model(trained_dir: Path, text: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("model.h5", "model.pkl"):
        shutil.copy(trained_dir / name, copy)
    flags = (originality.main, text, "--data-dir", copy)
    done = run_here(*flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: the training text is not at hand: {copy} has no input.txt."
        " Give it as --training-text, a file or the folder that has it\n"
    )
    for given in (trained_dir, trained_dir / "input.txt"):
        done = run_here(*flags, "--training-text", given, "--passages", "1")
        assert (done.returncode, done.stderr) == (0, "")
        assert "the longest run has 38" in done.stdout


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ((), "give either files, or --samples 20. Received: neither"),
        (("a.txt", "--samples", "2"), "give either files, or --samples 20. Received: both"),
        (("a.txt", "--length", "5"), "--length is for texts that are written: add --samples 20"),
        (("a.txt", "--seed", "x"), "--seed is for texts that are written: add --samples 20"),
        (("-", "-"), "standard input (-) can be read once"),
        (("--samples", "0"), "must be at least 1. Received: 0"),
        (("nothing.txt",), "nothing.txt does not exist"),
        (("a.txt", "--html", "no/such/page.html"), "no/such/page.html is no place for a page"),
        (("--samples", "2", "--length", "-1"), "has no end"),
        (("--samples", "2", "--length", "0"), "there is no text to look at"),
    ],
)
def test_mistakes_are_one_line(trained_dir: Path, flags: tuple[str, ...], problem: str) -> None:
    done = run_here(originality.main, *flags, "--data-dir", trained_dir)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1, done.stderr
    assert problem in done.stderr


def test_files_that_are_no_text(trained_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b" \n")
    with pytest.raises(TextgenError, match="text is empty: give a text to look at"):
        originality.main([str(path), "--data-dir", str(trained_dir)])
    path.write_bytes(b"%PDF-")
    with pytest.raises(TextgenError, match="is a PDF, not text"):
        originality.main([str(path), "--data-dir", str(trained_dir)])


def test_ctrl_c_leaves_no_half_page(
    trained_dir: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.html"
    page.write_text("the page before")

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("textgen.support.files.sync_file", interrupted)
    done = run_here(originality.main, text, "--data-dir", trained_dir, "--html", page)
    assert (done.returncode, done.stdout) == (130, "")
    assert page.read_text() == "the page before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "text.txt"]


def test_the_whole_training_text_is_copied(trained_dir: Path, tmp_path: Path) -> None:
    """Its passage is listed by its beginning, and marked whole."""
    page = tmp_path / "page.html"
    flags = ("--data-dir", trained_dir, "--html", page)
    done = run_here(originality.main, trained_dir / "input.txt", *flags)
    assert max(map(len, done.stdout.splitlines())) < 120
    listed, marked = re.findall(r"(?s)<q>(.*?)</q>|<mark [^>]*>(.*?)</mark>", page.read_text())
    assert (len(html.unescape(listed[0])), html.unescape(marked[1])) == (300, (VERSES * 4)[:-1])
    number = len(VERSES * 4) - 1
    assert f"100.0% of {number:,} characters; the longest run has {number:,}\n" in done.stdout
