import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks import biased_generator, random_generator, random_network
from textgen.generation.batch import BLOCK, Batch, beam_search
from textgen.generation.sampling import NoTokenLeftError, Rules, log_softmax
from textgen.generation.texts import Text
from textgen.settings.definitions import SamplingSettings

GENERATOR = random_generator()
VARIED: tuple[dict[str, Any], ...] = (
    {},
    {"ban": ("ab",), "repetition_penalty": 1.5, "repetition_window": 5},
    {"temperature": (0.5, 0.0, 2.0)},
    {"sample_mode": "spaces", "top_k": 3},
)


def text(length: int, random_seed: int, seed: str = "a", first=(), **options: Any) -> Text:
    """A text of `GENERATOR`; options are of `Text` or of the settings."""
    own = {name: options.pop(name) for name in ("scored", "alternatives") if name in options}
    controls = SamplingSettings(length=length, random_seed=random_seed, **options)
    return Text(seed, controls, GENERATOR.tokenizer, first=first, **own)


def endless(random_seed: int, **options: Any) -> Text:
    return text(-1, random_seed, **options)


def alone(steps: int, random_seed: int, **options: Any) -> list[int]:
    """The ids that a text has after some steps in a batch of its own."""
    batch, one = Batch(GENERATOR.network), endless(random_seed, **options)
    batch.add([one])
    for _ in range(steps):
        batch.advance()
    return one.ids


def finish(batch: Batch, steps: int = 1) -> dict[Text, str]:
    """The whole of every text, when all are finished."""
    written: dict[Text, str] = {}
    while batch.texts:
        for one, piece in batch.advance(steps):
            written[one] = written.get(one, "") + piece.text
    return written


def test_texts_are_what_they_are_alone() -> None:
    batch = Batch(GENERATOR.network)
    texts = [(number, "abc"[number % 3 :], settings) for number, settings in enumerate(VARIED * 3)]
    together = [endless(number, seed=seed, **settings) for number, seed, settings in texts]
    for one in together:
        batch.add([one])
    for _ in range(BLOCK + 20):
        batch.advance()
    for one, (number, seed, varied) in zip(together, texts, strict=True):
        assert one.ids == alone(BLOCK + 20, number, seed=seed, **varied), varied


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 90)), min_size=1, max_size=6), st.data()
)
def test_who_joins_and_leaves_does_not_matter(streams, data) -> None:
    """Texts join after some steps and leave in any order."""
    batch = Batch(GENERATOR.network)
    texts = [endless(number, **VARIED[kind]) for number, (kind, _) in enumerate(streams)]
    waiting = sorted(zip(texts, streams, strict=True), key=lambda each: each[1][1])
    for step in range(100):
        while waiting and waiting[0][1][1] == step:
            batch.add([waiting.pop(0)[0]])
        if len(batch.texts) > 1 and step % 20 == 19:
            batch.remove([data.draw(st.sampled_from(batch.texts))])
        batch.advance()
    for number, (one, (kind, _)) in enumerate(zip(texts, streams, strict=True)):
        assert one.ids == alone(len(one.ids), number, **VARIED[kind])


def test_texts_that_differ_in_temperature_are_what_they_are_alone() -> None:
    batch, temperatures = Batch(GENERATOR.network), (0.3, 1.0, 0.0, 1.7, 1.0)
    texts = [endless(seed, temperature=each, top_k=4) for seed, each in enumerate(temperatures)]
    for one in texts:
        batch.add([one])
    for _ in range(100):
        batch.advance()
    for seed, (one, each) in enumerate(zip(texts, temperatures, strict=True)):
        assert one.ids == alone(100, seed, temperature=each, top_k=4)


@pytest.mark.parametrize("steps", [1, 7, 64])
def test_every_text_has_its_own_seed_length_settings_and_chance(steps: int) -> None:
    batch = Batch(GENERATOR.network)
    texts = [
        text(30, 1), text(12, 2, "bc", top_k=2), text(45, 3, "", stop=("a",)),
        text(20, 4, temperature=(0.1, 2.0)), text(25, 5, force=("hag",)), text(0, 6),
    ]  # fmt: skip
    for one in texts:
        batch.add([one])
    written = finish(batch, steps)
    for one, seed in zip(texts, ["a", "bc", "", "a", "a", "a"], strict=True):
        expected = "".join(piece.text for piece in GENERATOR.pieces(seed, one.settings))
        assert written.get(one, "") == expected


