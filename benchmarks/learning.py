"""Learning: the validation loss that a time budget buys.

    python -m benchmarks.learning FILE --minutes 1.17 --seeds 1 2 3 [train.py's flags]

trains on the first 90 % of a text, case kept, and scores the last 10 % as one stream with carried
state, in nats per character, with the NumPy network. Each run is a process of its own; its
history is printed, then the score, and at the end the median and the spread over the seeds.
"""

import argparse
import math
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import textgen
from benchmarks.machine import announce


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--minutes", type=float, default=1.17)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    arguments, flags = parser.parse_known_args()
    announce(__doc__)
    text = arguments.file.read_text(encoding="utf-8")
    losses = [run(text, arguments.minutes, seed, flags) for seed in arguments.seeds]
    middle = statistics.median(losses)
    print(f"median {middle:.4f} nats ({middle / math.log(2):.4f} bits) per character,", end=" ")
    print(f"{min(losses):.4f} to {max(losses):.4f} over {len(losses)} seeds")


def run(text: str, minutes: float, random_seed: int, flags: list[str]) -> float:
    """Train once and return the loss on the held-out part."""
    cut = int(len(text) * 0.9)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        (directory / "input.txt").write_text(text[:cut], encoding="utf-8")
        (directory / "validate.txt").write_text(text[cut:], encoding="utf-8")
        command = ["train.py", "--data-dir", folder, "--pristine-input", "--minutes", str(minutes)]
        command += ["--random-seed", str(random_seed), *flags]
        subprocess.run([sys.executable, *command], check=True)
        print((directory / "history.csv").read_text(), end="")
        loss = score(directory, text[cut:])
    print(f"seed {random_seed}: {loss:.4f} nats per character, state carried", flush=True)
    return loss


def score(directory: Path, text: str) -> float:
    """The mean negative log-probability of each character of `text` but the first, in nats."""
    model = textgen.load(directory)
    ids = model.tokenizer.encode(text)
    stepper, total = model.network.stepper(ids[np.newaxis, :1]), 0.0
    for position in range(1, len(ids)):
        logits = stepper.logits[0].astype(np.float64)
        total += np.logaddexp.reduce(logits) - logits[ids[position]]
        stepper.step(ids[position : position + 1])
    return total / (len(ids) - 1)


if __name__ == "__main__":
    main()
