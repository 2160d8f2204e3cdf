"""`python -m textgen corpus`: make a data directory from a known corpus or from text files."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from textgen.commands.flags import ArgumentParser
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.text import known
from textgen.text.splitting import check_share

if TYPE_CHECKING:
    from textgen.text.preparation import Report

FILE_OPTIONS = (
    "unwrap", "strip_gutenberg", "dedupe", "shuffle_documents", "random_seed", "validation_split",
)  # fmt: skip
"""Those that a known corpus has no use for."""
SMALL_TEXT = 500_000
"""Bytes; a smaller one is learned by heart in ten minutes."""


def main(argv: Sequence[str]) -> None:
    """Run the command with the arguments `argv`. Raises TextgenError."""
    parser = _parser()
    options = parser.read(argv)
    flags = ""
    if _is_known(options.texts):
        _refuse_file_options(options, parser)
        directory = options.out or Path("data") / options.texts[0]
        _refuse_existing(directory, options.overwrite, known.HELD_OUT)
        corpus = known.KNOWN[options.texts[0]]
        console.heading(f"Making {directory} from {corpus.summary}")
        corpus.write(directory, options.source)
        flags = " ".join(f"--{name.replace('_', '-')}" for name in corpus.settings)
    else:
        _check_file_options(options)
        directory = options.out
        console.heading(f"Making {directory}")
        from textgen.text import preparation  # a mistake is told before NumPy is imported

        chosen = preparation.CorpusSettings(
            **{name: getattr(options, name) for name in FILE_OPTIONS}
        )
        _print_report(preparation.prepare(directory, options.texts, chosen))
    console.say(f"next: {_training(directory, flags)}", "green")


def _print_report(report: Report) -> None:
    """Prints measures of the text that was made."""
    from textgen.text.preparation import MOST_KINDS

    def kinds(number: int) -> str:
        return f"over {MOST_KINDS:,}" if number >= MOST_KINDS else f"{number:,}"

    share = report.num_foreign / max(1, report.num_characters)
    words = ", ".join(f"{kinds(n)} among the first {words:,}" for words, n in report.word_kinds)
    console.say(
        f"size: {report.num_bytes / 1e6:,.1f} MB, {report.num_characters:,} characters in"
        f" {report.num_lines:,} lines, the longest of {report.longest_line:,} characters"
    )
    console.say(f"not ASCII: {share:.2%} of the characters")
    console.say(f"different words: {words}")


def _training(directory: Path, flags: str) -> str:
    """A first training of the text, with `flags` that suit it."""
    minutes = 2 if (directory / "input.txt").stat().st_size < SMALL_TEXT else 10
    folder = shlex.quote(str(directory))
    words = f"python train.py --data-dir {folder} {flags} --minutes {minutes} --live-sample"
    return words.replace("  ", " ")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog=console.program("corpus"),
        description="Make a data directory (input.txt, validate.txt) from a known corpus or from"
        " text files in UTF-8, UTF-16 or cp1252.",
        epilog="example: python -m textgen corpus book.txt --out data/mine --unwrap",
    )
    add = parser.add_argument
    add(
        "texts",
        nargs="+",
        metavar="NAME|FILE",
        help=f"a known corpus ({', '.join(known.KNOWN)}) or text files, joined in this order;"
        " they may be compressed (.gz, .zst), or pipes",
    )
    add("--out", type=Path, metavar="DIR", help="the data directory (a known corpus: data/NAME)")
    add("--overwrite", action="store_true", help="replace the input.txt that is there")
    add(
        "--source",
        metavar="PLACE",
        help="known corpus: a file, folder or address to use instead of the web",
    )
    add = parser.add_argument_group("text files").add_argument
    add("--unwrap", action="store_true", help="make each hard-wrapped paragraph one line")
    add(
        "--strip-gutenberg",
        action="store_true",
        help="drop Project Gutenberg's header and licence",
    )
    add(
        "--dedupe",
        choices=["lines", "paragraphs"],
        help="leave out lines, or paragraphs, that were there before",
    )
    add(
        "--shuffle-documents",
        nargs="?",
        const="",
        metavar="LINE",
        help="put the documents in random order; they end at lines that are LINE, such as"
        " '<|endoftext|>' (default: at blank lines)",
    )
    add(
        "--random-seed",
        type=int,
        default=0,
        metavar="N",
        help="another number gives another order of the documents",
    )
    add(
        "--validation-split",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="the share held out for validate.txt; 0 for none (default: %(default)s)",
    )
    return parser


def _is_known(texts: list[str]) -> bool:
    """Whether `texts` is the name of a known corpus; a file of that name goes first."""
    names = [text for text in texts if text in known.KNOWN]
    for name in names:
        if Path(name).is_file():
            console.say(f"{name} is a file here: reading it, not making the corpus of that name")
            return False
    if names and len(texts) > 1:
        raise TextgenError(f"{names[0]} is a known corpus: name it alone, received {len(texts)}")
    return bool(names)


def _refuse_file_options(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Raise TextgenError for options that a known corpus has no use for."""
    for name in FILE_OPTIONS:
        if getattr(options, name) != parser.get_default(name):
            raise TextgenError(
                f"--{name.replace('_', '-')} is for files: the corpus {options.texts[0]} is always"
                " made the same way. Leave it out"
            )


def _check_file_options(options: argparse.Namespace) -> None:
    """Raise TextgenError for options that do not agree."""
    for text in options.texts:
        if not Path(text).exists():
            names = ", ".join(known.KNOWN)
            raise TextgenError(f"{text} is neither a file nor a known corpus ({names})")
    if options.random_seed < 0:
        raise TextgenError(f"--random-seed must be at least 0. Received: {options.random_seed}")
    if options.source:
        raise TextgenError(f"--source {options.source} goes with a known corpus: leave it out")
    if options.out is None:
        raise TextgenError("where to? Add --out DIR, for example --out data/mine")
    if options.validation_split != 0:
        check_share(options.validation_split)
    _refuse_existing(options.out, options.overwrite, options.validation_split)


def _refuse_existing(directory: Path, overwrite: bool, share: float) -> None:
    """Raise TextgenError rather than replace a text that someone may want to keep."""
    if directory.exists() and not directory.is_dir():
        raise TextgenError(f"{directory} is a file, not a folder: give another --out")
    names = ("input.txt", "validate.txt") if share else ("input.txt",)
    present = [name for name in names if (directory / name).exists()]
    if present and not overwrite:
        raise TextgenError(
            f"{directory / present[0]} is there already: add --overwrite to replace it, or give"
            " another --out"
        )
    if not share and (directory / "validate.txt").exists():
        console.warn(f"{directory / 'validate.txt'} stays as it is and will be used")
