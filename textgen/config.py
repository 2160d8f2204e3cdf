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
from typing import Any, NamedTuple, NoReturn, Self

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
    choices: tuple[str, ...] = (),
    flags: tuple[str, ...] = (),
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
    """
    bounds = {"at least": minimum, "above": above, "at most": maximum, "below": below}
    bounds = {words: bound for words, bound in bounds.items() if bound is not None}
    words = default if words is None else words
    metadata = {
        "help": help, "bounds": bounds, "choices": choices, "flags": flags, "words": words,
    }  # fmt: skip
    return dataclasses.field(default=default, metadata=metadata)


WITHIN = {
    "at least": lambda value, bound: value >= bound,
    "above": lambda value, bound: value > bound,
    "at most": lambda value, bound: value <= bound,
    "below": lambda value, bound: value < bound,
}

MAX_VOCABULARY = 300_000
"""Tokens; more make a network too slow for this project, and `model.pkl` too large to read back."""
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
        return cls(**{name: _plain(value) for name, value in values.items()})

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
            parser.add_argument(
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
        values = cls.defaults(word_tokens)
        wanted = dict(chosen) | vars(arguments)
        return cls(**values | {n: _plain(v) for n, v in wanted.items() if n in values})


def flags_of(field: "dataclasses.Field[Any]") -> tuple[str, ...]:
    """The command-line names of a field, the documented one first."""
    return field.metadata["flags"] or ("--" + field.name.replace("_", "-"),)


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
    return {
        "type": numbers if kind.several else kind.item,
        "metavar": "|".join(field.metadata["choices"]) or METAVARS[kind.item],
    }


def numbers(text: str) -> float | tuple[float, ...]:
    """One number, or several with commas between them. Raises ValueError."""
    numbers = tuple(float(part) for part in text.split(","))
    return numbers if len(numbers) > 1 else numbers[0]


numbers.__name__ = "number"  # argparse's word for it: "invalid number value: 'x'"


def _plain(value: Any) -> Any:
    """Lists, which argparse and JSON give, as tuples, which are hashable."""
    return tuple(value) if isinstance(value, list) else value


def _check(field: "dataclasses.Field[Any]", value: Any) -> None:
    if value is None and field.default is None:
        return
    kind = _kind(field)
    several = kind.several and isinstance(value, tuple) and (len(value) > 0 or not kind.single)
    if not several and not kind.single:
        raise TextgenError(
            f"{flags_of(field)[0]} takes several values of type {kind.item.__name__}, as a list."
            f" Received: {value!r}"
        )
    for item in value if several else (value,):
        _check_item(field, kind.item, item)


def _check_item(field: "dataclasses.Field[Any]", kind: type, value: Any) -> None:
    name = flags_of(field)[0]
    accepted: Any = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise TextgenError(
            f"{name} takes a value of type {kind.__name__}. Received: {reprlib.repr(value)}"
        )
    if value == "":
        raise TextgenError(f"{name} must not be empty")
    if kind is float and not math.isfinite(value):
        raise TextgenError(f"{name} must be a finite number. Received: {value}")
    for words, bound in field.metadata["bounds"].items():
        if not WITHIN[words](value, bound):
            raise TextgenError(f"{name} must be {words} {bound}. Received: {value}")
    choices = field.metadata["choices"]
    if choices and value not in choices:
        raise TextgenError(f"{name} must be one of {', '.join(choices)}. Received: {value}")


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
    max_vocab: int = option(
        50_000, "most tokens in the vocabulary, commonest first", minimum=2, maximum=MAX_VOCABULARY
    )
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
    num_layers: int = option(2, "recurrent layers", words=1, minimum=1, maximum=100)
    dropout: float = option(
        0.0,
        "share of each layer's outputs dropped while training, the same ones at all steps of a"
        " sequence",
        words=0.5, minimum=0, below=1,
    )  # fmt: skip
    embedding_dropout: float = option(
        0.0,
        "share of the numbers of token vectors dropped while training, likewise",
        words=0.3, minimum=0, below=1,
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

    The defaults come from measurements, which the README lists under "Why these settings".
    """

    batch_size: int = option(32, "rows that are read side by side (B)", words=16, minimum=1)
    seq_length: int = option(50, "tokens between two updates (T)", words=35, minimum=1)
    seq_step: int = option(
        25,
        "offset between two passes over the text: an epoch makes one pass from each of the"
        " tokens 0, step, 2 x step, ... below --seq-length",
        minimum=1,
    )
    num_epochs: int = option(
        50, "epochs: times to go through the text, or --steps-per-epoch", minimum=1
    )
    steps_per_epoch: int | None = option(
        None,
        "steps in an epoch, after which models are saved, measured and sampled (default: those of"
        " going through the whole text)",
        minimum=1,
    )
    minutes: float | None = option(
        None, "train for this wall time instead of --num-epochs", above=0
    )
    patience: int | None = option(None, "stop after so many epochs without improvement", minimum=1)
    save_every: int | None = option(
        None, "steps between two savings of the full training state, beside one per minute",
        minimum=1,
    )  # fmt: skip
    learning_rate: float = option(0.008, "peak learning rate of AdamW", words=0.003, above=0)
    weight_decay: float = option(
        0.05, "every update shrinks the weights by this share of the learning rate", minimum=0
    )
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
    """How a text is written: how each next token is drawn, and where the text ends.

    The logits go through, in this order (the order and the meanings of Hugging Face
    transformers' logits processors): repetition penalty, bans, temperature, top-k, top-p, min-p.
    """

    length: int = option(
        1000, "characters, or words, to make after the seed; -1: until Ctrl-C", minimum=-1
    )
    temperature: float | tuple[float, ...] = option(
        1.0,
        "temperature: lower is safer, higher wilder, 0 always the likeliest token; 0.2,0.8 takes"
        " turns from token to token",
        minimum=0,
        flags=("--diversity", "--temperature"),
    )
    top_k: int | None = option(None, "draw among the K likeliest tokens only", minimum=1)
    top_p: float | None = option(
        None,
        "draw among the likeliest tokens that together have this probability",
        above=0,
        maximum=1,
    )
    min_p: float | None = option(
        None,
        "draw among tokens at least this probable, as a share of the likeliest one's probability",
        minimum=0,
        maximum=1,
    )
    repetition_penalty: float = option(
        1.0,
        "above 1: tokens of the last --repetition-window become less likely",
        above=0,
    )
    repetition_window: int = option(
        64, "tokens back, seed included, that the penalty looks", minimum=1
    )
    sample_mode: str = option(
        "sample",
        "sample: draw; argmax: always the likeliest token; spaces: draw after a space only (word"
        " models: after a sentence), so that words hold together",
        choices=("sample", "argmax", "spaces"),
    )
    stop: tuple[str, ...] = option((), "end before this text; repeat the flag for more texts")
    until_paragraph: bool = option(False, "end with the paragraph: before the next blank line")
    ban: tuple[str, ...] = option((), "a text that must not appear; repeat the flag for more")
    force: tuple[str, ...] = option(
        (), "a text that must appear; several are spread over the length; repeat the flag for more"
    )
    beam_size: int | None = option(
        None, "search for the likeliest text, keeping N candidates, instead of drawing", minimum=1
    )
    random_seed: int | None = option(None, "number that makes the text repeatable", minimum=0)


class ArgumentParser(argparse.ArgumentParser):
    """An argparse parser that shows defaults in `--help` and raises `TextgenError` on mistakes."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", _DefaultsFormatter)
        super().__init__(**settings)

    def error(self, message: str) -> NoReturn:
        raise TextgenError(f"{message} (see {self.prog} --help)")


class _DefaultsFormatter(argparse.ArgumentDefaultsHelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False or action.default == []:
            return action.help
        return super()._get_help_string(action)
