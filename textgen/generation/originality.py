"""How much of a text is copied: what it shares with the text that a model was trained on.

A run of characters (of words, for models of words) that both have is copied if it is long enough.
Some of that is in every text: names, phrases, what everybody quotes. So the same is counted in text
that was held out, which nobody copied; what is above that is the model's doing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from textgen.generation import notebook
from textgen.generation.copies import (
    BETWEEN,
    Match,
    Numbers,
    Points,
    Search,
    Texts,
    gathered,
)
from textgen.generation.novelty import text_folder
from textgen.model import checkpoint
from textgen.settings.definitions import TrainingSettings
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.text.sources import Source, find_source
from textgen.text.splitting import Stream, Streams, find_texts
from textgen.tokens.tokenizer import Tokenizer

Fold = Callable[[str], str]

ANCHOR = 20
"""Characters that a run of words has at least, too: fewer are met too often to look at them all."""
SIZES = (100, 10_000)
"""The shortest and the longest piece of held-out text that is compared."""
SHOWN = 70
"""Characters of a passage that are shown on a line."""
SPACES = np.array([code for code in range(0x3001) if chr(code).isspace()], np.uint32)


class Passage(NamedTuple):
    """A run that a text and the training text share."""

    text: str
    number: int
    """Which of the texts it is in, from 0."""
    start: int
    """Where it begins in that text, in characters."""
    line: int
    """The line that it begins in, of the training text (without what is held out), from 1."""

    def shown(self, most: int) -> str:
        """Returns at most so many characters of it."""
        return self.text if len(self.text) <= most else self.text[: most - 3] + "..."


@dataclass(frozen=True)
class Figures:
    """How much of a text is copied."""

    characters: int
    copied: int
    """Characters in runs that are long enough to count."""
    longest: int
    """Characters of the longest run that counts; 0 for none."""

    @property
    def share(self) -> float:
        """Of the characters, those that are copied, 0 to 1."""
        return self.copied / self.characters if self.characters else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Returns built-in values only, for JSON."""
        return asdict(self) | {"share": self.share}


