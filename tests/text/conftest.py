"""The command, and a text for it."""

from pathlib import Path

import pytest

from textgen.commands import corpus

PARAGRAPHS = "".join(f"Paragraph {number} of a short text.\n\n" for number in range(100))


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """A text of 100 paragraphs in UTF-16 with CRLF."""
    path = tmp_path / "mine.txt"
    path.write_bytes(PARAGRAPHS.replace("\n", "\r\n").encode("utf-16"))
    return path


def run(*arguments: object) -> None:
    corpus.main([str(argument) for argument in arguments])


def read(path: Path) -> str:
    return path.read_bytes().decode("utf-8")
