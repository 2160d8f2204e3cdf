"""How much is copied: the figures, the baseline of held-out text, and where the texts come from."""

import re
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import textgen
from tests.conftest import VERSES
from tests.networks import random_generator, word_tokenizer
from textgen.generation.originality import (
    ANCHOR,
    Figures,
    Originality,
    compare,
    find_training_text,
    sampled,
)
from textgen.settings.definitions import TokenizerSettings
from textgen.support.errors import TextgenError
from textgen.tokens import build_tokenizer

LINE = "The river keeps no record of the rain,"
WORDS = (8, "word")


def copied(found: Originality) -> list[str]:
    """The copied parts of the first text."""
    return [found.texts[0][start:end] for start, end in found.spans[0]]


def test_figures_by_hand() -> None:
    texts = [f"He said: {LINE} and left.", "no, " + LINE[:29]]
    found = compare(texts, [VERSES])
    assert found.figures == Figures(characters=57 + 33, copied=38, longest=38)
    assert found.share == 38 / 90
    assert found.held_out is None
    assert found.spans == (((9, 47),), ())
    (passage,) = found.passages
    assert passage == (LINE, 0, 9, 2)


def test_a_run_has_at_least_thirty_characters_and_does_not_go_on_in_the_next_text() -> None:
    assert copied(compare(["-" + LINE[:30] + "-"], [VERSES])) == [LINE[:30]]
    assert not compare(["-" + LINE[:29] + "-"], [VERSES]).share
    assert not compare([LINE[:20], LINE[20:]], [VERSES]).share


def test_the_longest_passages_come_first_and_none_is_within_another() -> None:
    other = "It has a different name on every day."
    texts = [f"{LINE}/{other}/{LINE[3:]}/{other}", f"{other}\n\nTRAVELLER:"]
    found = compare(texts, [VERSES])
    assert [(p.text, p.number, p.start, p.line) for p in found.passages] == [
        (texts[1], 1, 0, 5),
        (LINE, 0, 0, 2),
    ]
    assert found.figures.longest == 49
    assert found.share == (sum(map(len, texts)) - 3) / sum(map(len, texts))
    (first,) = compare(texts, [VERSES], most=1).passages
    assert first.text == texts[1]


def test_runs_of_words_are_counted_in_whole_words() -> None:
    seven, eight = "keeps no record of the rain, And", "river keeps no record of the rain, And"
    training = [VERSES.replace("\n", " ")]
    assert not compare([f"It {seven} then."], training, least=WORDS).share
    found = compare([f"That {eight} thus."], training, least=WORDS)
    assert copied(found) == [eight]
    # "yet?" is not shared whole, and a part of a word is none.
    assert copied(compare([f"A {eight} yet? No."], training, least=WORDS)) == [eight]
    assert not compare([f"A {eight}roid"], training, least=WORDS).share
    assert copied(compare([eight], training, least=WORDS)) == [eight]
    assert found.passages[0].line == 1


@given(st.lists(st.sampled_from(["ab", "cd", "ef", "\n"]), max_size=60), st.integers(0, 30))
def test_words_that_are_copied_are_those_of_long_enough_runs(words: list[str], at: int) -> None:
    """Every shared passage is tried; a word is copied if eight whole ones in a row are shared."""
    text, training = " ".join(words), " ".join(words[at:] + words[:at][::-1])
    expected = [False] * len(text)
    begins = [m.span() for m in re.finditer(r"\S+", text)]
    for start in range(len(text)):
        end = start
        while end < len(text) and text[start : end + 1] in training:
            end += 1
        whole = [span for span in begins if start <= span[0] and span[1] <= end]
        if end - start >= ANCHOR and len(whole) >= 8:
            low, high = whole[0][0], whole[-1][1]
            expected[low:high] = [True] * (high - low)
    found = compare([text], [training], least=WORDS)
    got = [False] * len(text)
    for low, high in found.spans[0]:
        got[low:high] = [True] * (high - low)
    assert got == expected


def test_letters_that_the_model_does_not_tell_apart_are_the_same() -> None:
    lower = build_tokenizer(VERSES, TokenizerSettings())
    shouted = LINE.upper()

    def fold(text: str) -> str:
        return lower.folded(text, lower.settings)

    assert not compare([shouted], [VERSES]).share
    found = compare([shouted], [VERSES], fold=fold)
    assert found.share == 1
    assert found.passages[0].text == shouted


def test_places_are_those_of_the_text_where_folding_makes_it_longer() -> None:
    text = f"İİİ {LINE.upper()} İ"
    assert len(text.lower()) == len(text) + 4
    found = compare([text], [VERSES], fold=str.lower)
    assert found.spans == (((4, 4 + len(LINE)),),)
    assert found.passages[0].text == LINE.upper()


