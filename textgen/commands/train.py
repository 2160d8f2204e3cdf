"""`train.py`: train a model on the text in a folder."""

import argparse
import contextlib
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textgen.commands.flags import (
    ArgumentParser,
    add_common,
    add_settings,
    given_settings,
    verbosity,
    whole,
)
from textgen.server import ServerSettings
from textgen.settings.definitions import (
    DEFAULT_FOLDER,
    LENGTHS,
    TrainingSettings,
    as_meant_now,
)
from textgen.settings.request import TRAIN_SETTINGS, TrainRequest, read_yaml, unknown_name
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.text import sources

SECTIONS = ("model", "tokenizer", "training")
"""Parts of a `model.yaml`; the settings in them count as if they stood alone."""
FACTS = ("format_version", "results", "model_id", "vocabulary_size")
"""Names in a `model.yaml` that are no settings."""
NOT_IN_FILES = ("help", "config")
"""Flags that a file cannot give."""


def main(argv: Sequence[str]) -> None:
    """Trains as the flags `argv` ask for. Raises TextgenError."""
    request, arguments = parse(argv)
    from textgen.training.plan import agreed_plan  # only now: these import TensorFlow
    from textgen.training.run import fit
    from textgen.training.workers import connected, layout_of

    layout = layout_of(arguments.workers, arguments.worker_index, arguments.distribute)
    device = request.settings(TrainingSettings).device
    with verbosity(arguments), shown_live(arguments), connected(layout, device) as workers:
        plan = agreed_plan(request, workers)
        fit(request.data_dir, plan, keep_samples=arguments.serve is not None, workers=workers)


def parse(argv: Sequence[str]) -> tuple[TrainRequest, argparse.Namespace]:
    """Returns what a command line and its --config file ask for, and all flags.

    Raises:
        TextgenError: on flags that are wrong or contradict each other.
    """
    flags = parser()
    arguments = with_file(flags, flags.read(argv))
    arguments.data_dir = Path(arguments.data_dir or DEFAULT_FOLDER)
    if arguments.serve is not None:
        console.add_flags({"port": "--serve"})
        ServerSettings.check("port", arguments.serve)
    given = given_settings(arguments, *TRAIN_SETTINGS)
    return TrainRequest(arguments.data_dir, given, arguments.resume), arguments


def parser() -> ArgumentParser:
    """Returns the flags of the command."""
    parser = ArgumentParser(
        prog=console.program("train"),
        description="Train a text generator on FOLDER/input.txt and keep the model in FOLDER.",
        epilog=f"example: {console.program('train')} --data-dir data/mine --minutes 10"
        " --validation-split 0.1",
    )
    add_common(parser)
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
        "--serve", metavar="PORT", type=whole, nargs="?", const=ServerSettings.port,
        help="show the run on a page of this machine while it lasts (port"
        f" {ServerSettings.port}); see also {console.program('serve')}",
    )  # fmt: skip
    for kind in TRAIN_SETTINGS:
        add_settings(parser, kind)
    _add_worker_flags(parser)
    return parser


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
    add(
        "--worker-index", metavar="I", type=whole, help="which of --workers this machine is, from 0"
    )


def shown_live(arguments: argparse.Namespace) -> contextlib.AbstractContextManager[None]:
    """Returns what serves a page of the run meanwhile, if that was asked for."""
    if arguments.serve is None:
        return contextlib.nullcontext()
    from textgen.server.run import beside

    return beside(arguments.data_dir, arguments.serve)


def with_file(parser: ArgumentParser, arguments: argparse.Namespace) -> argparse.Namespace:
    """Returns the flags of `arguments`, and for those not given the ones of its --config file.

    Where `--num-epochs` or `--minutes` is given, neither is taken from the file.
    A `model.yaml` without a `data_dir` stands for the folder it is in, or the one above where
    only that has a text (as that of `latest/model.yaml` does).

    Raises:
        TextgenError: if the file cannot be read, or has an unknown name or a wrong value.
    """
    path = arguments.config
    if path is None:
        return arguments
    values = read_yaml(path, "config", "rnn-size: 256")
    found = {
        name.replace("-", "_"): _value(parser, path, name, value)
        for name, value in _flat(values).items()
        if value is not None
    }
    if "model_id" in values:
        found = {"data_dir": _home(path.parent)} | as_meant_now(found)
    given = {n: v for n, v in vars(arguments).items() if v != parser.get_default(n)}
    if LENGTHS & given.keys():
        found = {name: value for name, value in found.items() if name not in LENGTHS}
    return argparse.Namespace(**vars(arguments) | found | given)


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns all settings by the names that the file has for them."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if name in SECTIONS and isinstance(value, Mapping):
            flat |= _flat(value)
        elif name not in FACTS:
            flat[str(name)] = value
    return flat


def _value(parser: ArgumentParser, path: Path, name: str, value: Any) -> Any:
    """Returns a value of a file as the flag of that name would; it may have underscores."""
    flag = name.replace("-", "_")
    actions = {n: action for n, action in parser.actions.items() if n not in NOT_IN_FILES}
    if flag not in actions:
        raise unknown_name(path, name, actions)
    action = actions[flag]
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise TextgenError(f"{path}: {name} is true or false. Received: {reprlib.repr(value)}")
        return value
    read = action.type if callable(action.type) else str
    try:
        return read(str(value))  # YAML may take it for something else: 1e-3 for a text
    except argparse.ArgumentTypeError as error:
        raise TextgenError(f"{path}: {name} {error}") from None


def _home(folder: Path) -> Path:
    places = (folder, folder.parent)
    has_text = [sources.find_source(place, "input") is not None for place in places]
    return folder.parent if has_text == [False, True] else folder
