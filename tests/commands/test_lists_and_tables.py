"""The page about lists and tables, command by command as it is written, with a short training."""

import csv
import random
import re
import shlex
from pathlib import Path

import pytest

from tests.conftest import ROOT, run_here
from textgen import commands
from textgen.commands import sample, train

PAGE = ROOT / "docs" / "lists-and-tables.md"
MAINS = {"train.py": train.main, "sample.py": sample.main}
SHORT = "--num-epochs 40 --rnn-size 24 --num-layers 1 --batch-size 8 --learning-rate 0.02"


def first_commands() -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"(?m)^    python (.+)$", text.split("## ")[1])
    return [command.replace("--minutes 5", SHORT) for command in found]


@pytest.fixture
def tweets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with the table."""
    monkeypatch.chdir(tmp_path)
    rng = random.Random(1)
    words = {
        "politics": ["tax", "vote", "law", "Senate"],
        "sport": ["goal", "team", "match", "won"],
    }
    with Path("tweets.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "text", "topic"])
        for number in range(160):
            topic = rng.choice(list(words))
            rows.writerow(
                [number, ", ".join(rng.choices(words[topic], k=rng.randint(2, 4))), topic]
            )
    return tmp_path


@pytest.mark.usefixtures("light")
def test_from_a_table_to_a_hundred_new_labelled_lines(tweets: Path) -> None:
    results = []
    for command in first_commands():
        name, *arguments = shlex.split(command)
        if name == "-m":
            arguments, main = arguments[1:], commands.main
        else:
            main = MAINS[name]
        done = run_here(main, *arguments)
        assert done.returncode == 0, done.stderr
        results.append(done)
    assert len(results) == 5
    made, trained, shown, written, originality = results
    assert "with the labels " in made.stderr
    assert "--documents lines" in made.stderr
    assert "documents: 144, with the labels " in trained.stderr
    assert shown.stdout.count("\n") == 10
    lines = (tweets / "politics.txt").read_text().splitlines()
    known = (tweets / "data" / "tweets" / "input.txt").read_text()
    left_out = re.search(r"(\d+) of 100 texts are left out", written.stderr)
    assert len(lines) == len({line.strip().lower() for line in lines})
    assert len(lines) == 100 - (int(left_out[1]) if left_out else 0) > 50
    assert not {f"<|politics|>{line}" for line in lines} & set(known.splitlines())
    politics = sum(word in " ".join(lines) for word in ("tax", "vote", "law", "Senate"))
    assert politics == 4
    assert "copied" in originality.stdout


@pytest.mark.usefixtures("light")
def test_files_of_a_folder_are_documents_to_train_on(tmp_path: Path) -> None:
    (tmp_path / "input").mkdir()
    for number in range(12):
        text = f"Poem {number}\n\nA rose is a rose is a rose.\n" * 2
        (tmp_path / "input" / f"{number:02}.txt").write_text(text)
    (tmp_path / "input" / "notes.doc").write_text("no poem")
    flags = ("--num-epochs", 1, "--rnn-size", 8, "--num-layers", 1, "--documents", "files")
    done = run_here(train.main, "--data-dir", tmp_path, *flags)
    assert done.returncode == 0, done.stderr
    assert "documents: 12" in done.stderr
    assert "has files that are not read, as they are no .txt: notes.doc" in done.stderr
