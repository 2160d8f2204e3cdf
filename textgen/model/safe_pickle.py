"""Reads a pickle of plain values, and runs nothing that is in it.

A pickle is a program for a small stack machine. This is such a machine that knows only the
instructions for dict, list, str, int, float, bool and None: those that `pickle.dumps` writes for
them with protocol 2 or newer. `Lib/pickletools.py` of CPython describes each one.

Python's own unpickler is not safe here, even when every global is refused: a memo index of 2**32
makes it allocate gigabytes, and a nest of tuples as a dict's key takes 2**60 steps to hash. In
this machine only strings can be used twice, so a result is a tree, and no larger than its file.
`objects` gives up that much: what it returns may refer to itself, so look at known places only.
"""

import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MAX_BYTES = 32 * 2**20
"""Size of a pickle. With a vocabulary of 50,000 words it has 0.7 million bytes."""
MAX_STEPS = 2_000_000
"""Instructions. A token takes two to five of them, and at most 90 bytes beside its text."""
MAX_CONTAINERS = 100
"""Dicts, lists and records together, and so also the depth. A model's metadata has up to 17."""
MAX_INT_BYTES = 8


class PickleError(ValueError):
    """The pickle is broken, too large, or has something in it that is not plain."""


class ClassName(NamedTuple):
    """The name of a class that a pickle asks for; nothing can be done with it."""

    name: str


@dataclass
class Record:
    """What a pickle says of an object: the name of its class, and its attributes."""

    class_name: str
    attributes: dict[str, Any] = field(default_factory=dict)
    arguments: Any = ()
    """What the object would be made with."""
    state: Any = None
    """What it would be set to, where that is no dict of attributes."""


def loads(data: bytes, classes: Collection[str] = ()) -> Any:
    """The value that the pickle `data` describes.

    Args:
        data: the bytes of the pickle.
        classes: names of classes, in whatever module, whose objects become a `Record`.

    Raises:
        PickleError: if `data` is not a whole pickle of such values within the limits above.
    """
    if len(data) > MAX_BYTES:
        raise PickleError(f"it has more than {MAX_BYTES:,} bytes")
    try:
        return _Machine(data, frozenset(classes)).run()
    except (IndexError, KeyError, UnicodeDecodeError) as error:  # empty stack, memo, end of data
        raise PickleError("it is broken") from error


def objects(data: bytes) -> Any:
    """The value that the pickle `data` describes, in which every object becomes a `Record`.

    Whatever class or function is asked for is noted by name, and neither imported nor called.
    Sets become tuples. Takes memory in proportion to `data`, which may be of any size.

    Raises:
        PickleError: if `data` is not a whole pickle.
    """
    try:
        return _ObjectMachine(data).run()
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        raise PickleError("it is broken") from error


class _Machine:
    """The state of the stack machine while it reads `data`."""

    def __init__(self, data: bytes, classes: frozenset[str]) -> None:
        self.data = data
        self.classes = classes
        self.instructions = _INSTRUCTIONS
        self.max_steps, self.max_containers = MAX_STEPS, MAX_CONTAINERS
        self.position = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.containers = 0

    def run(self) -> Any:
        for _ in range(self.max_steps):
            code = self.data[self.position]
            self.position += 1
            if code == _STOP:
                return self.result()
            instruction = self.instructions.get(code)
            if instruction is None:
                raise PickleError(f"its instruction {chr(code)!r} is not for plain values")
            instruction(self)
        raise PickleError(f"it has more than {self.max_steps:,} instructions")

    def takes(self, class_name: str) -> bool:
        """Whether the pickle may ask for a class of this name."""
        return class_name in self.classes

    def result(self) -> Any:
        if len(self.stack) != 1 or self.marks or self.position != len(self.data):
            raise PickleError("it is broken")
        return self.stack[0]

    def take(self, length: int) -> bytes:
        """The next `length` bytes of the data."""
        start = self.position
        self.position = end = start + length
        if end > len(self.data):
            raise PickleError("it ends too early")
        return self.data[start:end]

    def number(self, size: int) -> int:
        """The next `size` bytes as a number of 0 or more."""
        return int.from_bytes(self.take(size), "little")

    def line(self) -> str:
        """The text up to the next newline."""
        end = self.data.find(b"\n", self.position)
        if end < 0:
            raise PickleError("it ends too early")
        return self.take(end + 1 - self.position)[:-1].decode()

    def push_container(self, value: Any) -> None:
        self.containers += 1
        if self.containers > self.max_containers:
            raise PickleError(f"it has more than {self.max_containers} lists and dicts")
        self.stack.append(value)

    def pop_to_mark(self) -> list[Any]:
        mark = self.marks.pop()
        values = self.stack[mark:]
        del self.stack[mark:]
        return values

    def top(self, kind: type) -> Any:
        """The value on top of the stack, which must be a `kind`."""
        if not isinstance(self.stack[-1], kind):
            raise PickleError("it is broken")
        return self.stack[-1]


