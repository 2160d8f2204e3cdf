"""Seeds that end within a word: what may follow, and how probable it is."""

import itertools
import math
import re
from collections import Counter

import numpy as np
import pytest

from tests.networks import SMALL, random_generator, random_weights
from textgen.generation.generator import Generator
from textgen.generation.openings import log_probabilities
from textgen.model.network import Network
from textgen.settings.definitions import SamplingSettings, TokenizerSettings
from textgen.support.errors import TextgenError
from textgen.tokens import build_tokenizer
from textgen.tokens.subwords import SubwordTokenizer

TEXT = "the slow sloth slept\nthe slower slope, the slow slip\n" * 3


def subwords(documents: str | None = None) -> SubwordTokenizer:
    settings = TokenizerSettings("subword", vocab_size=280, documents=documents)
    tokenizer = build_tokenizer(TEXT, settings)
    assert isinstance(tokenizer, SubwordTokenizer)
    return tokenizer


@pytest.fixture(scope="module")
def model() -> Generator:
    return random_generator(subwords())


def probability(model: Generator, ids: list[int]) -> float:
    """Of ids after the first, by reading them one after another."""
    stepper = model.network.stepper(np.array([ids[:1]]))
    total = 0.0
    for i in ids[1:]:
        logits = stepper.logits[0].astype(np.float64)
        total += logits[i] - np.log(np.exp(logits).sum())
        stepper.step(np.array([i]))
    return math.exp(total)


def test_log_probabilities_are_those_of_reading_each_opening(model: Generator) -> None:
    tokenizer = model.tokenizer
    begun = tokenizer.prompt("the slat")
    openings = tokenizer.openings(begun.typed)
    assert max(map(len, openings)) > 2
    stepper = model.network.stepper(begun.ids[np.newaxis])
    before = stepper.logits.copy()
    found = log_probabilities(openings, stepper)
    context = begun.ids.tolist()
    alone = probability(model, context)
    wanted = [probability(model, context + list(ids)) / alone for ids in openings]
    assert np.exp(found) == pytest.approx(wanted, rel=1e-4)
    assert np.array_equal(stepper.logits, before)


def test_openings_are_drawn_as_probable_as_they_are(model: Generator) -> None:
    begun = model.tokenizer.prompt("the slo")
    openings = model.tokenizer.openings(begun.typed)
    scores = log_probabilities(openings, model.network.stepper(begun.ids[np.newaxis]))
    shares = np.exp(scores - np.logaddexp.reduce(scores))
    texts = model.samples(2_000, "the slo", length=1, random_seed=0)
    most = max(range(len(openings)), key=lambda place: shares[place] * (len(openings[place]) == 1))
    text = model.tokenizer.vocabulary[openings[most][0]].removeprefix(" slo")
    single = [ids for ids in openings if len(ids) == 1]
    drawn = Counter(sample.text for sample in texts)
    assert single
    assert drawn[text] / 2_000 == pytest.approx(shares[most], abs=0.04)


@pytest.mark.parametrize(
    "seed", ["the slo", "the ", "t", "the slow", "the slow,", "the\n", "é", ""]
)
def test_every_way_to_write_goes_on_from_the_seed(model: Generator, seed: str) -> None:
    text = model.generate(seed, length=12, random_seed=5)
    assert "".join(model.stream(seed, length=12, random_seed=5)) == text
    assert model.sample(seed, length=12, random_seed=5).text == text
    ids = Counter(
        sample.text for sample in model.samples(2, [seed, seed], length=12, random_seed=5)
    )
    assert ids[text] == 1
    assert model.generate(seed, length=0) == ""
    assert isinstance(model.generate(seed, length=12, temperature=1.0, beam_size=2), str)


def test_the_likeliest_text_begins_with_the_likeliest_opening(model: Generator) -> None:
    begun = model.tokenizer.prompt("the slo")
    openings = model.tokenizer.openings(begun.typed)
    scores = log_probabilities(openings, model.network.stepper(begun.ids[np.newaxis]))
    best = "".join([model.tokenizer.vocabulary[i] for i in openings[int(scores.argmax())]])
    assert (" slo" + model.generate("the slo", length=20, temperature=0)).startswith(best)


def test_next_tokens_of_a_cut_word_are_what_follows_the_seed(model: Generator) -> None:
    found = model.next_tokens("the slo", 10_000)
    assert sum(share for _, share in found) == pytest.approx(1, abs=1e-3)
    assert [share for _, share in found] == sorted((share for _, share in found), reverse=True)
    begun = model.tokenizer.prompt("the slo")
    scores = dict(
        zip(
            openings := model.tokenizer.openings(begun.typed),
            log_probabilities(openings, model.network.stepper(begun.ids[np.newaxis])),
            strict=True,
        )
    )
    total = np.logaddexp.reduce(list(scores.values()))
    by_text = dict(found)
    for ids, score in scores.items():
        text = "".join([model.tokenizer.vocabulary[i] for i in ids]).removeprefix(" slo")
        if text:
            assert by_text[text] >= math.exp(score - total) * 0.999


