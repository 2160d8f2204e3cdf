"""The command `search`: finds settings that train better than the defaults."""

from __future__ import annotations

import argparse
import importlib.metadata
from collections.abc import Sequence

from textgen.commands.flags import (
    ArgumentParser,
    add_common,
    add_settings,
    given_settings,
    verbosity,
    whole,
)
from textgen.search import BEST, MINUTES, UNUSED, SearchRequest, SearchSettings
from textgen.settings.definitions import DEFAULT_FOLDER
from textgen.settings.request import TRAIN_SETTINGS, TrainRequest
from textgen.support import console
from textgen.support.errors import TextgenError

OPTUNA = "'optuna>=5,<6'"


def main(argv: Sequence[str]) -> None:
    """Runs the command. Raises TextgenError, and KeyboardInterrupt after Ctrl-C."""
    arguments, request = parse(argv)
    check_installed()
    with verbosity(arguments):
        from textgen.search import session  # only now: it needs Optuna

        if arguments.show_space:
            print(session.space_text(request), end="")
        else:
            session.run(request, arguments.apply)


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, SearchRequest]:
    """Returns the flags of a command line, and the request in them. Raises TextgenError."""
    arguments = parser().read(argv)
    training = TrainRequest(
        arguments.data_dir or DEFAULT_FOLDER, given_settings(arguments, *TRAIN_SETTINGS)
    )
    return arguments, SearchRequest(training, given_settings(arguments, SearchSettings))


def parser() -> ArgumentParser:
    """Returns the flags of the command."""
    parser = ArgumentParser(
        prog=console.program("search"),
        description="Train many small models on FOLDER/input.txt, each with other settings, and"
        f" find the best ones. Each is trained as {console.program('train')} does, for the same"
        f" time: --minutes (default: {MINUTES:g}) or --num-epochs. All its other flags that are"
        " given hold for all of them. Results go to FOLDER/search/.",
        epilog=f"example: {console.program('search')} --data-dir data/mine --trials 20 --minutes 2",
    )
    add_common(parser)
    add = parser.add_argument
    add(
        "--show-space", action="store_true",
        help="print what would be tried, as a file for --space, and do no more",
    )  # fmt: skip
    add(
        "--apply", metavar="TRIAL", type=whole, nargs="?", const=BEST,
        help="at the end train FOLDER's model with the best settings, or with those of a trial",
    )  # fmt: skip
    add_settings(parser, SearchSettings)
    for kind in TRAIN_SETTINGS:
        add_settings(parser, kind, UNUSED)
    return parser


def check_installed() -> None:
    """Raises TextgenError where Optuna, which no other part needs, is missing or too old."""
    try:
        version = importlib.metadata.version("optuna")
    except importlib.metadata.PackageNotFoundError:
        raise TextgenError(f"search needs Optuna. Install it: pip install {OPTUNA}") from None
    if int(version.split(".")[0]) < 5:
        raise TextgenError(f"search needs Optuna 5, not {version}: pip install {OPTUNA}")
