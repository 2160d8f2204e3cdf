"""The space of a search: which settings are tried, and between what; from a YAML file.

A space is a plain dict, as in YAML and as kept with the study: the name of a setting, and one of

    {"choice": [a, b]}    {"int": [low, high]}    {"float": [low, high]}    {"log": [low, high]}

where `int` and `float` may have a `step`, and `int` may be `"log": True`. Ends are included.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from optuna.trial import Trial

from textgen.search import MINUTES, UNUSED, SearchRequest
from textgen.settings.definitions import LENGTHS, ModelSettings, TrainingSettings
from textgen.settings.fields import Settings
from textgen.settings.request import read_yaml, unknown_name
from textgen.support.errors import TextgenError

Space = dict[str, dict[str, Any]]

EXTRAS = {"choice": set(), "int": {"step", "log"}, "float": {"step"}, "log": set()}
"""The kinds of entries, and what else may stand in one."""
SHARED = LENGTHS | frozenset(
    [
        "steps_per_epoch", "patience", "validation_split", "random_seed", "tensorboard", "device",
        "dtype", "deterministic",
    ]
)  # fmt: skip
"""Settings that say how long or on what to train, and what is kept: all trials share them."""
SEARCHABLE: dict[str, type[Settings]] = {
    name: kind
    for kind in (ModelSettings, TrainingSettings)
    for name in kind.names() - UNUSED - SHARED
}
"""The settings that may be searched, and where they belong."""


class Scope(NamedTuple):
    """The settings that are searched, and those that are fixed."""

    space: Space
    """Settings that are tried otherwise than by default, or besides."""
    fixed: dict[str, Any]
    """Settings with one value, which all trials have."""
    replaces: bool
    """Whether nothing but `space` is searched."""

    @property
    def fixed_with_length(self) -> dict[str, Any]:
        """The settings that all trials have, among them how long a trial is."""
        has_length = self.fixed.keys() & LENGTHS
        return self.fixed if has_length else self.fixed | {"minutes": MINUTES}

    def full_space(self, base: Mapping[str, Any]) -> Space:
        """Returns all that is tried. Raises TextgenError where nothing is."""
        usual = {} if self.replaces else default(base)
        found = {n: e for n, e in usual.items() if n not in self.fixed} | self.space
        if not found:
            raise TextgenError("there is nothing to search: every setting is given")
        return found


def read_scope(request: SearchRequest) -> Scope:
    """Returns what is given in a request and its space file.

    Raises:
        TextgenError: if they contradict each other, or the file cannot be used.
    """
    given, path = request.training.given, request.settings().space
    if path is None:
        return Scope({}, dict(given), False)
    file = read(Path(path))
    for name in given.keys() & (file.space.keys() | file.fixed.keys()):
        raise TextgenError(
            f"`{name}={given[name]}` contradicts {path}, which has that too. Leave one of them out"
        )
    return file._replace(fixed={**file.fixed, **given})


def default(base: Mapping[str, Any]) -> Space:
    """Returns the settings searched unless told otherwise: around those that `train` chooses.

    From half of each size to its double, from a third of the learning rate to three times, and
    0.3 to both sides of a dropout: with 20 trials a wider space finds less. `rmsprop` and the cell
    `rnn` are left out, because they were measured to learn less. `embedding_dropout` and
    `tie_weights` are searched where they are in use, in word models; few passes over a text are
    better without tied weights, many with them.

    Args:
        base: the settings of a training of this text and time.
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
    """Returns what goes from half of a size to its double, in steps."""
    low = max(step, value // 2 // step * step)
    return {"int": [low, max(low, 2 * value // step * step)], "step": step}


def _third_to_triple(rate: float) -> list[float]:
    """Returns the ends to both sides of a learning rate, in two digits."""
    return [float(f"{rate / 3:.2g}"), float(f"{rate * 3:.2g}")]


def _beside(share: float) -> dict[str, Any]:
    """Returns the dropouts close to one."""
    return {"float": [round(max(0.0, share - 0.3), 2), round(min(0.8, share + 0.3), 2)]}


def _is_tied(base: Mapping[str, Any]) -> bool:
    sizes = ("tie_weights", "embedding_size", "rnn_size")
    return ModelSettings(**{name: base[name] for name in sizes}).is_tied


def all_settings(
    base: Mapping[str, Any], suggested: Mapping[str, Any], fixed: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns all settings of a trial.

    Settings that belong together go together where only one of them is searched: tied weights
    keep the embedding as wide as the layers, an epoch keeps two passes over the text, and
    an optimizer brings what it brings in a training.

    Args:
        base: the settings of a training of this text and time.
        suggested: the ones that are tried.
        fixed: the ones that were asked for.
    """
    settings = {**base, **TrainingSettings.implied_by(suggested), **suggested, **fixed}
    named = suggested.keys() | fixed.keys()
    if (_is_tied(base) or settings["tie_weights"]) and "embedding_size" not in named:
        settings["embedding_size"] = settings["rnn_size"]
    if "tie_weights" not in named:
        settings["tie_weights"] = _is_tied(settings)
    if settings["seq_length"] != base["seq_length"] and "seq_step" not in named:
        settings["seq_step"] = -(-settings["seq_length"] // 2)
    return settings


def _parts(entry: Mapping[str, Any]) -> tuple[str, list[Any], dict[str, Any]]:
    """Returns an entry's kind, its values, and the options `step` and `log` as Optuna has them."""
    kind = next(kind for kind in EXTRAS if kind in entry)
    options = {name: value for name, value in entry.items() if name != kind}
    return kind, entry[kind], options | ({"log": True} if kind == "log" else {})


def suggest(space: Space, trial: Trial) -> dict[str, Any]:
    """Returns the settings that Optuna wants tried."""
    found: dict[str, Any] = {}
    for name, entry in space.items():
        kind, values, options = _parts(entry)
        if kind == "choice":
            found[name] = trial.suggest_categorical(name, values)
        elif kind == "int":
            found[name] = trial.suggest_int(name, *values, **options)
        else:
            found[name] = trial.suggest_float(name, *values, **options)
    return found


def nearest(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns for each name in the space the value of `values`, or the nearest one there."""
    return {name: _nearest(entry, values[name]) for name, entry in space.items()}


def _nearest(entry: Mapping[str, Any], value: Any) -> Any:
    kind, values, options = _parts(entry)
    if kind == "choice":
        return value if value in values else values[0]
    low, high = values
    number = min(max(value, low), high)
    if step := options.get("step"):
        number = low + min(round((number - low) / step), (high - low) // step) * step
    return number


def as_text(space: Space) -> str:
    """Returns a space as the text of a space file."""
    shown = {name.replace("_", "-"): entry for name, entry in space.items()}
    return yaml.safe_dump(shown, sort_keys=False, default_flow_style=None)


def read(path: Path) -> Scope:
    """Reads a space file.

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
        name = str(key).replace("-", "_")
        if name not in SEARCHABLE:
            raise unknown_name(path, key, SEARCHABLE)
        try:
            if isinstance(value, dict):
                space[name] = _entry(name, value)
            else:
                fixed[name] = _value(name, "choice", value)
        except (TextgenError, TypeError, ValueError) as error:
            raise TextgenError(f"{path}: {key}: {error}") from error
    return Scope(space, fixed, base == "none")


def _entry(name: str, values: dict[Any, Any]) -> dict[str, Any]:
    """Returns an entry with its values as numbers. Raises TextgenError or ValueError if wrong."""
    kind = next((kind for kind in EXTRAS if kind in values), None)
    if kind is None or (extra := set(values) - {kind} - EXTRAS[kind]):
        shown = reprlib.repr((kind and min(map(str, extra))) or values)
        raise TextgenError(
            f"it takes one of {', '.join(EXTRAS)}, as in {{float: [0, 0.5]}}; int and float also a"
            f" step. Received: {shown}"
        )
    items = values[kind]
    if not isinstance(items, list) or not items:
        raise TextgenError(f"{kind} needs values, as in [1, 2]. Received: {items!r}")
    entry = {kind: [_value(name, kind, item) for item in items]}
    entry |= {extra: _unquoted(values[extra]) for extra in values if extra != kind}
    if kind == "choice":
        return entry
    if len(items) != 2 or entry[kind][0] > entry[kind][1]:
        raise TextgenError(f"{kind} is [lowest, highest]. Received: {items!r}")
    options = _parts(entry)[2]
    step = options.get("step", 1)
    if not isinstance(step, int if kind == "int" else int | float) or step <= 0:
        raise TextgenError(f"a step is above 0, and whole where values are. Received: {step!r}")
    if options.get("log") and (entry[kind][0] <= 0 or "step" in options):
        raise TextgenError(
            f"what is drawn by its logarithm begins above 0 and has no step. Received: {values!r}"
        )
    return entry


def _value(name: str, kind: str, value: Any) -> Any:
    """Returns a value that the setting takes. Raises TextgenError where it does not."""
    value = _unquoted(value)
    if kind in ("float", "log") and isinstance(value, int):
        value = float(value)
    if kind == "int" and not isinstance(value, int):
        raise TextgenError(f"{value!r} is not a whole number")
    SEARCHABLE[name].check(name, value)
    return value


def _unquoted(value: Any) -> Any:
    """Returns a number where YAML takes it for a text, as 1e-3; no setting is a text of one."""
    with suppress(ValueError):
        return float(value) if isinstance(value, str) else value
    return value
