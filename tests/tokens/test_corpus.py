"""Token files of a data directory: what is in them, and when they are made anew."""

import collections
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import VERSES, run_here
from tests.processes import beside
from tests.stoppable_tokenization import in_pieces_of
from textgen.commands import train
from textgen.settings.definitions import TokenizerSettings
from textgen.support.errors import TextgenError
from textgen.text import splitting
from textgen.tokens import build_tokenizer, corpus, reading
from textgen.tokens.corpus import (
    Corpus,
    Counter,
    LineStarts,
    VocabularyRule,
    read_corpus,
    some_line_starts,
)

WORDS = TokenizerSettings("word")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "input.txt").write_text(VERSES * 3, encoding="utf-8")
    (tmp_path / "validate.txt").write_text(VERSES[:300] + "Żółw", encoding="utf-8")
    return tmp_path


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read to make tokens of them."""
    made: list[str] = []
    make = corpus._make

    def noted(text: Any, path: Path, rule: VocabularyRule) -> Any:
        made.append(path.stem)
        return make(text, path, rule)

    monkeypatch.setattr(corpus, "_make", noted)
    return made


def read(folder: Path, settings: TokenizerSettings = WORDS, split: float = 0.0) -> Corpus:
    return read_corpus(folder, VocabularyRule(settings), split)


@pytest.mark.parametrize("tokens", ["character", "word"])
@pytest.mark.parametrize("size", [100, 10**6])
def test_ids_are_those_of_the_whole_text(
    folder: Path, tokens: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "read", in_pieces_of(size))
    settings = TokenizerSettings(tokens)
    corpus, tokenizer = read(folder, settings), build_tokenizer(VERSES * 3, settings)
    assert corpus.tokenizer.vocabulary == tokenizer.vocabulary
    np.testing.assert_array_equal(corpus.training.ids, tokenizer.encode(VERSES * 3))
    assert corpus.training.ids.dtype == np.uint8
    assert corpus.validation is not None
    ids = tokenizer.encode(VERSES[:300] + "Żółw")
    np.testing.assert_array_equal(corpus.validation.ids, ids)
    assert corpus.validation.num_unknown == (ids == 0).sum() > 0
    starts = {tokenizer.folded(s, settings) for s in ("FERRYMAN:", "The river keeps no record")}
    assert set(corpus.training.line_starts) >= starts
    assert ("ferryman:" in starts) == (tokens == "character"), "as the model writes"


def test_the_ids_have_the_smallest_type_that_holds_the_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_text("".join(map(chr, range(0x4E00, 0x4E00 + 300))))
    assert read(tmp_path, TokenizerSettings()).training.ids.dtype == np.uint16


def test_a_split_text_has_the_parts_that_split_gives(tmp_path: Path) -> None:
    text = "".join(f"paragraph {number}\n\n" for number in range(100))
    (tmp_path / "input.txt").write_text(text)
    corpus = read(tmp_path, split=0.2)
    assert corpus.validation is not None
    tokenizer = corpus.tokenizer
    parts = [tokenizer.decode(part.ids) for part in (corpus.training, corpus.validation)]
    known = [word for word in tokenizer.vocabulary if word.isdigit()]
    assert len(known) < 100, "the held-out text is not in the vocabulary"
    training, validation = splitting.split(text, 0.2)
    assert parts[0] == training
    assert parts[1].count("paragraph") == validation.count("paragraph")


@pytest.mark.parametrize("size", [100, 10**6])
def test_the_characters_of_each_text_are_counted(
    folder: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "read", in_pieces_of(size))
    words = read(folder)
    assert words.validation is not None
    assert words.training.num_characters == 3 * len(VERSES)
    assert words.validation.num_characters == 304
    for text in (words.training, words.validation):
        assert text.characters_per_token == text.num_characters / len(text.ids) > 3
    characters = read(folder, TokenizerSettings())
    assert characters.training.num_characters == 3 * len(VERSES)
    assert characters.training.characters_per_token == 1.0, "exactly"


def test_characters_of_documents_are_those_of_their_texts(tmp_path: Path) -> None:
    text = "<|x|>one\n\n\n<|y|>two\n"
    (tmp_path / "input.txt").write_text(text)
    training = read(tmp_path, TokenizerSettings(documents="lines")).training
    assert len(training.ids) == 11, "ends before and after both, two labels, six letters"
    assert training.characters_per_token == len("onetwo") / 11


def test_a_token_file_of_before_the_characters_were_counted_is_made_anew(
    folder: Path, passes: list[str]
) -> None:
    read(folder)
    path = folder / ".textgen" / "tokens" / "input.tokens"
    path.write_bytes(path.read_bytes().replace(b"textgen tokens 3", b"textgen tokens 2"))
    assert read(folder).training.num_characters == 3 * len(VERSES)
    assert passes == ["input", "validate", "input"]


def test_the_second_start_reads_no_text(folder: Path, passes: list[str]) -> None:
    first = read(folder)
    assert passes == ["input", "validate"]
    second = read(folder)
    assert passes == ["input", "validate"]
    assert second.tokenizer.vocabulary == first.tokenizer.vocabulary
    assert second.hashes == first.hashes
    assert second.training[2:] == first.training[2:]
    np.testing.assert_array_equal(second.training.ids, first.training.ids)


def rewrite(path: Path) -> None:
    """Another text of the same size, with the time of the old one."""
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"river", b"ocean"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES = {
    "text": lambda path: path.write_text(VERSES * 4),
    "time": lambda path: os.utime(path, ns=(0, 1)),
    "text of same size and time": rewrite,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_the_text_is_noticed(folder: Path, passes: list[str], change: Any) -> None:
    read(folder)
    change(folder / "input.txt")
    passes.clear()
    corpus = read(folder)
    assert "input" in passes
    text = (folder / "input.txt").read_text()
    np.testing.assert_array_equal(corpus.training.ids, build_tokenizer(text, WORDS).encode(text))


def test_other_settings_or_another_share_are_noticed(folder: Path, passes: list[str]) -> None:
    (folder / "validate.txt").unlink()
    read(folder)
    for count, options in enumerate(({"settings": TokenizerSettings("word", lowercase=True)},
                                     {"split": 0.2}, {"split": 0.3}), 2):  # fmt: skip
        read(folder, **options)
        assert passes.count("input") == count


def test_a_known_tokenizer_reads_the_file_that_its_run_made(
    folder: Path, passes: list[str]
) -> None:
    tokenizer = read(folder).tokenizer
    read_corpus(folder, VocabularyRule(WORDS, tokenizer), 0.0)
    assert passes == ["input", "validate"]
    other = build_tokenizer("some other text", WORDS)
    corpus = read_corpus(folder, VocabularyRule(WORDS, other), 0.0)
    np.testing.assert_array_equal(corpus.training.ids, other.encode(VERSES * 3))
    grown = read_corpus(folder, VocabularyRule(WORDS, other, grows=True), 0.0)
    assert grown.tokenizer.vocabulary[: len(other.vocabulary)] == other.vocabulary
    assert grown.training.num_unknown == 0


def test_rare_words_beyond_what_is_counted_become_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(corpus.Counter.__init__, "__defaults__", (30,))
    monkeypatch.setattr(reading, "read", in_pieces_of(100))
    text = "".join(f"the word{number} of\n" for number in range(200))
    (tmp_path / "input.txt").write_text(text)
    found = read(tmp_path, TokenizerSettings("word", min_count=2))
    assert set(found.tokenizer.vocabulary) == {"<unk>", "the", "of", "\n"}
    assert found.training.num_unknown == 200
    assert "more than 30 distinct words" in capsys.readouterr().err


def test_a_disk_without_room_is_refused_before_the_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 100))
    before = files_in(folder)
    with pytest.raises(TextgenError, match=r"needs about \d+ bytes in .*tokens, and 100 bytes"):
        read(folder)
    assert files_in(folder) == before


def test_a_disk_that_becomes_full_is_one_clear_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(folder)
    (folder / "input.txt").write_text(VERSES * 5)
    before = files_in(folder)

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(corpus._Draft, "add", full)
        with pytest.raises(TextgenError, match="No space left") as info:
            read(folder)
    assert "input.tokens" in str(info.value)
    assert files_in(folder) == before
    assert read(folder).training.content_hash


def files_in(folder: Path) -> set[str]:
    """Beside the lock's."""
    paths = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return paths - {f".textgen/{name}" for name in ("lock", "process", ".gitignore")}


