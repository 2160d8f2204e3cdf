"""The making of a folder's token file, which hangs at a moment of the test's choice.

    python -m tests.stoppable_tokenization FOLDER MOMENT

Moments are counted from 1: pieces drafted and renumbered, and steps of the file's writing. At
MOMENT it prints "moment" and does no more, so that the test can kill the process right there. At
the end the number of moments is printed.
"""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from textgen.settings.definitions import TokenizerSettings
from textgen.text import known
from textgen.tokens import corpus, reading

count = 0


def in_pieces_of(size: int) -> Callable[..., reading.Pieces]:
    """`pieces.read` for a text that is read in chunks of `size`, into pieces of about as much."""
    read = reading.read

    def small(chunks: Iterable[str], settings: TokenizerSettings, cores: int) -> reading.Pieces:
        parts = (
            chunk[start : start + size] for chunk in chunks for start in range(0, len(chunk), size)
        )
        return read(parts, settings, cores, size)

    return small


def hanging(call: Callable[..., Any], stop_at: int) -> Callable[..., Any]:
    """`call`, which hangs before it is done if this is the moment."""

    def stoppable(*arguments: Any, **options: Any) -> Any:
        global count
        count += 1
        if count == stop_at:
            print("moment", flush=True)
            sys.stdin.read()
        return call(*arguments, **options)

    return stoppable


def main(folder: Path, stop_at: int) -> None:
    reading.read = in_pieces_of(2000)
    for place, name in (
        (corpus._Draft, "add"), (np, "ascontiguousarray"), (os, "fsync"), (Path, "replace"),
    ):  # fmt: skip
        setattr(place, name, hanging(getattr(place, name), stop_at))
    rule = corpus.VocabularyRule(TokenizerSettings("word"))
    corpus.tokenized(folder, "input", known.find_or_make_texts(folder, 0.0).training, rule)
    print(count)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
