"""Train a text generator on the text in a folder: its input.txt, or several settings of it."""

import sys
from pathlib import Path

from textgen import console
from textgen.config import ModelConfig, TokenizerConfig, TrainingConfig
from textgen.options import ArgumentParser


def main() -> None:
    """Parse the flags and train."""
    parser = ArgumentParser(
        description="Train a text generator on FOLDER/input.txt and keep the model in FOLDER."
    )
    parser.add_argument(
        "--data-dir", metavar="FOLDER", type=Path, default=Path("data/tinyshakespeare"),
        help="folder with input.txt, and validate.txt if there is held-out text",
    )  # fmt: skip
    parser.add_argument(
        "--resume", action="store_true",
        help="go on with the run that was interrupted in FOLDER, with its settings",
    )  # fmt: skip
    parser.add_argument(
        "--init-from", metavar="FOLDER", type=Path,
        help="start from the model in another folder: its sizes, vocabulary and weights",
    )  # fmt: skip
    for kind in (TokenizerConfig, ModelConfig, TrainingConfig):
        kind.add_flags(parser)
    arguments = parser.parse_args()
    for kind in (TokenizerConfig, ModelConfig, TrainingConfig):
        kind.from_flags(arguments)  # refuses values out of range, at once

    from textgen import planning, training  # only now: TensorFlow takes seconds to import

    training.fit(arguments.data_dir, *planning.plan(arguments))


if __name__ == "__main__":
    sys.exit(console.run(main))
