"""Every setting of textgen, defined once: default, allowed range, help text.

The command-line flags, the metadata saved with a model and `model.yaml` are all made from the
fields of these frozen dataclasses. `--rnn-size` is `ModelConfig.rnn_size`, and so on.
"""

import argparse
import dataclasses
import math
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
    words: Any = None,
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
        words: the default of word models, where it is another.
        minimum, maximum: the range, ends included.
        above, below: the range, ends excluded.
        flags: command-line names, where they are not just the field's name.
    """
    bounds = {"at least": minimum, "above": above, "at most": maximum, "below": below}
    bounds = {words: bound for words, bound in bounds.items() if bound is not None}
    words = default if words is None else words
    metadata = {"help": help, "bounds": bounds, "flags": flags, "words": words}
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
        names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(map(str, set(values) - names))
        if unknown:
            raise TextgenError(f"unknown setting {unknown[0]!r}; known: {', '.join(sorted(names))}")
        return cls(**values)

    @classmethod
    def defaults(cls, word_tokens: bool) -> dict[str, Any]:
        """What each setting is when nobody says otherwise, for word or for character models."""
        fields = dataclasses.fields(cls)  # type: ignore[arg-type]
        return {
            field.name: field.metadata["words"] if word_tokens else field.default
            for field in fields
        }

    @classmethod
    def add_flags(cls, parser: argparse.ArgumentParser) -> None:
        """Add one flag per field to `parser`; only the flags that are given leave a value."""
        for field in dataclasses.fields(cls):  # type: ignore[arg-type]
            kind = _kind(field)
            how: dict[str, Any] = {"type": kind, "metavar": METAVARS.get(kind)}
            if kind is bool:
                switches_off = field.metadata["words"] is not field.default
                how = {"action": argparse.BooleanOptionalAction if switches_off else "store_true"}
            parser.add_argument(
                *flags_of(field), dest=field.name, default=argparse.SUPPRESS,
                help=field.metadata["help"] + _shown_default(field), **how,
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
        values = cls.defaults(word_tokens)
        wanted = dict(chosen) | vars(arguments)
        return cls(**values | {n: v for n, v in wanted.items() if n in values})


def flags_of(field: "dataclasses.Field[Any]") -> tuple[str, ...]:
    """The command-line names of a field, the documented one first."""
    return field.metadata["flags"] or ("--" + field.name.replace("_", "-"),)


def _shown_default(field: "dataclasses.Field[Any]") -> str:
    words = field.metadata["words"]
    if field.default is None or field.default is words is False:
        return ""
    shown = [f"default: {field.default}"] if field.default is not False else []
    shown += [f"word models: {words}"] if words != field.default else []
    return f" ({'; '.join(shown)})".replace("True", "on")


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
        raise TextgenError(f"{name} takes a value of type {kind.__name__}. Received: {value!r}")
    if kind is float and not math.isfinite(value):
        raise TextgenError(f"{name} must be a finite number. Received: {value}")
    for words, bound in field.metadata["bounds"].items():
        if not WITHIN[words](value, bound):
            raise TextgenError(f"{name} must be {words} {bound}. Received: {value}")


@dataclass(frozen=True)
class TokenizerConfig(Config):
    """How text becomes tokens, and which of them the vocabulary keeps."""

    word_tokens: bool = option(False, "model words instead of characters")
    pristine_input: bool = option(
        False,
        "take the text as it is: characters keep their case, words are what stands between"
        " white space (implies --pristine-output)",
    )
    pristine_output: bool = option(
        False, "join generated words with single spaces instead of setting them like prose"
    )
    lowercase: bool = option(
        False, "lower the case of words too (characters are lowered unless --pristine-input)"
    )
    max_vocab: int = option(50_000, "most tokens in the vocabulary, commonest first", minimum=2)
    min_count: int | None = option(
        None,
        "times a token has to stand in the training text to be in the vocabulary (default: 1,"
        " or 2 for more than 50,000 words)",
        minimum=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lowercase and self.pristine_input:
            raise TextgenError(
                "--lowercase contradicts --pristine-input, which keeps the text as it is. Leave"
                " one of them out"
            )


@dataclass(frozen=True)
class ModelConfig(Config):
    """The shape of the network.

    Defaults of word models: see `TrainingConfig`.
    """

    embedding_size: int = option(64, "numbers per token vector (D)", words=256, minimum=1)
    rnn_size: int = option(128, "units per recurrent layer (H)", words=256, minimum=1)
    num_layers: int = option(2, "recurrent layers", words=1, minimum=1)
    dropout: float = option(
        0.0,
        "share of each layer's outputs dropped while training, the same ones at all steps of a"
        " sequence",
        words=0.5, minimum=0, below=1,
    )  # fmt: skip
    tie_weights: bool = option(
        False,
        "use the token vectors for the output too, where --embedding-size is --rnn-size",
        words=True,
    )

    @property
    def is_tied(self) -> bool:
        """Whether embedding and output share their weights (Press & Wolf 2017)."""
        return self.tie_weights and self.embedding_size == self.rnn_size


@dataclass(frozen=True)
class TrainingConfig(Config):
    """How a model is trained.

    The defaults of learning rate (and of the schedule, see `textgen.callbacks.learning_rate`)
    come from a measurement on tinyshakespeare: 70 seconds of the default model reached 1.59 nats
    per character with Adam at 0.004 and a cosine, 1.82 with rmsprop at 0.001.
    """

    batch_size: int = option(32, "rows that are read side by side (B)", words=16, minimum=1)
    seq_length: int = option(50, "tokens between two updates (T)", words=35, minimum=1)
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
    patience: int | None = option(None, "stop after so many epochs without improvement", minimum=1)
    save_every: int | None = option(
        None, "steps between two savings of the full training state, beside one per minute",
        minimum=1,
    )  # fmt: skip
    learning_rate: float = option(0.004, "peak learning rate of Adam", words=0.003, above=0)
    validation_split: float = option(
        0.0, "share of the text held out, where there is no validate.txt", minimum=0, below=1
    )
    random_seed: int | None = option(
        None,
        "number that makes a run repeatable; drawn and recorded if not given",
        minimum=0,
        maximum=2**32 - 1,
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
