"""Train a text generator on the text in a folder: its input.txt, or several settings of it."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from textgen import console, settings_file
from textgen.config import ModelConfig, TokenizerConfig, TrainingConfig
from textgen.errors import TextgenError
from textgen.layout import wanted
from textgen.options import ArgumentParser

DEFAULT_FOLDER = "data/tinyshakespeare"


def main() -> None:
    """Parse the flags and train."""
    arguments = parse(sys.argv[1:])
    level, layout = verbosity(arguments), wanted(arguments)

    from textgen import (  # only now: TensorFlow takes seconds to import
        distributed,
        planning,
        training,
    )

    with console.verbosity(level):
        if layout is None:
            training.fit(arguments.data_dir, *planning.plan(arguments))
        else:
            distributed.train(arguments, layout)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The flags of a command line, and those of its --config file."""
    parser = ArgumentParser(
        description="Train a text generator on FOLDER/input.txt and keep the model in FOLDER."
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
    parser.add_argument("--quiet", action="store_true", help="say nothing but warnings and errors")
    parser.add_argument(
        "--verbose", action="store_true", help="say all settings, and more about each epoch"
    )
    _add_worker_flags(parser)
    for kind in (TokenizerConfig, ModelConfig, TrainingConfig):
        kind.add_flags(parser)
    arguments = settings_file.merged(parser, parser.parse_args(argv))
    arguments.data_dir = Path(arguments.data_dir or DEFAULT_FOLDER)
    for kind in (TokenizerConfig, ModelConfig, TrainingConfig):
        kind.from_flags(arguments)  # refuses values out of range, at once
    return arguments


def _add_worker_flags(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--distribute", action="store_true",
        help="train one model on several machines: those in the environment variable TF_CONFIG",
    )  # fmt: skip
    parser.add_argument(
        "--workers", metavar="HOST:PORT,HOST:PORT",
        help="instead of TF_CONFIG: the machines, in the same order on all; the first one is the"
        " chief, which writes the model",
    )  # fmt: skip
    parser.add_argument(
        "--worker-index", metavar="I", type=int, help="which of --workers this machine is, from 0"
    )


def verbosity(arguments: argparse.Namespace) -> console.Verbosity:
    """How much to say, by the flags."""
    if arguments.quiet and arguments.verbose:
        raise TextgenError("--quiet contradicts --verbose. Leave one of them out")
    if arguments.quiet:
        return console.Verbosity.QUIET
    return console.Verbosity.VERBOSE if arguments.verbose else console.Verbosity.USUAL


if __name__ == "__main__":
    sys.exit(console.run(main))
