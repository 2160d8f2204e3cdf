"""The space of a search: which settings are tried, and between what; from a YAML file.

A space is a plain dict, as in YAML and as kept with the study: the name of a setting, and one of

    {"choice": [a, b]}    {"int": [low, high]}    {"float": [low, high]}    {"log": [low, high]}

where `int` and `float` may have a `step`, and `int` may be `"log": True`. Ends are included.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from textgen.settings.definitions import ModelSettings, TrainingSettings
from textgen.settings.fields import Settings
from textgen.settings.yaml_file import read_yaml
from textgen.support.errors import TextgenError

if TYPE_CHECKING:
    from optuna.trial import Trial

Space = dict[str, dict[str, Any]]

KINDS = ("choice", "int", "float", "log")
"""Of entries; where one has several, the first one says what it is."""
EXTRAS = {"choice": set(), "int": {"step", "log"}, "float": {"step"}, "log": set()}
NO_FLAGS = frozenset(
    ["init_from", "word2vec", "freeze_embeddings", "live_sample", "save_every", "print_every"]
)
"""Settings of train.py that a search has no use for."""
SHARED = frozenset(
    [
        "num_epochs", "steps_per_epoch", "minutes", "patience", "validation_split", "random_seed",
        "tensorboard",
    ]
)  # fmt: skip
"""Settings that say how long or on what to train, and what is kept: all trials share them."""
SEARCHABLE: dict[str, type[Settings]] = {
    name: kind
    for kind in (ModelSettings, TrainingSettings)
    for name in kind.names() - NO_FLAGS - SHARED
}
"""The settings that may be searched, and where they belong."""


class SpaceFile(NamedTuple):
    """What a space file says."""

    space: Space
    fixed: dict[str, Any]
    """Settings with one value, which all trials share."""
    replaces: bool
    """Whether nothing but what it names is searched."""


def default(base: Mapping[str, Any]) -> Space:
    """The settings that are searched unless told otherwise: around those that train.py chooses.

    From half of each size to its double, from a third of the learning rate to three times, and
    0.3 to both sides of a dropout: with 20 trials a wider space finds less. `rmsprop` and the cell
    `rnn` are left out, because they were measured to learn less. `embedding_dropout` and
    `tie_weights` are searched where they are in use, in word models; few passes over a text are
    better without tied weights, many with them.

    Args:
        base: the settings of train.py for this text and time.
    """
    space: Space = {
        "rnn_size": _around(base["rnn_size"], 32 if base["rnn_size"] >= 64 else 1),
        "num_layers": {"int": [max(1, base["num_layers"] - 1), base["num_layers"] + 1]},
        "embedding_size": _around(base["embedding_size"], 8),
        "dropout": _beside(base["dropout"]),
        "embedding_dropout": _beside(base["embedding_dropout"]),
        "tie_weights": {"choice": [True, False]},
        "learning_rate": {"log": _third_to_triple(base["learning_rate"])},
        "batch_size": _around(base["batch_size"], 8 if base["batch_size"] >= 16 else 1),
        "seq_length": _around(base["seq_length"], 1),
        "cell": {"choice": ["lstm", "gru"]},
        "optimizer": {"choice": ["adamw", "adam"]},
    }
    if not _is_tied(base):
        del space["tie_weights"]
    if _is_tied(base) or base["embedding_size"] < 8:
        del space["embedding_size"]
    if not base["embedding_dropout"]:
        del space["embedding_dropout"]
    return space


def _around(value: int, step: int) -> dict[str, Any]:
    """From half of a size to its double, in steps."""
    low = max(step, value // 2 // step * step)
    return {"int": [low, max(low, 2 * value // step * step)], "step": step}


def _third_to_triple(rate: float) -> list[float]:
    """To both sides of a learning rate, in two digits."""
    return [float(f"{rate / 3:.2g}"), float(f"{rate * 3:.2g}")]


def _beside(share: float) -> dict[str, Any]:
    """A dropout, and what is close to it."""
    return {"float": [round(max(0.0, share - 0.3), 2), round(min(0.8, share + 0.3), 2)]}


def _is_tied(base: Mapping[str, Any]) -> bool:
    sizes = ("tie_weights", "embedding_size", "rnn_size")
    return ModelSettings(**{name: base[name] for name in sizes}).is_tied


def settled(
    base: Mapping[str, Any], suggested: Mapping[str, Any], fixed: Mapping[str, Any]
) -> dict[str, Any]:
    """All settings of a trial.

    Settings that belong together go together where only one of them is searched: tied weights
    keep the embedding as wide as the layers, an epoch keeps two passes over the text, and
    an optimizer brings what `--optimizer` brings in train.py.

    Args:
        base: the settings of train.py for this text and time.
        suggested: the ones that are tried.
        fixed: the ones that were asked for.
    """
    settings = {**base, **TrainingSettings.implied_by(suggested), **suggested, **fixed}
    named = suggested.keys() | fixed.keys()
    if _is_tied(base) and "embedding_size" not in named:
        settings["embedding_size"] = settings["rnn_size"]
    if settings["seq_length"] != base["seq_length"] and "seq_step" not in named:
        settings["seq_step"] = -(-settings["seq_length"] // 2)
    return settings


def suggest(space: Space, trial: Trial) -> dict[str, Any]:
    """The settings that Optuna wants tried."""
    found: dict[str, Any] = {}
    for name, entry in space.items():
        if "choice" in entry:
            found[name] = trial.suggest_categorical(name, entry["choice"])
        elif "int" in entry:
            step, log = entry.get("step", 1), entry.get("log", False)
            found[name] = trial.suggest_int(name, *entry["int"], step=step, log=log)
        elif "log" in entry:
            found[name] = trial.suggest_float(name, *entry["log"], log=True)
        else:
            found[name] = trial.suggest_float(name, *entry["float"], step=entry.get("step"))
    return found


def nearest(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """For each name in the space the value of `values`, or what is nearest to it there."""
    return {name: _nearest(entry, values[name]) for name, entry in space.items()}


def _nearest(entry: Mapping[str, Any], value: Any) -> Any:
    if "choice" in entry:
        return value if value in entry["choice"] else entry["choice"][0]
    kind = next(kind for kind in KINDS if kind in entry)
    low, high = entry[kind]
    number = min(max(value, low), high)
    if step := entry.get("step"):
        number = low + min(round((number - low) / step), (high - low) // step) * step
    return number


def text(space: Space) -> str:
    """A space as a space file."""
    shown = {name.replace("_", "-"): entry for name, entry in space.items()}
    return yaml.safe_dump(shown, sort_keys=False, default_flow_style=None)


def read(path: Path) -> SpaceFile:
    """Read a space file.

    Raises:
        TextgenError: if it cannot be read, or says what cannot be.
    """
    values = read_yaml(path, "space", "dropout: {float: [0, 0.5]}")
    base = values.pop("base", "default")
    if base not in ("default", "none"):
        raise TextgenError(f"{path}: base is default or none. Received: {reprlib.repr(base)}")
    space: Space = {}
    fixed: dict[str, Any] = {}
    for key, value in values.items():
        name = _known(path, str(key))
        if isinstance(value, dict):
            space[name] = _checked(f"{path}: {key}", name, value)
        else:
            fixed[name] = _single(f"{path}: {key}", name, value)
    return SpaceFile(space, fixed, base == "none")


def _known(path: Path, key: str) -> str:
    name = key.replace("-", "_")
    if name not in SEARCHABLE:
        near = difflib.get_close_matches(name, SEARCHABLE, n=1, cutoff=0)[0].replace("_", "-")
        raise TextgenError(f"{path}: {reprlib.repr(key)} cannot be searched. Nearest: {near}")
    return name


def _checked(where: str, name: str, entry: dict[Any, Any]) -> dict[str, Any]:
    """An entry with its values as numbers. Raises TextgenError with what is wrong."""
    kind = next((kind for kind in KINDS if kind in entry), None)
    if kind is None or (extra := set(entry) - {kind} - EXTRAS[kind]):
        shown = reprlib.repr((kind and min(map(str, extra))) or entry)
        raise TextgenError(
            f"{where} takes one of {', '.join(KINDS)}, as in {{float: [0, 0.5]}}; int and float"
            f" also a step. Received: {shown}"
        )
    values = entry[kind]
    if not isinstance(values, list) or not values:
        raise TextgenError(f"{where}: {kind} needs values, as in [1, 2]. Received: {values!r}")
    if kind == "choice":
        return {"choice": [_single(where, name, value) for value in values]}
    return _range(where, name, kind, entry)


def _single(where: str, name: str, value: Any) -> Any:
    if isinstance(value, list):
        raise TextgenError(f"{where}: a choice is a word or a number. Received: {value!r}")
    return _valid(where, name, _unquoted(value))


def _unquoted(value: Any) -> Any:
    """YAML takes 1e-3 for a text; no setting is a text that is a number."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _range(where: str, name: str, kind: str, entry: dict[str, Any]) -> dict[str, Any]:
    number = int if kind == "int" else float
    ends = [_number(where, number, value) for value in entry[kind]]
    if len(ends) != 2 or not ends[0] <= ends[1]:
        raise TextgenError(f"{where}: {kind} is [lowest, highest]. Received: {entry[kind]!r}")
    for end in ends:
        _valid(where, name, end)
    return {kind: ends} | _manner(where, kind, ends[0], entry)


