"""Characters as tokens."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgen.settings.definitions import TokenizerSettings
from textgen.support.errors import TextgenError
from textgen.tokens import build_tokenizer
from textgen.tokens.characters import CharacterTokenizer

PRISTINE = TokenizerSettings(pristine_input=True)
ANY_TEXT = st.text(st.characters(exclude_categories=()))


def test_characters_by_hand() -> None:
    tokenizer = build_tokenizer("Banana", TokenizerSettings())
    assert tokenizer.vocabulary == ["\ufffd", "a", "n", "b"]
    assert tokenizer.encode("nabBxé").tolist() == [2, 1, 3, 3, 0, 0]
    assert tokenizer.encode("nab").dtype == np.int32
    assert tokenizer.decode([3, 1, 0]) == "ba\ufffd"
    assert tokenizer.unknown("xaxé") == ["x", "é"]


def test_pristine_characters_keep_their_case() -> None:
    assert build_tokenizer("Aab", PRISTINE).vocabulary == ["\ufffd", "A", "a", "b"]


@given(ANY_TEXT)
def test_pristine_characters_round_trip(text: str) -> None:
    tokenizer = build_tokenizer("ab" + text, PRISTINE)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer.encode(text)) == len(text)


@given(ANY_TEXT, ANY_TEXT)
def test_lowered_characters_do_not_depend_on_where_a_text_is_cut(left: str, right: str) -> None:
    tokenizer = build_tokenizer("ab" + left + right, TokenizerSettings())
    parts = [tokenizer.encode(left), tokenizer.encode(right)]
    assert np.concatenate(parts).tolist() == tokenizer.encode(left + right).tolist()


def test_a_vocabulary_of_longer_tokens_is_refused() -> None:
    with pytest.raises(TextgenError, match="single characters"):
        CharacterTokenizer(["\ufffd", "ab"], PRISTINE)


def test_a_word_ends_with_white_space() -> None:
    tokenizer = build_tokenizer("a b.\n", PRISTINE)
    for ends in (tokenizer.ends_word, tokenizer.ends_phrase):
        assert [token for token in tokenizer.vocabulary if ends(token)] == ["\n", " "]


def chosen(minutes: float, tokens: int = 1_000_000, speed: float = 1.0):
    return CharacterTokenizer.choose_size(minutes, tokens, speed).settings


def weights(settings) -> int:
    return settings["num_layers"] * settings["rnn_size"] ** 2


def test_more_time_or_a_faster_machine_gives_a_larger_model() -> None:
    sizes = [weights(chosen(minutes)) for minutes in (0.1, 0.4, 1.17, 10)]
    assert sizes == sorted(set(sizes))
    assert chosen(1.17)["rnn_size"] == 320
    assert weights(chosen(1.17, speed=0.1)) < weights(chosen(1.17))


def test_a_text_that_is_read_more_often_gets_more_dropout() -> None:
    shares = [chosen(10, tokens)["dropout"] for tokens in (10**9, 10**6, 10**5, 10**4)]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 0.5)


def test_dropout_grows_in_small_steps_with_the_time() -> None:
    shares = [chosen(minutes / 4)["dropout"] for minutes in range(1, 41)]
    assert max(abs(later - share) for share, later in pairwise(shares)) < 0.11


def test_each_character_is_lowered_by_itself() -> None:
    """Also where Python lowers by what is around (Σ), or to two characters (İ)."""
    every = "".join(map(chr, range(0x110000)))
    for text in (every, every[::-1], "ΟΔΟΣ ΣİΣ", "\ud800Ä"):
        alone = [c.lower() if len(c.lower()) == 1 else c for c in text]
        assert CharacterTokenizer.folded(text, TokenizerSettings()) == "".join(alone)
