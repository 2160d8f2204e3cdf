"""Texts larger than memory: what preparing them and training on them costs, by their size.

    python -m benchmarks.corpora FILE ...
    python -m benchmarks.corpora FILE ... --sizes 10 100

Each text is made of FILE (real texts), again and again with some of its words changed, and lies in
a temporary folder until the end. Every number is of a process of its own: `train.py` for two short
epochs of a small model, first with the text unprepared, then three times more. The median time of
those is shown, and the highest peak of memory of all; the training is the same for every size.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.machine import announce

SIZES = [10, 100, 1000]
FLAGS = (
    "--num-epochs", "2", "--steps-per-epoch", "80", "--random-seed", "1", "--pristine-input",
    "--rnn-size", "64", "--num-layers", "1",
)  # fmt: skip
PREPARE = (
    "import json, resource, sys, time; from pathlib import Path\n"
    "from textgen.text import known; from textgen.tokens import corpus\n"
    "from textgen.settings.definitions import TokenizerSettings\n"
    "if __name__ == '__main__':\n"
    "    rule = corpus.VocabularyRule(TokenizerSettings(sys.argv[2]))\n"
    "    text = known.find_or_make_texts(Path(sys.argv[1]), 0.0).training\n"
    "    start = time.perf_counter()\n"
    "    made = corpus.tokenized(Path(sys.argv[1]), 'input', text, rule)\n"
    "    print(json.dumps([time.perf_counter() - start, len(made.ids)]))\n"
)


class Row(NamedTuple):
    """One line of the table."""

    megabytes: int
    characters: float
    """MB/s of preparation."""
    words: float
    second_start: float
    """Seconds of a training whose text is prepared, the median of three."""
    memory: float
    """MB at the peak of those trainings, and of the one before that prepares the text."""


def write_text(path: Path, texts: list[str], megabytes: int) -> None:
    """Write real text repeated with variation: in each turn, other words get a number."""
    rng = np.random.default_rng(0)
    lines = [line for text in texts for line in text.splitlines(keepends=True)]
    written = 0
    with path.open("w", encoding="utf-8") as file:
        while True:
            changed = set(rng.integers(0, len(lines), len(lines) // 20).tolist())
            for number, line in enumerate(lines):
                varied = line
                if number in changed:
                    varied = line.replace(" ", f" {rng.integers(100_000)} ", 1)
                written += file.write(varied)
                if written >= megabytes * 1_000_000:
                    return


def prepare(folder: Path, kind: str) -> float:
    """Seconds to prepare the text of `folder` as characters or as words."""
    script = folder / "prepare.py"
    script.write_text(PREPARE)
    done = subprocess.run(
        [sys.executable, str(script), str(folder), kind], stdout=subprocess.PIPE, check=True,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    return float(json.loads(done.stdout)[0])


def train(folder: Path) -> tuple[float, float]:
    """Seconds and peak memory in MB of a short training."""
    before = time.perf_counter()
    code = (
        "import resource, sys\nfrom textgen.commands import train\n"
        "from textgen.commands import run\n"
        "code = run(sys.argv[1:], train.main)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--data-dir", str(folder), *FLAGS], check=True,
        capture_output=True,
    )  # fmt: skip
    divisor = 1024 if sys.platform != "darwin" else 1024 * 1024
    return time.perf_counter() - before, int(done.stdout) / divisor


def measure(megabytes: int, texts: list[str], place: Path) -> Row:
    """Measure a text of that size in a folder in `place`, which is removed again."""
    with tempfile.TemporaryDirectory(prefix="textgen-corpora-", dir=place) as name:
        folder = Path(name)
        write_text(folder / "input.txt", texts, megabytes)
        words = prepare(folder, "word")
        shutil.rmtree(folder / ".textgen")
        characters = prepare(folder, "character")
        starts = [train(folder) for _ in range(4)]  # the first reads the text: its case is kept
    second_start = statistics.median(seconds for seconds, _ in starts[1:])
    memory = max(peak for _, peak in starts)
    return Row(megabytes, megabytes / characters, megabytes / words, second_start, memory)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("files", nargs="+", type=Path, help="real texts in UTF-8")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="in MB")
    parser.add_argument("--dir", type=Path, help="where the texts go (default: the system's)")
    arguments = parser.parse_args()
    announce(__doc__)
    texts = [path.read_text(encoding="utf-8-sig") for path in arguments.files]
    print("| text | characters | words | second start | peak memory |\n|---|---|---|---|---|")
    for size in arguments.sizes:
        row = measure(size, texts, arguments.dir)
        print(
            f"| {row.megabytes:,} MB | {row.characters:.0f} MB/s | {row.words:.1f} MB/s |"
            f" {row.second_start:.1f} s | {row.memory:,.0f} MB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