@pytest.mark.parametrize("moments", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_a_killed_preparation_never_leaves_a_file_that_is_used(
    tmp_path: Path, moments: int
) -> None:
    """Killed at moments spread over the work, which has some more than 60 of them."""
    texts = [VERSES * 3, (VERSES * 100).replace("river", "ocean")]
    (tmp_path / "input.txt").write_text(texts[0])
    read(tmp_path)
    (tmp_path / "input.txt").write_text(texts[1])
    old, new = (build_tokenizer(text, WORDS).encode(text) for text in texts)
    for moment in np.linspace(1, 60, moments).astype(int):
        killed_at(tmp_path, int(moment))
        stored = corpus.stored(tmp_path / ".textgen/tokens/input.tokens")
        assert stored is not None
        assert stored.header["num_unknown"] == 0
        assert len(stored.ids) in (len(old), len(new))
    np.testing.assert_array_equal(read(tmp_path).training.ids, new)
    assert files_in(tmp_path) == {"input.txt", ".textgen/tokens/input.tokens"}


def killed_at(folder: Path, moment: int) -> None:
    """Read the corpus in a process that is killed when it reaches that moment of its work."""
    command = ("-m", "tests.stoppable_tokenization", folder, moment)
    with beside(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "moment\n"
        process.kill()


def test_train_says_in_one_line_that_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 10))
    (tmp_path / "input.txt").write_text(VERSES)
    done = run_here(train.main, "--data-dir", tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "Free some space" in done.stderr


def test_counts_are_exact_as_long_as_they_are_few() -> None:
    counter = Counter()
    for text in ("banana", "bandana"):
        counts = collections.Counter(text)
        counter.add(list(counts), list(counts.values()))
    assert counter.counts == {"b": 2, "a": 6, "n": 4, "d": 1}


def test_the_rarest_are_forgotten_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    counter = Counter(most=4)
    counter.add(["the", "of", "once", "twice"], [9, 7, 1, 2])
    assert capsys.readouterr().err == ""
    counter.add(["never"], [1])
    assert counter.counts == {"the": 9, "of": 7}
    assert "more than 4 distinct words" in capsys.readouterr().err


@given(st.lists(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 5)), max_size=20))
def test_no_count_is_too_high_or_lower_than_said(pieces: list[dict[str, int]]) -> None:
    counter, exact = Counter(most=4), collections.Counter[str]()
    for piece in pieces:
        counter.add(list(piece), list(piece.values()))
        exact.update(piece)
        assert len(counter.counts) <= 4
    for kind, number in exact.items():
        assert number - counter.lost <= counter.counts.get(kind, 0) <= number