def test_a_text_can_join_and_leave_between_steps() -> None:
    batch = Batch(GENERATOR.network)
    first, second = text(20, 1), text(20, 2)
    batch.add([first])
    written = "".join(batch.advance()[0][1].text for _ in range(5))
    batch.add([second])
    batch.advance(3)
    batch.remove([first])
    assert batch.texts == [second]
    rest = finish(batch)[second]
    assert GENERATOR.generate("a", 20, random_seed=2).endswith(rest)
    assert GENERATOR.generate("a", 20, random_seed=1).startswith(written)


def test_an_empty_batch_makes_nothing() -> None:
    batch, one = Batch(GENERATOR.network), text(5, 1)
    assert batch.advance() == []
    batch.add([text(0, 1)])
    assert (batch.texts, batch.advance()) == ([], []), "it was finished before it began"
    batch.add([one])
    batch.remove([one])
    assert (batch.texts, batch.advance()) == ([], [])


def test_texts_with_one_seed_differ_by_their_chance() -> None:
    batch, texts = Batch(GENERATOR.network), [text(40, seed) for seed in (5, 5, 6)]
    batch.add(texts)
    finish(batch, 40)
    one, same, other = (each.ids for each in texts)
    assert one == same != other


def test_forced_texts_come() -> None:
    batch, one = Batch(GENERATOR.network), text(30, 3, force=("hag", "bed"))
    batch.add([one])
    written = finish(batch, steps=64)[one]
    assert written.find("hag") < written.find("bed")
    assert "hag" in written


def test_a_text_can_begin_with_given_tokens() -> None:
    """They are read like any others, and what follows is drawn as it is when nothing was given."""
    a, b = GENERATOR.tokenizer.encode("gh").tolist()
    one, free = text(20, 3, first=(a, b)), text(20, 3)
    batch = Batch(GENERATOR.network)
    batch.add([one])
    batch.add([free])
    written = finish(batch, steps=8)
    assert written[one].startswith("gh")
    assert len(written[one]) == 20
    assert not one.has_forced
    assert written[free] == GENERATOR.generate("a", 20, random_seed=3)
    following = biased_generator({"a": 0.5, "b": 0.5})
    given = Text("a", one.settings, following.tokenizer, first=(2, 2))
    batch = Batch(following.network)
    batch.add([given])
    rest = following.generate("a", 20, random_seed=3)[2:]
    assert finish(batch)[given] == following.tokenizer.decode([2, 2]) + rest


@pytest.mark.parametrize("steps", [1, 64])
def test_scores_count_the_tokens_of_the_text_only(steps: int) -> None:
    batch, one = Batch(GENERATOR.network), text(200, 3, scored=True, stop=("a",))
    batch.add([one])
    finish(batch, steps)
    assert len(one.ids) < 200
    total = sum(piece.log_probability for piece in GENERATOR.pieces("a", one.settings, scored=True))
    assert one.log_probability == pytest.approx(total)


def test_scores_are_the_models_own_log_probabilities() -> None:
    batch, one = Batch(GENERATOR.network), text(1, 0, scored=True, temperature=0, ban=("a", "b"))
    batch.add([one])
    logits = GENERATOR.network.stepper(one.prompt[np.newaxis]).logits
    ((_, piece),) = batch.advance()
    assert piece.log_probability == pytest.approx(log_softmax(logits)[0, one.ids[0]])
    assert piece.tokens == []


def test_without_scores_there_are_none() -> None:
    batch, one = Batch(GENERATOR.network), text(3, 3)
    batch.add([one])
    finish(batch)
    assert math.isnan(one.log_probability)


def test_some_texts_tell_what_was_likeliest_too() -> None:
    batch = Batch(GENERATOR.network)
    plain, told, scored = text(9, 1), text(9, 1, alternatives=3), text(9, 1, scored=True)
    for one in (plain, told, scored):
        batch.add([one])
    expected = log_softmax(GENERATOR.network.stepper(told.prompt[np.newaxis]).logits)[0]
    pieces = dict(batch.advance())
    (token,) = pieces[told].tokens
    assert [i for i, _ in token.likeliest] == np.argsort(-expected)[:3].tolist()
    assert [score for _, score in token.likeliest] == pytest.approx(np.sort(expected)[::-1][:3])
    assert pieces[plain].tokens == pieces[scored].tokens == []
    assert math.isnan(pieces[plain].log_probability)
    for one in (told, scored):
        assert pieces[one].log_probability == pytest.approx(expected[one.ids[0]])


