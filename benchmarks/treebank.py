"""Measures `textgen.treebank`: exactness, spacing tokens, vocabulary and speed.

    python -m benchmarks.treebank [--corpora DIR]

The reference is what the ancestor did: nltk's TreebankWordTokenizer line by line, with a newline
token after each line. Speeds are MB of UTF-8 a second of processor time: the median of rounds that
take turns in this run, the lowest and the highest. "First pass" is with nothing remembered, as when
a process starts. Titles are four words each.
"""

import argparse
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from nltk.tokenize import NLTKWordTokenizer
from nltk.tokenize.treebank import (
    TreebankWordDetokenizer,
    TreebankWordTokenizer,
)

from benchmarks.machine import announce, spread
from textgen import treebank
from textgen.settings.definitions import TokenizerSettings
from textgen.tokens.reading import read

CORPORA = Path(__file__).parents[2] / "shared" / "corpora"
ROUNDS = 5
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


def interleaved(runs: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Processor seconds of each run, round by round; each round does all of them."""
    rounds = [{name: seconds(run) for name, run in runs.items()} for _ in range(ROUNDS)]
    return {name: [times[name] for times in rounds] for name in runs}


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


def forget() -> None:
    """Forgets the words met so far, as when a process starts."""
    treebank._memory = treebank._Memory()


def titles_of(text: str) -> list[str]:
    """A text's words, four a title."""
    words = text.split()
    return [" ".join(words[start : start + 4]) for start in range(0, len(words), 4)]


def report_speed(name: str, text: str) -> None:
    size = len(text.encode()) / 1e6
    lines = text.split("\n")
    classic, improved = nltk_tokenizers()
    tokens = treebank.tokenize(text)
    nltk_lines: Lines = [classic.tokenize(line) for line in lines]
    titles = titles_of(text)
    writer = TreebankWordDetokenizer()

    def first_pass() -> None:
        forget()
        treebank.tokenize(text)

    def reading() -> None:
        forget()
        for _ in read([text], TokenizerSettings("word"), cores=1):
            pass

    def each_title() -> None:
        forget()
        for title in titles:
            treebank.tokenize(title)

    took = interleaved(
        {
            "tokenize": lambda: treebank.tokenize(text),
            "tokenize, first pass": first_pass,
            "as a training reads it, first pass": reading,
            "title by title, first pass": each_title,
            "nltk's TreebankWordTokenizer": lambda: [classic.tokenize(line) for line in lines],
            "nltk's NLTKWordTokenizer": lambda: [improved.tokenize(line) for line in lines],
            "detokenize": lambda: treebank.detokenize(tokens),
            "nltk's detokenizer": lambda: [writer.detokenize(line) for line in nltk_lines],
        }
    )
    print(f"\n| {name} | MB/s |\n| --- | --- |")
    for run, times in took.items():
        print(f"| {run} | {spread([size / spent for spent in times], '.2f')} |")
    sys.stdout.flush()


def report_scaling(name: str, short: str, long: str) -> None:
    def round_trip(text: str) -> None:
        forget()  # what is remembered would flatter one of the two
        if treebank.detokenize(treebank.tokenize(text)) != text:
            print(f"{name} NOT EXACT")

    took = interleaved({"short": lambda: round_trip(short), "long": lambda: round_trip(long)})
    short_time, long_time = (statistics.median(took[length]) for length in ("short", "long"))
    ratio = long_time / short_time
    print(f"{name:20} 10x the input takes {ratio:4.1f}x the time, {long_time * 1e3:.0f} ms")


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
