"""Hostile and broken pairs of model.pkl and model.h5, each made from nothing but its number."""

import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Pair = dict[str, bytes]
"""The bytes of "model.pkl" and "model.h5"."""


def mutated(original: Pair, number: int, scratch: Path) -> tuple[str, Pair]:
    """What was done to the pair, and the pair after it.

    Args:
        original: an intact pair.
        number: of the mutation; the same number makes the same pair.
        scratch: a path for an HDF5 file in the making.
    """
    rng = random.Random(number)
    name = rng.choice(["model.pkl", "model.h5"])
    kinds = PICKLE_KINDS if name == "model.pkl" else HDF5_KINDS
    kind = rng.choice(list(kinds))
    if name == "model.h5" and kind in HDF5_EDITS:
        data = edited(original[name], HDF5_EDITS[kind], rng, scratch)
    else:
        data = kinds[kind](rng, original[name])
    return f"{name} {kind}", original | {name: data}


def flip_bits(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4, 16, 64])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def set_bytes(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        changed[rng.randrange(len(changed))] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
    return bytes(changed)


def set_numbers(rng: random.Random, data: bytes) -> bytes:
    """Sizes, counts and addresses, which HDF5 keeps in 2, 4 or 8 bytes at places divisible by 8."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4])):
        size = rng.choice([2, 4, 8])
        number = rng.choice(
            [0, 1, 2**63, 2**64 - 1, 2**31, 2**32 - 1, len(data), rng.randrange(len(data)) & ~7]
        )
        place = rng.randrange(0, len(data) - 8) & ~rng.choice([0, 1, 3, 7])
        changed[place : place + size] = (number % 2 ** (8 * size)).to_bytes(size, "little")
    return bytes(changed)


def truncate(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def splice(rng: random.Random, data: bytes) -> bytes:
    """A piece of the file put over, or into, another place of it."""
    start, place = rng.randrange(len(data)), rng.randrange(len(data))
    piece = data[start : start + rng.choice([1, 8, 64, 512, 4096])]
    return data[:place] + piece + data[place + rng.choice([0, len(piece)]) :]


def cut_out(rng: random.Random, data: bytes) -> bytes:
    place = rng.randrange(len(data))
    return data[:place] + data[place + rng.choice([1, 8, 64, 512]) :]


def append(rng: random.Random, data: bytes) -> bytes:
    return data + rng.randbytes(rng.choice([1, 100, 10_000]))


BYTES = {
    "bit flips": flip_bits,
    "bytes set": set_bytes,
    "numbers set": set_numbers,
    "truncation": truncate,
    "splice": splice,
    "cut": cut_out,
    "append": append,
}

SHOUT = b"cos\nsystem\n(X\x18\x00\x00\x00touch textgen-was-here;:;tR"
EXPLOITS = [
    SHOUT,
    b"c__builtin__\neval\n(X\x0b\x00\x00\x00print('no')tR",
    b"\x8c\x05posix\x8c\x06system\x93\x8c\x14touch textgen-was-hereR"[:40] + b"\x85R",
    b"(X\x15\x00\x00\x00touch textgen-was-hereios\nsystem\n",
    b"c_pickle\nloads\n(C\x01.tR",
    b"cimportlib\nimport_module\n(X\x04\x00\x00\x00thistR",
    b"cnumpy\nload\n(X\x0b\x00\x00\x00/etc/passwdtR",
    b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01bt\x94R",
    b"ccollections\nOrderedDict\n)R}b",
    b"cbuiltins\nbytearray\n(J\xff\xff\xff\x7ftR",
    b"cmodel\nMetaModel\n)\x81}b",
    b"\x82\x01",
    b"\x83\xff\xff",
    b"\x84\xff\xff\xff\x7f",
    b"P1\n",
    b"N\x85QR",
    b"NQ",
    b"NR",
    b"r\xff\xff\xff\x7f",
    b"r\xff\xff\xff\xff",
    b"p99999999999999999999\n",
    b"j\xff\xff\xff\xff",
    b"I" + b"9" * 100_000 + b"\n",
    b"L" + b"9" * 100_000 + b"L\n",
    b"\x8a\xff" + b"\x7f" * 255,
    b"\x8b\xff\xff\xff\x7f",
    b"\x8b\xff\xff\xff\xff",
    b"X\xff\xff\xff\x7fa",
    b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7fa",
    b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7fa",
    b"\x96\xff\xff\xff\xff\xff\xff\xff\x7fa",
    b"B\xff\xff\xff\x7fa",
    b"\x95\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x97\x98",
    b"]" * 100_000 + b"a" * 99_999,
    b"}" * 100_000,
    b"(" * 100_000,
    b")" + b"\x85" * 100_000,
    b"]q\x00h\x00a",
    b"N\x94" * 100_000,
    b"".join(b"](h%ch%ceq%c" % (n, n, n + 1) for n in range(1, 40)),
    b")" + b"".join(b"q%ch%ch%c\x86" % (n, n, n) for n in range(60)) + b"}q\x80h\x3bNs",
    b"\x8f(" + b"K\x01" * 1000 + b"\x90",
    b"(" + b"K\x01" * 100_000 + b"l",
    b"(" + b"K\x01N" * 100_000 + b"d",
    b"\x80\xff",
    b"Gabcdefgh",
    b"S'" + b"\\x41" * 10_000 + b"'\n",
    b"V" + b"\\u0041" * 10_000 + b"\n",
    b"\x00" * 100,
    b"0" * 100,
    b"2" * 100_000,
]


def exploit(rng: random.Random, data: bytes) -> bytes:
    """A known attack alone, before, after or within an intact pickle."""
    attack, place = rng.choice(EXPLOITS), rng.randrange(len(data))
    alone = b"\x80\x04" + attack + b"."
    before = b"\x80\x04" + attack + b"0" + data[2:]
    value = b"\x80\x04}\x8c\x0eformat_versionK\x01s\x8c\x05model" + attack + b"s."
    return rng.choice(
        [alone, before, data[:-1] + attack + b".", data[:place] + attack + data[place:], value]
    )


def surprise(rng: random.Random) -> Any:
    """A plain value, perhaps a large or a strange one."""
    return rng.choice(
        [
            None, True, False, 0, 1, -1, 2**31, 2**62, -(2**63), 2**70, 10**4000, 1.5, 1e308,
            float("nan"), float("inf"), "", "a", "\n", "\x1b[2J", "\ud800", "é" * 100_000, [], {},
            [None], ["a", "a"], [[]] * 3, list(range(1000)), list("abcdefgh"), {"a": 1}, {1: 2},
            {"a" * 10_000: {}}, [str(n) for n in range(30_000)], (1, 2), b"bytes", {1, 2}, 1j,
        ]
    )  # fmt: skip


def other_values(rng: random.Random, data: bytes) -> bytes:
    """Some entries of the metadata replaced, dropped or added."""
    try:
        values = pickle.loads(data)
    except ModuleNotFoundError:  # the objects of an ancestor's model
        return splice(rng, data)
    for _ in range(rng.choice([1, 1, 2, 3])):
        place = rng.choice(list(dicts_in(values)))
        key = rng.choice([*place, "new", 5])
        if rng.random() < 0.2:
            place.pop(key, None)
        else:
            place[key] = surprise(rng)
    return pickle.dumps(values, rng.choice([0, 1, 2, 3, 4, 5]))


def dicts_in(values: Any) -> list[dict[Any, Any]]:
    if not isinstance(values, dict):
        return []
    return [values, *(found for value in values.values() for found in dicts_in(value))]


PICKLE_KINDS: dict[str, Callable[[random.Random, bytes], bytes]] = BYTES | {
    "exploit": exploit,
    "other values": other_values,
}


def edited(
    data: bytes, edit: Callable[[random.Random, Any, str], None], rng: random.Random, scratch: Path
) -> bytes:
    """The HDF5 file `data` after `edit` of one of its datasets or of a group on the way to it."""
    scratch.write_bytes(data)
    with h5py.File(scratch, "a") as file:
        paths: list[str] = []
        file.visit(paths.append)
        edit(rng, file, rng.choice(paths))
    return scratch.read_bytes()


def link_out(rng: random.Random, file: Any, path: str) -> None:
    del file[path]
    file[path] = h5py.ExternalLink(rng.choice(["canary.h5", "/dev/zero", "fifo"]), "/" + path)


def link_soft(rng: random.Random, file: Any, path: str) -> None:
    del file[path]
    file[path] = h5py.SoftLink(rng.choice(["/" + path, "/", "/model_weights", "../x"]))


def link_round(rng: random.Random, file: Any, path: str) -> None:
    parent = file[path].parent
    del file[path]
    file[path] = parent


def keep_outside(rng: random.Random, file: Any, path: str) -> None:
    del file[path]
    file.create_dataset(path, (16,), "<f4", external=[("canary.h5", 0, 64)])


def make_virtual(rng: random.Random, file: Any, path: str) -> None:
    del file[path]
    layout = h5py.VirtualLayout((16,), "<f4")
    layout[:] = h5py.VirtualSource(rng.choice(["canary.h5", "."]), path, (16,))
    file.create_virtual_dataset(path, layout)


def bomb(rng: random.Random, file: Any, path: str) -> None:
    """A large array that takes no room in the file."""
    del file[path]
    shape = rng.choice([(2**40,), (2**31, 2**30), (10**6, 10**6), (33, 4), (33, 2**36)])
    packed = rng.choice([None, "gzip"])
    file.create_dataset(path, shape, "<f4", chunks=tuple(min(n, 100) for n in shape),
                        compression=packed, fillvalue=1.0)  # fmt: skip


def packed_zeros(rng: random.Random, file: Any, path: str) -> None:
    """30 MB in 30 kB."""
    del file[path]
    zeros = np.zeros((2_000_000, 4), np.float32)
    file.create_dataset(path, data=zeros, chunks=(2_000_000, 4), compression="gzip")


def other_type(rng: random.Random, file: Any, path: str) -> None:
    shape = getattr(file[path], "shape", (33, 4))
    del file[path]
    kind = rng.choice(
        ["<f8", ">f4", "<i4", h5py.string_dtype(), h5py.ref_dtype, h5py.vlen_dtype("<f4"),
         [("a", "<f4"), ("b", h5py.string_dtype())], "S1000", "?", "<c8"]
    )  # fmt: skip
    file.create_dataset(path, shape, kind)


def not_finite(rng: random.Random, file: Any, path: str) -> None:
    def spoil(_: str, found: Any) -> None:
        if isinstance(found, h5py.Dataset) and found.dtype.kind == "f":
            found[...] = rng.choice([np.nan, np.inf, -np.inf, 3e38])

    file.visititems(spoil)


def strange_id(rng: random.Random, file: Any, path: str) -> None:
    file.attrs["model_id"] = rng.choice(
        [
            1,
            "",
            "x" * 60_000,
            [1, 2],
            np.zeros((50, 50)),
            np.bytes_(b"\xff\xfe"),
            np.bytes_(b"\x00"),
            1e300,
        ]
    )


def other_description(rng: random.Random, file: Any, path: str) -> None:
    """Keras' JSON, which the conversion reads."""
    text = file.attrs["model_config"].encode()
    words = [b"null", b"[]", b"{}", b"-1", b"1e999", b'"x"', b"[" * 10_000, b"9" * 5000]
    place = rng.randrange(len(text))
    put_in = text[:place] + rng.choice(words) + text[place + rng.choice([0, 1, 10]) :]
    changed = rng.choice([flip_bits, splice, cut_out])(rng, text)
    file.attrs["model_config"] = (
        rng.choice([put_in, changed]).decode(errors="replace").replace("\0", "")
    )


HDF5_EDITS = {
    "description": other_description,
    "external link": link_out,
    "soft link": link_soft,
    "circle": link_round,
    "external data": keep_outside,
    "virtual": make_virtual,
    "shape bomb": bomb,
    "zip bomb": packed_zeros,
    "other type": other_type,
    "not finite": not_finite,
    "strange id": strange_id,
}
HDF5_KINDS: dict[str, Any] = BYTES | HDF5_EDITS
