"""The parts that settings are made of: fields with range and help text, and checks of values.

The settings themselves are in `textgen.settings.definitions`; their flags are made in
`textgen.commands.flags`.
"""

import dataclasses
import difflib
import math
import operator
import reprlib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

from textgen.support.errors import TextgenError


def setting(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    below: float | None = None,
    choices: tuple[str, ...] = (),
    flags: tuple[str, ...] = (),
    metavar: str = "",
    alone: Any = None,
    group: str = "",
) -> Any:
    """A dataclass field with its help text and range.

    Args:
        default: the value when nothing is given; `None` marks a field that may stay unset.
        help: what the setting does, for `--help`.
        minimum, maximum: the range, ends included.
        above, below: the range, ends excluded.
        choices: the words that are allowed, where only some are.
        flags: command-line names, where they are not just the field's name.
        metavar: what `--help` calls the value, where its type does not say enough.
        alone: the value when the flag is given without one, if that may be.
        group: the heading in `--help` of this flag and of those after it, up to the next heading.
    """
    bounds = {"ge": minimum, "gt": above, "le": maximum, "lt": below}
    metadata = {
        "help": help, "choices": choices, "flags": flags, "metavar": metavar, "group": group,
        "alone": alone,
        "bounds": {name: bound for name, bound in bounds.items() if bound is not None},
    }  # fmt: skip
    return dataclasses.field(default=default, metadata=metadata)


ELSEWHERE = {
    "diversity": "temperature", "lstm_size": "rnn_size", "max_gen_length": "length",
    "max_epochs": "num_epochs", "prime": "seed", "primetext": "seed", "rnn_layers": "num_layers",
    "seed": "random_seed", "start_text": "seed", "val_frac": "validation_split",
    "wordvec_size": "embedding_size",
}  # fmt: skip
"""Names that flags, or other programs, have for our settings; see docs/migrating.md."""


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Returns which of the `known` names was meant by an unknown one, if any is that alike.

    Example:
        >>> nearest("lstm_size", ["rnn_size", "seed"]), nearest("sed", ["rnn_size", "seed"])
        ('rnn_size', 'seed')
    """
    known = list(known)
    meant = ELSEWHERE.get(name, name)
    return next(iter(difflib.get_close_matches(meant, known, n=1, cutoff=cutoff)), None)


def unknown_setting(name: str, known: Iterable[str]) -> TextgenError:
    """Returns the error for a name that is no setting, with the nearest of those `known`."""
    meant = nearest(name, sorted(known), cutoff=0)
    return TextgenError(f"unknown setting {reprlib.repr(name)}. Nearest: {meant}")


RELATIONS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
"""Bounds of a value, by the names that `operator` and pydantic have for them."""


class Settings:
    """A base class of dataclasses of settings: validation, plain dicts, defaults.

    Raises:
        TextgenError: on a value of the wrong type or out of range, naming the setting.
    """

    def __post_init__(self) -> None:
        for field in fields_of(type(self)):
            _check(field, getattr(self, field.name))

    @classmethod
    def check(cls, name: str, value: Any) -> None:
        """Raises TextgenError if the setting `name` must not be `value`."""
        _check({field.name: field for field in fields_of(cls)}[name], value)

    @classmethod
    def names(cls) -> frozenset[str]:
        """Returns the names of all settings of this class."""
        return frozenset(field.name for field in fields_of(cls))

    def changed(self) -> dict[str, Any]:
        """Returns the settings whose values are not their defaults, by name."""
        values = {field: getattr(self, field.name) for field in fields_of(type(self))}
        return {field.name: value for field, value in values.items() if value != field.default}

    def to_dict(self) -> dict[str, Any]:
        """Returns the settings as built-in values, for metadata and YAML; tuples as lists."""
        values = {field.name: getattr(self, field.name) for field in fields_of(type(self))}
        return {n: list(v) if isinstance(v, tuple) else v for n, v in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Returns the inverse of `to_dict`; names that are missing keep their defaults.

        One text does for a list of it.

        Raises:
            TextgenError: on a name that is no setting, or a value that it does not take.
        """
        if not isinstance(values, Mapping):
            raise TextgenError(f"settings come by name. Received: {reprlib.repr(values)}")
        unknown = sorted(map(str, set(values) - cls.names()))
        if unknown:
            raise unknown_setting(unknown[0], cls.names())
        lists = {field.name for field in fields_of(cls) if not kind_of(field).single}
        return cls(**{
            name: (value,) if name in lists and isinstance(value, str) else hashable(value)
            for name, value in values.items()
        })  # fmt: skip

    @classmethod
    def implied_by(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns settings that follow from those `given`, where they are not given too."""
        return {}

    @classmethod
    def from_given(
        cls, given: Mapping[str, Any], defaults: Mapping[str, Any] = types.MappingProxyType({})
    ) -> Self:
        """Returns the settings that were given, else what they imply, else `defaults`.

        What none of them says is the field's own default; names of other classes' settings are
        left alone.
        """
        together = {**defaults, **cls.implied_by(given), **given}
        return cls.from_dict({n: v for n, v in together.items() if n in cls.names()})


def fields_of(kind: type[Settings]) -> "tuple[dataclasses.Field[Any], ...]":
    """Returns the fields of a dataclass of settings, in their order."""
    return dataclasses.fields(kind)  # type: ignore[arg-type]


def hashable(value: Any) -> Any:
    """Returns lists, which argparse and JSON give, as tuples; everything else as it is."""
    return tuple(value) if isinstance(value, list) else value


class Kind(NamedTuple):
    """The values that a field's annotation allows: `int`, `float | None`, `tuple[str, ...]` ..."""

    item: type
    single: bool
    several: bool


def kind_of(field: "dataclasses.Field[Any]") -> Kind:
    """Returns the type of a field's value or values."""
    annotation = typing.cast(Any, field.type)
    union = isinstance(annotation, types.UnionType)
    kinds = typing.get_args(annotation) if union else (annotation,)
    several = [typing.get_args(kind)[0] for kind in kinds if typing.get_origin(kind) is tuple]
    single = [
        kind for kind in kinds if typing.get_origin(kind) is None and kind is not types.NoneType
    ]
    return Kind((single + several)[0], bool(single), bool(several))


JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}
JSON_BOUNDS = {
    "ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"
}  # fmt: skip


