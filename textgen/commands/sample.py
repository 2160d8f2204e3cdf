"""Print new text from the model in a folder."""

from __future__ import annotations

import argparse
import json
import random
import secrets
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import textgen
from textgen.commands.flags import ArgumentParser, add_settings, given_settings, numbers
from textgen.commands.output import DIVIDER, output, shaded
from textgen.settings.definitions import DEFAULT_FOLDER, SamplingSettings
from textgen.support import console
from textgen.support.errors import TextgenError

if TYPE_CHECKING:
    from textgen.commands.interactive import Interactive
    from textgen.generation.texts import Piece


def main(argv: Sequence[str]) -> None:
    """Parse the flags and write the seed and what the model makes of it."""
    arguments = parse(argv)
    from textgen.support.parallel import single_threaded_blas  # only now: --help needs no library

    refuse_contradictions(arguments)
    settings = SamplingSettings.from_given(given_settings(arguments, SamplingSettings))
    if settings.random_seed is None:
        settings = replace(settings, random_seed=secrets.randbits(32))
    generator = loaded(arguments)
    seed = chosen_seed(generator, arguments, settings)
    with output(arguments.output) as stream, single_threaded_blas():
        echo = "" if arguments.no_echo else console.paint(seed, "cyan", stream)
        if arguments.interactive:
            from textgen.commands.interactive import Interactive

            together = Interactive(generator, seed, settings, arguments.interactive, ask)
            write_together(together, echo, stream)
        elif arguments.num_samples > 1 or arguments.json:
            write_many(generator, seed, settings, arguments, echo, stream)
        else:
            pieces = generator.pieces(seed, settings, scored=arguments.color)
            write_one(pieces, arguments.color, echo, stream)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The flags."""
    parser = ArgumentParser(
        prog=console.program("sample"),
        description="Print new text from the model that train.py left in FOLDER.",
        epilog=f"example: {console.program('sample')} --data-dir data/mine"
        ' --seed "once upon" --diversity 0.5',
    )
    _add_source_flags(parser)
    add_settings(parser, SamplingSettings)
    _add_output_flags(parser)
    return parser.read(argv)


def _add_source_flags(parser: ArgumentParser) -> None:
    """What writes, and what stands before."""
    group = parser.add_argument_group("the model and its seed")
    group.add_argument(
        "--data-dir", metavar="FOLDER", type=Path, action="append",
        help=f"folder with model.h5 and model.pkl (default: {DEFAULT_FOLDER}); repeat the flag to"
        " mix models: they write a word (or sentence) by turns",
    )  # fmt: skip
    group.add_argument(
        "--weights", metavar="X,X", type=numbers,
        help="blend the models instead, with a weight for each, such as 0.7,0.3",
    )  # fmt: skip
    seeds = group.add_mutually_exclusive_group()
    seeds.add_argument(
        "--seed", metavar="TEXT", help="text to go on from (default: how some line of the corpus"
        " starts); for the number that makes a text repeatable see --random-seed",
    )  # fmt: skip
    seeds.add_argument(
        "--seed-file", metavar="FILE", help="read the seed from FILE, or with - from standard"
        " input; a newline at its end is left away",
    )  # fmt: skip


def _add_output_flags(parser: ArgumentParser) -> None:
    """How many texts, and where they go in which form."""
    add = parser.add_argument_group("how it is shown").add_argument
    add(
        "--num-samples", metavar="N", type=positive, default=1,
        help="texts to write; each has the random seed of the one before, plus 1",
    )  # fmt: skip
    add("--no-echo", action="store_true", help="leave the seed away")
    add(
        "--color", action="store_true",
        help="shade each token by its probability, from red to green",
    )  # fmt: skip
    add("--json", action="store_true", help="print one JSON object per text")
    add("--output", metavar="FILE", type=Path, help="write to FILE, in UTF-8")
    add(
        "--interactive", metavar="N", type=positive, nargs="?", const=10,
        help="show the N likeliest next tokens (10) and choose, type, go back or let it write",
    )  # fmt: skip


def positive(text: str) -> int:
    """A whole number above 0. Raises ValueError."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1. Received: {number}")
    return number


