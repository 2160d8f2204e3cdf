"""The command table: `python -m textgen COMMAND ...` imports only the module asked for.

Where the package is installed, `textgen COMMAND ...` is the same.
"""

import importlib
import sys
from typing import NamedTuple

import textgen
from textgen.support import console
from textgen.support.errors import TextgenError


class Command(NamedTuple):
    """A module of textgen whose `main(argv)` is the command, and what it does."""

    module: str
    summary: str


COMMANDS = {
    "corpus": Command(
        "commands.corpus", "make a data directory from a known corpus or from text files"
    ),
    "serve": Command("commands.serve", "a web service and a page where people let models write"),
    "convert": Command("commands.convert", "make a model of keras-text-generation one of textgen"),
    "search": Command("commands.search", "find settings that train better than the defaults"),
    "train-on-ray": Command("commands.ray", "run train.py on the machines of a Ray cluster"),
}

SCRIPTS = ("train", "sample")
"""Which are no commands, though they are asked for as such."""
MORE = """\
python -m textgen COMMAND --help tells the flags of a command. To train a model and to let it write
there are the scripts train.py and sample.py."""


def main() -> None:
    """Run the command that `sys.argv` asks for. Raises TextgenError."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
        return
    if name == "--version":
        print(f"textgen {textgen.__version__}")
        return
    if name not in COMMANDS:
        hint = f"run python {name}.py, or " if name in SCRIPTS else ""
        raise TextgenError(
            f"{name} is not a command: {hint}choose from {', '.join(COMMANDS)} (see python -m"
            " textgen --help)"
        )
    importlib.import_module(f"textgen.{COMMANDS[name].module}").main(arguments)


def usage() -> str:
    """Return the commands, a line each."""
    lines = [f"  {name:<13} {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: python -m textgen COMMAND ...", "", *lines, "", MORE])


def run() -> int:
    """The command `textgen` of an installed package. Returns its exit code."""
    return console.run(main)


if __name__ == "__main__":
    sys.exit(run())
