"""A request to train: the settings that were given, by whoever asks; and how files give them.

The command line, YAML files, the search, Ray and Python all make a request.
"""

import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from textgen.settings.definitions import (
    LENGTHS,
    ModelSettings,
    TokenizerSettings,
    TrainingSettings,
    with_tokens,
)
from textgen.settings.fields import Settings, nearest, unknown_setting
from textgen.support.errors import TextgenError

Kind = TypeVar("Kind", bound=Settings)

TRAIN_SETTINGS: tuple[type[Settings], ...] = (TokenizerSettings, ModelSettings, TrainingSettings)
"""The settings of a training, in the order in which data meets them."""


MORE = "+"
"""Begins a length of a run, such as "+5", that comes on top of what the run has had."""


def is_more(length: Any) -> bool:
    """Whether a length of a run is on top of what that has had, as "+5" is.

    Example:
        >>> is_more("+5"), is_more(5)
        (True, False)
    """
    return isinstance(length, str) and length.startswith(MORE)


def amount(length: Any) -> Any:
    """Returns a length of a run as a number: 5 for "+5"; what is not one stays as it is."""
    if not is_more(length):
        return length
    try:
        number = float(length)
    except ValueError:
        return length
    return int(number) if number.is_integer() else number


@dataclass(frozen=True)
class TrainRequest:
    """A data directory and the settings that somebody gave; the others are still to be chosen.

    `num_epochs` and `minutes` may be texts such as "+5": so many more than the run in the data
    directory has had, if it goes on with that, else so many.

    Raises:
        TextgenError: on a name that is no setting of a training, or a value out of range.
    """

    data_dir: Path
    given: Mapping[str, Any] = field(default_factory=dict)
    resume: bool = False
    """Go on with the run in `data_dir`, if there is one."""

    def __post_init__(self) -> None:
        known = frozenset().union(*(kind.names() for kind in TRAIN_SETTINGS))
        if unknown := sorted(with_tokens(self.given).keys() - known):
            raise unknown_setting(unknown[0], known)
        for kind in TRAIN_SETTINGS:
            self.settings(kind)

    def settings(self, kind: type[Kind], defaults: Mapping[str, Any] | None = None) -> Kind:
        """Returns the settings of one kind: those given, else `defaults`, else their own."""
        given = {n: amount(v) if n in LENGTHS else v for n, v in self.given.items()}
        return kind.from_given(given, defaults or {})


def read_yaml(path: Path, asked_by: str, example: str) -> dict[Any, Any]:
    """Returns the values of a YAML file, by name.

    Args:
        path: the file.
        asked_by: the setting it was given with, for messages.
        example: a line of such a file, likewise.

    Raises:
        TextgenError: if the file cannot be read, or is no such file.
    """
    import yaml  # here, so that commands start without it

    problem = f"{path} cannot be read as YAML"
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TextgenError(
            f"{path} cannot be read ({error.strerror}): give `{asked_by}` the path of a YAML file"
        ) from error
    except (UnicodeDecodeError, yaml.reader.ReaderError) as error:
        raise TextgenError(
            f"{problem}: it is no text. Give `{asked_by}` a file with lines like {example}"
        ) from error
    except yaml.MarkedYAMLError as error:
        place = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise TextgenError(
            f"{problem}{place}: {error.problem}. It must hold lines like {example}"
        ) from error
    except ValueError as error:  # a date that is none
        raise TextgenError(f"{problem}: {error}. It must hold lines like {example}") from error
    if not isinstance(values, dict):
        raise TextgenError(f"{path} must hold lines like {example}")
    return values


def unknown_name(path: Path, name: Any, known: Iterable[str]) -> TextgenError:
    """Returns the error for a name in a YAML file that is not `known`, with the nearest one."""
    meant = nearest(str(name).replace("-", "_"), known, cutoff=0) or ""
    shown = meant.replace("_", "-")
    return TextgenError(f"{path} cannot have the name {reprlib.repr(name)}. Nearest: {shown}")
