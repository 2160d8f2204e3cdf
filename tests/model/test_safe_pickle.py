"""The reader of plain pickles: everything that `pickle.dumps` writes of them, and nothing else."""

import contextlib
import pickle
import pickletools
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgen.model import safe_pickle
from textgen.model.safe_pickle import PickleError, Record

PLAIN = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers(-(2**63), 2**63 - 1)
    | st.text(st.characters(exclude_categories=()), max_size=300),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(max_size=5) | st.integers(-9, 9), inner, max_size=4),
    max_leaves=30,
)  # fmt: skip


@given(PLAIN, st.integers(2, pickle.HIGHEST_PROTOCOL))
def test_reads_what_pickle_writes(value: Any, protocol: int) -> None:
    assert safe_pickle.loads(pickle.dumps(value, protocol)) == value


def test_reads_long_lists_and_texts() -> None:
    value = {"words": [f"word {n}" for n in range(3000)], "long": ["é" * 300, "x" * 70000]}
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert safe_pickle.loads(pickle.dumps(value, protocol)) == value


class Opener:
    def __reduce__(self) -> Any:
        return open, ("/tmp/textgen-was-here", "w")


SHARED = ["x"]
LAUGHS = b"\x80\x04]q\x00" + b"".join(b"](h%ch%ceq%c" % (n, n, n + 1) for n in range(30))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "broken"),
        (b".", "broken"),
        (b"N", "broken"),
        (b"N.N", "goes on after its end"),
        (b"a.", "broken"),
        (b"Na.", "broken"),
        (b"NNa.", "broken"),
        (b"}(NNNu.", "broken"),
        (b"}]Ns.", "broken"),
        (b"h\x00.", "not a text"),
        (b"Nq\xffh\xff.", "broken"),
        (b"\x80\xff.", "broken"),
        (b"\x8c\x02\xff\xff.", "broken"),
        (b"\x8c\xff.", "broken"),
        (b"X\xff\xff\xff\xff.", "broken"),
        (b"G\x00.", "broken"),
        (b"\x8a\x09" + b"\x01" * 9 + b".", "integer of more than 8 bytes"),
        (b"\x8b\xff\xff\xff\x7f.", r"'\x8b' is not for plain values"),
        (b"I1\n.", "'I' is not for plain values"),
        (b"L" + b"9" * 5000 + b"L\n.", "'L' is not"),
        (b"cos\nsystem\n.", "asks for 'os.system'"),
        (b"cos\nsystem", "broken"),
        (b"c", "broken"),
        (b"ios\nsystem\n.", "'i' is not"),
        (b"(S'ls'\nios\nsystem\n.", "'S' is not"),
        (b"\x82\x01.", r"'\x82' is not"),
        (b"P1\n.", "'P' is not"),
        (b"]2.", "'2' is not"),
        (pickle.dumps(Opener()), "is not for plain values"),
        (pickle.dumps(Opener(), 0), "'p' is not for plain values"),
        (b"cbuiltins\neval\n)\x81.", "asks for 'builtins.eval'"),
        (b"\x8c\x02os\x8c\x06system\x93.", "asks for 'os.system'"),
        (pickle.dumps((1, 2)), "is not for plain values"),
        (pickle.dumps({1, 2}), "is not for plain values"),
        (pickle.dumps(b"x"), "is not for plain values"),
        (pickle.dumps([SHARED, SHARED]), "not a text"),
        (LAUGHS + b".", "not a text"),
        (b"]q\x00h\x00a.", "not a text"),
        (b"]" * 101 + b"a" * 100 + b".", "more than 100 lists"),
        (b"]r\xff\xff\xff\xffj\xff\xff\xff\xff.", "broken"),
    ],
)
def test_refuses_everything_else(data: bytes, problem: str) -> None:
    with pytest.raises(PickleError) as error:
        safe_pickle.loads(data)
    assert problem in str(error.value)
    assert len(str(error.value)) < 200
    assert "\n" not in str(error.value)


