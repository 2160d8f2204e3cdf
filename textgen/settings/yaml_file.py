"""`--config FILE`: flags of train.py from a YAML file, such as a run's `model.yaml`."""

import argparse
import difflib
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textgen.settings.fields import ArgumentParser
from textgen.support.errors import TextgenError
from textgen.text import sources

SECTIONS = ("model", "tokenizer", "training")
"""Of `model.yaml`: the settings in them count as if they stood alone."""
FACTS = ("format_version", "results", "model_id", "vocabulary_size")
"""In `model.yaml`, but no settings."""
NOT_IN_FILES = ("help", "config")
"""The flags that a file cannot give."""


def merged(parser: ArgumentParser, arguments: argparse.Namespace) -> argparse.Namespace:
    """The flags of `arguments`, and for those not given the ones of its `config` file, if any.

    A `--num-epochs` that is given is the length of the run, though the file has `minutes`.
    A `model.yaml` without a `data_dir` stands for the folder it is in, or the one above where
    only that has a text (as that of `latest/model.yaml` does).

    Raises:
        TextgenError: if the file cannot be read, or has an unknown name or a wrong value.
    """
    path = arguments.config
    if path is None:
        return arguments
    values = loaded(path, "--config", "rnn-size: 256")
    found = {n: _value(parser, path, n, v) for n, v in _flat(values).items() if v is not None}
    if "model_id" in values:
        found = {"data_dir": _home(path.parent)} | found
    given = {n: v for n, v in vars(arguments).items() if v != parser.get_default(n)}
    if "num_epochs" in given:
        found.pop("minutes", None)
    return argparse.Namespace(**vars(arguments) | found | given)


def loaded(path: Path, flag: str, example: str) -> dict[Any, Any]:
    """What is in a YAML file that has a line per name.

    Args:
        path: the file.
        flag: what it was given with, for messages.
        example: such a line, likewise.

    Raises:
        TextgenError: if the file cannot be read, or is no such file.
    """
    import yaml  # here, so that commands start without it

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TextgenError(
            f"{path} cannot be read ({error.strerror}): give {flag} the path of a YAML file"
        ) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise TextgenError(f"{path} cannot be read as YAML: {reason}") from error
    if not isinstance(values, dict):
        raise TextgenError(f"{path} must hold lines like `{example}`")
    return values


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """All settings by their field's name; dashes may stand for underscores."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if name in SECTIONS and isinstance(value, Mapping):
            flat |= _flat(value)
        elif name not in FACTS:
            flat[str(name).replace("-", "_")] = value
    return flat


def _value(parser: ArgumentParser, path: Path, name: str, value: Any) -> Any:
    """A value as the flag of that name would give it."""
    actions = {flag: action for flag, action in parser.actions.items() if flag not in NOT_IN_FILES}
    if name not in actions:
        flags = [flag.replace("_", "-") for flag in actions]
        near = difflib.get_close_matches(name.replace("_", "-"), flags, n=1, cutoff=0)
        raise TextgenError(f"{path} has the unknown name {reprlib.repr(name)}. Nearest: {near[0]}")
    action = actions[name]
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise TextgenError(f"{path}: {name} is true or false. Received: {reprlib.repr(value)}")
        return value
    read = action.type if callable(action.type) else str
    try:
        return read(str(value))  # YAML may take it for something else: 1e-3 for a text
    except ValueError as error:
        raise TextgenError(f"{path}: {name} cannot be {reprlib.repr(value)}") from error


def _home(folder: Path) -> Path:
    has_text = [sources.find(place, "input") is not None for place in (folder, folder.parent)]
    return folder.parent if has_text == [False, True] else folder
