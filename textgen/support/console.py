"""Prints for people: colours, headings, warnings, progress bars, and commands to run next.

Everything here goes to standard error; standard output belongs to generated text alone.
"""

import enum
import math
import os
import re
import shlex
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm

CLONE = Path(__file__).parents[2]
"""The folder of the package; in a clone it has the scripts too."""
SETTING = re.compile(r"`([a-z][a-z0-9_]*)(?:=([^`]*))?`")
"""A setting in a message, alone or with its value."""


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


_BAR_LOCK = threading.RLock()
"""Instead of tqdm's own, which is a semaphore that a process leaves behind when it is killed."""
_verbosity = Verbosity.USUAL
_flags: dict[str, str] | None = None
"""The flag of each setting, by its name, within a command."""


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


@contextmanager
def flags_for_settings() -> Iterator[None]:
    """Print settings that stand in backticks as flags meanwhile, for that is how they are given.

    Library code says "`rnn_size` must be at least 1" and "`rnn_size=64` does not fit"; on a command
    line that reads "--rnn-size must be at least 1" and "--rnn-size 64 does not fit".
    """
    global _flags
    before, _flags = _flags, {}
    try:
        yield
    finally:
        _flags = before


def flags() -> dict[str, str]:
    """Returns the flags that settings are printed as: none outside commands."""
    return dict(_flags or {})


def add_flags(flags: Mapping[str, str]) -> None:
    """Let settings of these names be printed as these flags, within a command."""
    if _flags is not None:
        _flags.update(flags)


def spelled(message: str) -> str:
    """Returns a message with the names of settings as people give them here."""
    return SETTING.sub(_flag, message) if _flags else message


def _flag(match: re.Match[str]) -> str:
    """Returns `--rnn-size`, `--rnn-size 64` or `--no-tie-weights` for a setting in a message."""
    flag, value = (_flags or {}).get(match[1]), match[2]
    if flag is None:
        return match[0]
    if value == "False":
        return f"--no-{flag.removeprefix('--')}"
    return flag if value in (None, "True") else f"{flag} {value}"


def program(command: str = "") -> str:
    """Returns how a command is begun: `python train.py` in a clone, else `textgen train`."""
    if not (CLONE / "train.py").is_file():
        return f"textgen {command}".rstrip()
    if command and (CLONE / f"{command}.py").is_file():
        return f"python {command}.py"
    return f"python -m textgen {command}".rstrip()


def command_line(command: str, *arguments: object, **flags: Any) -> str:
    """Returns a command to paste: `python train.py --data-dir data/mine --resume`.

    Args:
        command: its name, such as `train`.
        arguments: what stands before the flags.
        flags: values by the names of flags; True is a flag alone, None and False none.
    """
    words = [program(command), *(shlex.quote(str(argument)) for argument in arguments)]
    for name, value in flags.items():
        if value is not None and value is not False:
            shown = f"{value:g}" if isinstance(value, float) else str(value)
            words += [
                "--" + name.replace("_", "-"),
                *([] if value is True else [shlex.quote(shown)]),
            ]
    return " ".join(words)


def say(message: str, color: str | None = None) -> None:
    """Print a line to standard error, above the progress bar if there is one."""
    if _verbosity >= Verbosity.USUAL:
        _print(message, color)


def detail(message: str) -> None:
    """Print a line to standard error that only those want who asked for more."""
    if _verbosity >= Verbosity.VERBOSE:
        _print(message, "dim")


def error(message: str) -> None:
    """Print a mistake of the user as one red line."""
    _print(f"error: {message}", "red")


def interrupted() -> None:
    """Print that Ctrl-C has ended the work."""
    _print("\ninterrupted", "yellow")


def _print(message: str, color: str | None = None) -> None:
    """Print a line to standard error, however little is to be said."""
    message = spelled(message)
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

    tqdm.set_lock(_BAR_LOCK)
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


def size(num_bytes: float) -> str:
    """A size as people read it: `734 bytes`, `1.5 KB`, `3.0 MB`."""
    if num_bytes < 1000:
        return counted(num_bytes, "byte")
    return f"{num_bytes / 1e3:,.1f} KB" if num_bytes < 1e6 else f"{num_bytes / 1e6:,.1f} MB"


def duration(seconds: float) -> str:
    """Seconds as people read them: 75 is `1:15`, 3675 is `1:01:15`."""
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
