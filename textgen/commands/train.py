"""Train a text generator on the text in a folder."""

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from textgen.settings import yaml_file
from textgen.settings.definitions import (
    DEFAULT_FOLDER,
    ModelSettings,
    TokenizerSettings,
    TrainingSettings,
)
from textgen.settings.fields import ArgumentParser
from textgen.settings.server import ServerSettings
from textgen.support import console
from textgen.training.layout import wanted


def main() -> None:
    """Parse the flags and train."""
    arguments = parse(sys.argv[1:])
    level, layout = console.level(arguments.quiet, arguments.verbose), wanted(arguments)
    with console.verbosity(level), watched(arguments):
        from textgen.training import agreement, fit, planning  # only now: they import TensorFlow

        if layout is None:
            plan = planning.plan(arguments)
            fit.fit(arguments.data_dir, plan, keep_samples=arguments.serve is not None)
        else:
            agreement.train(arguments, layout)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The flags of a command line, and those of its --config file."""
    parser = ArgumentParser(
        description="Train a text generator on FOLDER/input.txt and keep the model in FOLDER.",
        epilog="example: python train.py --data-dir data/mine --minutes 10 --validation-split 0.1",
    )
    parser.add_argument(
        "--data-dir", metavar="FOLDER", type=Path,
        help="folder with input.txt, and validate.txt if there is held-out text (default:"
        f" {DEFAULT_FOLDER})",
    )  # fmt: skip
    parser.add_argument(
        "--resume", action="store_true",
        help="go on with the run that was interrupted in FOLDER, with its settings",
    )  # fmt: skip
    parser.add_argument(
        "--config", metavar="FILE", type=Path,
        help="take flags from a YAML file, `rnn-size: 256`, where they are not given; a model.yaml"
        " repeats its run",
    )  # fmt: skip
    parser.add_argument(
        "--serve", metavar="PORT", type=int, nargs="?", const=ServerSettings.port,
        help="show the run on a page of this machine while it lasts (port"
        f" {ServerSettings.port}); see also python -m textgen serve",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="say nothing but warnings and errors")
    parser.add_argument(
        "--verbose", action="store_true", help="say all settings, and more about each epoch"
    )
    for kind in (TokenizerSettings, ModelSettings, TrainingSettings):
        kind.add_flags(parser)
    _add_worker_flags(parser)
    arguments = yaml_file.merged(parser, parser.parse_args(argv))
    arguments.data_dir = Path(arguments.data_dir or DEFAULT_FOLDER)
    for kind in (TokenizerSettings, ModelSettings, TrainingSettings):
        kind.from_flags(arguments)  # refuses values out of range, at once
    if arguments.serve is not None:
        ServerSettings.check("port", arguments.serve, "--serve")
    return arguments


def _add_worker_flags(parser: ArgumentParser) -> None:
    add = parser.add_argument_group("several machines").add_argument
    add(
        "--distribute", action="store_true",
        help="train one model on several machines: those in the environment variable TF_CONFIG",
    )  # fmt: skip
    add(
        "--workers", metavar="HOST:PORT,HOST:PORT",
        help="instead of TF_CONFIG: the machines, in the same order on all; the first one is the"
        " chief, which writes the model",
    )  # fmt: skip
    add("--worker-index", metavar="I", type=int, help="which of --workers this machine is, from 0")


def watched(arguments: argparse.Namespace) -> contextlib.AbstractContextManager[None]:
    """A page that shows the run meanwhile, if it was asked for."""
    if arguments.serve is None:
        return contextlib.nullcontext()
    from textgen.server.beside import beside

    return beside(arguments.data_dir, arguments.serve)
