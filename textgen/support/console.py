"""Tells people what goes on: notes, headings, warnings, progress bars, and what to do next.

Notes go to the logger `textgen`, where any program can take them up. They are printed within
`verbosity` only, as commands and `textgen.train` do: to standard error, because standard output
belongs to generated text alone; but in a notebook, which has no such order, to standard output.
"""

import codecs
import enum
import importlib
import io
import logging
import math
import os
import re
import shlex
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm

CLONE = Path(__file__).parents[2]
"""The folder of the package; in a clone it has the scripts too."""
CALLS = {"train": "textgen.train({})", "sample": "textgen.load({}).generate()"}
"""What does in Python what a command does."""
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


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which shows what is no terminal."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


class Verbosity(enum.IntEnum):
    """How much is printed: notes of this level of `logging` and above."""

    SILENT = logging.ERROR
    QUIET = logging.WARNING
    """Warnings and errors only."""
    USUAL = logging.INFO
    VERBOSE = logging.DEBUG


_log = logging.getLogger("textgen")
_BAR_LOCK = threading.RLock()
"""Instead of tqdm's own, which is a semaphore that a process leaves behind when it is killed."""
_flags: dict[str, str] | None = None
"""The flag of each setting, by its name, within a command."""


class _Printer(logging.Handler):
    """Prints notes to standard error, above the progress bar if there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: dict[object, Verbosity] = {}
        """By those who have notes printed now, the latest one last."""
        self.before = (logging.NOTSET, True)
        """Level and propagation of the logger while nobody has."""

    def emit(self, record: logging.LogRecord) -> None:
        before = "warning: " if record.levelno == logging.WARNING else getattr(record, "before", "")
        _print(before + record.getMessage(), getattr(record, "color", None))


_printer = _Printer()
_lock = threading.Lock()


def current() -> Verbosity:
    """How much is printed now."""
    return list(_printer.asked.values())[-1] if _printer.asked else Verbosity.SILENT


@contextmanager
def verbosity(level: Verbosity) -> Iterator[None]:
    """Prints notes meanwhile, as many as `level` asks for.

    They then go nowhere else but to handlers of the logger `textgen` itself: in notebooks those
    of the root logger print too. Blocks of several threads may overlap in any order.
    """
    block = object()
    with _lock:
        if not _printer.asked:
            _printer.before = (_log.level, _log.propagate)
        _printer.asked[block] = level
        _print_as_asked()
    try:
        yield
    finally:
        with _lock:
            del _printer.asked[block]
            _print_as_asked()


def _print_as_asked() -> None:
    if _printer.asked:
        _log.addHandler(_printer)  # once
        _log.setLevel(current())
        _log.propagate = False
    else:
        _log.removeHandler(_printer)
        level, _log.propagate = _printer.before
        _log.setLevel(level)


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


def in_command() -> bool:
    """Whether a command is at work, so that what to do next is a command."""
    return _flags is not None


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
    script = CLONE / f"{command}.py"
    if command and script.is_file():
        return f"python {script.name if Path.cwd() == CLONE else shlex.quote(str(script))}"
    return f"python -m textgen {command}".rstrip()


def command_line(command: str, *arguments: object, **flags: Any) -> str:
    """Returns a command to paste: `python train.py --data-dir data/mine --resume`.

    Args:
        command: its name, such as `train`.
        arguments: what stands before the flags.
        flags: values by the names of flags; True is a flag alone, None and False none.

    Returns:
        The command; outside of commands what does the same in Python.
    """
    flags = {
        name: value for name, value in flags.items() if value is not None and value is not False
    }
    if not in_command() and command in CALLS and "data_dir" in flags:
        folder, more = str(flags.pop("data_dir")), [f"{n}={v!r}" for n, v in flags.items()]
        return CALLS[command].format(", ".join([repr(folder), *more]))
    words = [program(command), *(shlex.quote(str(argument)) for argument in arguments)]
    for name, value in flags.items():
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        words += [
            "--" + name.replace("_", "-"),
            *([] if value is True else [shlex.quote(shown)]),
        ]
    return " ".join(words)


def say(message: str, color: str | None = None) -> None:
    """Notes what goes on, as a line, which may be printed in a colour."""
    _log.info("%s", message, extra={"color": color})


def detail(message: str) -> None:
    """Notes what only those want to know who asked for more."""
    _log.debug("%s", message, extra={"color": "dim"})


def heading(title: str) -> None:
    """Notes that a new part of the work begins."""
    _log.info("%s", title, extra={"color": "bright", "before": "\n"})


def warn(message: str) -> None:
    """Notes something that the user did not ask for, and work goes on."""
    _log.warning("%s", message, extra={"color": "yellow"})


def error(message: str) -> None:
    """Print a mistake of the user as one red line."""
    _print(f"error: {message}", "red")


def interrupted() -> None:
    """Print that Ctrl-C has ended the work."""
    _print("\ninterrupted", "yellow")


def _print(message: str, color: str | None = None) -> None:
    """Print a line to standard error, however little is to be said."""
    message, stream = spelled(message), _stream_of_notes()
    _write(paint(message, color, stream) if color else message, stream)


def _stream_of_notes() -> TextIO:
    """Returns standard error; in a notebook, which shows that in red, standard output."""
    return sys.stdout if in_notebook() else sys.stderr


def show(text: str) -> None:
    """Print generated text to standard output, above the progress bar if there is one."""
    _write(text, sys.stdout)


@contextmanager
def readable_output() -> Iterator[None]:
    """Within the block, standard output shows every character, or it is said what it could not.

    To a file or a pipe it is UTF-8, unless the environment variable PYTHONIOENCODING asks for
    another encoding. A terminal has its own; what that lacks is shown as ?, and told at the end.
    """
    stream = sys.stdout
    if not isinstance(stream, io.TextIOWrapper):  # a notebook's, or that of a test
        yield
        return
    lost: dict[str, None] = {}

    def replace(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        characters = error.object[error.start : error.end]
        lost.update(dict.fromkeys(characters))
        return "?" * len(characters), error.end

    codecs.register_error("textgen.lost", replace)
    if not (stream.isatty() or os.environ.get("PYTHONIOENCODING")):
        stream.reconfigure(encoding="utf-8")
    stream.reconfigure(errors="textgen.lost")
    try:
        yield
    finally:
        if lost:
            shown = f"{listed(list(map(repr, lost)))}: shown as ?"
            if stream.encoding.lower().replace("-", "") == "utf8":
                warn(f"no text has halves of characters such as {shown}")
            else:
                warn(
                    f"standard output is {stream.encoding}, which cannot show {shown}. Set"
                    " PYTHONIOENCODING=utf-8, or give `output` a file"
                )


def _write(line: str, stream: TextIO) -> None:
    if tqdm := sys.modules.get("tqdm"):
        tqdm.tqdm.write(line, file=stream)
    else:
        print(line, file=stream)
    stream.flush()


def bar(layout: str, total: float = 1.0, unit: str = "it") -> "tqdm[NoReturn]":
    """A progress bar in tqdm's `bar_format`; it shows on a terminal and in a notebook."""
    # Only here: printing a heading costs no import, and the notebook's half takes asyncio along.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of widgets that are not installed: a bar of text will do
        kind = importlib.import_module("tqdm.auto" if in_notebook() else "tqdm").tqdm
    kind.set_lock(_BAR_LOCK)
    hidden: bool | None = current() > Verbosity.USUAL
    if not hidden and not in_notebook():
        hidden = None  # unless on a terminal
    shown: tqdm[NoReturn] = kind(
        total=total,
        bar_format=layout,
        unit=unit,
        disable=hidden,
        leave=False,
        file=_stream_of_notes(),
    )
    return shown


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


def listed(names: Sequence[str], most: int = 10) -> str:
    """The first of some names, and how many more there are: `a, b and 3 more`."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def size(num_bytes: float) -> str:
    """A size as people read it: `734 bytes`, `1.5 KB`, `3.0 MB`."""
    if num_bytes < 1000:
        return counted(num_bytes, "byte")
    for factor, unit in ((1e3, "KB"), (1e6, "MB")):
        if num_bytes < 1000 * factor:
            return f"{num_bytes / factor:,.1f} {unit}"
    return f"{num_bytes / 1e9:,.1f} GB"


def duration(seconds: float) -> str:
    """Seconds as people read them: 75 is `1:15`, 3675 is `1:01:15`."""
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