def test_limits_size_and_work(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pickle.dumps(list(range(100)))
    monkeypatch.setattr(safe_pickle, "MAX_STEPS", 50)
    with pytest.raises(PickleError, match="more than 50 instructions"):
        safe_pickle.loads(data)
    monkeypatch.setattr(safe_pickle, "MAX_BYTES", len(data) - 1)
    with pytest.raises(PickleError, match="bytes"):
        safe_pickle.loads(data)


def test_a_large_index_of_the_memo_allocates_nothing() -> None:
    data = b"\x8c\x01ar" + struct.pack("<I", 2**32 - 1) + b"."
    before = sys.getallocatedblocks()
    with pytest.raises(PickleError, match="broken"):
        safe_pickle.loads(data)
    assert sys.getallocatedblocks() < before + 1000


def test_the_memo_may_begin_at_1_as_python_2_wrote_it() -> None:
    assert safe_pickle.loads(b"\x80\x02]q\x01(X\x01\x00\x00\x00aq\x02h\x02e.") == ["a", "a"]


@given(PLAIN)
def test_what_is_written_has_no_references(value: Any) -> None:
    """Neither a memo nor anything to put into it."""
    data = safe_pickle.dumps([value, value])
    assert pickle.loads(data) == safe_pickle.loads(data) == [value, value]
    names = {instruction.name for instruction, _, _ in pickletools.genops(data)}
    assert not any("MEMO" in name or "GET" in name or "PUT" in name for name in names)


class Mine:
    pass


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_objects_of_named_classes_become_records(protocol: int) -> None:
    outer, inner = Mine(), Mine()
    outer.one, outer.two, inner.three = 1, inner, [3]  # type: ignore[attr-defined]
    found = safe_pickle.loads(pickle.dumps(outer, protocol), {"Mine"})
    assert isinstance(found, Record)
    assert found.attributes["one"] == 1
    assert found.attributes["two"].attributes == {"three": [3]}
    with pytest.raises(PickleError, match=r"asks for 'tests\.model\.test_safe_pickle\.Mine'"):
        safe_pickle.loads(pickle.dumps(outer, protocol), {"Yours"})


@pytest.mark.parametrize(
    "data",
    [
        b"cm\nMine\n(]tR.",  # a call
        b"cm\nMine\n]\x81.",  # an object with arguments
        b"cm\nMine\n}b.",  # attributes for the class itself
        b"}}b.",
        b")cm\nMine\n\x81.",
        b"\x8c\x01mK\x01\x93.",
        b"K\x01\x8c\x04Mine\x93.",
    ],
)
def test_records_are_all_there_is(data: bytes) -> None:
    with pytest.raises(PickleError):
        safe_pickle.loads(data, {"Mine"})


@given(PLAIN, st.integers(2, pickle.HIGHEST_PROTOCOL))
def test_the_reader_of_objects_reads_plain_values_too(value: Any, protocol: int) -> None:
    shared = {"value": value, "again": [value, (1, (2, 3), b"\xff" * 300), frozenset([4])]}
    assert safe_pickle.objects(safe_pickle.dumps(shared)) == shared
    assert safe_pickle.objects(pickle.dumps(value, protocol)) == value


def test_objects_become_records_and_nothing_is_run(tmp_path: Path) -> None:
    path = tmp_path / "written"
    record = safe_pickle.objects(pickle.dumps(Toucher(path), 4))
    assert (record.arguments, record.attributes) == ((str(path), "w"), {"x": 1})
    assert not path.exists()
    assert safe_pickle.objects(pickle.dumps(complex(1, 2), 2)).arguments == (1.0, 2.0)


class Toucher:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w"), {"x": 1}


@pytest.mark.parametrize("name", [b"K\x01", b")", b")" + b"q\x00h\x00\x86" * 40])
def test_a_name_is_a_text(name: bytes) -> None:
    """Not a nest of tuples, whose text would have 2**40 letters."""
    with pytest.raises(PickleError):
        safe_pickle.objects(b"\x8c\x01m" + name + b"\x93.")


@pytest.mark.parametrize("data", [b"cmodule.", b"cmodule\nname."])
def test_a_name_ends_with_its_line(data: bytes) -> None:
    with pytest.raises(PickleError, match="broken"):
        safe_pickle.objects(data)


@given(st.binary(max_size=60))
def test_the_reader_of_objects_refuses_what_is_broken(data: bytes) -> None:
    with contextlib.suppress(PickleError):
        safe_pickle.objects(data)


TUPLES = b")" + b"".join(b"q%ch%ch%c\x86" % (n, n, n) for n in range(60))


@pytest.mark.parametrize(
    "data",
    [
        b"}" + TUPLES + b"Ns.",  # takes 2**60 steps to hash
        b"}" + b")" + b"\x85" * 100_000 + b"Ns.",  # 100,000 calls deep
        b"]" * 100_000 + b"a" * 99_999 + b".",
        b"\x8a\xff" + b"\x7f" * 255 + b".",
        b"\x8e" + b"\xff" * 8 + b".",
        b"B\xff\xff\xff\x7f.",
        b"Nr\xff\xff\xff\xff.",
        b"cm\nMine\n}b.",  # attributes for the class itself
        b"cm\nMine\nN}\x86b.",
        b"cm\nMine\n)R)R.",  # the call of an object
        b"cm\nMine\n)R]a.",
    ],
)
def test_the_reader_of_objects_has_limits_too(data: bytes) -> None:
    with pytest.raises(PickleError):
        safe_pickle.objects(data)
