"""`python -m textgen corpus`: make a data directory from a known corpus or from text files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textgen.commands.flags import ArgumentParser, add_settings, given_settings
from textgen.settings.definitions import CorpusSettings
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import STANDARD_INPUT
from textgen.text import known

if TYPE_CHECKING:
    from textgen.text.preparation import Report

MANY_LABELS = 1_000
SMALL_TEXT = 500_000
"""Bytes; a smaller text is learned by heart in ten minutes."""


def main(argv: Sequence[str]) -> None:
    """Makes a data directory as the flags `argv` ask for. Raises TextgenError."""
    arguments = parser().read(argv)
    given = given_settings(arguments, CorpusSettings)
    if _is_known(arguments.texts):
        name = arguments.texts[0]
        directory = arguments.out or Path("data") / name
        _refuse_settings(given, name)
        _refuse_existing(directory, arguments.overwrite, known.HELD_OUT)
        _make_known(directory, known.KNOWN[name], arguments.source)
    else:
        settings = CorpusSettings.from_given(given)
        _refuse_missing(arguments.texts, arguments.source, arguments.out)
        _refuse_existing(arguments.out, arguments.overwrite, settings.validation_split)
        _refuse_own_text(arguments.out, arguments.texts)
        _prepare(arguments.out, arguments.texts, settings)


def parser() -> ArgumentParser:
    """Returns the flags of the command."""
    parser = ArgumentParser(
        prog=console.program("corpus"),
        description="Make a data directory (input.txt, validate.txt) from a known corpus or from"
        " text files, or tables, in UTF-8, UTF-16 or cp1252.",
        epilog="example: "
        + console.command_line("corpus", "book.txt", out="data/mine", unwrap=True),
    )
    parser.add_argument(
        "texts", nargs="+", metavar="NAME|FILE",
        help=f"a known corpus ({', '.join(known.KNOWN)}) or text files, joined in this order;"
        " they may be compressed (.gz, .zst), or pipes; - is standard input",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="the data directory (a known corpus: data/NAME)"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the input.txt that is there"
    )
    parser.add_argument(
        "--source", metavar="PLACE",
        help="known corpus: a file, folder or address to use instead of the web",
    )  # fmt: skip
    add_settings(parser, CorpusSettings)
    return parser


def _is_known(texts: list[str]) -> bool:
    """Returns whether `texts` is the name of a known corpus; a file of that name goes first."""
    names = [text for text in texts if text in known.KNOWN]
    for name in names:
        if Path(name).is_file():
            console.say(f"{name} is a file here: reading it, not making the corpus of that name")
            return False
    if names and len(texts) > 1:
        raise TextgenError(f"{names[0]} is a known corpus: name it alone, received {len(texts)}")
    return bool(names)


def _refuse_settings(given: Mapping[str, Any], name: str) -> None:
    """Raises TextgenError for settings that a known corpus has no use for."""
    if given:
        raise TextgenError(
            f"`{next(iter(given))}` is for files: the corpus {name} is always made the same way."
            " Leave it out"
        )


def _refuse_missing(texts: list[str], source: str | None, directory: Path | None) -> None:
    """Raises TextgenError where a file, or the place for its text, is not there."""
    for text in texts:
        if text != STANDARD_INPUT and not Path(text).exists():
            names = ", ".join(known.KNOWN)
            raise TextgenError(f"{text} is neither a file nor a known corpus ({names})")
    if source:
        raise TextgenError(f"--source {source} goes with a known corpus: leave it out")
    if directory is None:
        raise TextgenError("where to? Add --out DIR, for example --out data/mine")


def _refuse_existing(directory: Path, overwrite: bool, share: float) -> None:
    """Raises TextgenError rather than replace a text that someone may want to keep."""
    if directory.exists() and not directory.is_dir():
        raise TextgenError(f"{directory} is a file, not a folder: give another --out")
    from textgen.text.sources import find_source  # only now: --help needs no library

    written = ["input", "validate"] if share else ["input"]
    for name in written:
        source = find_source(directory, name)
        if source is None:
            continue
        shown = source.paths[0]
        shown = shown if shown.parent == directory else shown.parent
        if shown.name != f"{name}.txt":
            raise TextgenError(f"{shown} is there already: move it away, or give another --out")
        if not overwrite:
            raise TextgenError(
                f"{shown} is there already: add --overwrite to replace it, or give another --out"
            )
    if not share and find_source(directory, "validate"):
        console.warn(f"{directory / 'validate.txt'} stays as it is and will be used")


def _refuse_own_text(directory: Path, texts: list[str]) -> None:
    """Raises TextgenError where a file to read is one to write: a part of it would be lost."""
    own = [directory / "input.txt", directory / "validate.txt"]
    for text in texts:
        if any(path.exists() and Path(text).exists() and path.samefile(text) for path in own):
            raise TextgenError(
                f"{text} is in the folder to be made, and would be replaced by a part of itself:"
                " give another --out"
            )


def _make_known(directory: Path, corpus: known.KnownCorpus, source: str | None) -> None:
    console.heading(f"Making {directory} from {corpus.summary}")
    corpus.write(directory, source)
    _print_next(directory, corpus.settings)


def _prepare(directory: Path, files: list[str], settings: CorpusSettings) -> None:
    from textgen.text import preparation  # a mistake is told before NumPy is imported

    console.heading(f"Making {directory}")
    report = preparation.prepare(directory, files, settings)
    _print_report(report)
    documents = {"documents": report.documents} if report.documents else {}
    _print_next(directory, {"pristine_input": True, **documents})


def _print_report(report: Report) -> None:
    """Prints measures of the text that was made."""
    from textgen.text.preparation import MOST_KINDS

    console.say(
        f"size: {console.size(report.num_bytes)}, {report.num_characters:,} characters in"
        f" {report.num_lines:,} lines, the longest of {report.longest_line:,} characters"
    )
    if report.num_documents:
        counts = [f"{label} ({n:,})" for label, n in report.labels]
        labels = f", with the labels {console.listed(counts)}" if counts else ""
        console.say(f"documents: {report.num_documents:,}{labels}")
        if len(counts) > MANY_LABELS:
            console.warn(
                f"there are {len(counts):,} different labels, and each is a token to be learned:"
                " choose a column with few"
            )
    console.say(f"not ASCII: {report.num_foreign / report.num_characters:.2%} of the characters")
    over = "over " if report.num_kinds == MOST_KINDS else ""
    console.say(f"between spaces: {report.num_words:,} words, {over}{report.num_kinds:,} different")


def _print_next(directory: Path, settings: Mapping[str, Any]) -> None:
    """Prints a first training of the text, with settings that suit it."""
    minutes = 2 if (directory / "input.txt").stat().st_size < SMALL_TEXT else 10
    command = console.command_line(
        "train", data_dir=directory, **settings, minutes=minutes, live_sample=True
    )
    console.say(f"next: {command}", "green")
