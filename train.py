"""Train a text generator on the text in a folder: its input.txt, or several settings of it."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from textgen import console, settings_file
from textgen.config import ModelConfig, TokenizerConfig, TrainingConfig
from textgen.options import ArgumentParser

DEFAULT_FOLDER = "data/tinyshakespeare"


def main() -> None:
    """Parse the flags and train."""
    arguments = parse(sys.argv[1:])
    level = console.level(arguments.quiet, arguments.verbose)

    from textgen import planning, training  # only now: TensorFlow takes seconds to import

    with console.verbosity(level):
        training.fit(arguments.data_dir, *planning.plan(arguments))


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
    for kind in (TokenizerConfig, ModelConfig, TrainingConfig):
        kind.add_flags(parser)
    arguments = settings_file.merged(parser, parser.parse_args(argv))
    arguments.data_dir = Path(arguments.data_dir or DEFAULT_FOLDER)
    for kind in (TokenizerConfig, ModelConfig, TrainingConfig):
        kind.from_flags(arguments)  # refuses values out of range, at once
    return arguments


if __name__ == "__main__":
    sys.exit(console.run(main))