def test_what_is_given_first_follows_the_seed_as_it_is(model: Generator) -> None:
    from textgen.generation.batch import Batch
    from textgen.generation.texts import Text

    first = model.tokenizer.token_id("the")
    text = Text("the slo", SamplingSettings(length=1), model.tokenizer, first=[first])
    batch = Batch(model.network)
    batch.add([text])
    ((_, piece),) = batch.advance()
    assert (text.typed, piece.text) == (b"", "the")


def test_a_banned_text_does_not_slip_through_by_another_cut(model: Generator) -> None:
    for ban in ("lo", "slow", "e s", "\nt", "é"):
        settings = SamplingSettings(length=300, ban=(ban,), random_seed=3)
        for sample in model.samples(5, ["the s", "the sl", "the slow"], settings):
            assert ban not in (sample.seed + sample.text).replace(sample.seed, "", 1)
            crossing = (sample.seed[-len(ban) + 1 :] if len(ban) > 1 else "") + sample.text
            assert ban not in crossing


def test_a_seed_with_the_banned_text_goes_on(model: Generator) -> None:
    text = model.generate("the slow", length=50, ban=["slow"], random_seed=1)
    assert text
    assert "slow" not in text


def test_bans_that_leave_no_opening_leave_the_seed_as_it_is(model: Generator) -> None:
    bans = ["th" + chr(i) for i in range(1, 128)]
    assert "the" not in model.generate("t", length=20, ban=bans, random_seed=1)


def test_forced_texts_are_words_of_their_own(model: Generator) -> None:
    for random_seed in range(5):
        text = model.generate(
            "the slo", length=60, force=["dragon", "good day"], random_seed=random_seed
        )
        places = [text.index("dragon"), text.index("good day")]
        assert places == sorted(places)
        assert all(text[place - 1].isspace() for place in places)


def test_forced_texts_that_do_not_fit_are_refused(model: Generator) -> None:
    needed = 1 + len(model.tokenizer.encode(" dragon"))  # after what goes on from "the"
    assert "dragon" in model.generate("the", length=needed + 8, force=["dragon"])
    with pytest.raises(Exception, match=f"must be at least {needed}"):
        model.generate("the", length=needed - 1, force=["dragon"])


def test_documents_begin_with_their_label_and_the_opening() -> None:
    settings = TokenizerSettings("subword", vocab_size=280, documents="lines")
    text = "<|cat|>the slow cat\n<|dog|>the slower dog\n" * 3
    model = random_generator(build_tokenizer(text, settings))
    begun = model.tokenizer.prompt("the slo", "dog")
    assert begun.ids.tolist()[:2] == [1, model.tokenizer.marks["<|dog|>"]]
    assert model.generate("the slo", length=5, label="dog", random_seed=1) == "".join(
        model.stream("the slo", length=5, label="dog", random_seed=1)
    )


def test_models_of_the_same_pieces_mix() -> None:
    tokenizer = subwords()
    one = random_generator(tokenizer)
    other = Generator(
        Network(SMALL, random_weights(SMALL, len(tokenizer.vocabulary), 0.5)), tokenizer
    )
    for weights in (None, [0.5, 0.5]):
        mixed = Generator.mix([one, other], weights)
        text = mixed.generate("the slo", length=20, random_seed=1)
        assert "".join(mixed.stream("the slo", length=20, random_seed=1)) == text


def test_scores_count_every_character(model: Generator) -> None:
    text = "the slow sloth"
    score = model.score(text, pieces=True)
    assert "".join(itertools.chain.from_iterable(piece for piece, _ in score.pieces)) == text
    (line,) = model.scores([text])
    assert line.characters == len(text)
    assert line.unknown == 0


@pytest.mark.parametrize("seed", ["T", "The sl", "The ", "小", "no such token"])
@pytest.mark.parametrize("beam_size", [None, 2])
def test_a_length_is_of_what_comes_after_what_was_typed(
    model: Generator, seed: str, beam_size: int | None
) -> None:
    for length in range(1, 9):
        samples = model.samples(1, seed, length=length, random_seed=length, beam_size=beam_size)
        assert next(samples).tokens == length


@pytest.mark.parametrize("seed", ["T", "The sl", "The ", ""])
def test_a_forced_text_fits_into_the_length_that_is_told(model: Generator, seed: str) -> None:
    forced = "a b c d e f"
    with pytest.raises(TextgenError, match=r"at least (\d+) to hold") as caught:
        model.generate(seed, 1, force=[forced])
    needed = int(re.findall(r"at least (\d+)", str(caught.value))[0])
    for length in (needed, needed + 1, needed + 5):
        assert forced in model.generate(seed, length, random_seed=1, force=[forced])