@dataclass(frozen=True)
class Originality:
    """How much of some texts is copied from a training text, and which passages.

    A notebook shows the figures, and the texts with what is copied marked.
    """

    texts: tuple[str, ...] = field(repr=False)
    figures: Figures
    held_out: Figures | None
    """Those of as much held-out text; None where there is none."""
    passages: tuple[Passage, ...]
    """The longest runs, longest first. None overlaps another, or is a part of it."""
    spans: tuple[tuple[tuple[int, int], ...], ...] = field(repr=False)
    """Of each text where its copied runs begin and end, in characters."""
    least: int = 30
    """The shortest run that counts,"""
    unit: str = "character"
    """in these."""

    @property
    def share(self) -> float:
        """Of the characters, those that are copied, 0 to 1."""
        return self.figures.share

    def to_dict(self) -> dict[str, Any]:
        """Returns built-in values only, for JSON; the texts are left out."""
        return {
            **self.figures.to_dict(),
            "held_out": self.held_out and self.held_out.to_dict(),
            "least": self.least,
            "unit": self.unit,
            "passages": [
                {**passage._asdict(), "characters": len(passage.text)} for passage in self.passages
            ],
            "spans": [[list(span) for span in spans] for spans in self.spans],
        }

    def rows(self) -> list[tuple[str, str]]:
        """Returns the figures in words, by name."""
        rows = [("copied", _in_words(self.figures)), ("held-out text", NO_BASELINE)]
        if self.held_out:
            rows[1] = ("held-out text", _in_words(self.held_out))
        least = console.counted(self.least, self.unit)
        return [*rows, ("counted", f"runs of at least {least} that the training text has too")]

    def __str__(self) -> str:
        width = max(len(name) for name, _ in self.rows())
        lines = [f"{name:<{width}}  {text}" for name, text in self.rows()]
        if self.passages:
            lines += ["", "the longest passages, and their lines in the training text:"]
        for passage in self.passages:
            shown = passage.shown(SHOWN)
            lines.append(f"{len(passage.text):>7,} characters, line {passage.line:,}: {shown!r}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The figures, and the texts with their copied runs marked."""
        return notebook.table("originality", dict(self.rows())) + "<hr>".join(self.marked())

    def marked(self) -> Iterator[str]:
        """Yields each text as HTML, its copied runs marked."""
        for number, (text, spans) in enumerate(zip(self.texts, self.spans, strict=True)):
            named = {p.start: f"line {p.line:,}" for p in self.passages if p.number == number}
            yield notebook.marked(
                text, [(start, end, named.get(start, "copied")) for start, end in spans]
            )


NO_BASELINE = "none to compare with: a validate.txt, or a validation split, gives some"


def _in_words(figures: Figures) -> str:
    longest = f"the longest run has {figures.longest:,}" if figures.longest else "no run"
    return f"{figures.share:.1%} of {figures.characters:,} characters; {longest}"


def compare(
    texts: Sequence[str],
    training: Iterable[str],
    held_out: Iterable[str] | None = None,
    least: tuple[int, str] = (30, "character"),
    fold: Fold = str,
    most: int = 10,
) -> Originality:
    r"""Counts what texts share with a training text, which is read once.

    Args:
        texts: what is looked at; runs do not go on from one to the next.
        training: the training text, in chunks.
        held_out: text that was not trained on, likewise; pieces as long as the texts, spread
            evenly over it, are looked at too.
        least: the shortest run that counts, in characters or words. A word is what stands
            between white space, and counts if it is whole in the text; a run of words has at least
            20 characters.
        fold: makes one of letters that are not told apart.
        most: passages to list.

    Example:
        >>> training = ["There was\nthe old dog"]
        >>> found = compare(["I saw the old dog run."], training, least=(8, "character"))
        >>> found.passages
        (Passage(text='the old dog', number=0, start=6, line=2),)
        >>> found.figures
        Figures(characters=22, copied=11, longest=11)
    """
    total = sum(map(len, texts))
    size = min(max(SIZES[0], total // max(1, len(texts))), SIZES[1])
    baseline = [] if held_out is None else sampled(held_out, total, size)
    folded = [fold(text) for text in (*texts, *baseline)]
    search = Search(Texts(folded, least[0] if least[1] == "character" else ANCHOR))
    search.read(map(fold, _whole_lines(training)))
    report, own = _Report(search, folded, least), range(len(texts))
    unfolded = [_Unfolded(texts[number], folded[number], fold) for number in own]
    return Originality(
        texts=tuple(texts),
        figures=report.figures(own),
        held_out=report.figures(range(len(texts), len(folded))) if any(baseline) else None,
        passages=tuple(
            unfolded[passage.number].passage(passage) for passage in report.passages(own, most)
        ),
        spans=tuple(
            tuple(unfolded[number].span(*span) for span in report.spans(number)) for number in own
        ),
        least=least[0],
        unit=least[1],
    )


def _whole_lines(chunks: Iterable[str]) -> Iterator[str]:
    """Yields a text in chunks cut after newlines, as the case of a letter may hang on its word."""
    held = ""
    for chunk in gathered(chunks):
        cut = chunk.rfind("\n") + 1 or len(chunk)  # a line of a million characters is cut
        yield held + chunk[:cut]
        held = chunk[cut:]
    yield held


def sampled(chunks: Iterable[str], total: int, size: int) -> list[str]:
    """Returns pieces of a text, spread evenly over it; always the same.

    Args:
        chunks: the text.
        total: characters to return; where the text has no more it is returned whole.
        size: characters of a piece.

    Example:
        >>> sampled(["abcdefghijklmnop"], 4, 2)
        ['ab', 'ij']
    """
    wanted = math.ceil(total / size)
    kept: list[str] = []
    number, stride = 0, 1
    for number, piece in enumerate(_pieces(chunks, size), start=1):
        if (number - 1) % stride == 0:
            kept.append(piece)
        if len(kept) > 2 * wanted:
            kept, stride = kept[::2], 2 * stride
    if number <= wanted:
        return ["".join(kept)[:total]]
    chosen = [kept[place * len(kept) // wanted] for place in range(wanted)]
    rest = total - size * (wanted - 1)
    return [*chosen[:-1], chosen[-1][:rest]] if chosen else []


def _pieces(chunks: Iterable[str], size: int) -> Iterator[str]:
    held = ""
    for chunk in gathered(chunks):
        text = held + chunk
        whole = len(text) - len(text) % size
        yield from (text[start : start + size] for start in range(0, whole, size))
        held = text[whole:]
    if held:
        yield held


class _Report:
    """What a search has found, as runs that are long enough.

    Args:
        search: what has read the training text.
        texts: what was looked at, folded.
        least: see `compare`.
    """

    def __init__(self, search: Search, texts: Sequence[str], least: tuple[int, str]) -> None:
        self._texts = texts
        self._starts = search.texts.starts.tolist()
        number, unit = least
        runs = search.matches()
        if unit == "character":
            self._copied = search.covered()
        else:
            runs = whole_words(runs, search.texts.points, number)
            self._copied = np.zeros(len(search.texts.points), bool)
            for run in runs:
                self._copied[run.start : run.end] = True
        owners = np.searchsorted(self._starts, [run.start for run in runs], "right") - 1
        self._runs = list(zip(runs, owners.tolist(), strict=True))

    def _copied_in(self, number: int) -> npt.NDArray[np.int8]:
        start = self._starts[number]
        return self._copied[start : start + len(self._texts[number])].astype(np.int8)

    def figures(self, numbers: range) -> Figures:
        """Returns the figures of some of the texts together."""
        lengths = (run.end - run.start for run, owner in self._runs if owner in numbers)
        return Figures(
            characters=sum(len(self._texts[number]) for number in numbers),
            copied=sum(int(self._copied_in(number).sum()) for number in numbers),
            longest=max(lengths, default=0),
        )

    def spans(self, number: int) -> Iterator[tuple[int, int]]:
        """Yields where the copied parts of a text begin and end."""
        edges = np.flatnonzero(np.diff(self._copied_in(number), prepend=0, append=0)).tolist()
        yield from zip(edges[::2], edges[1::2], strict=True)

    def passages(self, numbers: range, most: int) -> Iterator[Passage]:
        """Yields the longest runs of some of the texts; see `Originality.passages`."""
        found = list[tuple[Match, str]]()
        for run, owner in sorted(self._runs, key=lambda own: own[0].start - own[0].end):
            if len(found) == most:
                return
            start = run.start - self._starts[owner]
            text = self._texts[owner][start : start + run.end - run.start]
            overlaps = any(run.start < other.end and other.start < run.end for other, _ in found)
            if owner in numbers and not overlaps and not any(text in other for _, other in found):
                found.append((run, text))
                yield Passage(text, owner, start, run.line)


def whole_words(runs: Sequence[Match], points: Points, least: int) -> list[Match]:
    """Returns the whole words of runs, where they are at least so many.

    Args:
        runs: places in `points`.
        points: the texts, as `Texts` has them.
        least: words.
    """
    apart = np.isin(points, np.append(SPACES, BETWEEN)).astype(np.int8)
    edges = np.diff(apart)
    begins, ends = np.flatnonzero(edges < 0) + 1, np.flatnonzero(edges > 0) + 1  # of all words
    first = np.searchsorted(begins, [run.start for run in runs])
    last = np.searchsorted(ends, [run.end for run in runs], "right") - 1
    found = []
    for number in np.flatnonzero(last - first + 1 >= least).tolist():
        run, start, end = runs[number], int(begins[first[number]]), int(ends[last[number]])
        line = run.line + int(np.count_nonzero(points[run.start : start] == ord("\n")))
        found.append(Match(start, end, line))
    return found


class _Unfolded:
    """Finds places of a folded text in the text itself; folding may change its length.

    Args:
        text: the text.
        folded: what `fold` makes of it.
        fold: see `compare`.
    """

    def __init__(self, text: str, folded: str, fold: Fold) -> None:
        self.text = text
        self._ends: Numbers | None = None
        if len(text) != len(folded):
            self._ends = np.cumsum([len(fold(character)) for character in text])

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Returns where characters of the folded text begin and end in the text."""
        if self._ends is None:
            return start, end
        first, last = np.searchsorted(self._ends, [start, end - 1], "right").tolist()
        return first, min(last + 1, len(self.text))

    def passage(self, passage: Passage) -> Passage:
        """Returns a passage of the folded text as one of the text."""
        start, end = self.span(passage.start, passage.start + len(passage.text))
        return passage._replace(text=self.text[start:end], start=start)


def find_training_text(
    tokenizer: Tokenizer, data_dir: Path | None, given: str | Path | None = None
) -> Streams:
    """Returns the text that a model was trained on, and what was held out of it.

    Args:
        tokenizer: that of the model.
        data_dir: the folder of the model, if it has one.
        given: a text file, or the data directory that has the text, if that is another one.

    Raises:
        TextgenError: if there is no text.
    """
    if given is not None and Path(given).is_file():
        return Streams(Stream(Source((Path(given),))), None)
    folder = data_dir if given is None else Path(given)
    if folder is None:
        raise TextgenError(f"this model is in no folder that could have its text. {GIVE_IT}")
    folder = text_folder(folder)
    if find_source(folder, "input") is None:
        raise TextgenError(
            f"the training text is not at hand: {folder} has no input.txt. {GIVE_IT}"
        )
    share = TrainingSettings.validation_split
    if data_dir is not None and find_source(folder, "validate") is None:
        share = checkpoint.load(data_dir).metadata.training.validation_split
    return find_texts(folder, share, tokenizer.settings.documents)


GIVE_IT = "Give it as `training_text`, a file or the folder that has it"


def of_model(
    texts: str | Sequence[str],
    tokenizer: Tokenizer,
    data_dir: Path | None,
    training_text: str | Path | None = None,
    most: int = 10,
) -> Originality:
    """Compares texts with what a model was trained on; see `Generator.originality`."""
    texts = [texts] if isinstance(texts, str) else list(texts)
    wrong = [text for text in texts if not isinstance(text, str)]
    if wrong:
        raise TextgenError(f"texts are str, such as `sample.text`. Received: {wrong[0]!r:.100}")
    if not any(texts):
        raise TextgenError("there is no text to look at: it is empty")
    found = find_training_text(tokenizer, data_dir, training_text)
    source = found.training.source
    with console.reading(f"reading {source.paths[0].name}", source.num_bytes) as advance:
        return compare(
            texts,
            found.training.chunks(advance),
            found.validation.chunks() if found.validation else None,
            tokenizer.least_copied,
            lambda text: tokenizer.folded(text, tokenizer.settings),
            most,
        )
