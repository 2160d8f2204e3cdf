"""`python -m textgen corpus`: make a data directory from a known corpus or from text files.

Files of any size: the text goes through a chain of steps, each of which holds a piece of it. What
has to be read more than once lies in a temporary folder of the data directory meanwhile.
"""

import argparse
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from textgen import console, recipes
from textgen.errors import TextgenError
from textgen.files import explained, make_folder, replacing
from textgen.options import ArgumentParser
from textgen.preparation import cleaning
from textgen.sources import Source
from textgen.splitting import Split, Stream, check_share

DEFAULT_SPLIT = 0.1
BLANK_LINES = "blank lines"
Chunks = Iterator[str]


def main(argv: Sequence[str]) -> None:
    """Run the command with the arguments `argv`. Raises TextgenError."""
    options = _parser().parse_args(argv)
    if _is_known(options.texts):
        _refuse_file_options(options)
        directory = options.out or Path("data") / options.texts[0]
        _refuse_existing(directory, options.overwrite, recipes.HELD_OUT)
        recipe = recipes.KNOWN[options.texts[0]]
        console.heading(f"Making {directory} from {recipe.summary}")
        recipes.write_texts(directory, recipe.make(options.source))
    else:
        directory = _check_file_options(options)
        console.heading(f"Making {directory}")
        _from_files(options, directory)
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
        help=f"a known corpus ({', '.join(recipes.KNOWN)}) or text files, joined in this order;"
        " they may be compressed (.gz, .zst), or pipes",
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
        "--dedupe",
        choices=["lines", "paragraphs"],
        help="files: leave out lines, or paragraphs, that were there before",
    )
    add(
        "--shuffle-documents",
        nargs="?",
        const=BLANK_LINES,
        metavar="LINE",
        help="files: put the documents in random order; they end at lines that are LINE, such as"
        f" '<|endoftext|>' (default: at {BLANK_LINES})",
    )
    add(
        "--random-seed",
        type=int,
        default=0,
        metavar="N",
        help="files: another number gives another order of the documents",
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
        "--dedupe": options.dedupe is not None,
        "--shuffle-documents": options.shuffle_documents is not None,
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
    if options.random_seed < 0:
        raise TextgenError(f"--random-seed must be at least 0. Received: {options.random_seed}")
    if options.source:
        raise TextgenError(f"--source {options.source} goes with a known corpus: leave it out")
    if options.out is None:
        raise TextgenError("where to? Add --out DIR, for example --out data/mine")
    if options.validation_split is None:
        options.validation_split = DEFAULT_SPLIT
    if options.validation_split != 0:
        check_share(options.validation_split)
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


def _from_files(options: argparse.Namespace, directory: Path) -> None:
    # Here, so that a mistake is told before NumPy is imported.
    from textgen.preparation.report import Report

    with _folder(directory), explained(directory), _work(directory) as work:
        names = [_readable(Path(name), work) for name in options.texts]
        _check_room(names, directory)
        text = _written(work / "clean.txt", _joined(names, options))
        if text.stat().st_size == 0:
            raise TextgenError(f"no text in {', '.join(options.texts)}: give a file with text")
        if options.dedupe:
            text = _deduplicated(text, work, options.dedupe)
        if options.shuffle_documents:
            text = _shuffled(text, work, options)
        for line in Report().read(_chunks(text)).lines():
            console.say(line)
        _write(directory, text, options.validation_split)


@contextmanager
def _folder(directory: Path) -> Iterator[None]:
    """Make a folder, and take it away again where the work fails."""
    made = [path for path in (directory, *directory.parents) if not path.exists()]
    make_folder(directory)
    try:
        yield
    except BaseException:
        if made:
            shutil.rmtree(made[-1], ignore_errors=True)
        raise


@contextmanager
def _work(directory: Path) -> Iterator[Path]:
    """A folder for what is read more than once."""
    with tempfile.TemporaryDirectory(prefix=".corpus-", dir=directory) as work:
        yield Path(work)


def _readable(path: Path, work: Path) -> tuple[str, Path]:
    """The name of a file and where it can be read repeatedly: a pipe is copied."""
    if path.is_dir():
        raise TextgenError(f"{path} is a folder: give a text file")
    if path.is_file():
        return str(path), path
    copy = work / path.name
    with path.open("rb") as pipe, copy.open("wb") as file:
        shutil.copyfileobj(pipe, file)
    return str(path), copy


def _check_room(files: list[tuple[str, Path]], directory: Path) -> None:
    """Refuse a text of which the disk cannot take two copies, one of them temporary."""
    needed = 2 * sum(path.stat().st_size for _, path in files)
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise TextgenError(
            f"making {directory} needs about {needed / 1e9:,.3f} GB on its disk, and"
            f" {free / 1e9:,.3f} GB are free. Free some space, or give an --out on a larger disk"
        )


def _joined(files: list[tuple[str, Path]], options: argparse.Namespace) -> Chunks:
    """The cleaned texts with a blank line between them."""
    for number, (name, path) in enumerate(files):
        if number:
            yield "\n\n"
        yield from cleaning.without_edge_newlines(_cleaned(name, path, options))


def _cleaned(name: str, path: Path, options: argparse.Namespace) -> Chunks:
    """The text of one file, cleaned as asked; says what it found and did."""
    encoding = cleaning.encoding_of(path)
    shown = encoding.replace("-sig", " with byte order mark")
    chunks = _measured(cleaning.decoded(path, encoding), f"read {name}: {shown},")
    if options.strip_gutenberg:
        if cleaning.has_gutenberg_book(cleaning.decoded(path, encoding)):
            chunks = _measured(cleaning.gutenberg_books(chunks), "stripped to")
        else:
            console.warn(f"{name} has no Project Gutenberg START line: nothing stripped")
    if options.unwrap:
        chunks = _measured(cleaning.unwrapped(chunks), "unwrapped to")
    return chunks


def _measured(chunks: Iterable[str], what: str) -> Chunks:
    """The same chunks; says how much it was when all have passed."""
    characters = lines = 0
    for chunk in chunks:
        characters, lines = characters + len(chunk), lines + chunk.count("\n")
        yield chunk
    console.say(f"{what} {characters:,} characters in {lines:,} lines")


def _written(path: Path, chunks: Iterable[str]) -> Path:
    """Write a text that ends with one newline; an empty file for a blank one."""
    blank = True
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        for chunk in cleaning.without_edge_newlines(chunks):
            blank = blank and chunk.isspace()
            file.write(chunk)
        file.write("\n")
        if blank:
            file.truncate(0)
    return path


def _chunks(path: Path) -> Chunks:
    return (chunk.text for chunk in Source((path,)).read())


def _deduplicated(text: Path, work: Path, unit: str) -> Path:
    from textgen.preparation import documents

    def found() -> Iterator[str]:
        return (
            documents.lines(_chunks(text))
            if unit == "lines"
            else documents.paragraphs(_chunks(text))
        )

    kept = documents.without_duplicates(found(), found(), work)
    result = _written(work / "dedupe.txt", _interleaved(kept, documents.BETWEEN[unit]))
    before, after = text.stat().st_size, result.stat().st_size
    console.say(
        f"left out repeated {unit}: {(before - after) / 1e6:,.1f} of {before / 1e6:,.1f} MB"
    )
    text.unlink()
    return result


def _shuffled(text: Path, work: Path, options: argparse.Namespace) -> Path:
    import numpy as np

    from textgen.preparation import documents

    line = options.shuffle_documents
    if line == BLANK_LINES:
        found, between = documents.paragraphs(_chunks(text)), "\n\n"
    else:
        found, between = documents.ended_by(_chunks(text), line), f"\n{line}\n"
    rng = np.random.default_rng(options.random_seed)
    size = text.stat().st_size
    shuffled = documents.shuffled(found, size, work, rng)
    result = _written(work / "shuffled.txt", _interleaved(shuffled, between))
    console.say(f"shuffled the documents, which end at {line}")
    text.unlink()
    return result


def _interleaved(parts: Iterable[str], between: str) -> Chunks:
    for number, part in enumerate(parts):
        yield between + part if number else part


def _write(directory: Path, text: Path, share: float) -> None:
    """Write validate.txt, then input.txt, each whole or not at all, and say so."""
    source = Source((text,))
    split = Split(source, share) if share else None
    parts = {"input.txt": Stream(source, split)}
    if split:
        parts = {"validate.txt": Stream(source, split, held_out=True)} | parts
        held_out = sum(piece.end - piece.cut for piece in split.slices)
        total = split.slices[-1].end
        console.say(f"held out {held_out:,} of {total:,} characters ({held_out / total:.1%})")
    for name, part in parts.items():
        with replacing(directory / name) as temporary:
            _written(temporary, _measured(part.chunks(), f"wrote {directory / name}:"))
