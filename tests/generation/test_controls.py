import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.networks import word_tokenizer
from textgen.generation.controls import Forced, boundaries, rules_of
from textgen.generation.sampling import Rules
from textgen.settings.definitions import SamplingSettings, TokenizerSettings
from textgen.support.errors import TextgenError
from textgen.tokens.characters import CharacterTokenizer
from textgen.tokens.words import WordTokenizer

CHARACTERS = CharacterTokenizer(["\ufffd", *"ab \n"], TokenizerSettings())
A, B, SPACE, NEWLINE = 1, 2, 3, 4
PRISTINE = TokenizerSettings("word", pristine_input=True)


def test_the_unknown_token_is_always_banned() -> None:
    assert rules_of(SamplingSettings(), CHARACTERS) == Rules(banned=((0,),))


def test_every_control_arrives() -> None:
    settings = SamplingSettings(
        temperature=(0.2, 0.8), top_k=3, top_p=0.9, min_p=0.1, repetition_penalty=1.2,
        repetition_window=9, sample_mode="spaces", ban=("ab", "A", "né"),
    )  # fmt: skip
    assert rules_of(settings, CHARACTERS) == Rules(
        temperatures=(0.2, 0.8), top_k=3, top_p=0.9, min_p=0.1, repetition_penalty=1.2,
        repetition_window=9, drawn_after=frozenset({SPACE, NEWLINE}),
        banned=((0,), (A, B), (A,)),
    )  # fmt: skip


def test_argmax_is_temperature_zero() -> None:
    assert rules_of(SamplingSettings(sample_mode="argmax"), CHARACTERS).temperatures == (0.0,)


def test_a_ban_that_is_no_token_is_refused() -> None:
    with pytest.raises(TextgenError, match="--ban ' ' has no word that a model could write"):
        rules_of(SamplingSettings(ban=(" ",)), WordTokenizer(["<unk>", "a", "b"], PRISTINE))


def test_boundaries_of_words_are_the_ends_of_sentences() -> None:
    tokenizer = word_tokenizer()
    ends = {tokenizer.vocabulary[i] for i in boundaries(tokenizer)}
    assert ends == {".", "!", "?", "\n"}


def forced_ids(texts: list[str], drawn: list[int], length: int) -> list[int]:
    """The ids of a stream that draws `drawn` where nothing is forced."""
    forced, ids, source = Forced(texts, length, CHARACTERS), [NEWLINE], iter(drawn)
    for count in range(length):
        demand = forced.next(count, ids[-1])
        ids.append(next(source) if demand is None else demand)
    return ids[1:]


def test_forced_texts_are_spread_and_begin_words() -> None:
    drawn = [A, SPACE] * 20
    ids = forced_ids(["bb", "aa"], drawn, 12)
    # Due after 4 and 8 tokens; the first boundaries from there on are at 4 and at 8 or after.
    assert CHARACTERS.decode(ids) == "a a bba aaa "


def test_without_a_boundary_the_last_moment_counts() -> None:
    assert CHARACTERS.decode(forced_ids(["bb", "b"], [A] * 20, 8)) == "aaaaabbb"


@given(
    st.lists(st.text("ab ", min_size=1, max_size=4), min_size=1, max_size=4),
    st.lists(st.sampled_from([A, B, SPACE]), min_size=40, max_size=40),
    st.integers(0, 20),
)
def test_forced_texts_are_always_there_in_order(texts, drawn, room: int) -> None:
    length = sum(map(len, texts)) + room
    text = CHARACTERS.decode(forced_ids(texts, drawn, length))
    at = 0
    for wanted in texts:
        at = text.find(wanted, at)
        assert at >= 0, (texts, text)
        at += len(wanted)


@pytest.mark.parametrize(
    ("texts", "length", "message"),
    [
        (["abc"], 9, "--force 'abc' has a character that the training text had not"),
        (["ab", "b"], 2, "--length must be at least 3 to hold the forced texts. Received: 2"),
        (["ab"], -1, "--length must be at least 2 to hold the forced texts. Received: -1"),
    ],
)
def test_what_cannot_be_forced(texts: list[str], length: int, message: str) -> None:
    with pytest.raises(TextgenError) as error:
        Forced(texts, length, CHARACTERS)
    assert message in str(error.value)
