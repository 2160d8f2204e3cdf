"""The command `python -m textgen search`: find settings that train better than the defaults."""

from __future__ import annotations

import argparse
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path

from textgen.commands.flags import ArgumentParser, add_settings, given_settings
from textgen.search.request import BEST, CONFIGS, MINUTES, TRIALS
from textgen.search.space import NO_FLAGS
from textgen.settings.definitions import DEFAULT_FOLDER
from textgen.support import console
from textgen.support.errors import TextgenError

OPTUNA = "'optuna>=5,<6'"


def main(argv: Sequence[str]) -> None:
    """Run the command. Raises TextgenError, and KeyboardInterrupt after Ctrl-C."""
    arguments = parse(argv)
    check_installed()
    level = console.level(arguments.quiet, arguments.verbose)

    from textgen.search import session  # only now: it needs Optuna

    with console.verbosity(level):
        session.run(arguments)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The flags of a command line. Raises TextgenError on mistakes."""
    arguments = _parser().read(argv)
    for kind in CONFIGS:
        kind.from_given(given_settings(arguments, kind))  # refuses values out of range, at once
    for name in ("trials", "workers", "max_parameters", "max_memory"):
        value = getattr(arguments, name)
        if value is not None and not value > 0:
            flag = "--" + name.replace("_", "-")
            raise TextgenError(f"{flag} must be above 0. Received: {value}")
    if arguments.pruner not in (None, "none") and arguments.objective == "loss,speed":
        raise TextgenError(
            f"--pruner {arguments.pruner} contradicts --objective loss,speed: Optuna stops trials"
            " early for one objective only. Leave one of them out"
        )
    if arguments.study is not None and not is_name(arguments.study):
        raise TextgenError(f"--study is a name without slashes. Received: {arguments.study}")
    return arguments


def is_name(text: str) -> bool:
    """Whether a text can be the name of a folder in another one."""
    return text not in ("", ".", "..") and Path(text).name == text


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog=console.program("search"),
        description="Train many small models on FOLDER/input.txt, each with other settings, and"
        " find the best ones. Each is trained by train.py's code for the same time: --minutes"
        f" (default: {MINUTES:g}) or --num-epochs. All other flags of train.py that are given hold"
        " for all of them. Results go to FOLDER/search/.",
        epilog="example: python -m textgen search --data-dir data/mine --trials 20 --minutes 2",
    )
    parser.add_argument(
        "--data-dir", metavar="FOLDER", type=Path, default=DEFAULT_FOLDER,
        help="folder with input.txt, and validate.txt if there is held-out text",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="say nothing but warnings and errors")
    parser.add_argument("--verbose", action="store_true", help="say more about each trial")
    _add_flags_of_trials(parser)
    _add_flags_of_the_study(parser)
    for kind in CONFIGS:
        add_settings(parser, kind, NO_FLAGS)
    return parser


def _add_flags_of_trials(parser: ArgumentParser) -> None:
    """How many there are, what they try, and when they are stopped."""
    add = parser.add_argument_group("the trials").add_argument
    add(
        "--trials", metavar="N", type=int,
        help=f"trials in all, failed ones included and interrupted ones not (default: {TRIALS})",
    )  # fmt: skip
    add(
        "--workers", metavar="N", type=int, default=1,
        help="trials at once on this machine, which share its cores",
    )  # fmt: skip
    add(
        "--space", metavar="FILE", type=Path,
        help="YAML file of what is tried, with lines like `dropout: {float: [0, 0.5]}`; the kinds"
        " are choice, int, float and log",
    )  # fmt: skip
    add(
        "--show-space", action="store_true",
        help="print what would be tried, as such a file, and do no more",
    )  # fmt: skip
    add(
        "--objective", choices=["loss", "loss,speed"], metavar="loss|loss,speed",
        help="loss: the lowest validation loss; loss,speed: also the most tokens per second in"
        " training, by a Pareto front (default: loss)",
    )  # fmt: skip
    add(
        "--pruner", choices=["median", "halving", "none"], metavar="median|halving|none",
        help="which trials are stopped early: those worse than the median at the same time, by"
        " successive halving, or none (default: median)",
    )  # fmt: skip
    add("--max-parameters", metavar="N", type=int, help="try no model of more weights")
    add(
        "--max-memory", metavar="GIB", type=float,
        help="try nothing that is estimated to take more memory for training (default: the"
        " machine's, shared by --workers)",
    )  # fmt: skip


def _add_flags_of_the_study(parser: ArgumentParser) -> None:
    """Where trials are kept, and what becomes of them."""
    add = parser.add_argument_group("the search as a whole").add_argument
    add(
        "--storage", metavar="URL",
        help="database of the trials, in Optuna's form, such as postgresql://HOST/NAME: the same"
        " command on other machines joins in (default: FOLDER/.textgen/search.db)",
    )  # fmt: skip
    add("--study", metavar="NAME", help="name of the search in the storage (default: the folder's)")
    add("--resume", action="store_true", help="go on with the search in FOLDER, with its settings")
    add(
        "--apply", metavar="TRIAL", type=int, nargs="?", const=BEST,
        help="at the end train FOLDER's model with the best settings, or with those of a trial",
    )  # fmt: skip


def check_installed() -> None:
    """Raise TextgenError where Optuna, which no other part needs, is missing or too old."""
    try:
        version = importlib.metadata.version("optuna")
    except importlib.metadata.PackageNotFoundError:
        raise TextgenError(f"search needs Optuna. Install it: pip install {OPTUNA}") from None
    if int(version.split(".")[0]) < 5:
        raise TextgenError(f"search needs Optuna 5, not {version}: pip install {OPTUNA}")
