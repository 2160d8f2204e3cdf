"""Words as tokens."""

import pytest

from textgen.settings.definitions import TokenizerSettings
from textgen.support.errors import TextgenError
from textgen.tokens import build_tokenizer
from textgen.tokens.words import WordTokenizer

PRISTINE = TokenizerSettings(pristine_input=True)
WORDS = TokenizerSettings("word")
PRISTINE_WORDS = TokenizerSettings("word", pristine_input=True)


def test_words_by_hand() -> None:
    tokenizer = build_tokenizer("He can't go. He may.\nHe may", WORDS)
    assert tokenizer.vocabulary == ["<unk>", "He", ".", "may", "\n", "ca", "go", "n't"]
    assert tokenizer.encode("He flies.").tolist() == [1, 0, 2]
    assert tokenizer.decode(tokenizer.encode("He can't may.\nHe")) == "He can't may.\nHe"
    assert tokenizer.unknown("She may fly, She said") == ["She", "fly", ",", "said"]


def test_pristine_words_are_what_stands_between_white_space() -> None:
    settings = TokenizerSettings("word", pristine_input=True)
    tokenizer = build_tokenizer("a b.\n a  (c)", settings)
    assert tokenizer.vocabulary == ["<unk>", "a", "\n", "(c)", "b."]
    assert tokenizer.decode([1, 4, 1]) == "a b. a"
    assert tokenizer.decode(tokenizer.encode("a b.\n\n a  (c)\n")) == "a b.\n\na (c)\n", (
        "lines stay"
    )


def test_lowercase_words() -> None:
    settings = TokenizerSettings("word", lowercase=True)
    tokenizer = build_tokenizer("The end of the END.", settings)
    assert tokenizer.vocabulary == ["<unk>", "end", "the", ".", "of"]
    assert tokenizer.encode("THE end").tolist() == [2, 1]


def test_words_met_once_are_left_out_of_long_texts_only() -> None:
    few, many = ("x y " * count + "once" for count in (24_999, 25_001))
    assert "once" in build_tokenizer(few, WORDS).vocabulary
    assert "once" not in build_tokenizer(many, WORDS).vocabulary
    assert build_tokenizer("ab" * 30_000 + "c", PRISTINE).vocabulary[1:] == ["a", "b", "c"]


def test_a_space_at_the_end_of_a_seed_is_not_unknown() -> None:
    tokenizer = build_tokenizer("He may go.", WORDS)
    assert tokenizer.unknown("He ") == tokenizer.unknown("He may \t") == []
    assert tokenizer.unknown("She  ") == ["She"]


def test_a_seed_of_spaces_is_refused() -> None:
    with pytest.raises(TextgenError, match=r"a seed of spaces alone has no words. Received: '  '"):
        build_tokenizer("a b", WORDS).prompt("  ")


def test_pristine_output_joins_by_spaces() -> None:
    settings = TokenizerSettings("word", pristine_output=True)
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
    ids, decoder, _ = tokenizer.prompt(seed)
    assert 0 not in ids
    assert seed + decoder.push("no") + decoder.push("no") == expected


def test_a_prompt_without_words_still_gives_the_network_something_to_read() -> None:
    settings = TokenizerSettings("word", pristine_input=True)
    ids, *_ = build_tokenizer("a b", settings).prompt("\n")
    assert ids.tolist() == [0]


def test_a_sentence_of_words_holds_together() -> None:
    tokenizer = WordTokenizer(["<unk>", "so.”", "so", "so?)", "“", "\n"], PRISTINE_WORDS)
    ends = [token for token in tokenizer.vocabulary if tokenizer.ends_phrase(token)]
    assert ends == ["so.”", "so?)", "\n"], "a quote may close a sentence"
    assert all(map(tokenizer.ends_word, tokenizer.vocabulary))


def chosen(minutes: float, tokens: int, speed: float = 1.0):
    return WordTokenizer.choose_size(minutes, tokens, speed).settings


def test_words_that_are_read_a_few_times_are_learned_in_small_steps() -> None:
    often, seldom = chosen(2, 140_000), chosen(2, 150_000)
    assert (often["rnn_size"], often["dropout"]) == (256, 0.5), "10.3 readings"
    assert "cell" not in often
    assert (seldom["cell"], seldom["tie_weights"], seldom["batch_size"]) == ("gru", False, 8)
    assert chosen(2, 150_000, speed=2)["rnn_size"] == 256
    for settings in (often, seldom):
        assert settings["embedding_size"] == settings["rnn_size"], "so that weights can be tied"
