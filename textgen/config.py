"""Every setting of textgen, defined once: default, allowed range, help text.

The command-line flags, the metadata saved with a model and `model.yaml` are all made from the
fields of these frozen dataclasses. `--rnn-size` is `ModelConfig.rnn_size`, and so on.
"""

import argparse
import dataclasses
import math
import reprlib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Self

from textgen.errors import TextgenError


def option(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    below: float | None = None,
    flags: tuple[str, ...] = (),
) -> Any:
    """A dataclass field with its help text and range.

    Args:
        default: the value when nothing is given; `None` marks a field that may stay unset.
        help: what the setting does, for `--help`.
        minimum, maximum: the range, ends included.
        above, below: the range, ends excluded.
        flags: command-line names, where they are not just the field's name.
    """
    bounds = {"at least": minimum, "above": above, "at most": maximum, "below": below}
    bounds = {words: bound for words, bound in bounds.items() if bound is not None}
    metadata = {"help": help, "bounds": bounds, "flags": flags}
    return dataclasses.field(default=default, metadata=metadata)


WITHIN = {
    "at least": lambda value, bound: value >= bound,
    "above": lambda value, bound: value > bound,
    "at most": lambda value, bound: value <= bound,
    "below": lambda value, bound: value < bound,
}

METAVARS = {int: "N", float: "X", str: "TEXT"}


class Config:
    """What the configurations share: validation, plain dicts and flags.

    Raises:
        TextgenError: on a value of the wrong type or out of range, naming its flag.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            _check(field, getattr(self, field.name))

    def to_dict(self) -> dict[str, Any]:
        """The settings as built-in values, for metadata and YAML."""
        return dataclasses.asdict(self)  # type: ignore[call-overload, no-any-return]

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
        return cls(**values)

    @classmethod
    def add_flags(cls, parser: argparse.ArgumentParser) -> None:
        """Add one flag per field to `parser`."""
        for field in dataclasses.fields(cls):  # type: ignore[arg-type]
            kind = _kind(field)
            how: dict[str, Any] = {"type": kind, "metavar": METAVARS.get(kind)}
            if kind is bool:
                how = {"action": "store_true"}
            parser.add_argument(
                *flags_of(field), dest=field.name, default=field.default,
                help=field.metadata["help"], **how,
            )  # fmt: skip

    @classmethod
    def from_flags(cls, arguments: argparse.Namespace) -> Self:
        """The configuration that parsed arguments hold (other arguments are left alone)."""
        names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
        return cls(**{name: getattr(arguments, name) for name in names})


def flags_of(field: "dataclasses.Field[Any]") -> tuple[str, ...]:
    """The command-line names of a field, the documented one first."""
    return field.metadata["flags"] or ("--" + field.name.replace("_", "-"),)


def _kind(field: "dataclasses.Field[Any]") -> type:
    """`int` for a field annotated `int` or `int | None`."""
    annotation = typing.cast(Any, field.type)
    if isinstance(annotation, types.UnionType):
        (annotation,) = (kind for kind in typing.get_args(annotation) if kind is not types.NoneType)
    return typing.cast(type, annotation)


def _check(field: "dataclasses.Field[Any]", value: Any) -> None:
    if value is None and field.default is None:
        return
    name, kind = flags_of(field)[0], _kind(field)
    accepted: Any = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise TextgenError(
            f"{name} takes a value of type {kind.__name__}. Received: {reprlib.repr(value)}"
        )
    if kind is float and not math.isfinite(value):
        raise TextgenError(f"{name} must be a finite number. Received: {value}")
    for words, bound in field.metadata["bounds"].items():
        if not WITHIN[words](value, bound):
            raise TextgenError(f"{name} must be {words} {bound}. Received: {value}")


@dataclass(frozen=True)
class TokenizerConfig(Config):
    """How text becomes tokens."""

    word_tokens: bool = option(False, "model words instead of characters")
    pristine_input: bool = option(
        False,
        "take the text as it is: characters keep their case, words are what stands between"
        " white space (implies --pristine-output)",
    )
    pristine_output: bool = option(
        False, "join generated words with single spaces instead of setting them like prose"
    )


@dataclass(frozen=True)
class ModelConfig(Config):
    """The shape of the network."""

    embedding_size: int = option(64, "numbers per token vector (D)", minimum=1)
    rnn_size: int = option(128, "units per recurrent layer (H)", minimum=1)
    num_layers: int = option(2, "recurrent layers", minimum=1, maximum=100)
    dropout: float = option(
        0.0, "share of each layer's outputs dropped while training", minimum=0, below=1
    )


@dataclass(frozen=True)
class TrainingConfig(Config):
    """How a model is trained.

    The defaults of learning rate (and of the schedule, see `textgen.training.Schedule`) come
    from a measurement on tinyshakespeare: 70 seconds of the default model reached 1.59 nats per
    character with Adam at 0.004 and a cosine, 1.82 with rmsprop at 0.001.
    """

    batch_size: int = option(32, "rows that are read side by side (B)", minimum=1)
    seq_length: int = option(50, "tokens between two updates (T)", minimum=1)
    seq_step: int = option(
        25,
        "offset between two passes over the text: an epoch makes one pass from each of the"
        " tokens 0, step, 2 x step, ... below --seq-length",
        minimum=1,
    )
    num_epochs: int = option(50, "times to go through the text", minimum=1)
    minutes: float | None = option(
        None, "train for this wall time instead of --num-epochs", above=0
    )
    learning_rate: float = option(0.004, "peak learning rate of Adam", above=0)
    validation_split: float = option(
        0.0, "share of the text held out, where there is no validate.txt", minimum=0, below=1
    )
    random_seed: int | None = option(
        None, "number that makes a run repeatable", minimum=0, maximum=2**32 - 1
    )
    live_sample: bool = option(False, "print samples after every epoch")


@dataclass(frozen=True)
class SamplingConfig(Config):
    """How the next token is drawn from the logits."""

    temperature: float = option(
        1.0,
        "temperature: below 1 safer, above 1 wilder, 0 always the likeliest token",
        minimum=0,
        flags=("--diversity", "--temperature"),
    )


class ArgumentParser(argparse.ArgumentParser):
    """An argparse parser that shows defaults in `--help` and raises `TextgenError` on mistakes."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", _DefaultsFormatter)
        super().__init__(**settings)

    def error(self, message: str) -> NoReturn:
        raise TextgenError(f"{message} (see {self.prog} --help)")


class _DefaultsFormatter(argparse.ArgumentDefaultsHelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)
