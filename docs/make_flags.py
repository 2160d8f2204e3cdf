"""Writes docs/flags.md, the flags of every command, out of the parsers that read them.

python -m docs.make_flags            writes the page
python -m docs.make_flags --check    says whether the page is as it would be written; exit code 1
"""

import argparse
import importlib
import sys
from pathlib import Path

from textgen.commands import COMMANDS
from textgen.commands.flags import ArgumentParser
from textgen.support import console

PAGE = Path(__file__).with_name("flags.md")
HEAD = """\
# Flags

Every flag of every command, as `--help` shows it. Made by `python -m docs.make_flags`; do not edit.
In Python a flag is a keyword of the same name (`--rnn-size 64` is `rnn_size=64`, `--diversity` is
`temperature`); in a file for `--config` it is a line (`rnn-size: 64`).
"""


def page() -> str:
    """Returns the text of docs/flags.md."""
    parts = [HEAD]
    for name, command in COMMANDS.items():
        module = importlib.import_module(f"textgen.commands.{command.module}")
        parts.append(section(name, module.parser()))
    return "\n".join(parts)


def section(name: str, parser: ArgumentParser) -> str:
    """Returns the flags of one command, a table for each group."""
    program = console.program(name)
    lines = [
        f"## {program.removeprefix('python ').removeprefix('-m ')}",
        "",
        parser.description or "",
    ]
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.dest != "help"]
        if actions:
            title = group.title or ""
            heading = [] if title in ("options", "positional arguments") else ["", f"### {title}"]
            lines += [*heading, "", "| flag | meaning |", "|---|---|"]
            lines += [row(parser, action) for action in actions]
    return "\n".join([*lines, ""])


def row(parser: ArgumentParser, action: argparse.Action) -> str:
    """Returns the row of one flag: its names, what it takes, and its help text with the default."""
    names = ", ".join(action.option_strings) or str(action.metavar or action.dest)
    if action.option_strings and action.nargs != 0:
        value = parser._get_formatter()._format_args(
            action, (action.metavar or action.dest).upper()
        )
        names += f" {value}"
    meaning = parser._get_formatter()._expand_help(action) if action.help else ""
    cells = [f"`{names}`", meaning.replace("\n", " ")]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> int:
    """Writes or checks the page; returns the exit code."""
    text = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.read_text(encoding="utf-8") == text:
        return 0
    print(
        "docs/flags.md is not what the settings say. Run: python -m docs.make_flags",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
