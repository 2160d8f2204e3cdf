"""The machinery of settings: fields with range and help, their validation, their flags.

What the settings are is said in `textgen.settings.definitions`.
"""

import argparse
import dataclasses
import difflib
import math
import reprlib
import types
import typing
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn, Self

from textgen.support.errors import TextgenError


def setting(
    default: Any,
    help: str,
    *,
    words: Any = None,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    below: float | None = None,
    choices: tuple[str, ...] = (),
    flags: tuple[str, ...] = (),
    metavar: str = "",
    group: str = "",
) -> Any:
    """A dataclass field with its help text and range.

    Args:
        default: the value when nothing is given; `None` marks a field that may stay unset.
        help: what the setting does, for `--help`.
        words: the default of word models, where it is another.
        minimum, maximum: the range, ends included.
        above, below: the range, ends excluded.
        choices: the words that are allowed, where only some are.
        flags: command-line names, where they are not just the field's name.
        metavar: what `--help` calls the value, where its type does not say enough.
        group: the heading in `--help` of this flag and of those after it, up to the next heading.
    """
    bounds = {"at least": minimum, "above": above, "at most": maximum, "below": below}
    metadata = {
        "help": help, "choices": choices, "flags": flags, "metavar": metavar, "group": group,
        "words": default if words is None else words,
        "bounds": {relation: bound for relation, bound in bounds.items() if bound is not None},
    }  # fmt: skip
    return dataclasses.field(default=default, metadata=metadata)


WITHIN = {
    "at least": lambda value, bound: value >= bound,
    "above": lambda value, bound: value > bound,
    "at most": lambda value, bound: value <= bound,
    "below": lambda value, bound: value < bound,
}

METAVARS = {int: "N", float: "X", str: "TEXT"}


