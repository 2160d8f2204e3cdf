"""Where sampled text goes: standard output or a file, and how a token is shaded."""

import contextlib
import io
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from textgen.support.errors import TextgenError
from textgen.support.files import replacing

DIVIDER = "\n" + 20 * "-" + "\n"
"""Stands between two samples."""

SHADES = ((0.02, 196), (0.1, 208), (0.3, 226), (0.7, 154), (1.0, 46))
"""Up to this probability, this colour of the 256 of a terminal: from red to green."""


def shaded(text: str, log_probability: float) -> str:
    """`text` in the colour of its probability."""
    probability = math.exp(log_probability)
    color = next((color for limit, color in SHADES if probability <= limit), SHADES[-1][1])
    return f"\x1b[38;5;{color}m{text}\x1b[0m"


@contextlib.contextmanager
def output(path: Path | None) -> Iterator[TextIO]:
    """Standard output, or the file at `path`.

    A file appears when it is complete, or with what there is after Ctrl-C. What is not a file (a
    device, a pipe) is written to directly.

    Raises:
        TextgenError: if the disk or the device does not take the text.
    """
    try:
        if path is None:
            with _standard_output() as stream:
                yield stream
        elif path.exists() and not path.is_file():
            with _opened(path) as stream:
                yield stream
        else:
            with _kept_when_interrupted(path) as stream:
                yield stream
    except BrokenPipeError:
        raise
    except OSError as error:
        raise TextgenError(
            f"cannot write {path or 'standard output'} ({error.strerror}): check the folder and"
            " the free space"
        ) from error


@contextlib.contextmanager
def _standard_output() -> Iterator[TextIO]:
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    try:
        yield stream
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError:
        # Python flushes stdout once more at exit; give it a place to flush to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise


@contextlib.contextmanager
def _kept_when_interrupted(path: Path) -> Iterator[TextIO]:
    interrupted = None
    with replacing(path) as unfinished, _opened(unfinished) as stream:
        try:
            yield stream
        except KeyboardInterrupt as error:
            interrupted = error
    if interrupted:
        raise interrupted


def _opened(path: Path) -> TextIO:
    return path.open("w", encoding="utf-8", errors="replace", newline="\n")