def json_schema(field: "dataclasses.Field[Any]") -> dict[str, Any]:
    """Returns a JSON Schema of the values of a field, with its default and what it does."""
    kind, choices = kind_of(field), field.metadata["choices"]
    item: dict[str, Any] = {"type": JSON_TYPES[kind.item]}
    item |= {JSON_BOUNDS[name]: bound for name, bound in field.metadata["bounds"].items()}
    item |= {"enum": list(choices)} if choices else {}
    ways = [item] if kind.single else []
    ways += [{"type": "array", "items": item}] if kind.several else []
    ways += [{"type": "null"}] if field.default is None else []
    schema = ways[0] if len(ways) == 1 else {"anyOf": ways}
    default = list(field.default) if isinstance(field.default, tuple) else field.default
    return schema | {"default": default, "description": field.metadata["help"]}


def _check(field: "dataclasses.Field[Any]", value: Any) -> None:
    if value is None and field.default is None:
        return
    kind, name = kind_of(field), f"`{field.name}`"
    several = kind.several and isinstance(value, tuple) and (len(value) > 0 or not kind.single)
    if not several and not kind.single:
        raise TextgenError(
            f"{name} takes several values of type {kind.item.__name__}, as a list."
            f" Received: {value!r}"
        )
    for item in value if several else (value,):
        _check_item(field, kind.item, item)


def _check_item(field: "dataclasses.Field[Any]", kind: type, value: Any) -> None:
    name = f"`{field.name}`"
    accepted: Any = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise TextgenError(
            f"{name} takes a value of type {kind.__name__}. Received: {reprlib.repr(value)}"
        )
    if value == "":
        raise TextgenError(f"{name} must not be empty")
    if kind is float and not math.isfinite(value):
        raise TextgenError(f"{name} must be a finite number. Received: {value}")
    for relation, bound in field.metadata["bounds"].items():
        if not getattr(operator, relation)(value, bound):
            raise TextgenError(f"{name} must be {RELATIONS[relation]} {bound}. Received: {value}")
    choices = field.metadata["choices"]
    if choices and value not in choices:
        raise TextgenError(f"{name} must be one of {', '.join(choices)}. Received: {value}")
