"""Texts read in pieces, by one process or several, have the tokens of the whole text."""

import subprocess
import sys
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import ROOT, VERSES
from textgen.settings.definitions import TokenizerSettings
from textgen.support.errors import TextgenError
from textgen.tokens import reading, tokenizer_class
from textgen.tokens.words import WordTokenizer

CONFIGS = [
    TokenizerSettings(),
    TokenizerSettings(pristine_input=True),
    TokenizerSettings("word"),
    TokenizerSettings("word", lowercase=True),
    TokenizerSettings("word", pristine_input=True),
]
PARTS = [
    "It's",
    " ",
    "  ",
    "\n",
    "\n\n",
    '"',
    "'",
    ". . .",
    "--",
    "word",
    "Żółw",
    "東京",
    " -- ",
    "!",
]
TEXT = st.lists(st.sampled_from(PARTS)).map("".join) | st.text()


def tokens(read: Iterable[tuple[str, reading.Parts]]) -> list[str]:
    return [parts.kinds[place] for _, parts in read for place in parts.places]


def whole(text: str, settings: TokenizerSettings) -> list[str]:
    kind = tokenizer_class(settings)
    parts, _ = kind.split(text, settings, kind.start)
    return [parts.kinds[place] for place in parts.places]


@settings(deadline=None)
@given(TEXT, st.sampled_from(CONFIGS), st.integers(1, 20), st.data())
def test_chunks_of_any_size_give_the_tokens_of_the_whole_text(
    text: str, settings: TokenizerSettings, size: int, data: st.DataObject
) -> None:
    chunk = data.draw(st.integers(1, 20))
    chunks = [text[start : start + chunk] for start in range(0, len(text), chunk)]
    read = list(reading.read(chunks, settings, cores=1, size=size))
    assert "".join(part for part, _ in read) == text
    assert tokens(read) == whole(text, settings)


QUOTED = "".join(f'He said--"number {n}.  And  so\non {n} -- for ever.\n' for n in range(400))
"""No blank lines, odd quotation marks in every line, and habits: all depends on what was before."""


@pytest.mark.parametrize("settings", CONFIGS[::2], ids=["characters", "words", "pristine"])
@pytest.mark.parametrize("text", [VERSES * 30, QUOTED, "no line " * 3000], ids=["v", "q", "n"])
def test_several_processes_give_the_tokens_of_one(
    text: str, settings: TokenizerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "WARM_UP", 100)
    monkeypatch.setattr(reading, "LEAST", 2)
    assert tokens(reading.read([text], settings, cores=2, size=1000)) == whole(text, settings)


def test_wrong_guesses_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = TokenizerSettings("word")
    _, begun, _ = reading._split_guessing("", QUOTED[17:], WordTokenizer, settings)
    _, before = WordTokenizer.split(QUOTED[:17], settings, WordTokenizer.start)
    assert begun != before, "this text is to be one that a bad guess reads wrongly"


def test_a_process_that_dies_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LEAST", 2)
    monkeypatch.setattr(reading, "_split_guessing", deadly)
    large = VERSES * 200  # more than a pipe holds: others are being sent when the process dies
    with pytest.raises(TextgenError, match="a process that helped to read the text has ended"):
        tokens(reading.read([large] * 20, TokenizerSettings("word"), cores=2, size=100))


def deadly(*arguments: object) -> None:
    __import__("os")._exit(1)


def test_helpers_end_with_a_process_that_is_killed() -> None:
    code = (
        "import multiprocessing, os, signal, sys, textgen.tokens.reading as p\n"
        "pool = p.ProcessPoolExecutor(1, multiprocessing.get_context('spawn'), p.follow_parent)\n"
        "print(pool.submit(os.getpid).result(), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, timeout=60, check=False
    )
    # Its standard output is the helper's too: `run` returns when both have closed it.
    assert done.stdout.strip().isdigit()
