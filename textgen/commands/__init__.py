"""The command line: flags in, words out.

Each command is a module here with `main(argv)`, and a line of `COMMANDS`; only the module that is
asked for is imported. Nothing below this package parses flags or chooses exit codes.
"""

import importlib
import os
import reprlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import textgen
from textgen.support import console
from textgen.support.errors import TextgenError

Main = Callable[[Sequence[str]], None]


class Command(NamedTuple):
    """A module of this package whose `main(argv)` is the command, and what it does."""

    module: str
    summary: str


COMMANDS = {
    "train": Command("train", "train a model on the text in a folder"),
    "sample": Command("sample", "print new text from a trained model"),
    "score": Command("score", "tell how well a model knows a text, or each of its lines"),
    "corpus": Command("corpus", "make a data directory from a known corpus or from text files"),
    "serve": Command("serve", "a web service and a page where people let models write"),
    "export": Command("export", "make a web page, ONNX or TensorFlow of a model"),
    "convert": Command("convert", "make a model of keras-text-generation one of textgen"),
    "originality": Command("originality", "how much of a text is copied from the training text"),
    "search": Command("search", "find settings that train better than the defaults"),
    "train-on-ray": Command("ray", "train one model on the machines of a Ray cluster"),
}

REQUIREMENTS = Path(__file__).parents[2] / "requirements.txt"
"""The packages that textgen needs; only a clone has the file."""
PACKAGES = {"yaml": "pyyaml"}
"""Packages that are installed under another name than they are imported by."""


def main(argv: Sequence[str]) -> None:
    """Runs the command that `argv` names first. Raises TextgenError."""
    name, *arguments = argv or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
    elif name == "--version":
        print(f"textgen {textgen.__version__}")
    elif name in COMMANDS:
        importlib.import_module(f"textgen.commands.{COMMANDS[name].module}").main(arguments)
    else:
        raise TextgenError(
            f"{name} is not a command: choose from {', '.join(COMMANDS)} (see"
            f" {console.program()} --help)"
        )


def usage() -> str:
    """Returns the commands, a line each."""
    lines = [f"  {name:<13} {command.summary}" for name, command in COMMANDS.items()]
    more = f"{console.program()} COMMAND --help tells the flags of a command."
    return "\n".join([f"usage: {console.program()} COMMAND ...", "", *lines, "", more])


def run(argv: Sequence[str], main: Main = main) -> int:
    """Calls the `main` of a command and returns the exit code for what it raises.

    Returns:
        0 when done or when the reader of standard output went away. 2 after a `TextgenError`
        (printed as one red line), for a path that cannot be looked at, or where a library is
        missing (which commands import within `main` for that). 1 after a `WorkerLostError`, 130
        after Ctrl-C. A bug keeps its traceback.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"  # this process is ours, and those that it begins
    with console.flags_for_settings(), console.verbosity(console.Verbosity.USUAL):
        try:
            with console.readable_output():
                main(argv)
                sys.stdout.flush()
        except TextgenError as error:
            console.error(str(error))
            return error.exit_code
        except KeyboardInterrupt:
            console.interrupted()
            return 130
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("textgen"):
                raise
            console.error(_not_installed((error.name or "").split(".")[0]))
            return 2
        except BrokenPipeError:
            # Python flushes stdout once more at exit; give it a place to flush to.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            if error.filename is None:
                raise
            # Of what is only looked at: a name that is too long, a folder of another user.
            console.error(f"{reprlib.repr(str(error.filename))}: {error.strerror}. Give another")
            return 2
    return 0


def _not_installed(package: str) -> str:
    missing = "-r requirements.txt" if REQUIREMENTS.is_file() else PACKAGES.get(package, package)
    return f"{package} is not installed. Run: pip install {missing}"


def run_from_shell() -> int:
    """The command `textgen` of an installed package. Returns its exit code."""
    return run(sys.argv[1:])
