"""What a person sees while working: colours, headings, warnings, progress, exit codes.

Everything here goes to standard error; standard output belongs to generated text alone.
"""

import enum
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

from textgen.support.errors import TextgenError

if TYPE_CHECKING:
    from tqdm import tqdm

REQUIREMENTS = Path(__file__).parents[2] / "requirements.txt"
"""What textgen needs; only a clone has the file."""
PACKAGES = {"yaml": "pyyaml"}
"""What is installed under another name than it is imported by."""


def use_color(stream: TextIO) -> bool:
    """Whether `stream` is a terminal whose user has not set NO_COLOR (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def paint(text: str, color: str, stream: TextIO | None = None) -> str:
    """`text` in a colour, or `bright` or `dim`, where `stream` (standard error) shows colours."""
    if not use_color(stream or sys.stderr):
        return text
    import colorama  # here, so that `run` can say that it is not installed

    colorama.just_fix_windows_console()
    kind = colorama.Style if color in ("bright", "dim") else colorama.Fore
    return f"{getattr(kind, color.upper())}{text}{colorama.Style.RESET_ALL}"


class Verbosity(enum.IntEnum):
    """How much is said."""

    SILENT = -1
    """Errors only."""
    QUIET = 0
    """Warnings and errors only."""
    USUAL = 1
    VERBOSE = 2


_verbosity = Verbosity.USUAL


def level(quiet: bool, verbose: bool) -> Verbosity:
    """How much to say, by the flags --quiet and --verbose. Raises TextgenError on both."""
    if quiet and verbose:
        raise TextgenError("--quiet contradicts --verbose. Leave one of them out")
    if quiet:
        return Verbosity.QUIET
    return Verbosity.VERBOSE if verbose else Verbosity.USUAL


def current() -> Verbosity:
    """How much is said now."""
    return _verbosity


@contextmanager
def verbosity(level: Verbosity) -> Iterator[None]:
    """Say as much as `level` asks for meanwhile."""
    global _verbosity
    before, _verbosity = _verbosity, level
    try:
        yield
    finally:
        _verbosity = before


def say(message: str, color: str | None = None) -> None:
    """Print a line to standard error, above the progress bar if there is one."""
    if _verbosity >= Verbosity.USUAL:
        _print(message, color)


def detail(message: str) -> None:
    """Print a line to standard error that only those want who asked for more."""
    if _verbosity >= Verbosity.VERBOSE:
        _print(message, "dim")


def _print(message: str, color: str | None = None) -> None:
    """Print a line to standard error, however little is to be said."""
    _write(paint(message, color) if color else message, sys.stderr)


def show(text: str) -> None:
    """Print generated text to standard output, above the progress bar if there is one."""
    _write(text, sys.stdout)


def _write(line: str, stream: TextIO) -> None:
    if tqdm := sys.modules.get("tqdm"):
        tqdm.tqdm.write(line, file=stream)
    else:
        print(line, file=stream)
    stream.flush()


def heading(title: str) -> None:
    """Print a line that opens a new part of the output."""
    say(f"\n{title}", "bright")


def warn(message: str) -> None:
    """Print a yellow line: something the user did not ask for, and work goes on."""
    if _verbosity >= Verbosity.QUIET:
        _print(f"warning: {message}", "yellow")


def bar(layout: str, total: float = 1.0, unit: str = "it") -> "tqdm[NoReturn]":
    """A progress bar in tqdm's `bar_format`; it shows only on a terminal."""
    from tqdm import tqdm  # here, so that printing a heading costs no import

    hidden = True if _verbosity < Verbosity.USUAL else None  # None: unless on a terminal
    return tqdm(
        total=total, bar_format=layout, unit=unit, disable=hidden, leave=False, file=sys.stderr
    )


@contextmanager
def reading(title: str, num_bytes: int) -> Iterator[Callable[[int], None]]:
    """A progress bar of reading so many bytes; yields what to call with each number read."""
    layout = f"{title} {{percentage:3.0f}}%|{{bar:20}}| {{rate_fmt}}, {{remaining}} left"
    with bar(layout, num_bytes / 1e6, " MB") as shown:

        def advance(size: int) -> None:
            shown.update(size / 1e6)

        yield advance


def counted(number: float, unit: str) -> str:
    """A number of things, as in `1 minute` and `2.5 minutes`."""
    return f"{number:g} {unit}" + ("" if number == 1 else "s")


def duration(seconds: float) -> str:
    """Seconds as people read them: 75 is `1:15`, 3675 is `1:01:15`."""
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def run(main: Callable[[], None]) -> int:
    """Call an entry point and turn what it raises into its exit code.

    Returns 0 when done or when the reader of standard output went away, 2 after a
    `TextgenError` (printed as one red line) or where a library is missing (which commands import
    within `main` for that), 1 after a `WorkerLostError`, 130 after Ctrl-C. A bug keeps its
    traceback.
    """
    try:
        return _run(main)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("textgen"):
            raise
        package = (error.name or "").split(".")[0]
        wanted = "-r requirements.txt" if REQUIREMENTS.is_file() else PACKAGES.get(package, package)
        print(f"error: {package} is not installed. Run: pip install {wanted}", file=sys.stderr)
        return 2


def _run(main: Callable[[], None]) -> int:
    try:
        main()
        sys.stdout.flush()
    except TextgenError as error:
        _print(f"error: {error}", "red")
        return error.exit_code
    except KeyboardInterrupt:
        _print("\ninterrupted", "yellow")
        return 130
    except BrokenPipeError:
        # Python flushes stdout once more at exit; give it a place to flush to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
