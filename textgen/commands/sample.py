"""`sample.py`: print new text from the model in a folder."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import os
import random
import re
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
    positive,
)
from textgen.settings.definitions import DEFAULT_FOLDER, SamplingSettings, TokenizerSettings
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import STANDARD_INPUT, explained, refuse_needed, replacing
from textgen.text import documents

if TYPE_CHECKING:
    from textgen.generation.texts import Piece

CONTRADICTIONS = {
    "interactive": ("color", "json", "num_samples", "beam_size", "force", "new", "prompts"),
    "color": ("json", "num_samples", "beam_size", "new", "prompts"),
}
"""Flags, and others that each does not go with."""

ESCAPES = {r"\n": "\n", r"\t": "\t", "\\\\": "\\"}
ESCAPE = re.compile("|".join(map(re.escape, ESCAPES)))
ESCAPED = ("seed", "stop", "stop_after", "ban", "force")
"""Flags of texts in which there may be escapes."""

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
    folders = arguments.data_dir or [DEFAULT_FOLDER]
    generator = load(folders, arguments.weights)
    if arguments.output is not None:
        read = [Path(file) for file in (arguments.seed_file, arguments.prompts) if file]
        refuse_output(arguments.output, folders, read)
    prompts = choose_prompts(generator, arguments, settings)
    with open_output(arguments.output) as stream, single_threaded_blas():
        seed = prompts[0].seed
        echo = "" if arguments.no_echo else console.paint(seed, "cyan", stream)
        if arguments.interactive:
            from textgen.commands.interactive import Interactive

            Interactive(generator, seed, settings, arguments.interactive).write(echo, stream)
        elif len(prompts) > 1 or arguments.json or settings.new:
            write_many(generator, prompts, arguments, stream)
        else:
            pieces = generator.pieces(*prompts[0], scored=arguments.color)
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
        if one in given and len(arguments.seed or ()) > 1:
            raise TextgenError(f"`{one}` does not go with several seeds. Give one `seed`")
    read_escapes(arguments)
    return arguments


def read_escapes(arguments: argparse.Namespace) -> None:
    """Reads the escapes in the texts of `arguments`, if that was asked for; else tells of them."""
    for name in ESCAPED:
        texts = getattr(arguments, name, None) or []
        if arguments.escapes and texts:
            read = [ESCAPE.sub(lambda found: ESCAPES[found[0]], text) for text in texts]
            setattr(arguments, name, read)
        elif any(r"\n" in text for text in texts):
            console.say(rf"`{name}`: \n is read as two characters; with `escapes` as a new line")


def parser() -> ArgumentParser:
    """Returns the flags of the command."""
    parser = ArgumentParser(
        prog=console.program("sample"),
        description="Print new text from the model that was trained in FOLDER.",
        epilog=f"example: {console.program('sample')} --data-dir data/mine"
        ' --seed "once upon" --diversity 0.5',
    )
    _add_source_flags(parser)
    add_escapes(parser)
    add_settings(parser, SamplingSettings)
    _add_output_flags(parser)
    return parser


def add_escapes(parser: ArgumentParser) -> None:
    """Adds the flag that `read_escapes` needs."""
    parser.add_argument(
        "--escapes", action="store_true",
        help=r"read \n, \t and \\ in --seed, --stop, --stop-after, --ban and --force as a new line,"
        " a tab and a backslash, where the shell cannot write these",
    )  # fmt: skip


def _add_source_flags(parser: ArgumentParser) -> None:
    """Adds the flags of the model and of the text before."""
    group = parser.add_argument_group("the model and its seed")
    add_model_flags(group)
    seeds = group.add_mutually_exclusive_group()
    seeds.add_argument(
        "--seed", metavar="TEXT", action="append",
        help="text to go on from (default: how some line of the corpus starts, or nothing where the"
        " model writes documents; an empty one starts a line); repeat the flag for several texts;"
        " for the number that makes a text repeatable see --random-seed",
    )  # fmt: skip
    seeds.add_argument(
        "--seed-file", metavar="FILE", help="read the seed from FILE, or with - from standard"
        " input; a newline at its end is left away",
    )  # fmt: skip
    seeds.add_argument(
        "--prompts", metavar="FILE", help="a seed in each line of FILE, written together; or JSON"
        " lines with a seed and settings of its own: {\"seed\": \"The \", \"length\": 50}; with -"
        " from standard input",
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


def load(folders: Sequence[Path], weights: float | tuple[float, ...] | None) -> textgen.Generator:
    """Returns the model of the folder, or the mixture of several. Raises TextgenError."""
    # What is wrong with a mixture is told in the flags that its models were trained with.
    trained = {field.name: flags_of(field)[0] for field in flag_fields(TokenizerSettings)}
    console.add_flags(trained | {"init_from": "--init-from"})
    generators = [textgen.load(folder) for folder in folders]
    if len(generators) == 1 and weights is None:
        return generators[0]
    return textgen.Generator.mix(generators, (weights,) if isinstance(weights, float) else weights)


def refuse_output(path: Path, folders: Sequence[Path], read: Sequence[Path] = ()) -> None:
    """Raises TextgenError if a file to be written would replace one of a model, or one to read."""
    from textgen.model.checkpoint import files_of  # only now: --help needs no library

    refuse_needed(path, [*itertools.chain(*map(files_of, folders)), *read])


def choose_prompts(
    generator: textgen.Generator, arguments: argparse.Namespace, settings: SamplingSettings
) -> list[textgen.Prompt]:
    """Returns what is to be written: `num_samples` texts of each seed, with a random seed each.

    Warns of what the model does not know.
    """
    if arguments.prompts is not None:
        asked = read_prompts(arguments.prompts, settings)
    else:
        seeds = choose_seeds(generator, arguments, settings)
        asked = [textgen.Prompt(seed, settings) for seed in seeds]
    tokenizer = generator.tokenizer  # which may read letters in lower case: so they are shown
    asked = [
        prompt._replace(seed=tokenizer.folded(prompt.seed, tokenizer.settings)) for prompt in asked
    ]
    warn_of_unknown(generator, [prompt.seed for prompt in asked])
    each = [prompt for prompt in asked for _ in range(arguments.num_samples)]
    if settings.beam_size is not None and arguments.num_samples > 1:
        raise TextgenError("`beam_size` finds one text. Ask for one, or leave it out")
    first = settings.random_seed or 0
    return [
        prompt._replace(settings=replace(prompt.settings, random_seed=first + number))
        if prompt.settings.random_seed == settings.random_seed
        else prompt
        for number, prompt in enumerate(each)
    ]


def choose_seeds(
    generator: textgen.Generator, arguments: argparse.Namespace, settings: SamplingSettings
) -> list[str]:
    """Returns the seeds that were given, or the beginning of a line that is drawn."""
    if arguments.seed_file is not None:
        return [read_text(arguments.seed_file)]
    if arguments.seed is not None:
        return list(arguments.seed)
    if generator.tokenizer.settings.documents or settings.new:
        return [""]  # a document, or a line, has its own beginning
    return [random.Random(settings.random_seed).choice(generator.line_starts or ("",))]


def warn_of_unknown(generator: textgen.Generator, seeds: Sequence[str]) -> None:
    """Warns of tokens in seeds that the training text had not."""
    unknown = dict.fromkeys(token for seed in seeds for token in generator.tokenizer.unknown(seed))
    if unknown:
        listed = console.listed(list(map(repr, unknown)))
        console.warn(
            f"the seed has {generator.tokenizer.unit}s that the training text had not: {listed}."
            " They are read as unknown"
        )


def read_prompts(file: str, settings: SamplingSettings) -> list[textgen.Prompt]:
    """Returns the seeds in the lines of a file, with their own settings where they have some.

    Raises:
        TextgenError: if it cannot be read, or has none.
    """
    lines = [line for line in read_text(file).split("\n") if line.strip()]
    if not lines:
        raise TextgenError(f"{file} has no prompts: give one in each line")
    if not lines[0].lstrip().startswith("{"):
        return [textgen.Prompt(line, settings) for line in lines]
    return [_prompt(line, number, file, settings) for number, line in enumerate(lines, start=1)]


def _prompt(line: str, number: int, file: str, settings: SamplingSettings) -> textgen.Prompt:
    try:
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            raise TextgenError(f'no JSON object like {{"seed": "The "}}, but {line[:40]}') from None
        if not isinstance(values, dict):
            raise TextgenError(f"not an object, but {line[:40]}")
        seed = values.pop("seed", "")
        if not isinstance(seed, str):
            raise TextgenError(f"its seed is no text, but {seed!r}")
        own = SamplingSettings.from_dict(settings.to_dict() | values)
    except TextgenError as error:
        raise TextgenError(f"{file}, prompt {number:,}: {error}") from error
    return textgen.Prompt(seed, own)


def read_text(file: str) -> str:
    """Returns the text of a file, or of standard input for "-", without a newline at its end."""
    try:
        piped = file == STANDARD_INPUT
        data = sys.stdin.buffer.read() if piped else Path(file).read_bytes()
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
        stream.write(shaded(text, log_probability) if color and text else text)
        if stream.isatty():
            stream.flush()
    stream.write("\n")


def write_many(
    generator: textgen.Generator,
    prompts: Sequence[textgen.Prompt],
    arguments: argparse.Namespace,
    stream: TextIO,
) -> None:
    """Writes several texts, or JSON, when they are complete."""
    kind = generator.tokenizer.settings.documents or ""
    divider = DIVIDERS.get(kind, DIVIDER)
    if prompts[0].settings.new and not kind:
        divider = ""  # a line each
    total, unit = sum(max(prompt.settings.length, 0) for prompt in prompts), "tokens"
    if kind or prompts[0].settings.new:  # who knows how long they will be
        total, unit = len(prompts), "texts"
    layout = f"{{percentage:3.0f}}%|{{bar:20}}| {{n_fmt}}/{{total_fmt}} {unit}"
    with console.bar(layout, total) as bar:

        def progress(tokens: int) -> None:
            bar.update(tokens if unit == "tokens" else 0)

        for number, sample in enumerate(generator.write(prompts, arguments.json, progress)):
            bar.update(1 if unit == "texts" else 0)
            if arguments.json:
                stream.write(json.dumps(sample.to_dict(), ensure_ascii=False) + "\n")
                continue
            echo = "" if arguments.no_echo else console.paint(sample.seed, "cyan", stream)
            stream.write((divider if number else "") + echo + sample.text + "\n")


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