class Settings:
    """What the configurations share: validation, plain dicts and flags.

    Raises:
        TextgenError: on a value of the wrong type or out of range, naming its flag.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            _check(field, getattr(self, field.name), flags_of(field)[0])

    @classmethod
    def check(cls, name: str, value: Any, flag: str) -> None:
        """Refuse what the field `name` must not be, as the value of another command's `flag`."""
        fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        _check(fields[name], value, flag)

    def to_dict(self) -> dict[str, Any]:
        """The settings as built-in values, for metadata and YAML; tuples as lists."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        values = {field.name: getattr(self, field.name) for field in fields}
        return {n: list(v) if isinstance(v, tuple) else v for n, v in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; names that are missing keep their defaults."""
        if not isinstance(values, Mapping):
            raise TextgenError(f"settings come by name. Received: {reprlib.repr(values)}")
        names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(map(str, set(values) - names))
        if unknown:
            raise TextgenError(
                f"unknown setting {reprlib.repr(unknown[0])}; known: {', '.join(sorted(names))}"
            )
        return cls(**{name: plain(value) for name, value in values.items()})

    @classmethod
    def defaults(cls, word_tokens: bool) -> dict[str, Any]:
        """What each setting is when nobody says otherwise, for word or for character models."""
        fields = dataclasses.fields(cls)  # type: ignore[arg-type]
        return {
            field.name: field.metadata["words"] if word_tokens else field.default
            for field in fields
        }

    @classmethod
    def completed(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Settings that follow from the flags that were `given`, where they are not given too."""
        return {}

    @classmethod
    def add_flags(
        cls, parser: argparse.ArgumentParser, without: frozenset[str] = frozenset()
    ) -> None:
        """Add one flag per field to `parser`; only the flags that are given leave a value."""
        group: argparse._ActionsContainer = parser
        for field in dataclasses.fields(cls):  # type: ignore[arg-type]
            if field.metadata["group"]:
                group = parser.add_argument_group(field.metadata["group"])
            if field.name not in without:
                group.add_argument(
                    *flags_of(field), dest=field.name, default=argparse.SUPPRESS,
                    help=field.metadata["help"] + _shown_default(field), **_flag(field),
                )  # fmt: skip

    @classmethod
    def from_flags(
        cls,
        arguments: argparse.Namespace,
        word_tokens: bool = False,
        chosen: Mapping[str, Any] = types.MappingProxyType({}),
    ) -> Self:
        """The flags that were given, else the values chosen, else defaults.

        Names that are not of this configuration are left alone.
        """
        values, given = cls.defaults(word_tokens), vars(arguments)
        wanted = dict(chosen) | cls.completed(given) | given
        return cls(**values | {n: plain(v) for n, v in wanted.items() if n in values})


def flags_of(field: "dataclasses.Field[Any]") -> tuple[str, ...]:
    """The command-line names of a field, the documented one first."""
    return field.metadata["flags"] or ("--" + field.name.replace("_", "-"),)


def as_flag(name: str, value: Any) -> str:
    """A setting as on a command line: `--rnn-size 64`, `--no-tie-weights`."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag} {value}"


def _shown_default(field: "dataclasses.Field[Any]") -> str:
    words = field.metadata["words"]
    if field.default in (None, ()) or field.default is words is False:
        return ""
    shown = [f"default: {field.default}"] if field.default is not False else []
    shown += [f"word models: {words}"] if words != field.default else []
    return f" ({'; '.join(shown)})".replace("True", "on")


class _Kind(NamedTuple):
    """What a field's annotation allows: `int`, `float | None`, `tuple[str, ...]`, ..."""

    item: type
    single: bool
    several: bool


def _kind(field: "dataclasses.Field[Any]") -> _Kind:
    annotation = typing.cast(Any, field.type)
    union = isinstance(annotation, types.UnionType)
    kinds = typing.get_args(annotation) if union else (annotation,)
    several = [typing.get_args(kind)[0] for kind in kinds if typing.get_origin(kind) is tuple]
    single = [
        kind for kind in kinds if typing.get_origin(kind) is None and kind is not types.NoneType
    ]
    return _Kind((single + several)[0], bool(single), bool(several))


def _flag(field: "dataclasses.Field[Any]") -> dict[str, Any]:
    """How argparse reads a field; a flag for several values is repeated, or has commas."""
    kind = _kind(field)
    if kind.item is bool:
        switches_off = field.metadata["words"] is not field.default
        return {"action": argparse.BooleanOptionalAction if switches_off else "store_true"}
    if not kind.single:
        return {"action": "append", "metavar": METAVARS[kind.item]}
    choices = "|".join(field.metadata["choices"])
    return {
        "type": numbers if kind.several else kind.item,
        "metavar": field.metadata["metavar"] or choices or METAVARS[kind.item],
    }


def numbers(text: str) -> float | tuple[float, ...]:
    """One number, or several with commas between them. Raises ValueError."""
    numbers = tuple(float(part) for part in text.split(","))
    return numbers if len(numbers) > 1 else numbers[0]


numbers.__name__ = "number"
"""Argparse's word for it: "invalid number value: 'x'"."""


def plain(value: Any) -> Any:
    """Lists, which argparse and JSON give, as tuples, which are hashable."""
    return tuple(value) if isinstance(value, list) else value


def _check(field: "dataclasses.Field[Any]", value: Any, flag: str) -> None:
    if value is None and field.default is None:
        return
    kind = _kind(field)
    several = kind.several and isinstance(value, tuple) and (len(value) > 0 or not kind.single)
    if not several and not kind.single:
        raise TextgenError(
            f"{flag} takes several values of type {kind.item.__name__}, as a list."
            f" Received: {value!r}"
        )
    for item in value if several else (value,):
        _check_item(field, kind.item, item, flag)


def _check_item(field: "dataclasses.Field[Any]", kind: type, value: Any, flag: str) -> None:
    accepted: Any = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise TextgenError(
            f"{flag} takes a value of type {kind.__name__}. Received: {reprlib.repr(value)}"
        )
    if value == "":
        raise TextgenError(f"{flag} must not be empty")
    if kind is float and not math.isfinite(value):
        raise TextgenError(f"{flag} must be a finite number. Received: {value}")
    for relation, bound in field.metadata["bounds"].items():
        if not WITHIN[relation](value, bound):
            raise TextgenError(f"{flag} must be {relation} {bound}. Received: {value}")
    choices = field.metadata["choices"]
    if choices and value not in choices:
        raise TextgenError(f"{flag} must be one of {', '.join(choices)}. Received: {value}")


class ArgumentParser(argparse.ArgumentParser):
    """An argparse parser that shows defaults in `--help` and raises `TextgenError` on mistakes."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", _DefaultsFormatter)
        super().__init__(**settings)

    @property
    def actions(self) -> dict[str, argparse.Action]:
        """What was added, by name, in groups or not."""
        return {action.dest: action for action in self._actions}

    def error(self, message: str) -> NoReturn:
        raise TextgenError(f"{message}{self._nearest(message)} (see {self.prog} --help)")

    def _nearest(self, message: str) -> str:
        """The flag that may have been meant, where argparse knew none of that name."""
        unknown = message.partition("unrecognized arguments: --")[2].replace("=", " ").split()
        known = list(self._option_string_actions)
        near = difflib.get_close_matches(f"--{unknown[0]}", known, n=1) if unknown else []
        return f". Nearest: {near[0]}" if near else ""


class _DefaultsFormatter(argparse.ArgumentDefaultsHelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False or action.default == []:
            return action.help
        return super()._get_help_string(action)
