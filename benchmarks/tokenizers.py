"""Tokenizers: what characters, subwords and words learn in the same minutes.

    python -m benchmarks.tokenizers FILE --minutes 1.17 --seeds 1 2 3

trains each on the first 90 % of a text, case kept, with all that `--minutes` chooses, and prints a
row for each: nats per character of the last 10 %, read as one stream (an unknown word costs its
token, and its letters at the price of the character model's); the share of the words of a sample
that stand anywhere in the text; of 100 seeds that are cut within a word, how many it completes to
such a word; and the characters per second that one stream is written at. Median and range over the
seeds.
"""

import argparse
import math
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import textgen
from benchmarks.machine import announce, spread
from textgen.generation.generator import Generator

KINDS = {
    "character": ["--pristine-input"],
    "subword": ["--subword-tokens"],
    "word": ["--word-tokens"],
}
WORD = re.compile(r"\w+(?:['’]\w+)*")
SAMPLED = 20_000
"""Characters of a sample, about."""
STREAMS = 20
CUT = 100
"""Seeds that are cut after the third letter of a word."""
LONG = 5
"""Letters of such a word, at least."""


class Run(NamedTuple):
    """What a trained model is measured by."""

    loss: float
    """Nats per character of the held-out text."""
    real_words: float
    """The share of sampled words that the text has."""
    completed: float
    """The share of cut words that become one that the text has."""
    characters_per_second: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--minutes", type=float, default=1.17)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--tokens", nargs="+", choices=list(KINDS), default=list(KINDS))
    arguments = parser.parse_args()
    announce(__doc__)
    text = arguments.file.read_text(encoding="utf-8")
    runs: dict[str, list[Run]] = {kind: [] for kind in arguments.tokens}
    for seed in arguments.seeds:
        letters = 0.0  # what a character of an unknown word costs
        for kind in arguments.tokens:
            runs[kind].append(run(text, kind, arguments.minutes, seed, letters))
            letters = letters or runs[kind][-1].loss
            print(f"seed {seed}, {kind}: {runs[kind][-1]}", flush=True)
    print(f"\n{arguments.file.name}, {len(text):,} characters, {arguments.minutes:g} minutes")
    print("| tokens | nats per character | words that exist | cut words | characters/s written |")
    print("|---|---|---|---|---|")
    for kind, found in runs.items():
        losses, real, completed, speeds = map(list, zip(*found, strict=True))
        cut = "-" if any(map(math.isnan, completed)) else spread(completed, ".0%")
        columns = [spread(losses, ".4f"), spread(real, ".1%"), cut, spread(speeds, ",.0f")]
        print(f"| {kind} | {' | '.join(columns)} |")


def run(text: str, kind: str, minutes: float, random_seed: int, letters: float) -> Run:
    """Train once and measure the model."""
    cut = int(len(text) * 0.9)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        (directory / "input.txt").write_text(text[:cut], encoding="utf-8")
        (directory / "validate.txt").write_text(text[cut:], encoding="utf-8")
        command = ["train.py", "--data-dir", folder, "--minutes", str(minutes), *KINDS[kind]]
        command += ["--random-seed", str(random_seed)]
        subprocess.run([sys.executable, *command], check=True)
        model = textgen.load(directory)
        found = loss(model, text[cut:], letters)
        return Run(found, real_words(model, text), completed(model, text, cut), speed(model))


def loss(model: Generator, text: str, letters: float) -> float:
    """Nats per character, with what is unknown spelled at `letters` nats per character."""
    score = model.score(text, pieces=False)
    tokenizer = model.tokenizer
    parts, _ = tokenizer.split(text, tokenizer.settings, tokenizer.start)
    spelled = sum(
        count * (len(kind) + 1)  # and the end of the word
        for kind, count in zip(parts.kinds, parts.counts, strict=True)
        if 0 in tokenizer.ids_of([kind])[0]
    )
    return (score.nats + letters * spelled) / score.characters


def real_words(model: Generator, text: str) -> float:
    """The share of the words of a sample that stand in the text."""
    known = set(WORD.findall(text))
    per_token = len(text[:100_000]) / len(model.tokenizer.encode(text[:100_000]))
    length = int(SAMPLED / STREAMS / per_token)
    samples = model.samples(STREAMS, "\n", length=length, random_seed=1)
    words = [word for sample in samples for word in WORD.findall(sample.text)[1:-1]]  # whole ones
    return sum(word in known for word in words) / len(words)


def completed(model: Generator, text: str, start: int) -> float:
    """The share of seeds of held-out text, cut within a word, that go on to a word of the text."""
    known = set(WORD.findall(text))
    if model.tokenizer.name == "word":
        return math.nan  # they know no parts of words
    words = [found for found in WORD.finditer(text, start) if len(found[0]) >= LONG]
    chosen = words[:: max(1, len(words) // CUT)][:CUT]
    seeds = [text[max(0, found.start() - 100) : found.start() + 3] for found in chosen]
    samples = model.samples(1, seeds, length=20, random_seed=1)
    whole = [WORD.match(sample.seed[-3:] + sample.text) for sample in samples]
    return sum(found is not None and found[0] in known for found in whole) / len(seeds)


def speed(model: Generator) -> float:
    """Characters per second of one stream: the median of five."""
    speeds = []
    for seed in range(5):
        start = time.perf_counter()
        written = model.generate("\n", length=1_000, random_seed=seed)
        speeds.append(len(written) / (time.perf_counter() - start))
    return statistics.median(speeds)


if __name__ == "__main__":
    main()