class _ObjectMachine(_Machine):
    """A machine that also knows the instructions for objects, bytes, tuples and sets."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data, frozenset())
        self.max_steps = self.max_containers = len(data)  # an instruction is a byte or more
        self.instructions = _INSTRUCTIONS | _OBJECT_INSTRUCTIONS

    def takes(self, class_name: str) -> bool:
        return True


def _text(machine: _Machine) -> None:
    machine.stack.append(str(machine.take(machine.number(4)), "utf-8", "surrogatepass"))


def _short_text(machine: _Machine) -> None:
    length = machine.take(1)[0]
    machine.stack.append(str(machine.take(length), "utf-8", "surrogatepass"))


def _int(machine: _Machine, size: int, *, signed: bool = False) -> None:
    machine.stack.append(int.from_bytes(machine.take(size), "little", signed=signed))


def _long(machine: _Machine) -> None:
    size = machine.number(1)
    if size > MAX_INT_BYTES:
        raise PickleError(f"it has an integer of more than {MAX_INT_BYTES} bytes")
    _int(machine, size, signed=True)


def _float(machine: _Machine) -> None:
    machine.stack.append(struct.unpack(">d", machine.take(8))[0])


def _append(machine: _Machine) -> None:
    value = machine.stack.pop()
    machine.top(list).append(value)


def _appends(machine: _Machine) -> None:
    values = machine.pop_to_mark()
    machine.top(list).extend(values)


def _set_item(machine: _Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _fill(machine.top(dict), [key], [value])


def _set_items(machine: _Machine) -> None:
    values = machine.pop_to_mark()
    _fill(machine.top(dict), values[::2], values[1::2])


def _fill(mapping: dict[Any, Any], keys: list[Any], values: list[Any]) -> None:
    if len(keys) != len(values) or any(type(key) not in (str, int) for key in keys):
        raise PickleError("it has a dict whose keys are not text or numbers")
    mapping.update(zip(keys, values, strict=True))


def _remember(machine: _Machine) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _remember_as(machine: _Machine, size: int) -> None:
    machine.memo[machine.number(size)] = machine.stack[-1]


def _recall(machine: _Machine, size: int) -> None:
    value = machine.memo[machine.number(size)]
    if not isinstance(value, str | ClassName):
        raise PickleError("it uses a list or dict twice")
    machine.stack.append(value)


def _class_name(machine: _Machine, module: str, name: str) -> None:
    if not machine.takes(name):
        raise PickleError("it asks for " + repr(f"{module}.{name}"[:100]))
    machine.stack.append(ClassName(name))


def _class_name_of_stack(machine: _Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise PickleError("it is broken")
    _class_name(machine, module, name)


def _record(machine: _Machine) -> None:
    arguments = machine.stack.pop()
    if arguments != ():
        raise PickleError("it makes an object with arguments")
    name = machine.top(ClassName).name
    machine.stack.pop()
    machine.push_container(Record(name))


def _attributes(machine: _Machine) -> None:
    values = machine.top(dict)
    machine.stack.pop()
    machine.top(Record).attributes.update(values)


_STOP = ord(".")
_INSTRUCTIONS: dict[int, Callable[[_Machine], object]] = {
    # values
    ord("N"): lambda machine: machine.stack.append(None),
    0x88: lambda machine: machine.stack.append(True),
    0x89: lambda machine: machine.stack.append(False),
    ord("J"): lambda machine: _int(machine, 4, signed=True),
    ord("K"): lambda machine: _int(machine, 1),
    ord("M"): lambda machine: _int(machine, 2),
    0x8A: _long,
    ord("G"): _float,
    0x8C: _short_text,
    ord("X"): _text,
    # containers
    ord("("): lambda machine: machine.marks.append(len(machine.stack)),
    ord("]"): lambda machine: machine.push_container([]),
    ord("}"): lambda machine: machine.push_container({}),
    ord("a"): _append,
    ord("e"): _appends,
    ord("s"): _set_item,
    ord("u"): _set_items,
    # the memo
    0x94: _remember,
    ord("q"): lambda machine: _remember_as(machine, 1),
    ord("r"): lambda machine: _remember_as(machine, 4),
    ord("h"): lambda machine: _recall(machine, 1),
    ord("j"): lambda machine: _recall(machine, 4),
    # objects
    ord("c"): lambda machine: _class_name(machine, machine.line(), machine.line()),
    0x93: _class_name_of_stack,
    ord(")"): lambda machine: machine.stack.append(()),
    0x81: _record,
    ord("b"): _attributes,
    # the protocol's number, and how many bytes to read at a time
    0x80: lambda machine: machine.take(1),
    0x95: lambda machine: machine.take(8),
}
"""By code; the letters and numbers are those of `pickletools.opcodes`."""


def _bytes(machine: _Machine, size: int) -> None:
    machine.stack.append(machine.take(machine.number(size)))


def _tuple(machine: _Machine, length: int) -> None:
    values = [machine.stack.pop() for _ in range(length)]
    machine.stack.append(tuple(reversed(values)))


def _recall_anything(machine: _Machine, size: int) -> None:
    machine.stack.append(machine.memo[machine.number(size)])


def _object(machine: _Machine) -> None:
    """What a class or a function would return for arguments."""
    arguments, name = machine.stack.pop(), machine.top(ClassName).name
    machine.stack[-1] = Record(name, arguments=arguments)


def _set_up(machine: _Machine) -> None:
    state, record = machine.stack.pop(), machine.top(Record)
    if isinstance(state, dict):
        record.attributes.update(state)
    else:
        record.state = state


_OBJECT_INSTRUCTIONS: dict[int, Callable[[_Machine], object]] = {
    # values
    ord("C"): lambda machine: _bytes(machine, 1),
    ord("B"): lambda machine: _bytes(machine, 4),
    0x8E: lambda machine: _bytes(machine, 8),
    # containers
    ord("t"): lambda machine: machine.stack.append(tuple(machine.pop_to_mark())),
    0x85: lambda machine: _tuple(machine, 1),
    0x86: lambda machine: _tuple(machine, 2),
    0x87: lambda machine: _tuple(machine, 3),
    0x91: lambda machine: machine.stack.append(tuple(machine.pop_to_mark())),
    # the memo
    ord("h"): lambda machine: _recall_anything(machine, 1),
    ord("j"): lambda machine: _recall_anything(machine, 4),
    # objects
    ord("R"): _object,
    0x81: _object,
    ord("b"): _set_up,
}
"""More of them, and those that stand for others of `_INSTRUCTIONS`."""
