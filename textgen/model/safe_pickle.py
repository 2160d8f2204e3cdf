"""Reads the pickles of strangers, and runs nothing that is in them.

A pickle is a program for a small stack machine. Before Python's own unpickler may run one, a pass
over its instructions (see `pickletools`) allows only those that plain values are made of,
in limited number. Classes are not imported: a `Record` stands in.

What the pass prevents beside that: a memo index of 2**32, for which the unpickler allocates
gigabytes; integers of thousands of digits, of which many have the same hash; a nest of tuples that
refers to itself, which as a dict's key takes 2**60 steps to hash. In plain values only texts can be
referred to, so that the result is a tree, no larger than its file.
"""

import io
import pickle
import pickletools
from collections.abc import Collection, Iterator, Mapping
from typing import Any

MAX_BYTES = 32 * 2**20
"""Size of a pickle. With a vocabulary of 50,000 words it has 0.7 million bytes."""
MAX_STEPS = 2_000_000
"""Instructions. A token takes one to five of them, and at most 90 bytes beside its text."""
MAX_CONTAINERS = 100
"""Dicts, lists and objects together, and so also the depth. A model's metadata has up to 17."""
MAX_OBJECTS = 1000
"""The same where tuples and all classes are allowed. gensim's files have some 90."""
INTEGERS = range(-(2**63), 2**63)


class PickleError(ValueError):
    """The pickle is broken, too large, or has something in it that is not plain."""


class Record:
    """An object as a pickle describes it, without its class.

    Args:
        arguments: what the class or function would be called with.
    """

    def __new__(cls, *arguments: Any) -> "Record":  # without `__init__`, as unpicklers do
        record = super().__new__(cls)
        record.arguments, record.state = arguments, None
        return record

    arguments: tuple[Any, ...]
    state: Any
    """The state that the object would be set to."""

    def __setstate__(self, state: Any) -> None:
        self.state = state

    @property
    def attributes(self) -> dict[str, Any]:
        """The state where it is a dict, else an empty one."""
        return self.state if isinstance(self.state, dict) else {}


def dumps(value: Any) -> bytes:
    """Returns a pickle of plain values without a memo, so that nothing in it is referred to."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file, protocol=4)
    pickler.fast = True
    pickler.dump(value)
    return file.getvalue()


def loads(data: bytes, classes: Collection[str] = ()) -> Any:
    """Returns the value that the pickle `data` describes.

    Args:
        data: the bytes of the pickle.
        classes: names of classes, in whatever module, whose objects become a `Record`.

    Raises:
        PickleError: if `data` is not a whole pickle of such values within the limits above.
    """
    if len(data) > MAX_BYTES:
        raise PickleError(f"it has more than {MAX_BYTES:,} bytes")
    return _read(data, _PLAIN, MAX_STEPS, MAX_CONTAINERS, classes)


def objects(data: bytes) -> Any:
    """Returns the value that the pickle `data` describes, in which every object is a `Record`.

    No class or function is imported or called. An object may be in many places, and in itself, so
    look at known places only. Takes memory in proportion to `data`, which may be of any size.

    Raises:
        PickleError: if `data` is not a whole pickle of such values.
    """
    return _read(data, _OBJECTS, len(data), MAX_OBJECTS, None)  # an instruction is a byte or more


class _Unpickler(pickle.Unpickler):
    """Python's unpickler with `Record` in the place of `classes`; None allows all names."""

    def __init__(self, data: bytes, classes: Collection[str] | None) -> None:
        super().__init__(io.BytesIO(data))
        self.classes = classes

    def find_class(self, module: str, name: str) -> type[Record]:
        if self.classes is not None and name not in self.classes:
            raise PickleError("it asks for " + repr(f"{module}.{name}"[:100]))
        return Record


def _read(
    data: bytes, roles: Mapping[str, str], max_steps: int, max_containers: int,
    classes: Collection[str] | None,
) -> Any:  # fmt: skip
    try:
        _check(data, roles, max_steps, max_containers)
        return _Unpickler(data, classes).load()
    except PickleError:
        raise
    except Exception as error:  # of many types, where an instruction lacks its values
        raise PickleError("it is broken") from error


def _check(data: bytes, roles: Mapping[str, str], max_steps: int, max_containers: int) -> None:
    """Raises PickleError or ValueError unless `data` has instructions of `roles` in the limits."""
    memo: dict[int, bool] = {}  # index -> whether that value may be referred to
    containers, referable = 0, False
    for role, argument in _steps(data, roles, max_steps):
        if role == "text":
            referable = True
        elif role == "put":
            index = len(memo) if argument is None else argument
            if index > len(memo) + 1:  # Python 2 counted from 1
                raise PickleError("it is broken")
            memo[index], referable = referable, False
        elif role == "get" and not memo.get(argument):
            raise PickleError("it refers to something that is not a text")
        elif role == "integer" and argument not in INTEGERS:
            raise PickleError("it has an integer of more than 8 bytes")
        elif role != "frame":  # which may stand between a value and "put"
            containers += role in ("container", "object")
            referable = role == "object"
            if containers > max_containers:
                raise PickleError(f"it has more than {max_containers} lists and dicts")


def _steps(data: bytes, roles: Mapping[str, str], max_steps: int) -> Iterator[tuple[str, Any]]:
    """Yields what each instruction does, and its argument.

    As `pickletools.genops` does, which reads the arguments of refused instructions too, and for
    some of them imports a module.
    """
    file = io.BytesIO(data)
    for _ in range(max_steps):
        opcode = _OPCODES.get(file.read(1))
        if opcode is None:
            raise PickleError("it is broken")
        if opcode.name not in roles:
            raise PickleError(f"its instruction {opcode.code!r} is not for plain values")
        yield roles[opcode.name], opcode.arg.reader(file) if opcode.arg else None
        if opcode.name == "STOP":
            if file.read(1):
                raise PickleError("it goes on after its end")
            return
    raise PickleError(f"it has more than {max_steps:,} instructions")


_OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}


def _by_name(roles: Mapping[str, str]) -> dict[str, str]:
    return {name: role for role, names in roles.items() for name in names.split()}


_PLAIN = _by_name(
    {
        "value": "NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 BINFLOAT EMPTY_TUPLE",
        "integer": "LONG1",
        "text": "SHORT_BINUNICODE BINUNICODE GLOBAL STACK_GLOBAL",
        "container": "EMPTY_LIST EMPTY_DICT NEWOBJ",
        "fill": "MARK APPEND APPENDS SETITEM SETITEMS BUILD",
        "put": "MEMOIZE BINPUT LONG_BINPUT",
        "get": "BINGET LONG_BINGET",
        "frame": "PROTO FRAME",
        "end": "STOP",
    }
)
"""What each instruction does, by its name in `pickletools`."""
_OBJECTS = _PLAIN | _by_name(
    {
        "text": "SHORT_BINBYTES BINBYTES BINBYTES8",
        "container": "TUPLE TUPLE1 TUPLE2 TUPLE3 FROZENSET",
        "object": "NEWOBJ REDUCE",
    }
)
