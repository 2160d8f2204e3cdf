"""`sample.py`: print new text from the model in a folder."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import random
import secrets
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import textgen
from textgen.commands.flags import (
    ArgumentParser,
    add_settings,
    flag_fields,
    flags_of,
    given_settings,
    numbers,
)
from textgen.settings.definitions import DEFAULT_FOLDER, SamplingSettings, TokenizerSettings
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import explained, replacing
from textgen.text import documents

if TYPE_CHECKING:
    from textgen.generation.texts import Piece

CONTRADICTIONS = {
    "interactive": ("color", "json", "num_samples", "beam_size", "force"),
    "color": ("json", "num_samples", "beam_size"),
}
"""Flags, and others that each does not go with."""

DIVIDER = "\n" + 20 * "-" + "\n"
"""Stands between two samples, but for those that are documents of a kind that shows their end."""
DIVIDERS = {documents.LINES: "", documents.PARAGRAPHS: "\n"}

SHADES = ((0.02, 196), (0.1, 208), (0.3, 226), (0.7, 154), (1.0, 46))
"""Up to this probability, this colour of the 256 of a terminal: from red to green."""


def main(argv: Sequence[str]) -> None:
    """Prints a seed and the texts that a model makes of it. Raises TextgenError."""
    arguments = parse(argv)
    from textgen.support.parallel import single_threaded_blas  # only now: --help needs no library

    settings = SamplingSettings.from_given(given_settings(arguments, SamplingSettings))
    if settings.random_seed is None:
        settings = replace(settings, random_seed=secrets.randbits(32))
    generator = load(arguments.data_dir or [DEFAULT_FOLDER], arguments.weights)
    seed = choose_seed(generator, arguments, settings)
    with open_output(arguments.output) as stream, single_threaded_blas():
        echo = "" if arguments.no_echo else console.paint(seed, "cyan", stream)
        if arguments.interactive:
            from textgen.commands.interactive import Interactive

            Interactive(generator, seed, settings, arguments.interactive).write(echo, stream)
        elif arguments.num_samples > 1 or arguments.json:
            write_many(generator, seed, settings, arguments, echo, stream)
        else:
            pieces = generator.pieces(seed, settings, scored=arguments.color)
            write_one(pieces, arguments.color, echo, stream)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Returns the flags of a command line. Raises TextgenError on mistakes."""
    flags = parser()
    arguments = flags.read(argv)
    given = {name for name, value in vars(arguments).items() if value != flags.get_default(name)}
    for one, others in CONTRADICTIONS.items():
        for other in others:
            if {one, other} <= given:
                raise TextgenError(f"`{one}` does not go with `{other}`. Leave one of them away")
    return arguments


def parser() -> ArgumentParser:
    """Returns the flags of the command."""
    parser = ArgumentParser(
        prog=console.program("sample"),
        description="Print new text from the model that was trained in FOLDER.",
        epilog=f"example: {console.program('sample')} --data-dir data/mine"
        ' --seed "once upon" --diversity 0.5',
    )
    _add_source_flags(parser)
    add_settings(parser, SamplingSettings)
    _add_output_flags(parser)
    return parser


def _add_source_flags(parser: ArgumentParser) -> None:
    """Adds the flags of the model and of the text before."""
    group = parser.add_argument_group("the model and its seed")
    add_model_flags(group)
    seeds = group.add_mutually_exclusive_group()
    seeds.add_argument(
        "--seed", metavar="TEXT", help="text to go on from (default: how some line of the corpus"
        " starts; an empty one starts a line); for the number that makes a text repeatable see"
        " --random-seed",
    )  # fmt: skip
    seeds.add_argument(
        "--seed-file", metavar="FILE", help="read the seed from FILE, or with - from standard"
        " input; a newline at its end is left away",
    )  # fmt: skip


def add_model_flags(group: argparse._ActionsContainer) -> None:
    """Adds the flags of the model, or of several that are mixed; see `load`."""
    group.add_argument(
        "--data-dir", metavar="FOLDER", type=Path, action="append",
        help=f"folder with model.h5 and model.pkl (default: {DEFAULT_FOLDER}); repeat the flag to"
        " mix models: they write a word (or sentence) by turns",
    )  # fmt: skip
    group.add_argument(
        "--weights", metavar="X,X", type=numbers,
        help="blend the models instead, with a weight for each, such as 0.7,0.3: each"
        " token's probabilities, to these powers, are multiplied",
    )  # fmt: skip