def refuse_contradictions(arguments: argparse.Namespace) -> None:
    """Raise TextgenError where two flags ask for different things."""
    given = {
        "--interactive": arguments.interactive is not None,
        "--color": arguments.color,
        "--json": arguments.json,
        "--num-samples": arguments.num_samples > 1,
        "--beam-size": hasattr(arguments, "beam_size"),
        "--force": hasattr(arguments, "force"),
    }
    for one, other in [
        ("--interactive", "--color"), ("--interactive", "--json"),
        ("--interactive", "--num-samples"), ("--interactive", "--beam-size"),
        ("--interactive", "--force"), ("--color", "--json"), ("--color", "--num-samples"),
        ("--color", "--beam-size"),
    ]:  # fmt: skip
        if given[one] and given[other]:
            raise TextgenError(f"{one} does not go with {other}. Leave one of them away")


def loaded(arguments: argparse.Namespace) -> textgen.Generator:
    """The model of the folder, or the mixture of several."""
    folders = arguments.data_dir or [DEFAULT_FOLDER]
    generators = [textgen.load(folder) for folder in folders]
    if len(generators) == 1 and arguments.weights is None:
        return generators[0]
    weights = arguments.weights
    return textgen.Generator.mix(generators, (weights,) if isinstance(weights, float) else weights)


def chosen_seed(
    generator: textgen.Generator, arguments: argparse.Namespace, settings: SamplingSettings
) -> str:
    """The seed that was given, with a warning for what the model does not know, or a line start."""
    if arguments.seed_file is not None:
        seed = read_seed(arguments.seed_file)
    elif arguments.seed is not None:
        seed = str(arguments.seed)
    else:
        return random.Random(settings.random_seed).choice(generator.line_starts or ("",))
    unknown = generator.tokenizer.unknown(seed)
    if unknown:
        listed = ", ".join(map(repr, unknown[:10])) + (", ..." if len(unknown) > 10 else "")
        console.warn(
            f"the seed has {generator.tokenizer.unit}s that the training text had not: {listed}."
            " They are read as unknown"
        )
    return seed


def read_seed(file: str) -> str:
    """The text of a file, or of standard input for "-", without a newline at its end."""
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise TextgenError(f"cannot read {file} ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise TextgenError(f"{file} is not UTF-8 (byte {error.start}). Convert it") from error
    return text.replace("\r\n", "\n").removesuffix("\n")


def write_one(pieces: Iterator[Piece], color: bool, echo: str, stream: TextIO) -> None:
    """Write one text while it is made."""
    stream.write(echo)
    for text, log_probability, _ in pieces:
        stream.write(shaded(text, log_probability) if color else text)
        if stream.isatty():
            stream.flush()
    stream.write("\n")


def write_many(
    generator: textgen.Generator,
    seed: str,
    settings: SamplingSettings,
    arguments: argparse.Namespace,
    echo: str,
    stream: TextIO,
) -> None:
    """Write several texts, or JSON, when they are complete."""
    total = max(settings.length, 0) * arguments.num_samples
    with console.bar("{percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} tokens", total) as bar:
        samples = generator.samples(
            arguments.num_samples, seed, settings, arguments.json, bar.update
        )
        for number, sample in enumerate(samples):
            if arguments.json:
                stream.write(json.dumps(sample.to_dict(), ensure_ascii=False) + "\n")
            else:
                stream.write(DIVIDER if number else "")
                stream.write(echo + sample.text + "\n")


def write_together(together: Interactive, echo: str, stream: TextIO) -> None:
    """Let a person choose, and write the text when they are done, or stopped by Ctrl-C."""
    try:
        together.run()
    finally:
        stream.write(echo + together.written + "\n")


def ask(prompt: str) -> str:
    """A line from the person. Raises EOFError where there is no more."""
    print(prompt, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        print(file=sys.stderr)  # the text begins on a line of its own
        raise EOFError
    return line.rstrip("\r\n")
