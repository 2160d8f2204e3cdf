"""`python -m textgen corpus`: its flags, its mistakes, and known corpora."""

from pathlib import Path

import pytest

from tests.conftest import run_python
from tests.text.conftest import read, run
from textgen.settings.request import TrainRequest
from textgen.support.errors import TextgenError
from textgen.text import known
from textgen.text.splitting import Parts


@pytest.fixture
def twain(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Replace the recipe of twain; the list collects the sources it is called with."""
    sources: list[str | None] = []

    def make(source: str | None) -> Parts:
        sources.append(source)
        return Parts("training\n", "validation\n")

    monkeypatch.setitem(known.KNOWN, "twain", known.KnownCorpus("a stand-in", make))
    return sources


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
        (["FILE", "--out", "new", "--validation-split", "1"], "`validation_split` must be below 1"),
        (["FILE", "--out", "new", "--random-seed", "-1"], "`random_seed` must be at least 0"),
        (["FILE", "--out", "new", "--dedupe", "words"], "`dedupe` must be one of lines, para"),
        (
            ["FILE", "--out", "new", "--validation-split", "x"],
            "--validation-split: must be a number",
        ),
        ([".", "--out", "new"], r"\. is a folder: add `recursive` to read the text files"),
        (["twain", "tinyshakespeare"], "twain is a known corpus: name it alone, received 2"),
        (["twain", "--unwrap"], "`unwrap` is for files: the corpus twain"),
        (["twain", "--validation-split", "0.2"], "`validation_split` is for files"),
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


@pytest.mark.parametrize(("size", "minutes"), [(9, 2), (600_000, 10)])
def test_a_training_that_suits_the_text_is_advised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    size: int, minutes: int,
) -> None:  # fmt: skip
    corpus = known.KnownCorpus("x", lambda _: Parts("a" * size, "b"), {"word_tokens": True})
    monkeypatch.setitem(known.KNOWN, "twain", corpus)
    out = tmp_path / "my book"
    run("twain", "--out", out)
    flags = f"--data-dir '{out}' --word-tokens --minutes {minutes} --live-sample"
    assert capsys.readouterr().err.endswith(f"next: python train.py {flags}\n")


@pytest.mark.parametrize("corpus", known.KNOWN.values())
def test_advised_settings_are_settings_of_a_training(corpus: known.KnownCorpus) -> None:
    assert TrainRequest(Path("data"), corpus.settings).given == corpus.settings


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


@pytest.mark.parametrize("name", ["input.txt", "validate.txt"])
@pytest.mark.parametrize("flags", [["--overwrite"], ["--overwrite", "--validation-split", "0"]])
def test_a_text_never_takes_its_own_place(
    text_file: Path, tmp_path: Path, name: str, flags: list[str]
) -> None:
    own = text_file.rename(tmp_path / name)
    before = own.read_bytes()
    link = tmp_path / "link.txt"
    link.symlink_to(own)
    for given in (own, link):
        with pytest.raises(TextgenError, match=r"would be replaced by a part of itself"):
            run(given, "--out", tmp_path, *flags)
    assert own.read_bytes() == before


def test_a_text_may_be_piped_in(tmp_path: Path) -> None:
    text = "A line of prose, and another one after it.\n" * 50
    made = run_python("-m", "textgen", "corpus", "-", "--out", tmp_path / "new", input=text)
    assert made.returncode == 0, made.stderr
    assert "read standard input: utf-8, 2,150 characters in 50 lines" in made.stderr
    parts = [read(tmp_path / "new" / name) for name in ("input.txt", "validate.txt")]
    assert "".join(parts) == text


def test_an_own_text_keeps_its_capitals(
    text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(text_file, "--out", tmp_path / "new")
    flags = f"--data-dir {tmp_path / 'new'} --pristine-input --minutes 2 --live-sample"
    assert capsys.readouterr().err.endswith(f"next: python train.py {flags}\n")


@pytest.mark.parametrize("name", ["input.txt.gz", "validate.txt.gz", "input"])
def test_a_text_in_another_form_is_not_put_beside(
    text_file: Path, tmp_path: Path, name: str
) -> None:
    """Two texts of one name would be refused by every training."""
    if name == "input":
        (tmp_path / "input").mkdir()
        (tmp_path / "input" / "a.txt").write_text("x")
    else:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(TextgenError, match=rf"{name} is there already: move it away"):
        run(text_file, "--out", tmp_path, "--overwrite")