def test_the_case_of_a_letter_may_hang_on_its_word() -> None:
    """The small sigma that ends a word is another letter."""
    greek = "ΟΔΥΣΣΕΥΣ ΚΑΙ ΠΗΝΕΛΟΠΗ ΤΗΣ ΙΘΑΚΗΣ"
    chunks = [greek[:8], greek[8:] + "\n"]
    assert compare([greek.lower()], chunks, fold=str.lower).share == 1


def test_held_out_text_is_sampled_evenly_and_always_the_same() -> None:
    text = "".join(map(chr, range(1_000, 51_000)))
    pieces = sampled([text[:7], text[7:]], 5_000, 500)
    assert [len(piece) for piece in pieces] == [500] * 10
    places = [text.index(piece) for piece in pieces]
    assert places == sorted(places)
    assert max(b - a for a, b in pairwise(places)) < 10_000
    assert sampled([text], 5_000, 500) == pieces
    assert sampled(["abc", "def"], 100, 2) == ["abcdef"]
    assert sampled(["abcdefgh"], 3, 2) == ["ab", "e"]
    assert sampled([], 3, 2) == [""]


def test_as_much_held_out_text_is_the_baseline() -> None:
    held_out = [f"{LINE} {'x' * 61}"] * 50
    found = compare(["y" * 100] * 3, [VERSES], held_out)
    assert found.figures == Figures(300, 0, 0)
    assert found.held_out == Figures(300, 3 * 38, 38)
    assert found.passages == ()
    assert found.spans == ((), (), ())
    assert "held-out text  38.0% of 300 characters; the longest run has 38" in str(found)


def test_it_shows_itself() -> None:
    found = compare([f"<b>&{LINE}</b>"], [VERSES], [VERSES])
    assert "copied         82.6% of 46 characters; the longest run has 38\n" in str(found)
    assert f"     38 characters, line 2: {LINE!r}" in str(found)
    page = found._repr_html_()
    assert page.count("<mark ") == 1
    assert f'title="line 2">{LINE}</mark>' in page
    assert "&lt;b&gt;&amp;<mark" in page
    values = found.to_dict()
    assert values["share"] == 38 / 46
    assert values["held_out"]["share"] == 1
    assert values["passages"][0] == {
        "text": LINE, "number": 0, "start": 4, "line": 2, "characters": 38,
    }  # fmt: skip
    assert values["spans"] == [[[4, 42]]]
    assert "none to compare with" in str(compare(["a"], [VERSES]))


def test_a_model_finds_its_own_text(trained_dir: Path, tmp_path: Path) -> None:
    model = textgen.load(trained_dir)
    expected = model.originality(f"He said: {LINE}")
    assert (expected.figures.copied, expected.held_out) == (38, Figures(47, 47, 47))
    latest = textgen.load(trained_dir / "latest")
    assert latest.originality(f"He said: {LINE}").figures == expected.figures
    model.save(tmp_path / "copy")
    copy = textgen.load(tmp_path / "copy")
    with pytest.raises(TextgenError, match=r"copy has no input.txt. Give it as `training_text`"):
        copy.originality(LINE)
    assert copy.originality(f"He said: {LINE}", trained_dir).figures == expected.figures
    alone = copy.originality([f"He said: {LINE}"], str(trained_dir / "input.txt"))
    assert (alone.figures, alone.held_out) == (expected.figures, None)


def test_the_texts_are_those_of_the_training(trained_dir: Path, tmp_path: Path) -> None:
    tokenizer = textgen.load(trained_dir).tokenizer
    shutil.copytree(trained_dir, tmp_path / "model")
    streams = find_training_text(tokenizer, tmp_path / "model")
    assert streams.validation is not None
    assert "".join(streams.validation.chunks()) == VERSES[:300]
    (tmp_path / "model" / "validate.txt").unlink()
    assert find_training_text(tokenizer, tmp_path / "model").validation is None


def test_models_without_a_folder_and_texts_that_are_none() -> None:
    model = random_generator()
    with pytest.raises(TextgenError, match="in no folder that could have its text"):
        model.originality("abc")
    for nothing in ("", [], [""]):
        with pytest.raises(TextgenError, match="there is no text to look at"):
            model.originality(nothing)
    with pytest.raises(TextgenError, match=r"texts are str, .* Received: 5"):
        model.originality(["a", 5])


def test_models_of_words_count_words(tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_text("Who saw it? The old dog sat and ate all the bread!\n")
    model = random_generator(word_tokenizer())
    found = model.originality("Then the old dog sat and ate all the bread at last.", tmp_path)
    assert (found.least, found.unit) == (8, "word")
    assert copied(found) == ["old dog sat and ate all the bread"]
