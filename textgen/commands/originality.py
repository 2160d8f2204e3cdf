"""`python -m textgen originality`: how much of a text is copied from the training text."""

from __future__ import annotations

import argparse
import html
import json
import secrets
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import textgen
from textgen.commands import pages
from textgen.commands.flags import ArgumentParser, add_settings, given_settings, positive
from textgen.commands.sample import (
    add_escapes,
    choose_seeds,
    read_escapes,
    refuse_output,
    warn_of_unknown,
)
from textgen.settings.definitions import DEFAULT_FOLDER, SamplingSettings
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import STANDARD_INPUT, write_atomic
from textgen.text.sources import decode, open_text

if TYPE_CHECKING:
    from textgen.generation.originality import Originality

SHOWN = 300
"""Characters of a passage in the list of them; the text below has it whole."""
PAGE = """\
<p>Compared with the training text of the model in {folder}. What is marked is copied.</p>
<table>{figures}</table>
{passages}
{texts}
</body>
</html>
"""


def main(argv: Sequence[str]) -> None:
    """Says how much of texts is copied, as the flags `argv` ask for. Raises TextgenError."""
    arguments = parser().read(argv)
    read_escapes(arguments)
    given = given_settings(arguments, SamplingSettings)
    _refuse_contradictions(arguments, given)
    if arguments.html:
        read = [*map(Path, arguments.files), arguments.training_text or arguments.data_dir]
        refuse_output(arguments.html, [arguments.data_dir], read)
    texts = dict(map(_read, arguments.files))
    generator = textgen.load(arguments.data_dir)
    if arguments.samples:
        texts = _written(generator, arguments, SamplingSettings.from_given(given))
    found = generator.originality(list(texts.values()), arguments.training_text, arguments.passages)
    if arguments.html:
        write_atomic(arguments.html, page(found, list(texts), arguments.data_dir).encode())
        console.say(f"wrote {arguments.html}")
    print(json.dumps(found.to_dict(), ensure_ascii=False) if arguments.json else found)


def parser() -> ArgumentParser:
    """Returns the flags of the command."""
    parser = ArgumentParser(
        prog=console.program("originality"),
        description="Say how much of a text is copied: which passages of it the training text has"
        " too, against as much held-out text.",
        epilog="example: "
        + console.command_line(
            "originality", data_dir="data/mine", samples=20, html="originality.html"
        ),
    )
    parser.add_argument(
        "files", metavar="FILE", nargs="*", help="a text to look at; - is standard input"
    )
    parser.add_argument(
        "--samples", metavar="N", type=positive,
        help="look at N texts that the model writes for it, without their seed",
    )  # fmt: skip
    parser.add_argument(
        "--data-dir", metavar="FOLDER", type=Path, default=Path(DEFAULT_FOLDER),
        help="folder with the model and the text that it was trained on",
    )  # fmt: skip
    parser.add_argument(
        "--training-text", metavar="FILE|FOLDER", type=Path,
        help="the text that it was trained on, if it is not there: a file, or its data directory",
    )  # fmt: skip
    parser.add_argument(
        "--passages", metavar="K", type=positive, default=10, help="passages to list"
    )
    parser.add_argument(
        "--html", metavar="PAGE", type=Path, help="write a page with the copied passages marked"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    parser.add_argument(
        "--seed", metavar="TEXT", action="append",
        help="with --samples: text to go on from (default: how some line of the corpus starts);"
        " repeat the flag for N texts of each",
    )  # fmt: skip
    parser.set_defaults(seed_file=None)
    add_escapes(parser)
    add_settings(parser, SamplingSettings)
    return parser


def _refuse_contradictions(arguments: argparse.Namespace, given: dict[str, object]) -> None:
    if bool(arguments.files) == bool(arguments.samples):
        received = "both" if arguments.files else "neither"
        raise TextgenError(f"give either files, or `samples=20`. Received: {received}")
    unused = [*given, *(["seed"] if arguments.seed is not None else [])]
    if unused and not arguments.samples:
        raise TextgenError(f"`{unused[0]}` is for texts that are written: add `samples=20`")
    if arguments.files.count(STANDARD_INPUT) > 1:
        raise TextgenError("standard input (-) can be read once. Give it once")
    if arguments.html and (arguments.html.is_dir() or not arguments.html.parent.is_dir()):
        raise TextgenError(f"{arguments.html} is no place for a page: give a file in a folder")


def _read(file: str) -> tuple[str, str]:
    """Returns the name of a file and its text, at most one newline less. Raises TextgenError."""
    name = "standard input" if file == STANDARD_INPUT else file
    if file == STANDARD_INPUT:
        data = sys.stdin.buffer.read()
    else:
        with open_text(Path(file)) as (opened, _):
            data = opened.read()
    text = decode(data, name)
    if not text.strip():
        raise TextgenError(f"{name} is empty: give a text to look at")
    return name, text.removesuffix("\n")


def _written(
    generator: textgen.Generator, arguments: argparse.Namespace, settings: SamplingSettings
) -> dict[str, str]:
    """Returns the texts that the model writes, by what they are called."""
    if settings.random_seed is None:
        settings = replace(settings, random_seed=secrets.randbits(32))
    seeds, count = choose_seeds(generator, arguments, settings), arguments.samples
    warn_of_unknown(generator, seeds)
    layout = "writing {percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} tokens"
    with console.bar(layout, max(settings.length, 0) * count) as bar:
        samples = generator.samples(count, seeds, settings, progress=bar.update)
        return {f"sample, random seed {one.random_seed}": one.text for one in samples}


def page(found: Originality, names: Sequence[str], folder: Path) -> str:
    """Returns the figures and the marked texts as one page of HTML, which needs nothing besides.

    Args:
        found: what is told.
        names: of the texts.
        folder: that of the model.
    """
    figures = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>\n"
        for name, text in found.rows()
    )
    texts = (
        f"<section><h2>{html.escape(name)}</h2>{marked}</section>"
        for name, marked in zip(names, found.marked(), strict=True)
    )
    return pages.head("Originality") + PAGE.format(
        folder=html.escape(str(folder)),
        figures=figures,
        passages="\n".join(_passages(found)),
        texts="\n".join(texts),
    )


def _passages(found: Originality) -> Iterator[str]:
    if found.passages:
        yield "<h2>The longest passages, and their lines in the training text</h2>\n<ol>"
        for passage in found.passages:
            text = html.escape(passage.shown(SHOWN))
            yield f"<li>{len(passage.text):,} characters, line {passage.line:,}: <q>{text}</q></li>"
        yield "</ol>"
