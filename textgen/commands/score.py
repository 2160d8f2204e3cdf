"""`python -m textgen score`: how well a model knows a text."""

from __future__ import annotations

import contextlib
import csv
import html
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from textgen.commands import pages
from textgen.commands.flags import ArgumentParser
from textgen.commands.sample import add_model_flags, load, open_output, refuse_output
from textgen.settings.definitions import DEFAULT_FOLDER
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import STANDARD_INPUT, explained, replacing

if TYPE_CHECKING:
    import argparse

    from textgen.generation.generator import Generator
    from textgen.generation.scoring import Score
    from textgen.tokens.tokenizer import Tokenizer

FIGURES = {
    "nats_per_token": "nats/token",
    "nats_per_character": "nats/char",
    "bits_per_character": "bits/char",
    "perplexity": "perplexity",
}
"""The figures of a score, and their heads in a table."""
COUNTS = ("tokens", "unknown", "characters")
OF_FILES = ("file", *FIGURES, "nats", *COUNTS)
OF_LINES = ("rank", "file", "line", *list(FIGURES)[:3], "tokens", "unknown", "text")
"""The columns of CSV."""

LEGEND = """\
<p>Each token is shaded by the probability that the model gave it, from red, improbable, to green;
point at one to read it. What is not shaded was only read.</p>
"""


class Line(NamedTuple):
    """A line of a file."""

    file: str
    number: int
    text: str


def main(argv: Sequence[str]) -> None:
    """Prints how well a model knows files, or each of their lines. Raises TextgenError."""
    arguments = parser().read(argv)
    if arguments.per_line and arguments.html:
        raise TextgenError("`per_line` does not go with `html`. Leave one of them away")
    _refuse_missing(arguments.files)
    folders = arguments.data_dir or [DEFAULT_FOLDER]
    if arguments.html:
        refuse_output(arguments.html, folders, list(map(Path, arguments.files)))
    generator = load(folders, arguments.weights)
    with contextlib.ExitStack() as stack:
        page = stack.enter_context(open_page(arguments.html)) if arguments.html else None
        stream = stack.enter_context(open_output(None))
        if arguments.per_line:
            write_lines(generator, arguments, stream)
        else:
            write_files(generator, arguments, stream, page)


def parser() -> ArgumentParser:
    """Returns the flags of the command."""
    parser = ArgumentParser(
        prog=console.program("score"),
        description="Print how well the model that was trained in FOLDER knows texts: nats per"
        " token, nats and bits per character, perplexity. Nothing is trained.",
        epilog=f"example: {console.program('score')} essay.txt --data-dir data/mine --per-line",
    )
    parser.add_argument(
        "files", nargs="+", metavar="FILE",
        help="text in UTF-8, which may be compressed (.gz, .zst); - is standard input",
    )  # fmt: skip
    add_model_flags(parser.add_argument_group("the model"))
    group = parser.add_argument_group("how it is shown")
    group.add_argument(
        "--per-line", action="store_true",
        help="score each line as a text of its own, and print them ranked: the most surprising,"
        " with the most nats per token, first",
    )  # fmt: skip
    form = group.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print a JSON object per file or line")
    form.add_argument("--csv", action="store_true", help="print CSV, with the names of its columns")
    group.add_argument(
        "--html", metavar="PAGE", type=Path,
        help="write a page that shows each token shaded by its probability",
    )  # fmt: skip
    return parser


def _refuse_missing(files: Sequence[str]) -> None:
    """Raises TextgenError for a file that is not there, before the others are read."""
    for file in files:
        if file != STANDARD_INPUT and not Path(file).exists():
            raise TextgenError(f"{file} does not exist: check the name")


# --- files ---


def read(file: str) -> Iterator[str]:
    """Yields the text of a file, or of standard input, and shows how far it is.

    Raises TextgenError if it is no text.
    """
    from textgen.text import sources  # only now: --help needs no library

    path = Path(file)
    if file == STANDARD_INPUT or not (path.is_file() or path.is_dir()):
        blocks = read_pipe(file, sources.CHUNK)
        for chunk in sources.decode_blocks(blocks, "utf-8-sig", name_of(file)):
            yield chunk.text
        return
    with console.reading(f"scoring {path.name}", path.stat().st_size) as advance:
        for chunk in sources.read_file(path, advance):
            yield chunk.text


def read_pipe(file: str, size: int) -> Iterator[bytes]:
    """Yields what comes out of a pipe, or of standard input, in blocks of up to `size` bytes."""
    with contextlib.ExitStack() as stack:
        is_input = file == STANDARD_INPUT
        pipe = sys.stdin.buffer if is_input else stack.enter_context(Path(file).open("rb"))
        yield from iter(lambda: pipe.read(size), b"")


def name_of(file: str) -> str:
    """Returns what messages call a file."""
    return "standard input" if file == STANDARD_INPUT else file


def write_files(
    generator: Generator, arguments: argparse.Namespace, stream: TextIO, page: TextIO | None
) -> None:
    """Writes a row for each file, and its tokens to the page."""
    from textgen.generation import scoring

    figures = shown_figures(generator.tokenizer)
    heads = (*map(FIGURES.__getitem__, figures), "tokens", "unknown", "file")
    rows = Rows(stream, arguments, OF_FILES, heads)
    for file in arguments.files:
        found = scoring.score(
            generator.network, generator.tokenizer, read(file), page is not None, name_of(file)
        )
        warn_of_unknown([found], f"{name_of(file)} has", generator.tokenizer.unit)
        shown = [f"{getattr(found, figure):.4f}" for figure in figures]
        rows.write(
            {"file": file, **found.to_dict()},
            [*shown, f"{found.tokens:,}", f"{found.unknown:,}", file],
        )
        if page is not None:
            page.writelines(section(name_of(file), found))


