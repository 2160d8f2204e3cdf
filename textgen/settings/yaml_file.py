"""Files in YAML that have a line per name, such as `rnn-size: 256`."""

import difflib
import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from textgen.support.errors import TextgenError


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

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TextgenError(
            f"{path} cannot be read ({error.strerror}): give `{asked_by}` the path of a YAML file"
        ) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise TextgenError(f"{path} cannot be read as YAML: {reason}") from error
    if not isinstance(values, dict):
        raise TextgenError(f"{path} must hold lines like {example}")
    return values


def unknown_name(path: Path, name: Any, known: Iterable[str]) -> TextgenError:
    """Returns the error for a name in a YAML file that is not `known`, with the nearest one."""
    names = [other.replace("_", "-") for other in known]
    near = difflib.get_close_matches(str(name).replace("_", "-"), names, n=1, cutoff=0)[0]
    return TextgenError(f"{path} cannot have the name {reprlib.repr(name)}. Nearest: {near}")
