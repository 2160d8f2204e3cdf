"""Train a text generator on the text in a folder: its input.txt, or several settings of it."""

import sys
from pathlib import Path

from textgen import console
from textgen.config import ArgumentParser, ModelConfig, TokenizerConfig, TrainingConfig


def main() -> None:
    """Parse the flags and train."""
    parser = ArgumentParser(
        description="Train a text generator on FOLDER/input.txt and keep the model in FOLDER."
    )
    parser.add_argument(
        "--data-dir", metavar="FOLDER", type=Path, default=Path("data/tinyshakespeare"),
        help="folder with input.txt, and validate.txt if there is held-out text",
    )  # fmt: skip
    for config in (TokenizerConfig, ModelConfig, TrainingConfig):
        config.add_flags(parser)
    arguments = parser.parse_args()
    tokenizer = TokenizerConfig.from_flags(arguments)
    model = ModelConfig.from_flags(arguments, tokenizer.word_tokens)
    training = TrainingConfig.from_flags(arguments, tokenizer.word_tokens)

    from textgen.training import train  # only now: TensorFlow takes seconds to import

    train(arguments.data_dir, model, tokenizer, training)


if __name__ == "__main__":
    sys.exit(console.run(main))
