"""Raw files of any encoding are read in chunks of any size."""

from pathlib import Path

import pytest

from textgen.support.errors import TextgenError
from textgen.text import cleaning


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("size", [1, 2, 7, 1 << 20])
def test_any_encoding_is_read_in_chunks_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, size: int
) -> None:
    monkeypatch.setattr(cleaning, "CHUNK", size)
    path, text = tmp_path / "a.txt", "Une crème brûlée\r\n“délicieuse”\r"
    path.write_bytes(text.encode(encoding))
    found = cleaning.encoding_of(path)
    assert "".join(cleaning.decoded(path, found)) == "Une crème brûlée\n“délicieuse”\n"


def test_a_bad_byte_beyond_the_head_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "HEAD", 8)
    monkeypatch.setattr(cleaning, "CHUNK", 5)
    path = tmp_path / "a.txt"
    path.write_bytes(b"a cafe\n a caf\xe9 in Rome")
    assert cleaning.encoding_of(path) == "utf-8"
    with pytest.raises(TextgenError, match="byte 0xe9 at offset 13"):
        list(cleaning.decoded(path, "utf-8"))
