"""Pieces of words as tokens: against Hugging Face tokenizers, by hand, and cut anywhere."""

import importlib.util
import itertools
import re
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from textgen.settings.definitions import TokenizerSettings
from textgen.support.errors import TextgenError
from textgen.tokens import build_tokenizer, subwords, tokenizer_from_dict
from textgen.tokens.subwords import PART, SubwordTokenizer

SUBWORDS = TokenizerSettings("subword")
ANY_TEXT = st.text(st.characters(exclude_categories=()))
TEXT = """The river keeps no record of the rain, and the rain's keeper records nothing.
"Whose river?" asked the keeper -- she was slow;   slower than the slowest rain.

Über den Fluß kam 1789 ein Träger. 川は雨を覚えていない。雨は川を覚えている。
""" * 3  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> SubwordTokenizer:
    found = build_tokenizer(TEXT, TokenizerSettings("subword", vocab_size=340))
    assert isinstance(found, SubwordTokenizer)
    return found


def test_merges_by_hand() -> None:
    # The pairs of " rose" stand three times each, and of equals the one of the lowest numbers is
    # first: " r", then "os", as " r" has a higher number than any byte. " a" stands twice.
    text = "a rose is a rose is a rose"
    tokenizer = build_tokenizer(text, TokenizerSettings("subword", vocab_size=262))
    assert tokenizer.vocabulary[0] == "<unk>"
    assert tokenizer.vocabulary[1 + ord("a")] == "a"
    assert tokenizer.vocabulary[257:] == [" r", "os", " ros", " rose", " a"]
    pieces = [tokenizer.text_of(i) for i in tokenizer.encode("a rose rot").tolist()]
    assert pieces == ["a", " rose", " r", "o", "t"]


def test_the_parts_of_a_text_join_to_it() -> None:
    parts = PART.findall("I don't    know, “Ça”\t!\n\nx")
    assert parts[:5] == ["I", " don't", "   ", " know", ","]
    assert parts[5:] == [" “", "Ça", "”", "\t", "!", "\n", "\n", "x"]


@given(ANY_TEXT)
def test_parts_are_the_text(text: str) -> None:
    parts = PART.findall(text)
    assert "".join(parts) == text
    assert all(len(part) <= 2 * subwords.LONGEST + 2 for part in parts)


