from pathlib import Path

import numpy as np
import pytest

from textgen.tokens import token_files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "input.tokens"


def write(path: Path, dtype: str = "uint16") -> token_files.TokenFile:
    parts = [np.array([1, 2]), np.array([300 if dtype != "uint8" else 3])]
    return token_files.write(path, np.dtype(dtype), parts, lambda: {"title": "Żółw"})


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
def test_what_is_written_is_read_again(path: Path, dtype: str) -> None:
    written, stored = write(path, dtype), token_files.stored(path)
    assert stored is not None
    for file in (written, stored):
        assert file.header == {"title": "Żółw", "dtype": dtype, "count": 3}
        assert file.ids.dtype == dtype
        assert file.ids.tolist() == [1, 2, 3 if dtype == "uint8" else 300]
    assert path.read_bytes()[token_files.START :].startswith(written.ids.tobytes())


def test_an_empty_text_has_no_ids(path: Path) -> None:
    token_files.write(path, np.dtype("uint8"), [], dict)
    stored = token_files.stored(path)
    assert stored is not None
    assert len(stored.ids) == 0


def test_pages_that_were_given_back_are_read_again(path: Path) -> None:
    ids = write(path).ids
    token_files.release(ids)
    assert ids.tolist() == [1, 2, 300]
    token_files.release(np.zeros(3))


def test_every_cut_of_a_file_is_noticed(path: Path) -> None:
    write(path)
    data = path.read_bytes()
    assert token_files.stored(path.with_name("none")) is None
    for size in range(len(data)):
        path.write_bytes(data[:size])
        assert token_files.stored(path) is None, size
    path.write_bytes(data.replace(b"tokens 1", b"tokens 0"))
    assert token_files.stored(path) is None
    path.write_bytes(bytes(token_files.START) + data[token_files.START :])
    assert token_files.stored(path) is None, "as long as the first line is not written"


def test_a_writer_that_fails_leaves_the_old_file(path: Path) -> None:
    write(path)
    before = path.read_bytes()

    def failing():
        yield np.array([5])
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        token_files.write(path, np.dtype("uint8"), failing(), dict)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]