def _manner(where: str, kind: str, low: float, entry: dict[str, Any]) -> dict[str, Any]:
    """How a range is walked through: `step`, or `log` of whole numbers."""
    manner: dict[str, Any] = {}
    if kind == "int" and "log" in entry:
        if entry["log"] is not True or "step" in entry:
            raise TextgenError(f"{where}: beside int, log is true, or left out where a step is")
        manner["log"] = True
    if (kind == "log" or manner) and low <= 0:
        raise TextgenError(f"{where}: a logarithmic range begins above 0. Received: {low}")
    if "step" in entry:
        manner["step"] = _number(where, int if kind == "int" else float, entry["step"])
        if manner["step"] <= 0:
            raise TextgenError(f"{where}: step must be above 0. Received: {manner['step']}")
    return manner


def _number(where: str, number: type[int] | type[float], value: Any) -> float:
    """A number as Optuna wants it; YAML takes 1e-3 for a text."""
    try:
        if isinstance(value, bool) or number(value) != float(value):
            raise ValueError
        return number(value)
    except (TypeError, ValueError) as error:
        kind = "whole number" if number is int else "number"
        raise TextgenError(f"{where}: {reprlib.repr(value)} is not a {kind}") from error


def _valid(where: str, name: str, value: Any) -> Any:
    """The value, if the setting takes it. Raises TextgenError where not."""
    try:
        SEARCHABLE[name].from_dict({name: value})
    except TextgenError as error:
        raise TextgenError(f"{where}: {error}") from error
    return value
