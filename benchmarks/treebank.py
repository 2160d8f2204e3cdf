"""Measures `textgen.treebank`: exactness, spacing tokens, vocabulary and speed.

    python -m benchmarks.treebank [--corpora DIR]

The reference is what the ancestor did: nltk's TreebankWordTokenizer line by line, with a newline
token after each line. Speeds are MB of UTF-8 a second of processor time, medians of rounds that
take turns in this run. "First pass" is with nothing remembered, as when a process starts.
"""

import argparse
import re
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from nltk.tokenize import NLTKWordTokenizer
from nltk.tokenize.treebank import (
    TreebankWordDetokenizer,
    TreebankWordTokenizer,
)

from benchmarks.machine import announce
from textgen import treebank

CORPORA = Path(__file__).parents[2] / "shared" / "corpora"
ROUNDS = 3
Lines = list[list[str]]


def read_text(path: Path) -> str:
    """A corpus as it is trained on: a book without its license, one line a paragraph."""
    text = path.read_text(encoding="utf-8-sig")  # also turns CRLF into newlines
    book = re.search(r"\*\*\* ?START OF[^\n]*\n(.*?)\*\*\* ?END OF", text, re.DOTALL)
    if not book:
        return text
    paragraphs = re.split(r"\n\s*\n", book[1].strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def nasty_inputs(size: int) -> Iterator[tuple[str, str]]:
    """Bad input of about `size` characters."""
    prose = 'He said, "I can\'t -- not now."  Then it was over. '
    yield "prose in one line", (prose * (size // len(prose) + 1))[:size]
    yield "one endless word", "x" * size
    yield "words all different", " ".join(map(str, range(size // 7)))
    yield "spaces", " " * size
    yield "newlines", "\n" * size
    yield "emoji", "😀👍🏽" * (size // 3)
    yield "Chinese", "我们很好。" * (size // 5)
    for text in (
        '"',
        "'",
        "a'",
        "''",
        ".",
        ". ",
        "-",
        "-=",
        "_",
        "*",
        "%",
        "www.",
        "a@",
        "&a",
        "<b",
    ):
        yield repr(text), text * (size // len(text))


def seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def interleaved(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median processor seconds of each run; each round does all of them."""
    rounds = [{name: seconds(run) for name, run in runs.items()} for _ in range(ROUNDS)]
    return {name: statistics.median(times[name] for times in rounds) for name in runs}


def report_exactness(name: str, text: str) -> None:
    tokens = treebank.tokenize(text)
    lines = [line for line in text.split("\n") if line.strip()]
    exact = sum(treebank.detokenize(treebank.tokenize(line)) == line for line in lines)
    whole = "exact" if treebank.detokenize(tokens) == text else "NOT EXACT"
    spacing = sum(map(treebank.is_spacing, tokens)) / len(tokens)
    vocabulary = len({token.lower() for token in tokens})
    references = [len(nltk_vocabulary(rule, text)) for rule in nltk_tokenizers()]
    ratios = [f"{reference:,} ({vocabulary / reference:.2f})" for reference in references]
    print(
        f"{name:20} {whole}, lines {exact / len(lines):.1%}; {len(tokens):,} tokens, "
        f"{spacing:.3%} spacing; {vocabulary:,} types against {' and '.join(ratios)}"
    )


def nltk_tokenizers() -> tuple[TreebankWordTokenizer, NLTKWordTokenizer]:
    return TreebankWordTokenizer(), NLTKWordTokenizer()


def nltk_vocabulary(rule: TreebankWordTokenizer | NLTKWordTokenizer, text: str) -> set[str]:
    return {"\n"}.union(*(rule.tokenize(line.lower()) for line in text.split("\n")))


def report_speed(name: str, text: str) -> None:
    size = len(text.encode()) / 1e6
    lines = text.split("\n")
    classic, improved = nltk_tokenizers()
    tokens = treebank.tokenize(text)
    nltk_lines: Lines = [classic.tokenize(line) for line in lines]
    writer = TreebankWordDetokenizer()

    def first_pass() -> None:
        treebank._memory = treebank._Memory()
        treebank.tokenize(text)

    took = interleaved(
        {
            "first": first_pass,
            "ours": lambda: treebank.tokenize(text),
            "classic": lambda: [classic.tokenize(line) for line in lines],
            "improved": lambda: [improved.tokenize(line) for line in lines],
            "write": lambda: treebank.detokenize(tokens),
            "nltk write": lambda: [writer.detokenize(line) for line in nltk_lines],
        }
    )
    speed = {run: size / spent for run, spent in took.items()}
    print(
        f"{name:20} tokenize {speed['ours']:.1f} MB/s (first pass {speed['first']:.1f}), "
        f"nltk's {speed['classic']:.2f} (x{speed['ours'] / speed['classic']:.1f}) and "
        f"{speed['improved']:.2f} (x{speed['ours'] / speed['improved']:.1f}); "
        f"detokenize {speed['write']:.1f}, nltk's "
        f"{speed['nltk write']:.2f} (x{speed['write'] / speed['nltk write']:.1f})"
    )


def report_scaling(name: str, short: str, long: str) -> None:
    def round_trip(text: str) -> None:
        treebank._memory = treebank._Memory()  # what is remembered would flatter one of the two
        if treebank.detokenize(treebank.tokenize(text)) != text:
            print(f"{name} NOT EXACT")

    took = interleaved({"short": lambda: round_trip(short), "long": lambda: round_trip(long)})
    ratio = took["long"] / took["short"]
    print(f"{name:20} 10x the input takes {ratio:4.1f}x the time, {took['long'] * 1e3:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--corpora", type=Path, default=CORPORA, help="folder of .txt files")
    parser.add_argument("--size", type=int, default=1_000_000, help="characters of bad input")
    arguments = parser.parse_args()
    announce(__doc__)
    texts = {path.name: read_text(path) for path in sorted(arguments.corpora.glob("*.txt"))}
    for report in (report_exactness, report_speed):
        for name, text in texts.items():
            report(name, text)
    short = dict(nasty_inputs(arguments.size // 10))
    for name, text in nasty_inputs(arguments.size):
        report_scaling(name, short[name], text)


if __name__ == "__main__":
    main()
