"""What `train.py --minutes` promises, and what it then does: time, and tokens per second.

    python -m benchmarks.calibration FILE [--minutes 1]

Three vocabularies: the characters of FILE; 8,000 different characters; words, 50,000 different
ones. The last two texts are made: tokens drawn by Zipf's law, every one of them there. Each run is
a process of its own. Shown are the speed that it announces, the median that its epochs reach, and
the seconds of the run, as far as its clock counts them and from start to exit.
"""

import argparse
import csv
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.machine import announce

FLAGS = ["--random-seed", "1", "--validation-split", "0.05"]


def characters(count: int, length: int) -> str:
    """Returns a text of so many different characters, lines of 40."""
    codes = zipf(count, length) + 0x4E00
    lines = codes[: length // 40 * 40].reshape(-1, 40)
    return "\n".join("".join(map(chr, line)) for line in lines)


def words(count: int, length: int) -> str:
    """Returns a text of so many different words, lines of 12."""
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    digits = np.arange(count)[:, None] // 26 ** np.arange(5) % 26
    spelled = ["".join(row) for row in letters[digits]]
    lines = zipf(count, length)[: length // 12 * 12].reshape(-1, 12)
    return "\n".join(" ".join(spelled[word] for word in line) for line in lines)


def zipf(count: int, length: int) -> np.ndarray:
    """Returns numbers below `count`, (length,), the n-th as often as 1 / n, and each once."""
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, count + 1)
    drawn = rng.choice(count, length - count, p=shares / shares.sum())
    return rng.permutation(np.concatenate([np.arange(count), drawn]))


def run(name: str, text: str, minutes: float, flags: list[str]) -> None:
    """Trains once and prints a row."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "input.txt").write_text(text, encoding="utf-8")
        command = [sys.executable, "train.py", "--data-dir", folder, "--minutes", str(minutes)]
        start = time.perf_counter()
        done = subprocess.run(
            [*command, *FLAGS, *flags], check=True, text=True, capture_output=True
        )
        whole = time.perf_counter() - start
        with (Path(folder) / "history.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    found = re.search(r"about ([\d,]+) \w+/s here", done.stdout + done.stderr)
    if not found:
        raise SystemExit(f"no speed announced:\n{done.stdout}{done.stderr}")
    announced = float(found[1].replace(",", ""))
    reached = statistics.median(float(row["tokens_per_second"]) for row in rows)
    seconds = float(rows[-1]["seconds"])
    print(
        f"| {name} | {announced:,.0f} | {reached:,.0f} | {announced / reached - 1:+.0%}"
        f" | {60 * minutes:.0f} s | {seconds:.1f} s | {seconds / 60 / minutes - 1:+.1%}"
        f" | {whole:.0f} s |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--minutes", type=float, default=1.0)
    arguments = parser.parse_args()
    announce(__doc__)
    real = arguments.file.read_text(encoding="utf-8-sig")
    print("| vocabulary | announced, tokens/s | reached | off | asked | run | off | whole |")
    print("|" + "---|" * 8)
    run(f"{len(set(real)):,} characters", real, arguments.minutes, ["--pristine-input"])
    run("8,000 characters", characters(8_000, 2_000_000), arguments.minutes, ["--pristine-input"])
    run("50,000 words", words(50_000, 600_000), arguments.minutes, ["--word-tokens"])


if __name__ == "__main__":
    main()
