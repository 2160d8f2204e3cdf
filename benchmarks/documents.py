"""Documents: what it gains to say that a text is many, and that they have labels.

    python -m benchmarks.documents FOLDER [--minutes 2] [--seeds 1 2 3]

FOLDER has the two books of Twain from Project Gutenberg, 74-0.txt and 76-0.txt. Two trainings each:

- names: 2,800 different words of the books, one a line, as documents and as one text. The held-out
  loss is that of the characters and of the end of each word, END or newline. Of 1,000 samples it
  tells how many are different, and how many stand in the training text, with and without --new.
- labels: sentences of the one book and of the other. A simple classifier (scikit-learn: logistic
  regression on n-grams of characters) tells which book a sample is from: asked for by a label that
  is a token, by the same label written out before the text, and not asked for. What it tells of
  held-out sentences is the most that samples can reach.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

import textgen
from benchmarks.machine import announce, spread
from textgen.text.documents import held_out, label_token
from textgen.text.sources import write_texts

BOOKS = {"tom": "74-0.txt", "huck": "76-0.txt"}
NUM_NAMES = 2_800
NUM_SAMPLES = 1_000
SHARE = 0.1
LENGTHS = range(30, 121)
"""Characters of a sentence."""
FORMS = {
    "a label token": f"{label_token('{name}')}{{text}}",
    "the label written out": "{name}: {text}",
    "nothing": "{text}",
}
"""How a label stands before a text."""
Classifier = Callable[[list[str]], list[str]]


def book(folder: Path, name: str) -> str:
    """Returns the text of a book as one line."""
    text = (folder / BOOKS[name]).read_text(encoding="utf-8-sig")
    body = re.split(r"\*\*\* ?(?:START|END) OF[^\n]*\n", text)[1]
    return " ".join(body.split())


def names(folder: Path, random_seed: int) -> list[str]:
    """Returns different words in random order."""
    words = re.findall(r"\b[a-z]{4,12}\b", " ".join(book(folder, name) for name in BOOKS))
    chosen = np.random.default_rng(random_seed).permutation(sorted(set(words)))[:NUM_NAMES]
    return [str(word) for word in chosen]


def sentences(folder: Path, name: str) -> list[str]:
    """Returns the sentences of a book that are neither short nor long, each once."""
    found = re.split(r"(?<=[.!?\u201d]) +", book(folder, name))
    return list(dict.fromkeys(each for each in found if len(each) in LENGTHS))


def trained(
    folder: Path, texts: list[str], minutes: float, random_seed: int, *flags: str
) -> textgen.Generator:
    """Returns a model of the lines of a text, of which some are held out."""
    write_texts(
        folder,
        ["\n".join(held_out(texts, SHARE, those=False))],
        ["\n".join(held_out(texts, SHARE, those=True))],
    )
    command = ["train.py", "--data-dir", str(folder), "--pristine-input", *flags]
    command += ["--minutes", str(minutes), "--random-seed", str(random_seed)]
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    return textgen.load(folder)


def held_out_loss(model: textgen.Generator, texts: list[str]) -> float:
    """Returns nats per character, with the end of each text as one."""
    wanted = list(held_out(texts, SHARE, those=True))
    score = model.score("\n" * (not model.tokenizer.settings.documents) + "\n".join([*wanted, ""]))
    return score.nats / sum(len(text) + 1 for text in wanted)


def drawn(model: textgen.Generator, count: int, **more: Any) -> list[str]:
    """Returns lines that a model writes."""
    stop = () if model.tokenizer.settings.documents else ("\n",)
    found = model.samples(count, length=200, random_seed=1, stop=stop, **more)
    return [sample.text for sample in found]


def report_names(folder: Path, minutes: float, seeds: Iterable[int]) -> None:
    rows: dict[str, list[dict[str, float]]] = {"one text": [], "documents": []}
    for random_seed in seeds:
        texts = names(folder, random_seed)
        known = set(held_out(texts, SHARE, those=False))
        for title, flags in (("one text", ()), ("documents", ("--documents", "lines"))):
            with tempfile.TemporaryDirectory() as place:
                model = trained(Path(place), texts, minutes, random_seed, *flags)
                plain, new = (drawn(model, NUM_SAMPLES, new=wanted) for wanted in (False, True))
                rows[title].append(
                    {
                        "held-out nats": held_out_loss(model, texts),
                        "distinct": len(set(plain)),
                        "copied": sum(text in known for text in plain),
                        "distinct with --new": len(set(new)),
                        "copied with --new": sum(text in known for text in new),
                    }
                )
    columns = list(rows["documents"][0])
    print(f"{NUM_NAMES:,} words, {minutes:g} minutes, {NUM_SAMPLES:,} samples\n")
    print(f"| | {' | '.join(columns)} |\n| --- |{' --- |' * len(columns)}")
    for title, measured in rows.items():
        forms = [".3f" if column == "held-out nats" else ",.0f" for column in columns]
        cells = [
            spread([row[column] for row in measured], form)
            for column, form in zip(columns, forms, strict=True)
        ]
        print(f"| {title} | {' | '.join(cells)} |")
    print(flush=True)


def classifier(pairs: list[tuple[str, str]]) -> Classifier:
    """Returns what tells the label of a text, learned from texts with theirs."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True)
    texts, labels = zip(*pairs, strict=True)
    found = make_pipeline(grams, LogisticRegression(C=10, max_iter=1000)).fit(texts, labels)
    return lambda texts: list(found.predict(texts))


def report_labels(folder: Path, minutes: float, seeds: Iterable[int]) -> None:
    pairs = [(text, name) for name in BOOKS for text in sentences(folder, name)]
    shares: dict[str, list[float]] = {}
    for random_seed in seeds:
        order = np.random.default_rng(random_seed).permutation(len(pairs))
        mixed = [pairs[place] for place in order]
        tell = classifier(list(held_out(mixed, SHARE, those=False)))
        wanted = list(held_out(mixed, SHARE, those=True))
        told = tell([text for text, _ in wanted])
        found = [label == name for label, (_, name) in zip(told, wanted, strict=True)]
        shares.setdefault("held-out sentences", []).append(statistics.mean(found))
        for title, form in FORMS.items():
            texts = [form.format(name=name, text=text) for text, name in mixed]
            with tempfile.TemporaryDirectory() as place:
                model = trained(Path(place), texts, minutes, random_seed, "--documents", "lines")
            hits = [label == name for name in BOOKS for label in tell(asked_for(model, form, name))]
            shares.setdefault(title, []).append(statistics.mean(hits))
    print(f"{len(pairs):,} sentences of two books, {minutes:g} minutes, {NUM_SAMPLES:,} samples\n")
    print("| asked for by | share that the classifier gives the label |\n| --- | --- |")
    for title, measured in shares.items():
        print(f"| {title} | {spread(measured, '.1%')} |")
    print(flush=True)


def asked_for(model: textgen.Generator, form: str, name: str) -> list[str]:
    """Returns texts that are to be of a book, as a form of the training text lets ask for it."""
    if model.labels:
        return drawn(model, NUM_SAMPLES // 2, label=name)
    return drawn(model, NUM_SAMPLES // 2, seed=form.format(name=name, text=""))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--only", choices=("names", "labels"), help="one of the two")
    arguments = parser.parse_args()
    announce(__doc__)
    if arguments.only != "labels":
        report_names(arguments.folder, arguments.minutes, arguments.seeds)
    if arguments.only != "names":
        report_labels(arguments.folder, arguments.minutes, arguments.seeds)


if __name__ == "__main__":
    main()
