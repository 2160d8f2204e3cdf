import math

import pytest

from tests.networks import random_generator
from textgen.generation.texts import Text, Texts
from textgen.settings.definitions import SamplingSettings

GENERATOR = random_generator()


def text(
    length: int, random_seed: int, seed: str = "a", alternatives=None, first=(), **controls
) -> Text:
    settings = SamplingSettings(length=length, random_seed=random_seed, **controls)
    return Text(seed, settings, GENERATOR.tokenizer, alternatives, first)


def finish(texts: Texts, steps: int = 1) -> dict[Text, str]:
    """What is written for every text until all are finished."""
    written: dict[Text, str] = {}
    while texts.open:
        for one, piece in texts.advance(steps):
            written[one] = written.get(one, "") + piece.text
    return written


@pytest.mark.parametrize("steps", [1, 7, 64])
def test_every_text_has_its_own_seed_length_controls_and_chance(steps: int) -> None:
    texts = Texts(GENERATOR.network)
    all_texts = [
        text(30, 1), text(12, 2, "bc", top_k=2), text(45, 3, "", stop=("a",)),
        text(20, 4, temperature=(0.1, 2.0)), text(25, 5, force=("hag",)), text(0, 6),
    ]  # fmt: skip
    for one in all_texts:
        texts.add([one])
    written = finish(texts, steps)
    for one, seed in zip(all_texts, ["a", "bc", "", "a", "a", "a"], strict=True):
        expected = "".join(piece.text for piece in GENERATOR.pieces(seed, one.settings))
        assert written.get(one, "") == expected


def test_a_text_can_join_and_leave_between_steps() -> None:
    texts = Texts(GENERATOR.network)
    first, second = text(20, 1), text(20, 2)
    texts.add([first])
    written = "".join(texts.advance()[0][1].text for _ in range(5))
    texts.add([second])
    texts.advance(3)
    texts.remove([first])
    assert texts.open == [second]
    rest = finish(texts)[second]
    assert GENERATOR.generate("a", 20, random_seed=2).endswith(rest)
    assert GENERATOR.generate("a", 20, random_seed=1).startswith(written)


def test_forced_texts_come() -> None:
    texts = Texts(GENERATOR.network)
    one = text(30, 3, force=("hag", "bed"))
    texts.add([one])
    written = finish(texts, steps=64)[one]
    assert written.find("hag") < written.find("bed")
    assert "hag" in written


@pytest.mark.parametrize("steps", [1, 64])
def test_scores_count_the_tokens_of_the_text_only(steps: int) -> None:
    texts = Texts(GENERATOR.network)
    one = text(200, 3, alternatives=0, stop=("a",))
    texts.add([one])
    finish(texts, steps)
    assert len(one.writer.ids) < 200
    total = sum(piece.log_probability for piece in GENERATOR.pieces("a", one.settings, scored=True))
    assert one.log_probability == pytest.approx(total)


def test_without_scores_there_are_none() -> None:
    texts = Texts(GENERATOR.network)
    one = text(3, 3)
    texts.add([one])
    finish(texts)
    assert math.isnan(one.log_probability)


@pytest.mark.parametrize("steps", [1, 64])
def test_a_text_can_tell_its_tokens_and_what_else_was_likely(steps: int) -> None:
    texts = Texts(GENERATOR.network)
    one, plain = text(40, 3, alternatives=2), text(40, 3)
    texts.add([one])
    texts.add([plain])
    tokens, written = [], ""
    while texts.open:
        pieces = dict(texts.advance(steps))
        tokens += pieces[one].tokens
        written += pieces[plain].text
        assert pieces[plain].tokens == []
    assert "".join(token.text for token in tokens) == written
    assert sum(token.log_probability for token in tokens) == pytest.approx(one.log_probability)
    for token in tokens:
        (_, first), (_, second) = token.likeliest
        assert first >= max(second, token.log_probability)


def test_a_text_can_begin_with_given_tokens() -> None:
    """What follows is drawn as it is when nothing was given."""
    texts = Texts(GENERATOR.network)
    a, b = GENERATOR.tokenizer.encode("gh").tolist()
    one = text(20, 3, first=(a, b))
    texts.add([one])
    written = finish(texts, steps=8)[one]
    assert written.startswith("gh")
    assert len(written) == 20
    assert not one.demanding
