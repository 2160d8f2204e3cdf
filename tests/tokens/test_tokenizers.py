import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgen.settings.definitions import TokenizerSettings
from textgen.support.errors import TextgenError
from textgen.tokens import tokenizers
from textgen.tokens.tokenizers import CharTokenizer, build_tokenizer

PRISTINE = TokenizerSettings(pristine_input=True)
WORDS = TokenizerSettings(word_tokens=True)
PRISTINE_WORDS = TokenizerSettings(word_tokens=True, pristine_input=True)
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


@given(ANY_TEXT)
def test_vocabulary_is_sorted_by_frequency(text: str) -> None:
    tokenizer = build_tokenizer("ab" + text, TokenizerSettings())
    counts = np.bincount(tokenizer.encode("ab" + text), minlength=len(tokenizer.vocabulary))[1:]
    assert (np.diff(counts) <= 0).all()


def test_words_by_hand() -> None:
    tokenizer = build_tokenizer("He can't go. He may.\nHe may", WORDS)
    assert tokenizer.vocabulary == ["<unk>", "He", ".", "may", "\n", "ca", "go", "n't"]
    assert tokenizer.encode("He flies.").tolist() == [1, 0, 2]
    assert tokenizer.decode(tokenizer.encode("He can't may.\nHe")) == "He can't may.\nHe"
    assert tokenizer.unknown("She may fly, She said") == ["She", "fly", ",", "said"]


def test_pristine_words_are_what_stands_between_white_space() -> None:
    settings = TokenizerSettings(word_tokens=True, pristine_input=True)
    tokenizer = build_tokenizer("a b.\n a  (c)", settings)
    assert tokenizer.vocabulary == ["<unk>", "a", "(c)", "b."]
    assert tokenizer.decode([1, 3, 1]) == "a b. a"


def test_lowercase_words() -> None:
    settings = TokenizerSettings(word_tokens=True, lowercase=True)
    tokenizer = build_tokenizer("The end of the END.", settings)
    assert tokenizer.vocabulary == ["<unk>", "end", "the", ".", "of"]
    assert tokenizer.encode("THE end").tolist() == [2, 1]


def test_the_vocabulary_keeps_the_commonest() -> None:
    text = "a a a b b c"
    for settings in (TokenizerSettings(True, max_vocab=3), TokenizerSettings(True, min_count=2)):
        assert build_tokenizer(text, settings).vocabulary == ["<unk>", "a", "b"]
    assert build_tokenizer(text, TokenizerSettings(True)).vocabulary == ["<unk>", "a", "b", "c"]
    with pytest.raises(TextgenError, match="1 distinct word"):
        build_tokenizer(text, TokenizerSettings(True, min_count=3))


def test_words_met_once_are_left_out_of_long_texts_only() -> None:
    few, many = ("x y " * count + "once" for count in (24_999, 25_001))
    assert "once" in build_tokenizer(few, WORDS).vocabulary
    assert "once" not in build_tokenizer(many, WORDS).vocabulary
    assert build_tokenizer("ab" * 30_000 + "c", PRISTINE).vocabulary[1:] == ["a", "b", "c"]


def test_a_seed_of_spaces_is_refused() -> None:
    with pytest.raises(TextgenError, match=r"a seed of spaces alone has no words. Received: '  '"):
        build_tokenizer("a b", WORDS).prompt("  ")


def test_pristine_output_joins_by_spaces() -> None:
    settings = TokenizerSettings(word_tokens=True, pristine_output=True)
    tokenizer = build_tokenizer("Well, no.\nYes.", settings)
    assert tokenizer.decode(tokenizer.encode("Well, no.\nYes.")) == "Well , no .\nYes ."


@pytest.mark.parametrize(
    ("seed", "settings", "expected"),
    [
        ("He said, ", WORDS, "He said, no no"),
        ("He said,", WORDS, "He said, no no"),
        ("He said,\n", WORDS, "He said,\nno no"),
        ('He said, "', WORDS, 'He said, "no no'),
        ("He said,", PRISTINE_WORDS, "He said, no no"),
        ("He said, ", PRISTINE_WORDS, "He said, no no"),
    ],
)
def test_a_prompt_and_what_follows_read_as_one_text(
    seed: str, settings: TokenizerSettings, expected: str
) -> None:
    tokenizer = build_tokenizer(f"{seed}\n {seed} no", settings)
    ids, decoder = tokenizer.prompt(seed)
    assert 0 not in ids
    assert seed + decoder.push("no") + decoder.push("no") == expected


def test_a_prompt_without_words_still_gives_the_network_something_to_read() -> None:
    settings = TokenizerSettings(word_tokens=True, pristine_input=True)
    ids, _ = build_tokenizer("a b", settings).prompt("\n")
    assert ids.tolist() == [0]


@pytest.mark.parametrize("settings", [TokenizerSettings(), PRISTINE, WORDS])
def test_metadata_round_trip(settings: TokenizerSettings) -> None:
    tokenizer = build_tokenizer("To be, or not to be", settings)
    copy = tokenizers.from_metadata(tokenizers.to_metadata(tokenizer))
    assert copy.vocabulary == tokenizer.vocabulary
    assert copy.settings == settings
    assert copy.encode("not to be").tolist() == tokenizer.encode("not to be").tolist()


def test_a_vocabulary_of_one_is_refused() -> None:
    with pytest.raises(TextgenError, match="has 1 distinct character"):
        build_tokenizer("aaaa", TokenizerSettings())
    with pytest.raises(TextgenError, match="has 1 distinct word"):
        build_tokenizer("no no no", WORDS)


def test_damaged_vocabularies_are_refused() -> None:
    with pytest.raises(TextgenError, match="twice"):
        CharTokenizer(["\ufffd", "a", "a"], PRISTINE)
    with pytest.raises(TextgenError, match="single characters"):
        CharTokenizer(["\ufffd", "ab"], PRISTINE)
