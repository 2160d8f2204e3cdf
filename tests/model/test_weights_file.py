"""The reader of arrays: it takes what is plainly in the file, and follows nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from textgen.model.weights_file import WeightsFile
from textgen.support.errors import TextgenError

VALUES = np.arange(12, dtype="<f4").reshape(3, 4)
SHAPES = {"layer/kernel": (3, 4)}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["layer/kernel"] = VALUES
    VALUES.tofile(tmp_path / "raw")
    monkeypatch.chdir(tmp_path)
    with h5py.File(tmp_path / "weights.h5", "w") as opened:
        opened.attrs["model_id"] = "me"
        opened["layer/bias"] = VALUES[0]
        opened["padding"] = np.zeros(1000)
        yield opened


def read(file: Any) -> dict[str, Any]:
    path = Path(file.filename)
    file.close()
    with WeightsFile(path) as weights:
        return weights.arrays(SHAPES)


def test_reads_plain_arrays(file: Any) -> None:
    file["layer/kernel"] = VALUES
    np.testing.assert_array_equal(read(file)["layer/kernel"], VALUES)


def virtual() -> Any:
    layout = h5py.VirtualLayout((3, 4), "<f4")
    layout[:] = h5py.VirtualSource("other.h5", "layer/kernel", (3, 4))
    return layout


def add(**options: Any) -> Any:
    return lambda file: file.create_dataset("layer/kernel", **options)


def put(value: Any, path: str = "layer/kernel") -> Any:
    return lambda file: file.__setitem__(path, value)


REFUSED = {
    "nothing": lambda file: None,
    "another shape": put(VALUES.T),
    "doubles": put(VALUES.astype("<f8")),
    "other byte order": put(VALUES.astype(">f4")),
    "integers": put(VALUES.astype("<i4")),
    "objects": add(shape=(3, 4), dtype=h5py.string_dtype()),
    "references": add(shape=(3, 4), dtype=h5py.ref_dtype),
    "compound": add(shape=(3, 4), dtype=[("a", "<f4")]),
    "a group": lambda file: file.create_group("layer/kernel"),
    "a type": put(np.dtype("<f4")),
    "soft link": put(h5py.SoftLink("/layer/bias")),
    "external link": put(h5py.ExternalLink("other.h5", "layer/kernel")),
    "external data": add(shape=(3, 4), dtype="<f4", external=[("raw", 0, 48)]),
    "virtual": lambda file: file.create_virtual_dataset("layer/kernel", virtual()),
    "chunks": add(data=VALUES, chunks=True),
    "compressed": add(data=VALUES, compression="gzip"),
    "declared only": add(shape=(3, 4), dtype="<f4"),
}


@pytest.mark.parametrize("how", REFUSED)
def test_refuses_what_is_not_plainly_there(file: Any, how: str) -> None:
    REFUSED[how](file)
    with pytest.raises(TextgenError, match=r"weights\.h5 is damaged: it has no plain float32"):
        read(file)


def test_refuses_a_group_in_another_file(file: Any) -> None:
    del file["layer"]
    file["layer"] = h5py.ExternalLink("other.h5", "layer")
    with pytest.raises(TextgenError, match="no plain float32 array 'layer/kernel'"):
        read(file)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_refuses_weights_that_are_not_finite(file: Any, value: float) -> None:
    file["layer/kernel"] = VALUES
    file["layer/kernel"][1, 2] = value
    with pytest.raises(TextgenError, match="not finite numbers, in 'layer/kernel': its training"):
        read(file)


@pytest.mark.parametrize("shape", [(2**31, 2**31), (10**6, 10**6), (100, 100)])
def test_more_than_the_file_holds_is_refused_before_it_is_looked_for(
    file: Any, shape: tuple[int, int]
) -> None:
    file.create_dataset("layer/kernel", shape, "<f4", chunks=(10, 10))
    path = Path(file.filename)
    file.close()
    with WeightsFile(path) as weights, pytest.raises(TextgenError, match="it cannot hold the"):
        weights.arrays({"layer/kernel": shape})


def test_one_piece_of_the_file_is_not_many_arrays(file: Any) -> None:
    file["layer/kernel"] = np.zeros((100, 100), "<f4")
    for number in range(100):
        file[f"again/{number}"] = file["layer/kernel"]
    path = Path(file.filename)
    file.close()
    shapes = {f"again/{number}": (100, 100) for number in range(100)}
    with WeightsFile(path) as weights:
        assert path.stat().st_size < 100_000, "or this proves nothing"
        with pytest.raises(TextgenError, match="it cannot hold the 4,000,000 bytes"):
            weights.arrays(shapes)


def text(file: Any) -> str | None:
    path = Path(file.filename)
    file.close()
    with WeightsFile(path) as weights:
        return weights.text("model_id")


@pytest.mark.parametrize("value", ["me", np.bytes_(b"me")])
def test_reads_texts(file: Any, value: Any) -> None:
    file.attrs["model_id"] = value
    assert text(file) == "me"


def test_a_missing_text_is_none(file: Any) -> None:
    del file.attrs["model_id"]
    assert text(file) is None


@pytest.mark.parametrize("value", [5, ["me", "you"], np.zeros(3), h5py.Empty("S5")])
def test_refuses_texts_that_are_none(file: Any, value: Any) -> None:
    file.attrs["model_id"] = value
    with pytest.raises(TextgenError, match="its attribute model_id is not a text"):
        text(file)


@pytest.mark.parametrize(
    ("place", "value"),
    [(16, 0), (8, 2**40), (24, 2**40), (24, 2**64 - 1)],
    ids=["free entry", "long heap", "long entry", "longest entry"],
)
def test_a_heap_that_does_not_end_is_no_hang(file: Any, place: int, value: int) -> None:
    """HDF5 1.14.6 loops for ever on an entry that is free and has no size."""
    path = Path(file.filename)
    file.close()
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL")
    if value == 0:
        data[heap + 16 : heap + 32] = bytes(16)
    else:
        data[heap + place : heap + place + 8] = value.to_bytes(8, "little")
    path.write_bytes(data)
    with WeightsFile(path) as weights, pytest.raises(TextgenError, match="heap of texts does not"):
        weights.text("model_id")


def test_lists_what_is_in_a_group(file: Any) -> None:
    file["layer/link"] = h5py.ExternalLink("other.h5", "layer")
    path = Path(file.filename)
    file.close()
    with WeightsFile(path) as weights:
        assert weights.children("layer") == ["bias", "link"]
        assert weights.children("layer/bias") == weights.children("layer/link") == []
        assert weights.children("none") == []


SIGNATURE = b"\x89HDF\r\n\x1a\n"


@pytest.mark.parametrize(
    "content", [b"", b"text", SIGNATURE, SIGNATURE + b"\0", SIGNATURE * 100, SIGNATURE + b"\4" * 99]
)
def test_files_that_do_not_begin_like_hdf5(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.h5").write_bytes(content)
    with pytest.raises(TextgenError, match=r"model\.h5 is damaged: it does not begin like"):
        WeightsFile(tmp_path / "model.h5")


def test_files_that_only_begin_like_hdf5(tmp_path: Path) -> None:
    (tmp_path / "model.h5").write_bytes(SIGNATURE + b"\0" * 40 + b"\xff" * 20)
    with pytest.raises(TextgenError, match=r"model\.h5 cannot be read as an HDF5 file"):
        WeightsFile(tmp_path / "model.h5")


@pytest.mark.parametrize("version", ["earliest", "v108", "latest"])
def test_every_version_of_the_format(tmp_path: Path, version: str) -> None:
    with h5py.File(tmp_path / "weights.h5", "w", libver=version) as file:
        file["layer/kernel"] = VALUES
    with WeightsFile(tmp_path / "weights.h5") as weights:
        np.testing.assert_array_equal(weights.arrays(SHAPES)["layer/kernel"], VALUES)


@pytest.mark.parametrize("options", [{"fs_strategy": "page"}, {"userblock_size": 512}])
def test_files_that_begin_with_something_else_are_refused(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    """Paged files have a superblock with an extension."""
    with h5py.File(tmp_path / "weights.h5", "w", **options) as file:
        file["layer/kernel"] = VALUES
    with pytest.raises(TextgenError, match="it does not begin like a file of Keras"):
        WeightsFile(tmp_path / "weights.h5")