@given(text=ANY_TEXT)
def test_every_text_comes_back(tokenizer: SubwordTokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert 0 not in ids
    assert tokenizer.decode(ids) == text
    push = tokenizer.decoder().push
    assert "".join([push(tokenizer.vocabulary[i]) for i in ids.tolist()]) == text


def library_of(tokenizer: SubwordTokenizer):
    """The same merges in the library."""
    from tokenizers import Tokenizer, models

    def spelled(i: int) -> str:
        data = tokenizer.vocabulary[i].encode("utf-8", "surrogateescape")
        return data.decode("latin-1")

    vocabulary = {spelled(i): i for i in range(1, len(tokenizer.vocabulary))}
    merges = [(spelled(one), spelled(other)) for one, other in tokenizer.merges]
    return Tokenizer(models.BPE(vocabulary, merges))


def check_with_library(tokenizer: SubwordTokenizer, text: str) -> None:
    library = library_of(tokenizer)
    wanted = [
        library.encode(part.encode("utf-8").decode("latin-1")).ids for part in PART.findall(text)
    ]
    assert tokenizer.encode(text).tolist() == list(itertools.chain.from_iterable(wanted))


def test_real_text_has_the_tokens_of_the_library(tokenizer: SubwordTokenizer) -> None:
    check_with_library(tokenizer, TEXT)
    check_with_library(tokenizer, "The slowest keepers' rivers; unrecorded RAIN, 雨雨雨。" * 3)


@given(text=st.text("aehinrst ’.\né雨", max_size=60))
def test_random_text_has_the_tokens_of_the_library(tokenizer: SubwordTokenizer, text: str) -> None:
    check_with_library(tokenizer, text)


@given(st.text("ab", min_size=30, max_size=60), st.text("ab", max_size=40))
def test_merges_that_overlap_are_those_of_the_library(learned: str, text: str) -> None:
    tokenizer = build_tokenizer(learned, TokenizerSettings("subword", vocab_size=290))
    assert isinstance(tokenizer, SubwordTokenizer)
    check_with_library(tokenizer, text)


def test_invalid_utf8_is_replaced_and_the_beginning_of_a_character_held_back() -> None:
    tokenizer = build_tokenizer("ab", SUBWORDS)
    singles = [1 + byte for byte in "aé😀".encode()] + [1 + 0xFF, 1 + ord("b"), 1 + 0xE2]
    push = tokenizer.decoder().push
    pieces = [push(tokenizer.vocabulary[i]) for i in singles]
    assert pieces == ["a", "", "é", "", "", "", "😀", "\ufffd", "b", ""]
    assert tokenizer.decode(singles) == "aé😀\ufffdb"
    assert tokenizer.text_of(1 + 0xFF) == "\ufffd"


@given(st.binary(max_size=12))
def test_pieces_of_bytes_join_to_what_is_decoded_whole(data: bytes) -> None:
    tokenizer = build_tokenizer("ab", SUBWORDS)
    ids = [1 + byte for byte in data]
    push = tokenizer.decoder().push
    assert "".join([push(tokenizer.vocabulary[i]) for i in ids]) == tokenizer.decode(ids)


def cuts(text: str, sizes: Iterator[int]) -> Iterator[str]:
    """The pieces of a text that is read in chunks, as `reading` cuts it."""
    held = ""
    while text:
        size = next(sizes)
        held, text = held + text[:size], text[size:]
        if place := SubwordTokenizer.last_cut(held, SUBWORDS):
            yield held[:place]
            held = held[place:]
    yield held


@given(st.text("ab '’.\t\n", max_size=700) | st.text("a雨'", max_size=700), st.integers(1, 400))
def test_a_text_read_in_pieces_has_the_parts_of_the_whole(text: str, size: int) -> None:
    found = [part for cut in cuts(text, itertools.repeat(size)) for part in PART.findall(cut)]
    assert found == PART.findall(text)


def test_an_endless_word_can_be_cut() -> None:
    assert 0 < SubwordTokenizer.last_cut("ACGT" * 10_000, SUBWORDS) < 40_000


def test_lowercase_lowers_the_text() -> None:
    tokenizer = build_tokenizer("The THE the", TokenizerSettings("subword", lowercase=True))
    assert tokenizer.decode(tokenizer.encode("THE Ink")) == "the ink"


def test_a_tokenizer_comes_back_from_its_dict(tokenizer: SubwordTokenizer) -> None:
    values = tokenizer.to_dict()
    back = tokenizer_from_dict(values)
    assert back.to_dict() == values
    assert back.encode(TEXT).tolist() == tokenizer.encode(TEXT).tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"merges": None}, "its merges are not pairs"),
        ({"merges": [300]}, "its merges are not pairs"),
        ({"merges": [1, 340]}, "not of tokens that it has"),
        ({"merges": [1, 1]}, "lacks a token that is merged of two"),
        ({"vocabulary": ["<unk>", "a"], "merges": []}, "a token for each byte"),
    ],
)
def test_damaged_values_are_refused(tokenizer: SubwordTokenizer, change, message: str) -> None:
    with pytest.raises(TextgenError, match=re.escape(message)):
        tokenizer_from_dict(tokenizer.to_dict() | change)


def test_without_the_package_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TextgenError, match="pip install tokenizers"):
        build_tokenizer(TEXT, SUBWORDS)