def _add_output_flags(parser: ArgumentParser) -> None:
    """Adds the flags for how many texts there are, and where they go in which form."""
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
    add(
        "--json",
        action="store_true",
        help="print a JSON object per text: seed, text, tokens, random_seed,"
        " mean_log_probability, config",
    )
    add(
        "--output",
        metavar="FILE",
        type=Path,
        help="write to FILE, in UTF-8; Ctrl-C keeps what there is",
    )
    add(
        "--interactive", metavar="N", type=positive, nargs="?", const=10,
        help="show the N likeliest next tokens (10) and choose, type, go back or let it write",
    )  # fmt: skip


def positive(text: str) -> int:
    """Returns a whole number above 0. Raises ValueError or ArgumentTypeError."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1. Received: {number}")
    return number


def load(folders: Sequence[Path], weights: float | tuple[float, ...] | None) -> textgen.Generator:
    """Returns the model of the folder, or the mixture of several. Raises TextgenError."""
    # What is wrong with a mixture is told in the flags that its models were trained with.
    console.add_flags({field.name: flags_of(field)[0] for field in flag_fields(TokenizerSettings)})
    generators = [textgen.load(folder) for folder in folders]
    if len(generators) == 1 and weights is None:
        return generators[0]
    return textgen.Generator.mix(generators, (weights,) if isinstance(weights, float) else weights)


def choose_seed(
    generator: textgen.Generator, arguments: argparse.Namespace, settings: SamplingSettings
) -> str:
    """Returns the seed that was given, or the beginning of a line that is drawn.

    Warns of what the model does not know.
    """
    if arguments.seed_file is not None:
        seed = read_seed(arguments.seed_file)
    elif arguments.seed is not None:
        seed = str(arguments.seed)
    elif generator.tokenizer.settings.documents:
        return ""  # a document has its own beginning
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
    """Returns the text of a file, or of standard input for "-", without a newline at its end."""
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise TextgenError(f"cannot read {file} ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise TextgenError(f"{file} is not UTF-8 (byte {error.start}). Convert it") from error
    return text.replace("\r\n", "\n").removesuffix("\n")


def write_one(pieces: Iterator[Piece], color: bool, echo: str, stream: TextIO) -> None:
    """Writes one text while it is made."""
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
    """Writes several texts, or JSON, when they are complete."""
    total = max(settings.length, 0) * arguments.num_samples
    kind = generator.tokenizer.settings.documents or ""
    with console.bar("{percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} tokens", total) as bar:
        samples = generator.samples(
            arguments.num_samples, seed, settings, arguments.json, bar.update
        )
        for number, sample in enumerate(samples):
            if arguments.json:
                stream.write(json.dumps(sample.to_dict(), ensure_ascii=False) + "\n")
            else:
                stream.write(DIVIDERS.get(kind, DIVIDER) if number else "")
                stream.write(echo + sample.text + "\n")


def shaded(text: str, log_probability: float) -> str:
    """Returns `text` in the colour of its probability."""
    probability = math.exp(log_probability)
    color = next((color for limit, color in SHADES if probability <= limit), SHADES[-1][1])
    return f"\x1b[38;5;{color}m{text}\x1b[0m"


@contextlib.contextmanager
def open_output(path: Path | None) -> Iterator[TextIO]:
    """Opens standard output, or the file at `path`.

    A file appears when it is complete, or with what there is after Ctrl-C. What is not a file (a
    device, a pipe) is written to directly.

    Raises:
        TextgenError: if the disk or the device does not take the text.
    """
    with explained(path or "standard output"):
        if path is None:
            opened: Any = _standard_output()
        elif path.exists() and not path.is_file():
            opened = _open(path)
        else:
            opened = _kept_when_interrupted(path)
        with opened as stream:
            yield stream


@contextlib.contextmanager
def _standard_output() -> Iterator[TextIO]:
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    try:
        yield stream
        stream.flush()
    except OSError:
        # Python flushes stdout once more at exit; give it a place to flush to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise


@contextlib.contextmanager
def _kept_when_interrupted(path: Path) -> Iterator[TextIO]:
    interrupted = None
    with replacing(path) as unfinished, _open(unfinished) as stream:
        try:
            yield stream
        except KeyboardInterrupt as error:
            interrupted = error
    if interrupted:
        raise interrupted


def _open(path: Path) -> TextIO:
    return path.open("w", encoding="utf-8", errors="replace", newline="\n")
