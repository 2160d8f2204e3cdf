"""`python -m textgen corpus`: make a data directory from a known corpus or from text files."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from textgen import console, corpora, recipes
from textgen.errors import TextgenError
from textgen.options import ArgumentParser

DEFAULT_SPLIT = 0.1


def main(argv: Sequence[str]) -> None:
    """Run the command with the arguments `argv`. Raises TextgenError."""
    options = _parser().parse_args(argv)
    if _is_known(options.texts):
        _refuse_file_options(options)
        directory = options.out or Path("data") / options.texts[0]
        _refuse_existing(directory, options.overwrite, recipes.HELD_OUT)
        recipe = recipes.KNOWN[options.texts[0]]
        console.heading(f"Making {directory} from {recipe.summary}")
        texts = recipe.make(options.source)
    else:
        directory = _check_file_options(options)
        console.heading(f"Making {directory}")
        texts = _from_files(options)
    recipes.write_texts(directory, texts)
    console.say(f"next: python train.py --data-dir {directory}", "green")


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog="python -m textgen corpus",
        description="Make a data directory (input.txt, validate.txt) from a known corpus or from"
        " text files in UTF-8, UTF-16 or cp1252.",
    )
    add = parser.add_argument
    add(
        "texts",
        nargs="+",
        metavar="NAME|FILE",
        help=f"a known corpus ({', '.join(recipes.KNOWN)}) or text files, joined in this order",
    )
    add("--out", type=Path, metavar="DIR", help="the data directory (a known corpus: data/NAME)")
    add("--source", help="known corpus: a file, folder or address to use instead of the web")
    add("--overwrite", action="store_true", help="replace the input.txt that is there")
    add("--unwrap", action="store_true", help="files: make each hard-wrapped paragraph one line")
    add(
        "--strip-gutenberg",
        action="store_true",
        help="files: drop Project Gutenberg's header and licence",
    )
    add(
        "--validation-split",
        type=float,
        metavar="SHARE",
        help=f"files: the share held out for validate.txt; 0 for none (default: {DEFAULT_SPLIT})",
    )
    return parser  # fmt: skip


def _is_known(texts: list[str]) -> bool:
    """Whether `texts` is the name of a known corpus; a file of that name goes first."""
    names = [text for text in texts if text in recipes.KNOWN]
    for name in names:
        if Path(name).is_file():
            console.say(f"{name} is a file here: reading it, not making the corpus of that name")
            return False
    if names and len(texts) > 1:
        raise TextgenError(f"{names[0]} is a known corpus: name it alone, received {len(texts)}")
    return bool(names)


def _refuse_file_options(options: argparse.Namespace) -> None:
    """Raise TextgenError for options that a known corpus has no use for."""
    given = {
        "--unwrap": options.unwrap,
        "--strip-gutenberg": options.strip_gutenberg,
        "--validation-split": options.validation_split is not None,
    }
    unused = [flag for flag, is_given in given.items() if is_given]
    if unused:
        raise TextgenError(
            f"{unused[0]} is for files: the corpus {options.texts[0]} is always made the same way."
            " Leave it out"
        )


def _check_file_options(options: argparse.Namespace) -> Path:
    """Return the data directory to write. Raises TextgenError for options that do not agree."""
    for text in options.texts:
        if not Path(text).exists():
            known = ", ".join(recipes.KNOWN)
            raise TextgenError(f"{text} is neither a file nor a known corpus ({known})")
    if options.source:
        raise TextgenError(f"--source {options.source} goes with a known corpus: leave it out")
    if options.out is None:
        raise TextgenError("where to? Add --out DIR, for example --out data/mine")
    if options.validation_split is None:
        options.validation_split = DEFAULT_SPLIT
    if options.validation_split != 0:
        corpora.check_share(options.validation_split)
    directory: Path = options.out
    _refuse_existing(directory, options.overwrite, options.validation_split)
    return directory


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


def _from_files(options: argparse.Namespace) -> recipes.Texts:
    text = "\n\n".join(_cleaned(Path(name), options).strip("\n") for name in options.texts) + "\n"
    if not text.strip():
        raise TextgenError(f"no text in {', '.join(options.texts)}: give a file with text")
    if not options.validation_split:
        return recipes.Texts(text, None)
    training, validation = corpora.split(text, options.validation_split)
    share = len(validation) / len(text)
    console.say(f"held out {len(validation):,} of {len(text):,} characters ({share:.1%})")
    return recipes.Texts(training, validation)


def _cleaned(path: Path, options: argparse.Namespace) -> str:
    """Return the text of one file, cleaned as asked; says what it found and did."""
    data = corpora.read_bytes(path)
    text = corpora.decode(data, str(path))
    encoding = corpora.detect_encoding(data, str(path)).replace("-sig", " with byte order mark")
    console.say(f"read {path}: {encoding}, {recipes.measure(text)}")
    if options.strip_gutenberg:
        text = _stripped(text, path)
    if options.unwrap:
        lines = text.count("\n")
        text = corpora.unwrap(text)
        console.say(f"unwrapped: {lines:,} lines became {text.count(chr(10)):,}")
    return text


def _stripped(text: str, path: Path) -> str:
    kept = corpora.strip_gutenberg(text)
    if kept == text:
        console.warn(f"{path} has no Project Gutenberg START line: nothing stripped")
    else:
        console.say(f"stripped {len(text) - len(kept):,} characters of Project Gutenberg's")
    return kept