# --- beginnings of lines ---


def test_a_text_that_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "input.txt"
    for data in (b"caf\xe9", b"\0\xff\0\0\xfe", b"aaaa"):
        path.write_bytes(data)
        with pytest.raises(TextgenError):
            read(tmp_path)
        assert list(tmp_path.iterdir()) == [path]


def test_line_starts_are_beginnings_of_lines() -> None:
    starts = some_line_starts(VERSES, np.random.default_rng(0))
    assert len(set(starts)) == len(starts) > 5
    for start in starts:
        assert any(line.startswith(start) for line in VERSES.splitlines()), start
        assert 0 < len(start) <= 40
    assert "The river keeps no record" in starts


def test_line_starts_of_texts_without_lines() -> None:
    assert some_line_starts("ab" * 500, np.random.default_rng(0)) == ["ab" * 20]
    assert some_line_starts("\n\n\nx\n\n\n", np.random.default_rng(0)) == ["x"]


def test_an_indentation_is_no_part_of_a_start() -> None:
    text = f"{' ' * 50}THE END\n{' ' * 35}of a long word\n{' ' * 2000}far away\n"
    starts = some_line_starts(text, np.random.default_rng(0))
    assert set(starts) == {"THE END", "of a long word"}


def test_pieces_are_sampled_alike_and_only_where_lines_begin() -> None:
    sample = LineStarts()
    for number in range(30):
        sample.add("".join(f"{number} {line}\n" for line in range(40)))
    numbers = [int(start.split()[0]) for start in sample.starts]
    assert len(numbers) > 600
    assert abs(np.mean(numbers) - 14.5) < 1.5


# --- the files themselves ---


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "input.tokens"


def write(path: Path, dtype: str = "uint16") -> corpus.TokenFile:
    parts = [np.array([1, 2]), np.array([300 if dtype != "uint8" else 3])]
    return corpus.write(path, np.dtype(dtype), parts, {"title": "Żółw"})


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
def test_what_is_written_is_read_again(path: Path, dtype: str) -> None:
    written, stored = write(path, dtype), corpus.stored(path)
    assert stored is not None
    for file in (written, stored):
        assert file.header == {
            "title": "Żółw", "num_unknown": 0, "dtype": dtype, "count": 3,
        }  # fmt: skip
        assert file.ids.dtype == dtype
        assert file.ids.tolist() == [1, 2, 3 if dtype == "uint8" else 300]
    assert path.read_bytes()[corpus.START :].startswith(written.ids.tobytes())


def test_an_empty_text_has_no_ids(path: Path) -> None:
    corpus.write(path, np.dtype("uint8"), [], {})
    stored = corpus.stored(path)
    assert stored is not None
    assert len(stored.ids) == 0


def test_pages_that_were_given_back_are_read_again(path: Path) -> None:
    ids = write(path).ids
    corpus.release(ids)
    assert ids.tolist() == [1, 2, 300]
    corpus.release(np.zeros(3))


def test_every_cut_of_a_file_is_noticed(path: Path) -> None:
    write(path)
    data = path.read_bytes()
    assert corpus.stored(path.with_name("none")) is None
    for size in range(len(data)):
        path.write_bytes(data[:size])
        assert corpus.stored(path) is None, size
    path.write_bytes(data.replace(b"tokens 3", b"tokens 2"))
    assert corpus.stored(path) is None
    path.write_bytes(bytes(corpus.START) + data[corpus.START :])
    assert corpus.stored(path) is None, "as long as the first line is not written"


def test_a_writer_that_fails_leaves_the_old_file(path: Path) -> None:
    write(path)
    before = path.read_bytes()

    def failing() -> Iterator[Any]:
        yield np.array([5])
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        corpus.write(path, np.dtype("uint8"), failing(), {})
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]