def shown_figures(tokenizer: Tokenizer) -> list[str]:
    """Returns the figures of a table: nats only once where each token is a character."""
    once = all(len(token) == 1 for token in tokenizer.vocabulary)
    return [figure for figure in FIGURES if not (once and figure == "nats_per_character")]


def warn_of_unknown(scores: Iterable[Score], who: str, unit: str) -> None:
    """Says how many tokens the vocabulary lacks, if there are any."""
    from textgen.generation.scoring import MOST_UNKNOWN, Score

    found = Score.total(scores)
    if found.unknown:
        several = ", ..." if len(found.unknown_tokens) == MOST_UNKNOWN else ""
        console.warn(
            f"{who} {found.unknown:,} {unit}{'s' * (found.unknown != 1)} of {found.tokens:,} that"
            f" the vocabulary lacks: {', '.join(map(repr, found.unknown_tokens))}{several}."
            " They are scored as unknown"
        )


# --- lines ---


def write_lines(generator: Generator, arguments: argparse.Namespace, stream: TextIO) -> None:
    """Writes a row for each line that is not blank, the most surprising first."""
    from textgen.text.cleaning import split_chunks

    lines = []
    for file in arguments.files:
        texts = enumerate(split_chunks(read(file), "\n"), start=1)
        found = [Line(file, number, text) for number, text in texts if text.strip()]
        if not found:
            raise TextgenError(f"{name_of(file)} is empty: give one with text to score")
        lines += found
    scores = []
    layout = "scoring {percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} lines"
    with console.bar(layout, len(lines)) as bar:
        for score in generator.scores(line.text for line in lines):
            scores.append(score)
            bar.update(1)
    warn_of_unknown(scores, "these lines have", generator.tokenizer.unit)
    several = len(arguments.files) > 1
    figures = shown_figures(generator.tokenizer)[:-1]  # without perplexity
    heads = ("rank", *("file",) * several, "line", *map(FIGURES.__getitem__, figures), "text")
    rows = Rows(stream, arguments, OF_LINES, heads)
    order = sorted(range(len(lines)), key=lambda place: -scores[place].nats_per_token)
    for rank, place in enumerate(order, start=1):
        line, score = lines[place], scores[place]
        values = {"rank": rank, "file": line.file, "line": line.number, "text": line.text}
        shown = [f"{getattr(score, figure):.4f}" for figure in figures]
        of_file = [line.file] * several
        rows.write(
            score.to_dict() | values, [f"{rank}", *of_file, f"{line.number}", *shown, line.text]
        )


# --- forms ---


class Rows:
    """Writes rows as a table for people, as JSON or as CSV.

    Args:
        stream: where to.
        arguments: the flags, which say how.
        columns: the values of a row that JSON and CSV have.
        heads: the names of the columns of a table.
    """

    def __init__(
        self,
        stream: TextIO,
        arguments: argparse.Namespace,
        columns: Sequence[str],
        heads: Sequence[str],
    ) -> None:
        self._stream, self._columns, self._json = stream, columns, arguments.json
        self._csv = csv.writer(stream, lineterminator="\n") if arguments.csv else None
        self._heads, self._widths = heads, [max(len(head), 6) for head in heads]
        self._begun = False

    def write(self, values: dict[str, Any], shown: Sequence[str]) -> None:
        """Writes a row: the `values` of JSON and CSV, or what people are `shown`."""
        if not self._begun:
            self._begin()
        chosen = {name: values[name] for name in self._columns}
        if self._json:
            self._stream.write(json.dumps(chosen, ensure_ascii=False) + "\n")
        elif self._csv:
            self._csv.writerow(chosen.values())
        else:
            self._write(shown)
        if self._stream.isatty():
            self._stream.flush()

    def _begin(self) -> None:
        """Writes the heads; only with the first row, so that a mistake before it leaves nothing."""
        self._begun = True
        if self._csv:
            self._csv.writerow(self._columns)
        elif not self._json:
            self._write(self._heads)

    def _write(self, cells: Sequence[str]) -> None:
        *figures, last = cells
        aligned = [f"{cell:>{width}}" for cell, width in zip(figures, self._widths, strict=False)]
        self._stream.write("  ".join([*aligned, last]) + "\n")


@contextlib.contextmanager
def open_page(path: Path) -> Iterator[TextIO]:
    """Opens a page to write sections to; it is there when it is complete.

    Raises TextgenError if it cannot be written.
    """
    with (
        explained(path),
        replacing(path) as unfinished,
        unfinished.open("w", encoding="utf-8", errors="replace", newline="\n") as page,
    ):
        page.write(pages.head("How well the model knows it") + LEGEND)
        yield page
        page.write("</body>\n</html>\n")
    console.say(f"wrote {path}")


def section(name: str, score: Score) -> Iterator[str]:
    """Yields the part of a page about one file."""
    from textgen.generation import notebook

    yield f"<h2>{html.escape(name)}</h2>\n"
    yield notebook.table("", score.facts()) + "\n"
    if score.tokens > len(score.pieces):
        yield f"<p>The first {len(score.pieces):,} tokens are shown.</p>\n"
    yield notebook.shaded("", score.pieces) + "\n"