def test_a_learned_tokenizer_needs_no_package(
    tokenizer: SubwordTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = tokenizer.encode(TEXT)
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    back = tokenizer_from_dict(tokenizer.to_dict())
    assert np.array_equal(back.encode(TEXT), wanted)
    assert back.grown({"new": 1}).vocabulary == tokenizer.vocabulary


def test_an_empty_text_has_nothing_to_learn() -> None:
    with pytest.raises(TextgenError, match="empty"):
        build_tokenizer("", SUBWORDS)


def test_a_text_with_zero_characters_can_be_learned() -> None:
    tokenizer = build_tokenizer("a\0b a\0b\ud800", SUBWORDS)
    assert tokenizer.decode(tokenizer.encode("a\0b\ud800")) == "a\0b\ud800"


def test_long_texts_are_learned_from_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {" the": 3_000, " a": 1_000, " rare": 1}
    whole = subwords._repeated(counts)
    assert "".join(whole).count(" the\0") == 3_000
    monkeypatch.setattr(subwords, "MOST_LEARNED", 400)
    fewer = "".join(subwords._repeated(counts))
    assert [fewer.count(f"{part}\0") for part in counts] == [300, 100, 0]


def test_models_of_other_pieces_are_not_joined(tokenizer: SubwordTokenizer) -> None:
    assert tokenizer.joined([tokenizer]).vocabulary == tokenizer.vocabulary
    other = build_tokenizer("entirely other words, words, words", tokenizer.settings)
    with pytest.raises(TextgenError, match=r"different subwords.*init_from"):
        tokenizer.joined([other])


def test_labels_are_tokens_and_grow() -> None:
    settings = TokenizerSettings("subword", documents="lines", vocab_size=300)
    tokenizer = build_tokenizer("<|cat|>The cat sat.\n<|dog|>The dog sat.\n", settings)
    assert tokenizer.labels == ["cat", "dog"]
    ids = tokenizer.encode_documents("<|dog|>A dog.\n")
    assert (ids[0], ids[1], ids[-1]) == (1, tokenizer.marks["<|dog|>"], 1)
    assert tokenizer.decode(ids) == "<|dog|>A dog."
    grown = tokenizer.grown({"<|cow|>": 2, "The": 1, "<|endoftext|>": 2})
    assert grown.vocabulary == [*tokenizer.vocabulary, "<|cow|>"]
    assert tokenizer.encode_documents("<|cow|>A\n").tolist()[:2] == [1, 0]  # it knows no such


# Seeds that end within a word.


def texts_of(tokenizer: SubwordTokenizer, typed: str) -> set[str]:
    return {
        "".join([tokenizer.vocabulary[i] for i in ids])
        for ids in tokenizer.openings(typed.encode())
    }


def test_openings_by_hand() -> None:
    text = "a rose is a rose is a rose"
    tokenizer = build_tokenizer(text, TokenizerSettings("subword", vocab_size=262))
    assert isinstance(tokenizer, SubwordTokenizer)
    # It may be " r" and "o", or go on to " ros" and " rose"; no text has " r" and "os".
    assert texts_of(tokenizer, " ro") == {" ro", " ros", " rose"}
    assert len(tokenizer.openings(b" ro")) == 3
    before = tokenizer.prompt("is a ro")
    assert tokenizer.decode(before.ids) == "is a"
    assert before.typed == b" ro"
    assert [before.decoder.push(token) for token in (" r", "o", "se")] == ["", "", "se"]


@given(text=st.text("aehinorstw ’.", min_size=1, max_size=30), end=st.integers(1, 30))
def test_one_opening_begins_every_text_that_begins_so(
    tokenizer: SubwordTokenizer, text: str, end: int
) -> None:
    begun = text[:end]
    typed = tokenizer.prompt(begun).typed
    before = len(begun) - len(typed.decode())
    parts = [part for part in PART.finditer(text) if part.start() == before]
    assume(parts and parts[0][0].encode().startswith(typed))  # else more text parts it otherwise
    ids = tokenizer.encode(text[before:]).tolist()
    openings = tokenizer.openings(typed)
    assert sum(tuple(ids[: len(each)]) == each for each in openings) == 1


@pytest.mark.parametrize(
    ("seed", "typed"),
    [
        ("The sl", " sl"), ("The ", " "), ("end.  ", " "), ("don'", "don'"), ("end.", "."),
        ("a\t", "\t"), ("x" * 32, "x" * 32),
    ],
)  # fmt: skip
def test_what_is_typed_is_what_a_letter_would_join(
    tokenizer: SubwordTokenizer, seed: str, typed: str
) -> None:
    assert tokenizer.prompt(seed).typed.decode() == typed


def test_what_is_read_whole_has_no_openings(tokenizer: SubwordTokenizer) -> None:
    for begun in (tokenizer.prompt("The riv", whole=True), tokenizer.prompt("The\n")):
        assert begun.typed == b""
    assert tokenizer.decode(tokenizer.prompt("The riv", whole=True).ids) == "The riv"
    assert tokenizer.decode(tokenizer.prompt("The").ids) == "\n"  # a line is begun


def test_inserted_texts_are_words_of_their_own(tokenizer: SubwordTokenizer) -> None:
    assert tokenizer.decode(tokenizer.inserted("dragon", "the")) == " dragon"
    for before in ("\n", "e "):
        assert tokenizer.decode(tokenizer.inserted("dragon", before)) == "dragon"
    assert tokenizer.decode(tokenizer.inserted("\nEND", "the")) == "\nEND"
