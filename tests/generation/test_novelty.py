"""What is new: neither in the training text nor written before."""

from pathlib import Path

import pytest

from tests.networks import biased_generator
from textgen.generation import generator as module
from textgen.generation.generator import Generator, Prompt
from textgen.generation.novelty import KnownTexts, digests_of
from textgen.settings.definitions import SamplingSettings, TokenizerSettings
from textgen.support.errors import TextgenError
from textgen.tokens import build_tokenizer


def listing(folder: Path, text: str, documents: str | None = "lines") -> Generator:
    """A model of texts of a and b, in a folder with a training text."""
    (folder / "input.txt").write_text(text, encoding="utf-8")
    settings = TokenizerSettings(documents=documents, pristine_input=True)
    tokenizer = build_tokenizer("ab\nba", settings)
    end = "<|endoftext|>" if documents else "\n"
    model = biased_generator({end: 0.4, "a": 0.3, "b": 0.3}, tokenizer)
    model.data_dir = folder
    return model


def test_texts_are_known_whatever_their_case_and_outer_white_space() -> None:
    known = KnownTexts(digests_of([" Stra\u00dfe ", "b"]))
    assert not known.meets("STRASSE\n")
    assert not known.meets("b ")
    assert known.meets("c")
    assert not known.meets("C")
    assert not known.meets(" \n")


@pytest.mark.parametrize("documents", ["lines", None])
@pytest.mark.parametrize("together", [1, 3, 256])
def test_only_new_texts_are_written_and_each_once(
    documents: str | None, together: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", together)
    model = listing(tmp_path, "a\nB\n<|x|>ab\n\nba\naa\nbb\n", documents)
    texts = [s.text for s in model.samples(40, length=60, random_seed=1, new=True)]
    assert len(texts) == len(set(texts)) == 40
    known = {"a", "b", "ba", "aa", "bb"} | ({"ab"} if documents else set())
    assert not known & set(texts)
    assert all(set(text) <= {"a", "b"} and text for text in texts)
    before = [s.text for s in model.samples(40, length=60, random_seed=1, stop="\n")]
    assert {"a", "b"} & set(before), "nothing was left out"


def test_the_same_random_seed_gives_the_same_new_texts_and_seeds_count(tmp_path: Path) -> None:
    model = listing(tmp_path, "ab\naba\n")
    runs = [
        [s.text for s in model.samples(9, "a", length=60, random_seed=3, new=True)]
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert not {"b", "ba"} & set(runs[0]), "ab and aba are known with their seed"
    for sample in model.samples(5, length=60, random_seed=3, new=True):
        assert model.generate(length=60, random_seed=sample.random_seed) == sample.text


def test_what_is_never_new_is_left_out_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = listing(tmp_path, "\n".join(["a", "b"]))
    short = model.samples(5, length=1, random_seed=1, new=True)
    assert list(short) == []
    assert (
        "5 of 5 texts are left out: they were not new in 100 tries each" in capsys.readouterr().err
    )
    with pytest.raises(TextgenError, match="nothing new was written in 100 tries"):
        model.generate(length=1, random_seed=1, new=True)


def test_prompts_may_differ_in_being_new(tmp_path: Path) -> None:
    model = listing(tmp_path, "a\nb\n")
    prompts = [
        Prompt("", SamplingSettings(length=1, random_seed=n, new=n % 2 == 0)) for n in range(6)
    ]
    assert [sample.random_seed for sample in model.write(prompts)] == [1, 3, 5]


def test_the_text_is_looked_for_where_the_model_was_trained(tmp_path: Path) -> None:
    model = listing(tmp_path, "a\nb\n")
    model.data_dir = tmp_path / "latest"
    assert model.generate(length=50, random_seed=1, new=True) not in ("a", "b")
    model.data_dir = tmp_path / "elsewhere"
    with pytest.raises(TextgenError, match=r"elsewhere has no input\.txt\. Copy it there"):
        model.generate(new=True)
    model.data_dir = None
    with pytest.raises(TextgenError, match="this model is in no folder"):
        model.generate(new=True)


def test_a_stream_gives_a_new_text_at_once(tmp_path: Path) -> None:
    model = listing(tmp_path, "a\nb\n")
    (text,) = model.stream(length=50, random_seed=1, new=True)
    assert text not in ("", "a", "b")


def test_a_text_that_changes_is_read_again(tmp_path: Path) -> None:
    model = listing(tmp_path, "zz\n")
    text = model.generate(length=50, random_seed=4, new=True)
    (tmp_path / "input.txt").write_text(f"longer than before\n{text}\n")
    assert model.generate(length=50, random_seed=4, new=True) != text
