"""Print new text from the model in a folder."""

import argparse
import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import textgen
from textgen import console
from textgen.config import ArgumentParser, SamplingConfig
from textgen.errors import TextgenError
from textgen.files import replacing
from textgen.generator import Generator, random_generator


def main() -> None:
    """Parse the flags and write the seed and what the model makes of it."""
    arguments = parse()
    config = SamplingConfig.from_flags(arguments)
    generator = textgen.load(arguments.data_dir)
    seed = chosen_seed(generator, arguments)
    pieces = generator.stream(seed, arguments.length, config.temperature, arguments.random_seed)
    with output(arguments.output) as stream:
        stream.write(console.paint(seed, "cyan", stream))
        for piece in pieces:
            stream.write(piece)
            if stream.isatty():
                stream.flush()
        stream.write("\n")


def parse() -> argparse.Namespace:
    """The flags."""
    parser = ArgumentParser(
        description="Print new text from the model that train.py left in FOLDER."
    )
    parser.add_argument(
        "--data-dir", metavar="FOLDER", type=Path, default=Path("data/tinyshakespeare"),
        help="folder with model.h5 and model.pkl",
    )  # fmt: skip
    parser.add_argument(
        "--seed", metavar="TEXT", help="text to go on from (default: how some line of the corpus"
        " starts)",
    )  # fmt: skip
    parser.add_argument(
        "--length", metavar="N", type=int, default=1000,
        help="characters, or words of a word model, to make after the seed",
    )  # fmt: skip
    SamplingConfig.add_flags(parser)
    parser.add_argument(
        "--random-seed", metavar="N", type=int, help="number that makes the text repeatable"
    )
    parser.add_argument("--output", metavar="FILE", type=Path, help="write to FILE, in UTF-8")
    return parser.parse_args()


def chosen_seed(generator: Generator, arguments: argparse.Namespace) -> str:
    """The seed that was given, with a warning for what the model does not know, or a line start."""
    if arguments.seed is None:
        return str(random_generator(arguments.random_seed).choice(generator.line_starts))
    unknown = generator.tokenizer.unknown(arguments.seed)
    if unknown:
        listed = ", ".join(map(repr, unknown[:10])) + (", ..." if len(unknown) > 10 else "")
        console.warn(
            f"the seed has {generator.tokenizer.unit}s that the training text had not: {listed}."
            " They are read as unknown"
        )
    return str(arguments.seed)


@contextlib.contextmanager
def output(path: Path | None) -> Iterator[TextIO]:
    """Standard output, or the file at `path`, which appears when it is complete."""
    if path is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        yield sys.stdout
        return
    try:
        with (
            replacing(path) as unfinished,
            unfinished.open("w", encoding="utf-8", errors="replace", newline="\n") as stream,
        ):
            yield stream
    except OSError as error:
        raise TextgenError(
            f"cannot write {path} ({error.strerror}): check the folder and the free space"
        ) from error


if __name__ == "__main__":
    sys.exit(console.run(main))
