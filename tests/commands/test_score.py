"""`python -m textgen score` as a user runs it: figures, ranked lines, forms, pages, errors."""

import csv
import gzip
import html
import io
import json
import os
import re
import subprocess
import threading
from pathlib import Path

import pytest

import textgen
from tests.conftest import VERSES, run_here, run_python
from tests.networks import random_generator
from textgen.commands import originality
from textgen.commands import score as script
from textgen.generation import scoring
from textgen.settings.definitions import TokenizerSettings
from textgen.tokens import build_tokenizer

STRANGE = 'Xq, "zzv"!'


@pytest.fixture
def score(trained_dir: Path):
    """Run the command on the trained model and return what it printed."""

    def run(*flags: object):
        return run_here(script.main, *flags, "--data-dir", trained_dir)

    return run


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "verses.txt"
    path.write_text(f"{VERSES[:200]}\n{STRANGE}\n\n", encoding="utf-8")
    return path


def error_of(result: "subprocess.CompletedProcess[str]") -> str:
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def test_a_row_for_each_file(score, trained_dir: Path, text: Path) -> None:
    other = text.with_name("other.txt.gz")
    other.write_bytes(gzip.compress(VERSES.encode()))
    result = score(text, other)
    heads, first, second = result.stdout.splitlines()
    assert heads.split() == ["nats/token", "bits/char", "perplexity", "tokens", "unknown", "file"]
    found = textgen.load(trained_dir).score(text.read_text(encoding="utf-8"))
    expected = [found.nats_per_token, found.bits_per_character, found.perplexity]
    assert first.split()[:3] == [f"{figure:.4f}" for figure in expected]
    assert first.split()[3:] == [str(found.tokens), str(found.unknown), str(text)]
    assert second.split()[3:] == [str(len(VERSES) - 1), "0", str(other)]
    assert (
        f"{text} has {found.unknown} characters of {found.tokens} that the vocab" in result.stderr
    )
    assert "lacks: 'X', 'q', 'z'" in result.stderr


def test_nats_per_character_are_shown_where_tokens_are_others(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = random_generator(build_tokenizer(VERSES, TokenizerSettings("word")))
    monkeypatch.setattr(script, "load", lambda *arguments: words)
    result = run_here(script.main, text, "--data-dir", tmp_path)
    heads, row = result.stdout.splitlines()
    assert heads.split()[:4] == ["nats/token", "nats/char", "bits/char", "perplexity"]
    figures = dict(zip(heads.split(), row.split(), strict=True))
    nats = float(figures["nats/token"]) * int(figures["tokens"])
    characters = len(text.read_text()) - len("FERRYMAN")  # which is only read
    assert float(figures["nats/char"]) == pytest.approx(nats / characters, abs=1e-3)
    heads, *rows = run_here(script.main, text, "--per-line").stdout.splitlines()
    assert heads.split() == ["rank", "line", "nats/token", "nats/char", "bits/char", "text"]
    assert len(rows) > 3


def test_standard_input_and_a_whole_process(score, trained_dir: Path, text: Path) -> None:
    command = ("-m", "textgen", "score", "-", "--data-dir", trained_dir, "--json")
    done = run_python(*command, input=text.read_text(encoding="utf-8"))
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert values["file"] == "-"
    [of_file] = csv.DictReader(io.StringIO(score(text, "--csv").stdout))
    assert list(of_file) == list(values)
    assert float(of_file["nats"]) == pytest.approx(values["nats"], rel=1e-9)
    assert of_file["file"] == str(text)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_read(score, text: Path) -> None:
    pipe = text.with_name("pipe")
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(text.read_bytes(),))
    writer.start()
    found = score(pipe).stdout.splitlines()[1]
    writer.join()
    assert found.split()[:5] == score(text).stdout.splitlines()[1].split()[:5]


def test_lines_are_ranked_by_surprise(score, trained_dir: Path, text: Path) -> None:
    rows = [json.loads(line) for line in score(text, "--per-line", "--json").stdout.splitlines()]
    lines = text.read_text(encoding="utf-8").splitlines()
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    assert (rows[0]["text"], rows[0]["line"]) == (STRANGE, len(lines) - 1)
    assert sorted(row["line"] for row in rows) == [
        number for number, line in enumerate(lines, start=1) if line
    ]
    surprise = [row["nats_per_token"] for row in rows]
    assert surprise == sorted(surprise, reverse=True)
    model = textgen.load(trained_dir)
    for row in rows:
        assert row["text"] == lines[row["line"] - 1]
        [found] = model.scores([row["text"]])
        assert row["nats_per_token"] == pytest.approx(found.nats_per_token, abs=1e-4)
        assert row["tokens"] == len(row["text"])


