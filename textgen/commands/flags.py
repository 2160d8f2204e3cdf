"""Flags made from settings, and parsers that raise TextgenError on mistakes."""

import argparse
import contextlib
import dataclasses
import reprlib
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from textgen.settings.definitions import DEFAULT_FOLDER, DEFAULT_TOKENS, LENGTHS
from textgen.settings.fields import Kind, Settings, fields_of, kind_of, nearest, setting
from textgen.settings.request import TRAIN_SETTINGS, is_more
from textgen.support import console
from textgen.support.errors import TextgenError

if TYPE_CHECKING:
    from textgen.tokens.tokenizer import Tokenizer

Value = TypeVar("Value")

METAVARS = {int: "N", float: "X", str: "TEXT"}


def add_common(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that the commands share that train."""
    parser.add_argument(
        "--data-dir", metavar="FOLDER", type=Path, action=_Once,
        help="folder with input.txt, and validate.txt if there is held-out text (default:"
        f" {DEFAULT_FOLDER})",
    )  # fmt: skip
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument(
        "--quiet", action="store_true", help="say nothing but warnings and errors"
    )
    loudness.add_argument(
        "--verbose", action="store_true", help="say all settings, and more about each epoch"
    )


class _Once(argparse.Action):
    """Keeps the value of a flag that may be given once."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace,
        values: Any, option_string: str | None = None,
    ) -> None:  # fmt: skip
        before = getattr(namespace, self.dest)
        if before != self.default:
            parser.error(f"{option_string} is given twice: {before} and {values}. Give one")
        setattr(namespace, self.dest, values)


def verbosity(arguments: argparse.Namespace) -> contextlib.AbstractContextManager[None]:
    """Returns a context in which as much is said as --quiet or --verbose ask for."""
    level = console.Verbosity.VERBOSE if arguments.verbose else console.Verbosity.USUAL
    return console.verbosity(console.Verbosity.QUIET if arguments.quiet else level)


def add_settings(
    parser: argparse.ArgumentParser, kind: type[Settings], without: frozenset[str] = frozenset()
) -> None:
    """Adds a flag per setting of `kind` to `parser`; only flags that are given leave a value."""
    group: argparse._ActionsContainer = parser
    others = _other_tokenizers() if kind in TRAIN_SETTINGS else []
    for field in flag_fields(kind):
        if field.metadata["group"]:
            group = parser.add_argument_group(field.metadata["group"])
        if field.name not in without:
            group.add_argument(
                *flags_of(field), dest=field.name, default=argparse.SUPPRESS,
                help=field.metadata["help"] + _shown_default(field, others),
                **_reading(field, others),
            )  # fmt: skip


def given_settings(arguments: argparse.Namespace, *kinds: type[Settings]) -> dict[str, Any]:
    """Returns the settings of `kinds` that were given as flags, by name."""
    names = {field.name for kind in kinds for field in flag_fields(kind)}
    return {name: value for name, value in vars(arguments).items() if name in names}


def flag_fields(kind: type[Settings]) -> "Iterator[dataclasses.Field[Any]]":
    """Yields the fields of `kind` that have flags, in their order.

    They are its own, and `NAME_tokens` for `tokens: NAME`, but not for the default.
    """
    for field in fields_of(kind):
        yield field
        if field.name != "tokens":
            continue
        for tokenizer in _other_tokenizers():
            own = (f"{tokenizer.name}_tokens", bool, setting(False, tokenizer.help))
            yield from fields_of(dataclasses.make_dataclass("Flags", [own], bases=(Settings,)))


def _other_tokenizers() -> "list[type[Tokenizer]]":
    """Returns those that are asked for by a flag."""
    from textgen.tokens import TOKENIZERS  # here, because --help of sampling needs no NumPy

    return [tokenizer for name, tokenizer in TOKENIZERS.items() if name != DEFAULT_TOKENS]


def flags_of(field: "dataclasses.Field[Any]") -> tuple[str, ...]:
    """Returns the command-line names of a field, the documented one first."""
    return field.metadata["flags"] or ("--" + field.name.replace("_", "-"),)


def _shown_default(field: "dataclasses.Field[Any]", others: "list[type[Tokenizer]]") -> str:
    if field.default == ():
        return "; repeat the flag for more"
    has_none = field.default is None or field.default is False
    shown = [] if has_none else [f"default: {field.default}"]
    shown += [
        f"{tokenizer.unit} models: {tokenizer.defaults[field.name]}"
        for tokenizer in others
        if field.name in tokenizer.defaults
    ]
    return f" ({'; '.join(shown)})".replace("True", "on") if shown else ""


