"""The text files of a data directory, as they are written."""

from collections.abc import Iterable
from pathlib import Path

from textgen.support import console
from textgen.support.files import explained, make_folder, replacing
from textgen.text.decoding import without_edge_newlines


def write_texts(directory: Path, training: Iterable[str], validation: Iterable[str] | None) -> None:
    """Write validate.txt, then input.txt, each whole or not at all, and say so.

    input.txt comes last: a folder that has it has all that its maker meant to write.
    Raises TextgenError where that cannot be.

    Args:
        directory: the data directory, made if missing.
        training: the text to learn from, in chunks.
        validation: the text that is held out, likewise; None leaves validate.txt alone.
    """
    make_folder(directory)
    texts = {directory / "validate.txt": validation, directory / "input.txt": training}
    for path, chunks in texts.items():
        if chunks is not None:
            with explained(path), replacing(path) as temporary:
                characters, lines = write(temporary, chunks)
            console.say(f"wrote {path}: {characters:,} characters in {lines:,} lines")


def write(path: Path, chunks: Iterable[str]) -> tuple[int, int]:
    """Write a text that ends with one newline, and none for a blank one.

    Returns:
        How many characters and lines it has.
    """
    characters = lines = 0
    blank = True
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        for chunk in without_edge_newlines(chunks):
            characters, lines = characters + len(chunk), lines + chunk.count("\n")
            blank = blank and chunk.isspace()
            file.write(chunk)
        file.write("\n")
        if blank:
            file.truncate(0)
    return (0, 0) if blank else (characters + 1, lines + 1)
