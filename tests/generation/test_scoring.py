"""How well a model knows a text: equal to stock Keras, and to numbers worked out by hand."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import textgen
from tests.conftest import VERSES
from tests.networks import (
    LETTERS,
    SMALL,
    WORDS,
    biased_generator,
    random_generator,
    random_weights,
    word_tokenizer,
)
from textgen.generation import scoring
from textgen.generation.generator import Generator
from textgen.generation.scoring import Score
from textgen.model import network
from textgen.model.keras_model import build_model, reset_state, set_weights
from textgen.model.network import Network
from textgen.settings.definitions import CELL_NAMES, TokenizerSettings
from textgen.support.errors import TextgenError
from textgen.tokens import build_tokenizer

HALF, QUARTER = math.log(0.5), math.log(0.25)
BIASED = {"a": 0.5, "b": 0.25, "\n": 0.25}


def keras_losses(model, ids) -> np.ndarray:
    """What stock Keras finds of each token but the first, (T - 1,), read from an empty state."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.RNN):
            layer.reset_state()
    ids = np.asarray(ids)
    logits = model(ids[np.newaxis, :-1])[0]
    return keras.losses.sparse_categorical_crossentropy(ids[1:], logits, from_logits=True).numpy()


def test_a_saved_model_opened_by_plain_keras_says_the_same(trained_dir: Path) -> None:
    import keras

    model = textgen.load(trained_dir)
    text = VERSES[:400] + "Ünknown?"
    losses = keras_losses(
        keras.models.load_model(trained_dir / "model.h5"), model.tokenizer.encode(text)
    )
    score = model.score(text)
    assert score.nats_per_token == pytest.approx(losses.mean(), abs=1e-4)
    assert score.bits_per_character == pytest.approx(losses.mean() / math.log(2), abs=1e-4)
    assert score.perplexity == pytest.approx(math.exp(losses.mean()), rel=1e-4)
    assert (score.tokens, score.unknown, score.characters) == (407, 1, 407)
    assert score.unknown_tokens == ("Ü",)
    np.testing.assert_allclose([-p for _, p in score.pieces[1:]], losses, atol=1e-4)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_every_cell_equals_stock_keras(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a residual, normalized model, whose text is read and whose logits are made in blocks."""
    monkeypatch.setattr(network, "SCORED_AT_ONCE", 7)
    monkeypatch.setattr(network, "LOGITS_AT_ONCE", 40)
    settings = dataclasses.replace(SMALL, cell=cell, residual=True, layer_norm=True)
    tokenizer = build_tokenizer(LETTERS, TokenizerSettings(pristine_input=True))
    weights = random_weights(settings, len(tokenizer.vocabulary), scale=0.5)
    model = build_model(settings, len(tokenizer.vocabulary), 1, own_layers=False)
    set_weights(model, weights)
    generator = Generator(Network(settings, weights), tokenizer)
    texts = ["a bad cafe.\n", "x", "deaf hedge.\nbag", "egg. he"]
    for text, score in zip(texts, generator.scores(texts), strict=True):
        reset_state(model)
        expected = keras_losses(model, tokenizer.encode("\n" + text))
        assert score.nats_per_token == pytest.approx(expected.mean(), abs=1e-4)
    long = "bad cab, gabe. " * 9
    expected = keras_losses(model, tokenizer.encode(long))
    assert generator.score(long).nats == pytest.approx(expected.sum(), abs=1e-3)


def test_figures_by_hand() -> None:
    score = biased_generator(BIASED).score("baab")  # the first is only read
    assert score.nats == pytest.approx(-2 * HALF - QUARTER, abs=1e-6)
    assert (score.tokens, score.unknown, score.characters) == (3, 0, 3)
    assert score.bits_per_character == pytest.approx(4 / 3, abs=1e-6)
    assert score.nats_per_character == score.nats_per_token
    assert score.perplexity == pytest.approx(2 ** (4 / 3), abs=1e-5)
    texts, found = zip(*score.pieces, strict=True)
    assert texts == tuple("baab")
    np.testing.assert_allclose(found, [math.nan, HALF, HALF, QUARTER], atol=1e-6)
    assert str(score) == (
        "nats per token 0.9242, bits per character 1.3333, perplexity 2.52, tokens 3, unknown 0"
    )
    figures = score.to_dict()
    assert figures["tokens"] == 3
    assert figures["nats_per_token"] == score.nats_per_token
    assert figures["nats_per_character"] == score.nats_per_character


def test_texts_that_begin_a_line_are_scored_from_their_first_token_on() -> None:
    one, other = biased_generator(BIASED).scores(["b", "aab"], pieces=True)
    assert (one.tokens, one.characters, one.pieces[0][0]) == (1, 1, "b")
    assert one.nats == pytest.approx(-QUARTER, abs=1e-6)
    assert other.bits_per_character == pytest.approx(4 / 3, abs=1e-6)
    assert [text for text, _ in other.pieces] == ["a", "a", "b"]


def test_words_are_counted_in_characters_too() -> None:
    tokenizer = word_tokenizer()
    model = biased_generator({"dog": 0.5, "old": 0.25, ".": 0.25}, tokenizer)
    score = model.score("old dog zebra.")
    assert (score.tokens, score.unknown, score.unknown_tokens) == (3, 1, ("zebra",))
    assert score.characters == len(" dog zebra.")
    assert "".join(text for text, _ in score.pieces) == "old dog zebra."
    nats = -HALF - QUARTER - math.log(1e-9)
    assert score.nats == pytest.approx(nats, rel=1e-5)
    assert score.nats_per_character == pytest.approx(nats / 11, rel=1e-5)
    assert score.bits_per_character == pytest.approx(nats / math.log(2) / 11, rel=1e-5)
    assert str(score) == (  # 1 / (8 x 10^9): 3 tokens, 11 characters
        "nats per token 7.6009, nats per character 2.0730, bits per character 2.9907,"
        " perplexity 2,000.00, tokens 3, unknown 1"
    )


def test_unknown_tokens_are_scored_as_the_unknown_one_and_named() -> None:
    model = biased_generator({"a": 0.5, "b": 0.375, "\ufffd": 0.125})
    score = model.score("aéxéa")
    assert (score.unknown, score.unknown_tokens) == (3, ("é", "x"))
    assert score.nats == pytest.approx(-3 * math.log(0.125) - HALF, abs=1e-5)
    assert [text for text, _ in score.pieces] == list("aéxéa")


def test_case_is_folded_as_in_training() -> None:
    model = random_generator(build_tokenizer(LETTERS, TokenizerSettings()))
    assert model.score("BAD cab").nats == model.score("bad cab").nats


# Documents.

DOCUMENTS = TokenizerSettings(pristine_input=True, documents="lines")
LABELLED = "<|x|>ab\n<|y|>ba\na\n"


def document_model() -> Generator:
    return random_generator(build_tokenizer(LABELLED, DOCUMENTS))


def test_documents_are_scored_one_by_one_with_their_ends_and_without_labels() -> None:
    tokenizer = build_tokenizer(LABELLED, DOCUMENTS)
    shares = {"a": 0.5, "b": 0.25, "<|endoftext|>": 0.25, "<|x|>": 1e-4}
    model = biased_generator(shares, tokenizer)
    total = sum(shares.values())
    score = model.score("<|x|>ab\n\nb\n")
    # a b end, b end
    nats = -HALF - 4 * QUARTER + 5 * math.log(total)
    assert score.nats == pytest.approx(nats, abs=1e-4)
    assert (score.tokens, score.characters, score.unknown) == (5, 3, 0)
    texts, found = zip(*score.pieces, strict=True)
    assert texts == ("<|x|>", "a", "b", "\n", "b", "\n")
    assert [math.isnan(p) for p in found] == [True] + 5 * [False]


def test_documents_equal_stock_keras_each_from_an_empty_state() -> None:
    model = document_model()
    tokenizer = model.tokenizer
    keras_model = build_model(SMALL, len(tokenizer.vocabulary), 1, own_layers=False)
    set_weights(keras_model, random_weights(SMALL, len(tokenizer.vocabulary)))
    end, x, a, b = (tokenizer.token_id(t) for t in ("<|endoftext|>", "<|x|>", "a", "b"))
    labelled = keras_losses(keras_model, [end, x, a, b, b, end])[1:].sum()
    plain = keras_losses(keras_model, [end, b, a, end]).sum()
    score = model.score("<|x|>abb\nba")
    assert (score.tokens, score.nats) == (7, pytest.approx(labelled + plain, abs=1e-4))
    one, other = model.scores(["<|x|>abb", "ba"])
    assert one.nats == pytest.approx(labelled, abs=1e-4)
    assert other.nats == pytest.approx(plain, abs=1e-4)


def test_a_label_that_is_not_known_is_read_as_unknown() -> None:
    [score] = document_model().scores(["<|new|>ab"], pieces=True)
    assert (score.tokens, score.unknown) == (3, 0)
    assert [text for text, _ in score.pieces] == ["<|new|>", "a", "b", "\n"]


def test_a_label_alone_is_a_document_without_characters() -> None:
    [score] = document_model().scores(["<|x|>"])
    assert (score.tokens, score.characters) == (1, 0)
    assert math.isnan(score.bits_per_character)
    assert score.to_dict()["bits_per_character"] is None
    assert score.to_dict()["nats_per_character"] is None


def test_a_text_that_has_the_end_as_a_word_is_one_document() -> None:
    settings = TokenizerSettings("word", pristine_input=True, documents="lines")
    model = random_generator(build_tokenizer("a b\nb <|endoftext|> a\n", settings))
    one, other = model.scores(["a b", "b <|endoftext|> a"])
    assert (one.tokens, other.tokens) == (3, 4)


# Long texts, many texts.


@given(st.text("abc .\n", min_size=2, max_size=60), st.integers(1, 9), st.integers(1, 9))
def test_pieces_of_a_text_give_the_score_of_the_whole(text: str, size: int, at_once: int) -> None:
    chunks = [text[start : start + size] for start in range(0, len(text), size)]
    models = [random_generator(), document_model(), random_generator(word_tokenizer())]
    for model in models:
        try:
            whole = model.score(text)
        except TextgenError:
            continue
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scoring, "PIECE", at_once)
            patch.setattr(scoring, "POOL", 64 * at_once)
            again = model.score(chunks)
        assert again.nats == pytest.approx(whole.nats, abs=1e-4)
        assert dataclasses.replace(again, nats=0, pieces=()) == dataclasses.replace(
            whole, nats=0, pieces=()
        )
        assert [piece for piece, _ in again.pieces] == [piece for piece, _ in whole.pieces]


def test_a_text_is_known_as_well_as_its_lines_that_follow_each_other() -> None:
    """The score is that of one stream: what was read before is remembered."""
    model, first, second = random_generator(), "bad cab.\n", "a hedge"
    whole = model.score(first + second)
    beginning, rest = model.score(first), whole.pieces[len(first) :]
    assert beginning.nats - sum(p for _, p in rest) == pytest.approx(whole.nats, abs=1e-4)
    assert model.score("\n" + second).nats == pytest.approx(next(model.scores([second])).nats)


def test_many_texts_of_different_lengths_are_each_scored_as_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scoring, "ROWS", 4)
    monkeypatch.setattr(scoring, "POOL", 64 * 30)
    rng = np.random.default_rng(1)
    texts = ["".join(rng.choice(list("abc d"), n)) for n in rng.integers(1, 40, 50)]
    for model in (random_generator(), document_model()):
        alone = [next(model.scores([text])).nats for text in texts]
        together = [score.nats for score in model.scores(iter(texts))]
        np.testing.assert_allclose(together, alone, atol=1e-4)


def test_of_a_long_text_the_first_pieces_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "MOST_PIECES", 5)
    monkeypatch.setattr(scoring, "PIECE", 3)
    monkeypatch.setattr(scoring, "POOL", 64)
    for model in (random_generator(), document_model()):
        score = model.score("ab\nba\nab\nba\n" * 2)
        assert "".join(text for text, _ in score.pieces) == "ab\nba"
        assert score.tokens > 5
        assert model.score("ab\nba", pieces=False).pieces == ()


# Mixtures.


def test_a_mixture_with_itself_scores_as_the_model() -> None:
    model = random_generator()
    alone = model.score("bad cab. egg").nats
    for mixed in (Generator.mix([model, model]), Generator.mix([model, model], (0.5, 0.5))):
        assert mixed.score("bad cab. egg").nats == pytest.approx(alone, abs=1e-4)
        assert next(mixed.scores(["bad"])).nats == pytest.approx(
            next(model.scores(["bad"])).nats, abs=1e-4
        )


def test_models_by_turns_are_scored_each_on_its_words() -> None:
    one = biased_generator({"a": 0.5, "b": 0.25, " ": 0.25})
    other = biased_generator({"a": 0.25, "b": 0.5, " ": 0.25})
    [score] = Generator.mix([one, other]).scores(["aa bb"])
    assert score.nats == pytest.approx(-4 * HALF - QUARTER, abs=1e-5)


def test_what_a_blended_model_does_not_know_is_impossible() -> None:
    mixed = Generator.mix(
        [biased_generator({"a": 0.5, "b": 0.5}), biased_generator(BIASED)], (1, 1)
    )
    score = mixed.score("a\n")
    assert (score.nats, score.perplexity) == (math.inf, math.inf)
    assert score.to_dict()["perplexity"] is None
    assert str(score).startswith("nats per token inf")


# Mistakes, and notebooks.


@pytest.mark.parametrize("text", ["", "a"])
def test_a_text_without_a_second_token_has_nothing_to_score(text: str) -> None:
    with pytest.raises(TextgenError, match="no character after the first, which is only read"):
        random_generator().score(text)


@pytest.mark.parametrize("text", [None, 7, b"ab"])
def test_what_is_no_text_is_refused(text: object) -> None:
    with pytest.raises(TextgenError, match=r"`text` is the text to score\. Received: "):
        random_generator().score(text)


def test_texts_that_cannot_be_scored() -> None:
    model = random_generator()
    with pytest.raises(TextgenError, match=r"`texts` is a list of texts\. Received: 'ab'"):
        model.scores("ab")
    with pytest.raises(TextgenError, match=r"is a str\. Received: 7"):
        list(model.scores(["ab", 7]))
    with pytest.raises(TextgenError, match=r"at least one character\. Received: ''"):
        list(model.scores(["ab", ""]))
    with pytest.raises(TextgenError, match="the text is empty"):
        document_model().score("\n \n")
    pristine = TokenizerSettings("word", pristine_input=True)
    words = random_generator(build_tokenizer(WORDS, pristine))
    with pytest.raises(TextgenError, match="at least one word"):
        list(words.scores(["  "]))


def test_a_notebook_shows_a_score_shaded_and_escaped() -> None:
    model = biased_generator({"<": 0.5, "a": 0.5})
    shown = model.score("a<")._repr_html_()
    assert 'title="50.0%">&lt;</span>' in shown
    assert "<td" in shown
    assert "0.6931" in shown
    assert "<span" not in Score(1, 0, 1, 0.5)._repr_html_()
