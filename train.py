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
    for kind in (TokenizerConfig, ModelConfig, TrainingConfig):
        kind.add_flags(parser)
    arguments = parser.parse_args()
    tokenizer = TokenizerConfig.from_flags(arguments)
    model = ModelConfig.from_flags(arguments, tokenizer.word_tokens)
    config = TrainingConfig.from_flags(arguments, tokenizer.word_tokens)

    from textgen import sizing, training  # only now: TensorFlow takes seconds to import

    corpus = training.read_corpus(arguments.data_dir, tokenizer, config.validation_split)
    if config.minutes and sizing.is_wanted(vars(arguments)):
        chosen = sizing.choose(
            config.minutes, len(corpus.training), tokenizer.word_tokens, sizing.measure_gflops()
        )
        model = ModelConfig.from_flags(arguments, tokenizer.word_tokens, chosen.settings)
        config = TrainingConfig.from_flags(arguments, tokenizer.word_tokens, chosen.settings)
        console.say(f"chosen for {config.minutes:g} minutes: {described(model, config)}")
        console.say(f"because {chosen.reason}")
    training.fit(arguments.data_dir, corpus, model, config)


def described(model: ModelConfig, config: TrainingConfig) -> str:
    """The settings that `sizing.choose` decides, as flags to repeat them with."""
    return (
        f"--rnn-size {model.rnn_size} --num-layers {model.num_layers} --embedding-size"
        f" {model.embedding_size} --dropout {model.dropout} --batch-size {config.batch_size}"
        f" --seq-length {config.seq_length} --seq-step {config.seq_step} --learning-rate"
        f" {config.learning_rate}"
    )


if __name__ == "__main__":
    sys.exit(console.run(main))