def _reading(field: "dataclasses.Field[Any]", others: "list[type[Tokenizer]]") -> dict[str, Any]:
    """Returns how argparse reads a field; a flag for several values is repeated, or has commas."""
    kind = kind_of(field)
    if kind.item is bool:
        switches_off = any(field.name in tokenizer.defaults for tokenizer in others)
        return {"action": argparse.BooleanOptionalAction if switches_off else "store_true"}
    if not kind.single:
        return {"action": "append", "metavar": METAVARS[kind.item]}
    choices, alone = "|".join(field.metadata["choices"]), field.metadata["alone"]
    return {
        **({} if alone is None else {"nargs": "?", "const": alone}),
        "type": _reader(field.name, kind),
        "metavar": field.metadata["metavar"] or choices or METAVARS[kind.item],
    }


def _reader(name: str, kind: Kind) -> Callable[[str], Any]:
    """Returns what makes a value of the text of a flag; lengths such as +5 stay texts."""
    if kind.several:
        return numbers
    read = READERS[kind.item]
    if name not in LENGTHS:
        return read
    return lambda text: text if read(text) and is_more(text) else read(text)


def whole(text: str) -> int:
    """Returns a whole number. Raises ArgumentTypeError."""
    return _read(int, text, "a whole number")


def positive(text: str) -> int:
    """Returns a whole number above 0. Raises ArgumentTypeError."""
    number = whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1. Received: {number}")
    return number


def numbers(text: str) -> float | tuple[float, ...]:
    """Returns one number, or several that have commas between them. Raises ArgumentTypeError."""
    values = _read(_floats, text, "a number, or several as in 0.5,0.8")
    return values if len(values) > 1 else values[0]


def _number(text: str) -> float:
    return _read(float, text, "a number")


def _floats(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _read(kind: Callable[[str], Value], text: str, what: str) -> Value:
    """Returns the value of a text. Raises ArgumentTypeError, which names both."""
    try:
        return kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be {what}. Received: {reprlib.repr(text)}"
        ) from None


READERS: dict[type, Callable[[str], Any]] = {int: whole, float: _number, str: str}


class ArgumentParser(argparse.ArgumentParser):
    """An argparse parser that shows defaults in `--help` and raises `TextgenError` on mistakes."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", _DefaultsFormatter)
        super().__init__(**settings)

    @property
    def actions(self) -> dict[str, argparse.Action]:
        """The flags that were added, by name, in groups or not."""
        return {action.dest: action for action in self._actions}

    def read(self, argv: Sequence[str]) -> argparse.Namespace:
        """Returns what was given; messages name these flags from now on."""
        flags = {name: action.option_strings for name, action in self.actions.items()}
        console.add_flags({name: options[0] for name, options in flags.items() if options})
        arguments, unknown = self.parse_known_args(argv)
        if unknown:
            shown = " ".join(unknown)
            self.error(f"unrecognized arguments: {shown}{self._meant(unknown[0])}")
        return arguments

    def error(self, message: str) -> NoReturn:
        raise TextgenError(f"{message} (see {self.prog} --help)")

    def _meant(self, unknown: str) -> str:
        """Returns what may have been meant by a word of the command line that is no flag."""
        if unknown.lower() in ("true", "false"):
            return ". A switch has no value: give the flag alone, or leave it out"
        if unknown.startswith("-"):
            flags = {_plain(flag): flag for flag in self._option_string_actions}
            meant = nearest(_plain(unknown.partition("=")[0]), flags)
            return f". Nearest: {flags[meant]}" if meant else ""
        path = Path(unknown)
        if "data_dir" not in self.actions or not path.exists():
            seed = f". A seed is given as --seed {shlex.quote(unknown)}"
            return seed if "seed" in self.actions else ""
        if path.is_dir():
            return f". A folder is given as --data-dir {shlex.quote(unknown)}"
        made = console.command_line("corpus", path, out=Path("data") / path.stem)
        return f". A folder is what is given, by --data-dir, and of a text one is made by: {made}"


def _plain(flag: str) -> str:
    """Returns the name of a flag as that of a setting is written."""
    return flag.strip("-").replace("-", "_")


class _DefaultsFormatter(argparse.ArgumentDefaultsHelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False or action.default == []:
            return console.spelled(action.help or "")
        return console.spelled(super()._get_help_string(action) or "")
