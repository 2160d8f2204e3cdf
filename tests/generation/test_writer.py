from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.networks import word_tokenizer
from textgen.generation.writer import Writer
from textgen.settings.definitions import TokenizerSettings
from textgen.tokens.characters import CharacterTokenizer

CHARACTERS = CharacterTokenizer(["\ufffd", *"ab.\n"], TokenizerSettings(pristine_input=True))


def written(text: str, length: int = -1, **ends: Any) -> tuple[list[str], Writer]:
    """The pieces of a writer that is given `text` character by character."""
    writer = Writer(CHARACTERS.vocabulary, CHARACTERS.decoder(), length, **ends)
    pieces = []
    for token_id in CHARACTERS.encode(text).tolist():
        if not writer.finished:
            pieces.append(writer.push([token_id]))
    return pieces, writer


def test_the_length_ends_a_text() -> None:
    pieces, writer = written("abab", length=3)
    assert (pieces, writer.finished, len(writer.ids)) == (["a", "b", "a"], True, 3)
    assert written("", length=0)[1].finished


def test_an_endless_text_goes_on() -> None:
    pieces, writer = written("ab" * 50)
    assert ("".join(pieces), writer.finished) == ("ab" * 50, False)


def test_a_text_ends_before_a_stop_text() -> None:
    pieces, writer = written("aab.ab", stops=["b.", "zz"])
    assert (pieces, writer.finished) == (["a", "a", "", ""], True)
    assert CHARACTERS.decode(writer.ids) == "aab.", "the stop itself was made, but is not text"


def test_what_might_begin_a_stop_is_held_back_only_until_it_is_known() -> None:
    # "aa" may begin "aab."; with the next a it no longer may, but its last two may.
    assert written("aaaba", stops=["aab."])[0] == ["", "", "a", "", "aab"]


def test_what_was_held_back_is_not_lost_at_the_end() -> None:
    pieces, writer = written("bab", length=3, stops=["ab."])
    assert ("".join(pieces), writer.finished) == ("bab", True)
    pieces, writer = written("bab", stops=["ab."])
    assert "".join(pieces) + writer.flush() == "bab"
    assert writer.flush() == "", "the end comes once"


def test_the_first_of_several_stops_counts() -> None:
    pieces, _ = written("ab.a.b", stops=[".b", ".a"])
    assert "".join(pieces) == "ab"


def test_a_paragraph_ends_before_a_blank_line() -> None:
    assert "".join(written("\n\na.\nb\n\nab", until_paragraph=True)[0]) == "\n\na.\nb"
    assert "".join(written("a\n\nb", until_paragraph=True)[0]) == "a"


def test_words_are_held_back_by_their_decoder_and_come_in_the_end() -> None:
    tokenizer = word_tokenizer()
    ids = tokenizer.encode("The old dog sat.").tolist()
    writer = Writer(tokenizer.vocabulary, tokenizer.decoder(), len(ids))
    assert "".join(writer.push([token_id]) for token_id in ids) == "The old dog sat."


TEXTS = st.text("ab.\n", max_size=30)


@given(TEXTS, st.lists(st.text("ab.\n", min_size=1, max_size=4), max_size=3), st.data())
def test_pieces_and_blocks_are_the_text_up_to_the_first_stop(text: str, stops, data) -> None:
    ends = [at for stop in stops if (at := text.find(stop)) >= 0]
    expected = text[: min(ends, default=len(text))]
    # The stop that is complete first ends the text, even if a longer one began before it.
    for end in range(len(text) + 1):
        found = [text[:end].find(stop) for stop in stops if stop in text[:end]]
        if found:
            expected = text[: min(found)]
            break
    cut = data.draw(st.integers(0, len(text)))
    writer = Writer(CHARACTERS.vocabulary, CHARACTERS.decoder(), -1, stops)
    ids = CHARACTERS.encode(text).tolist()
    result = writer.push(ids[:cut])
    if not writer.finished:
        result += writer.push(ids[cut:])
    assert result + writer.flush() == expected
    pieces, single = written(text, stops=stops)
    assert "".join(pieces) + single.flush() == expected
    assert single.ids == writer.ids


@given(TEXTS, st.integers(0, 35))
def test_the_length_cuts_blocks_too(text: str, length: int) -> None:
    writer = Writer(CHARACTERS.vocabulary, CHARACTERS.decoder(), length)
    assert writer.push(CHARACTERS.encode(text).tolist()) == text[:length]
    assert writer.finished == (len(text) >= length)


@pytest.mark.parametrize("stop", ["a", "."])
def test_a_stop_of_one_character_holds_nothing_back(stop: str) -> None:
    assert written("bb" + stop, stops=[stop])[0] == ["b", "b", ""]
