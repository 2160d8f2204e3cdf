"""Word models against n-grams: perplexity per token on the same text, tokens and vocabulary.

    python -m benchmarks.words --source FOLDER --minutes 10

makes the corpus `twain` (from FOLDER with 74-0.txt and 76-0.txt, or from the web), scores its
validation text with n-gram models and with a word model that train.py trains by itself.
"""

import argparse
import collections
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import announce
from textgen.generation.generator import Generator
from textgen.model import checkpoint
from textgen.settings.definitions import TokenizerSettings
from textgen.text import known
from textgen.tokens import build_tokenizer

Gram = tuple[int, ...]


class KneserNey:
    """An interpolated n-gram model with modified Kneser-Ney smoothing (Chen & Goodman 1999).

    Args:
        ids: the training text.
        order: n; the probability of a token is given the n - 1 before it.
        vocabulary_size: the tokens that the lowest order, a uniform distribution, is over.
    """

    def __init__(self, ids: Sequence[int], order: int, vocabulary_size: int) -> None:
        self.order, self.vocabulary_size = order, vocabulary_size
        raw = collections.Counter(zip(*(ids[i:] for i in range(order)), strict=False))
        self.counts: list[collections.Counter[Gram]] = [raw]
        for _ in range(order - 1):  # how many tokens each shorter n-gram comes after
            self.counts.insert(0, collections.Counter(gram[1:] for gram in self.counts[0]))
        self.discounts = [self._discounts(counts) for counts in self.counts]
        self.totals = [self._totals(counts) for counts in self.counts]
        self.freed = [self._freed(*pair) for pair in zip(self.counts, self.discounts, strict=True)]

    @staticmethod
    def _discounts(counts: "collections.Counter[Gram]") -> tuple[float, float, float]:
        """What n-grams that come once, twice and more often give up (equation 26)."""
        n = collections.Counter(counts.values())
        y = n[1] / (n[1] + 2 * n[2])
        d1, d2, d3 = (k - (k + 1) * y * n[k + 1] / n[k] if n[k] else 0.0 for k in (1, 2, 3))
        return d1, d2, d3

    @staticmethod
    def _totals(counts: "collections.Counter[Gram]") -> "collections.Counter[Gram]":
        totals: collections.Counter[Gram] = collections.Counter()
        for gram, count in counts.items():
            totals[gram[:-1]] += count
        return totals

    @staticmethod
    def _freed(
        counts: "collections.Counter[Gram]", discounts: tuple[float, float, float]
    ) -> dict[Gram, float]:
        freed: dict[Gram, float] = collections.defaultdict(float)
        for gram, count in counts.items():
            freed[gram[:-1]] += discounts[min(count, 3) - 1]
        return freed

    def probability(self, gram: Gram) -> float:
        """The probability of the last token of `gram` after the others."""
        if not gram:
            return 1 / self.vocabulary_size
        counts, level = self.counts[len(gram) - 1], len(gram) - 1
        shorter = self.probability(gram[1:])
        total = self.totals[level][gram[:-1]]
        if not total:
            return shorter
        count = counts[gram]
        discount = self.discounts[level][min(count, 3) - 1] if count else 0.0
        return (count - discount + self.freed[level][gram[:-1]] * shorter) / total

    def perplexity(self, ids: Sequence[int]) -> float:
        """Exp of the mean negative log-probability of all tokens but the first."""
        logs = [
            math.log(self.probability(tuple(ids[max(0, i - self.order + 1) : i + 1])))
            for i in range(1, len(ids))
        ]
        return math.exp(-sum(logs) / len(logs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", help="folder with the two books; the web if not given")
    parser.add_argument("--minutes", type=float, default=10)
    arguments = parser.parse_args()
    announce(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "twain"
        known.KNOWN["twain"].write(directory, arguments.source)
        report(directory, arguments.minutes)


def report(directory: Path, minutes: float) -> None:
    """Print the perplexities on the validation text of `directory`, and a sample."""
    settings = TokenizerSettings("word")
    streams = known.find_or_make_texts(directory, 0)
    training, validation = ("".join(stream.chunks()) if stream else "" for stream in streams)
    tokenizer = build_tokenizer(training, settings)
    ids, held_out = (tokenizer.encode(text).tolist() for text in (training, validation))
    size = len(tokenizer.vocabulary)
    print(f"{len(ids):,} + {len(held_out):,} tokens, {size:,} types,", end=" ")
    print(f"{held_out.count(0) / len(held_out):.1%} of the validation tokens unknown")
    scores = {n: KneserNey(ids, n, size).perplexity(held_out) for n in (3, 5)}
    for n, score in scores.items():
        print(f"Kneser-Ney {n}-gram: perplexity {score:.1f}", flush=True)
    command = ["train.py", "--data-dir", str(directory), "--word-tokens", "--random-seed", "1"]
    subprocess.run([sys.executable, *command, "--minutes", str(minutes)], check=True)
    perplexity = math.exp(checkpoint.load(directory).metadata.results["val_loss"])
    print(f"word model, {minutes} minutes: perplexity {perplexity:.1f},", end=" ")
    print(f"{1 - perplexity / scores[3]:.1%} below the trigram's")
    print(Generator.load(directory).generate("Tom ", 200, 0.8, random_seed=1))


if __name__ == "__main__":
    main()
