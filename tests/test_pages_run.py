"""What README and docs tell to run, runs: every command and program, with short times.

Those of a page run one after another in one folder, where the files lie that they name. Examples
with `>>>` are run by `tests.test_doctests`.
"""

import json
import logging
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, VERSES, light_training, run_here
from textgen import commands
from textgen.commands import sample, train
from textgen.support import console
from textgen.training import sizing

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
SCRIPTS = {"train.py": train.main, "sample.py": sample.main}
SHORT = {"--minutes": "0.02", "--trials": "1", "--num-samples": "3", "--samples": "2"}
"""The values that flags have here."""
ELSEWHERE = {
    "-m venv": ".ci/run installs",
    "--workers": "tests.training.test_several_machines trains on several",
    " serve": "tests.server serves",
    "curl": "tests.server asks",
    "convert": "tests.commands.test_convert has such folders",
    "postgresql:": "tests.search.test_session has a database",
    " search ": "tests.search.test_session runs one with its processes",
    "tf.saved_model": "tests.export.test_tensorflow loads one",
    "onnxruntime": "tests.export.test_onnx_file runs it",
    "-m docs": "tests.test_pages does it",
    "tests": "they run",
}
"""Marks of what is not run here, and who does it."""


def blocks(page: Path) -> Iterator[str]:
    """The indented blocks of a page, each as it would be pasted."""
    text = page.read_text(encoding="utf-8")
    for part in re.findall(r"(?:^    .*\n?|^\s*\n)+", text, re.MULTILINE):
        code = "\n".join(line[4:] for line in part.splitlines()).strip("\n")
        if code:
            yield code


def command_lines(page: Path) -> list[str]:
    """The commands of a page that are run here, each of the first page that has it."""
    lines = [line for block in blocks(page) for line in block.splitlines()]
    parts = [part.strip() for line in lines for part in line.split(" && ")]
    own = [part for part in parts if re.match(r"(python3?|textgen|curl) ", part)]
    earlier = "".join(one.read_text(encoding="utf-8") for one in PAGES[: PAGES.index(page)])
    return [
        part for part in own
        if f"    {part}\n" not in earlier and not any(mark in part for mark in ELSEWHERE)
    ]  # fmt: skip


def programs(page: Path) -> list[str]:
    """The programs of a page that are run here."""
    own = [block for block in blocks(page) if re.match(r"(import|from) ", block)]
    return [block for block in own if not any(mark in block for mark in ELSEWHERE)]


@pytest.fixture
def folder(trained_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the files that the pages name; some have been trained on."""
    for name in ("mine", "twain", "tinyshakespeare"):
        shutil.copytree(trained_dir, tmp_path / "data" / name)
    shutil.copyfile(trained_dir / "input.txt", tmp_path / "scene.txt")
    for name in ("book", "tom", "log", "story"):
        (tmp_path / f"{name}.txt").write_text(VERSES * 2)
    (tmp_path / "poems").mkdir()
    for number, poem in enumerate(VERSES.split("\n\n") * 5):
        (tmp_path / "poems" / f"{number:02}.txt").write_text(poem)
    rows = [f'"{line}",politics\n"{line[::-1]}",rain' for line in VERSES.splitlines() if line]
    (tmp_path / "tweets.csv").write_text("\n".join(["text,topic", *rows]) + "\n")
    recipes = [{"title": f"Soup {n}", "method": "Boil the water, and wait."} for n in range(30)]
    (tmp_path / "recipes.jsonl").write_text("".join(json.dumps(r) + "\n" for r in recipes))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sizing, "measure_speed", lambda *given: 50_000.0)
    with light_training():
        yield tmp_path


def shortened(words: list[str]) -> list[str]:
    """A command with other values of `SHORT`, and one epoch where it has no time."""
    short = [SHORT.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    if words[0] == "train.py" and "--minutes" not in words:
        short += ["--num-epochs", "1"]
    return short


@pytest.mark.xdist_group("pages")
@pytest.mark.parametrize("page", [p for p in PAGES if command_lines(p)], ids=lambda page: page.name)
def test_the_commands_of_a_page_run(page: Path, folder: Path) -> None:
    for line in command_lines(page):
        command, _, output = line.partition(" > ")
        _, *words = shortened(shlex.split(command, comments=True))
        if words[0] in SCRIPTS:
            done = run_here(SCRIPTS[words[0]], *words[1:])
        else:
            assert words[:2] == ["-m", "textgen"], line
            if "--unwrap" in words:  # for another text than that which is there
                shutil.rmtree(words[words.index("--out") + 1])
            done = run_here(commands.main, *words[2:])
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        if output:
            (folder / output).write_text(done.stdout)


@pytest.mark.xdist_group("pages")
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("page", [p for p in PAGES if programs(p)], ids=lambda page: page.name)
def test_the_programs_of_a_page_run(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by itself, with the values that the text before gives them."""
    monkeypatch.setattr(console, "_flags", None)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    for program in programs(page):
        short = re.sub(r"minutes=[\d.]+", "minutes=0.02", program)
        short = short.replace('train("data/mine"', 'train("data/mine", rnn_size=8, num_epochs=1')
        exec(short, {"names": VERSES.splitlines()})


def test_what_is_not_run_here_is_there() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in [*PAGES, ROOT / "CONTRIBUTING.md"])
    assert [mark for mark in ELSEWHERE if mark not in text] == []