def test_csv_keeps_commas_and_quotes(score, text: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(score(text, "--per-line", "--csv").stdout)))
    assert rows[0]["text"] == STRANGE
    assert (rows[0]["rank"], rows[0]["file"]) == ("1", str(text))
    assert float(rows[0]["bits_per_character"]) > float(rows[-1]["bits_per_character"])


def test_lines_of_several_files_name_them(score, text: Path) -> None:
    alone = score(text, "--per-line").stdout.splitlines()
    assert alone[0].split() == ["rank", "line", "nats/token", "bits/char", "text"]
    assert alone[1].endswith(f"  {STRANGE}")
    both = score(text, text, "--per-line").stdout.splitlines()
    assert both[0].split()[:3] == ["rank", "file", "line"]
    assert len(both) == 2 * len(alone) - 1


def test_models_can_be_mixed(trained_dir: Path, text: Path) -> None:
    once = run_here(script.main, text, "--data-dir", trained_dir)
    twice = ("--data-dir", trained_dir, "--data-dir", trained_dir)
    assert run_here(script.main, text, *twice).stdout == once.stdout
    blended = run_here(script.main, text, *twice, "--weights", "0.5,0.5")
    assert blended.stdout == once.stdout


def test_a_page_shows_each_token_shaded(score, tmp_path: Path) -> None:
    path, page = tmp_path / "a&b.txt", tmp_path / "page.html"
    written = "The river <script>alert('x')</script>\n"
    path.write_text(written, encoding="utf-8")
    result = score(path, "--html", page)
    assert f"wrote {page}\n" in result.stderr
    content = page.read_text(encoding="utf-8")
    assert content.startswith("<!doctype html>")
    assert content.endswith("</html>\n")
    assert content.count("<span") == len(written) - 1
    assert "<script" not in content
    assert not re.search(r"https?:|src=|url\(|@import", content)
    assert f"<h2>{html.escape(str(path))}</h2>" in content
    assert result.stdout.splitlines()[1].split()[0] in content
    shown = html.unescape(re.sub("<[^>]+>", "", content.rpartition("</table>")[2]))
    assert shown.strip() == written.strip()
    assert "are shown" not in content
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_a_page_shows_the_beginning_of_a_long_text(
    score, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "MOST_PIECES", 20)
    page = text.with_name("page.html")
    assert score(text, "--html", page).returncode == 0
    content = page.read_text(encoding="utf-8")
    assert content.count("<span") == 19
    assert "<p>The first 20 tokens are shown.</p>" in content


def test_ctrl_c_leaves_no_half_page(score, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    page = text.with_name("page.html")
    page.write_text("old", encoding="utf-8")
    monkeypatch.setattr(script, "section", interrupted)
    assert score(text, "--html", page).returncode == 130
    assert page.read_text(encoding="utf-8") == "old"
    assert sorted(each.name for each in text.parent.iterdir()) == ["page.html", text.name]


def test_mistakes_are_told_in_a_line(score, text: Path, tmp_path: Path) -> None:
    empty, one, binary = tmp_path / "empty.txt", tmp_path / "one.txt", tmp_path / "image.txt"
    empty.write_bytes(b"")
    one.write_bytes(b"a")
    binary.write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    assert "missing.txt does not exist: check the name" in error_of(score(text, "missing.txt"))
    told = f"{one} has no character after the first, which is only read"
    assert told in error_of(score(one))
    assert f"{empty} has no character after the first" in error_of(score(empty))
    assert f"{empty} is empty: give one with text to score" in error_of(score(empty, "--per-line"))
    assert f"{binary} is a PNG image, not text" in error_of(score(binary))
    assert f"cannot read {tmp_path} (Is a directory)" in error_of(score(tmp_path))
    nowhere = tmp_path / "no" / "page.html"
    assert f"cannot write {nowhere}" in error_of(score(text, "--html", nowhere))
    assert "--per-line does not go with --html" in error_of(
        score(text, "--per-line", "--html", tmp_path / "p.html")
    )
    assert "the following arguments are required: FILE" in error_of(score())
    assert "not allowed with argument --json" in error_of(score(text, "--json", "--csv"))
    assert "no model in" in error_of(run_here(script.main, text, "--data-dir", tmp_path))


def test_a_page_never_takes_the_place_of_the_text(trained_dir: Path, tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("The river\n")
    for main in (script.main, originality.main):
        done = run_here(main, text, "--data-dir", trained_dir, "--html", text)
        assert done.returncode == 2
        assert "a.txt is what is read here, or belongs to the model" in done.stderr
    assert text.read_text() == "The river\n"
