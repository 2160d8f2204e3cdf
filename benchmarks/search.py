"""Search: what the found settings gain over the defaults in the same time.

    python -m benchmarks.search data/twain --word-tokens
    python -m benchmarks.search data/tinyshakespeare --pristine-input

searches on the texts of a data directory (20 trials of 2 minutes), then trains with the defaults
and with the found settings for the same time, by turns, with each of three random seeds, and
prints the validation losses. Flags of train.py hold for everything. What was done stays in --work,
where the same command goes on after an interruption. Workers share the cores, so their trials see
less of the text than the trainings that are compared: one worker finds what is best here.
"""

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import announce
from textgen.text import known

TEXTS = ("input*", "validate*")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--search-seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="default: a folder that is removed")
    parser.add_argument("--space", type=Path, help="the space file of the search")
    arguments, flags = parser.parse_known_args()
    announce(__doc__)
    known.find_or_make_texts(arguments.folder, 0.0)
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        compare(arguments, flags, work)


def compare(arguments: argparse.Namespace, flags: list[str], work: Path) -> None:
    """Search, train by turns, and print the table."""
    budget = ["--minutes", str(arguments.minutes)]
    found = copy(arguments.folder, work / "search")
    space = ["--space", str(arguments.space)] if arguments.space else []
    run(
        "-m", "textgen", "search", "--data-dir", found, "--trials", arguments.trials, "--workers",
        arguments.workers, "--random-seed", arguments.search_seed, "--resume", *space, *budget,
        *flags,
    )  # fmt: skip
    print((found / "search" / "best.yaml").read_text(), end="")
    rows = []
    for seed in arguments.seeds:
        seeded = ["--random-seed", str(seed), *budget]
        usual = loss(copy(arguments.folder, work / f"defaults-{seed}"), *seeded, *flags)
        settings = ["--config", str(found / "search" / "best.yaml")]
        better = loss(copy(arguments.folder, work / f"found-{seed}"), *settings, *seeded)
        rows.append((seed, usual, better))
        print(f"seed {seed}: defaults {usual:.4f}, found {better:.4f}", flush=True)
    print(f"\n{'seed':>4}  {'defaults':>8}  {'found':>8}  {'gain':>8}   nats per token")
    for seed, usual, better in rows:
        print(f"{seed:>4}  {usual:8.4f}  {better:8.4f}  {usual - better:8.4f}")
    wins = sum(better < usual for _, usual, better in rows)
    print(f"the found settings are better with {wins} of {len(rows)} random seeds")


def copy(folder: Path, target: Path) -> Path:
    """Another data directory with the same texts."""
    target.mkdir(parents=True, exist_ok=True)
    for pattern in TEXTS:
        for text in folder.glob(pattern):
            if text.is_file() and not (target / text.name).exists():
                shutil.copy2(text, target)
    return target


def loss(folder: Path, *flags: str) -> float:
    """Train once and return the best validation loss."""
    history = folder / "history.csv"
    if not history.exists():
        run("train.py", "--data-dir", folder, "--quiet", *flags)
    with history.open() as file:
        return min(float(row["val_loss"]) for row in csv.DictReader(file))


def run(*command: object) -> None:
    subprocess.run([sys.executable, *map(str, command)], check=True)


if __name__ == "__main__":
    main()