@pytest.mark.parametrize("steps", [1, 64])
def test_a_text_can_tell_its_tokens_and_what_else_was_likely(steps: int) -> None:
    batch = Batch(GENERATOR.network)
    one, plain = text(40, 3, alternatives=2), text(40, 3)
    batch.add([one])
    batch.add([plain])
    tokens, written = [], ""
    while batch.texts:
        pieces = dict(batch.advance(steps))
        tokens += pieces[one].tokens
        written += pieces[plain].text
        assert pieces[plain].tokens == []
    assert "".join(token.text for token in tokens) == written
    assert sum(token.log_probability for token in tokens) == pytest.approx(one.log_probability)
    for token in tokens:
        (_, first), (_, second) = token.likeliest
        assert first >= max(second, token.log_probability)


def test_a_seed_may_be_read_beforehand_and_in_parts() -> None:
    one = endless(4, seed="abc", **VARIED[1])
    stepper = GENERATOR.network.stepper(one.prompt[np.newaxis, :1])
    stepper.read(one.prompt[np.newaxis, 1:])
    batch = Batch(GENERATOR.network)
    batch.add([one], stepper)
    for _ in range(50):
        batch.advance()
    assert one.ids == alone(50, 4, seed="abc", **VARIED[1])


def test_texts_that_cannot_go_on_are_named_and_the_others_can() -> None:
    """Nothing is lost by the step that was not made, nor any forced token."""
    batch = Batch(GENERATOR.network)
    stuck = endless(5, ban=tuple(GENERATOR.tokenizer.vocabulary[1:]))
    plain, forced = endless(5), text(40, 5, force=("hag",), first=(1, 2, 3))
    for one in (plain, stuck, forced):
        batch.add([one])
    for _ in range(2):
        with pytest.raises(NoTokenLeftError) as caught:
            batch.advance()
        assert caught.value.rows.tolist() == [1]
    batch.remove([stuck])
    for _ in range(40):
        batch.advance()
    assert plain.ids == alone(40, 5)
    assert forced.ids[:3] == [1, 2, 3]
    assert "hag" in GENERATOR.tokenizer.decode(forced.ids)


def test_frequencies_match_the_models_probabilities() -> None:
    """End to end: 200,000 tokens of a model that gives each token one probability."""
    shares = {"a": 0.4, "b": 0.25, "c": 0.2, "d": 0.1, " ": 0.04, "\n": 0.01}
    batch, model = Batch((biased := biased_generator(shares)).network), biased.tokenizer
    texts = [
        Text("a", SamplingSettings(length=2000, random_seed=seed), model) for seed in range(100)
    ]
    batch.add(texts)
    finish(batch, BLOCK)
    counts = np.bincount(np.concatenate([one.ids for one in texts]), minlength=7)
    assert counts[0] == 0, "the unknown token"
    expected = 200_000 * np.array([shares[token] for token in model.vocabulary[1:]])
    chi_square = ((counts[1:] - expected) ** 2 / expected).sum()
    assert chi_square < 20.52, "above the 0.1 % quantile of chi-square with 5 degrees of freedom"


RULES = Rules(ban=((0,),))
PROMPT = np.array([1, 2])


def never(ids: list[int]) -> bool:
    return False


def test_the_score_is_the_mean_log_probability() -> None:
    model = random_network()
    found = beam_search(model, PROMPT, RULES, 4, 3, never)
    total, prompt = 0.0, PROMPT.tolist()
    for token_id in found.ids:
        logits = model.stepper(np.array([prompt])).logits[0, 1:].astype(np.float64)
        total += logits[token_id - 1] - np.log(np.exp(logits).sum())
        prompt.append(token_id)
    assert abs(found.score - total / 4) < 1e-5


def test_more_candidates_than_tokens_are_no_trap() -> None:
    assert len(beam_search(random_network(), PROMPT, RULES, 2, 10_000, never).ids) == 2


def test_a_text_that_is_over_is_not_continued() -> None:
    found = beam_search(random_network(), PROMPT, RULES, 50, 4, lambda ids: len(ids) == 3)
    assert len(found.ids) == 3


def test_bans_look_back_into_the_prompt() -> None:
    free = beam_search(random_network(), PROMPT, RULES, 1, 2, never).ids
    rules = Rules(ban=((0,), (2, *free)))
    assert beam_search(random_network(), PROMPT, rules, 1, 2, never).ids != free
