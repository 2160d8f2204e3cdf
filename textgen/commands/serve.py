"""The command `python -m textgen serve`."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from textgen.commands.flags import ArgumentParser, add_settings, given_settings
from textgen.server import ServerSettings, check_installed
from textgen.server.run import listening, log_as_json, serve
from textgen.settings.definitions import DEFAULT_FOLDER
from textgen.support import console

KEY_VARIABLE = "TEXTGEN_API_KEY"


def main(argv: Sequence[str]) -> None:
    """Serves until Ctrl-C or SIGTERM. Raises TextgenError."""
    arguments = parser().read(argv)
    settings = ServerSettings.from_given(given_settings(arguments, ServerSettings))
    if settings.api_key is None:
        settings = replace(settings, api_key=os.environ.get(KEY_VARIABLE) or None)
    check_installed()
    with listening(settings) as listener:
        log_as_json()
        serve(arguments.data_dir or [DEFAULT_FOLDER], settings, listener)


def parser() -> ArgumentParser:
    """Returns the flags of the command."""
    parser = ArgumentParser(
        prog=console.program("serve"),
        description="A page, and an API, where people let models write; see /docs when it runs.",
        epilog=f"example: {console.program('serve')} --data-dir data/mine",
    )
    parser.add_argument(
        "--data-dir", metavar="FOLDER", type=Path, action="append",
        help=f"folder with a model; repeat the flag for more (default: {DEFAULT_FOLDER})",
    )  # fmt: skip
    add_settings(parser, ServerSettings)
    return parser
