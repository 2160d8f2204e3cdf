"""What holds for all tokenizers, and what it takes to add one."""

import collections
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import VERSES, write_texts
from tests.networks import random_generator
from tests.stoppable_tokenization import in_pieces_of
from textgen import tokens
from textgen.commands.flags import ArgumentParser, add_settings, given_settings
from textgen.generation.generator import Generator
from textgen.settings.definitions import ModelSettings, TokenizerSettings, TrainingSettings
from textgen.settings.request import TRAIN_SETTINGS, TrainRequest
from textgen.support.errors import TextgenError
from textgen.tokens import TOKENIZERS, build_tokenizer, reading, tokenizer_from_dict
from textgen.tokens.characters import CharacterTokenizer
from textgen.tokens.corpus import VocabularyRule, read_corpus
from textgen.tokens.tokenizer import (
    Counts,
    Decoder,
    Ids,
    Joiner,
    Parts,
    State,
    Tokenizer,
    ends_sentence,
    numbered_parts,
)

PRISTINE = TokenizerSettings(pristine_input=True)
WORDS = TokenizerSettings("word")
ANY_TEXT = st.text(st.characters(exclude_categories=()))


def test_tokenizers_are_known_by_their_names() -> None:
    assert build_tokenizer("abc", TokenizerSettings("character")).unit == "character"
    assert build_tokenizer("a b c", TokenizerSettings("word")).unit == "word"
    known = ", ".join(TOKENIZERS)
    with pytest.raises(TextgenError, match=rf"`tokens` must be one of {known}\. Received: x"):
        build_tokenizer("abc", TokenizerSettings("x"))


@pytest.mark.parametrize("kind", TOKENIZERS.values())
def test_defaults_and_chosen_sizes_are_valid_settings(kind: type[Tokenizer]) -> None:
    for minutes in (0.1, 2, 500):
        given = {**kind.defaults, **kind.choose_size(minutes, 10**6, 1.0).settings}
        model, training = ModelSettings.from_given(given), TrainingSettings.from_given(given)
        assert given.items() <= {**vars(model), **vars(training)}.items()


def test_the_end_of_a_sentence() -> None:
    ends = ["end.", "end.”", "end?)", " …", "。", "a\nb"]
    assert [text for text in [*ends, "a.b", "end,", "“"] if ends_sentence(text)] == ends


@given(ANY_TEXT)
def test_vocabulary_is_sorted_by_frequency(text: str) -> None:
    tokenizer = build_tokenizer("ab" + text, TokenizerSettings())
    counts = np.bincount(tokenizer.encode("ab" + text), minlength=len(tokenizer.vocabulary))[1:]
    assert (np.diff(counts) <= 0).all()


def test_the_vocabulary_keeps_the_commonest() -> None:
    text = "a a a b b c"
    for settings in (
        TokenizerSettings("word", max_vocab=3),
        TokenizerSettings("word", min_count=2),
    ):
        assert build_tokenizer(text, settings).vocabulary == ["<unk>", "a", "b"]
    assert build_tokenizer(text, TokenizerSettings("word")).vocabulary == ["<unk>", "a", "b", "c"]
    with pytest.raises(TextgenError, match="1 distinct word"):
        build_tokenizer(text, TokenizerSettings("word", min_count=3))


@pytest.mark.parametrize("settings", [TokenizerSettings(), PRISTINE, WORDS])
def test_metadata_round_trip(settings: TokenizerSettings) -> None:
    tokenizer = build_tokenizer("To be, or not to be", settings)
    copy = tokenizer_from_dict(tokenizer.to_dict())
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
        CharacterTokenizer(["\ufffd", "a", "a"], PRISTINE)
    for values in ({}, {"config": {}}, {"config": {}, "vocabulary": [1, 2]}, None):
        with pytest.raises(TextgenError, match=r"^its (tokenizer|vocabulary) is not"):
            tokenizer_from_dict(values)


class ChunkTokenizer(Tokenizer):
    """A word is cut into chunks of some letters; how many is learned from the text.

    Unlike with characters and words, a part is several tokens, and there is more to store than
    the vocabulary.
    """

    name = "chunk"
    help = "model chunks of words"
    unit = "chunk"
    unknown_token = "\ufffd"
    defaults: ClassVar = {"rnn_size": 96}

    def __init__(self, vocabulary: Sequence[str], settings: TokenizerSettings, size: int) -> None:
        super().__init__(vocabulary, settings)
        self.size = size

    @classmethod
    def split(cls, text: str, settings: TokenizerSettings, state: State) -> tuple[Parts, State]:
        met: dict[str, int] = collections.defaultdict(itertools.count().__next__)
        numbers = [met[part] for part in re.findall(r"\w+|\W", text)]
        return numbered_parts(np.array(numbers, np.int32), list(met).__getitem__), state

    @classmethod
    def learn(cls, counts: Counts, settings: TokenizerSettings) -> "ChunkTokenizer":
        letters = sum(len(part) * count for part, count in counts.items())
        size = round(letters / sum(counts.values()))
        chunks = dict.fromkeys(chunk for part in counts for chunk in cut(part, size))
        return cls([cls.unknown_token, *chunks], settings, size)

    def ids_of(self, kinds: Sequence[str]) -> tuple[Ids, Ids]:
        chunks = [cut(kind, self.size) for kind in kinds]
        ids, _ = super().ids_of(list(itertools.chain.from_iterable(chunks)))
        return ids, np.array(list(map(len, chunks)), np.int32)

    def decoder(self) -> Decoder:
        return Joiner("")

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"size": self.size}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], settings: TokenizerSettings) -> "ChunkTokenizer":
        return cls(values["vocabulary"], settings, values["size"])


def cut(part: str, size: int) -> list[str]:
    return [part[start : start + size] for start in range(0, len(part), size)]


@pytest.fixture
def chunks(monkeypatch: pytest.MonkeyPatch) -> TokenizerSettings:
    """The settings of a tokenizer that was added to the others."""
    monkeypatch.setitem(tokens.TOKENIZERS, "chunk", ChunkTokenizer)
    return TokenizerSettings.from_dict({"chunk_tokens": True})


def test_a_new_tokenizer_needs_no_more_than_its_class(chunks: TokenizerSettings) -> None:
    tokenizer = build_tokenizer("the other day", chunks)  # 13 characters in 5 parts
    assert tokenizer.vocabulary == ["\ufffd", "the", " ", "oth", "er", "day"]
    assert tokenizer.encode("other other.").tolist() == [3, 4, 2, 3, 4, 0]
    assert tokenizer.encode("").tolist() == []
    assert tokenizer.decode([3, 4, 2, 1]) == "other the"
    assert tokenizer.unknown("the day may end.") == ["may", "end", "."]
    assert tokenizer.loss_text(0.0) == "perplexity 1.0"


def test_what_a_new_tokenizer_has_learned_is_stored(chunks: TokenizerSettings) -> None:
    tokenizer = build_tokenizer(VERSES, chunks)
    stored = json.loads(json.dumps(tokenizer.to_dict()))
    assert stored["config"]["chunk_tokens"]
    again = tokenizer_from_dict(stored)
    assert again.to_dict() == tokenizer.to_dict()
    assert again.encode(VERSES).tolist() == tokenizer.encode(VERSES).tolist()


def test_the_token_file_of_a_new_tokenizer(
    chunks: TokenizerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "read", in_pieces_of(100))
    corpus = read_corpus(write_texts(tmp_path), VocabularyRule(chunks), 0.0)
    assert corpus.tokenizer.to_dict() == build_tokenizer(VERSES * 4, chunks).to_dict()
    assert corpus.training.ids.tolist() == corpus.tokenizer.encode(VERSES * 4).tolist()
    assert corpus.tokenizer.decode(corpus.training.ids) == VERSES * 4
    again = read_corpus(tmp_path, VocabularyRule(chunks, corpus.tokenizer), 0.0)
    assert again.training.content_hash == corpus.training.content_hash


def test_a_new_tokenizer_has_a_flag_with_its_defaults_in_the_help(
    chunks: TokenizerSettings,
) -> None:
    parser = ArgumentParser(prog="program")
    for kind in TRAIN_SETTINGS:
        add_settings(parser, kind)
    said = " ".join(parser.format_help().split())
    assert "--chunk-tokens model chunks of words" in said
    assert "(default: 128; word models: 256; chunk models: 96)" in said
    given = given_settings(parser.read(["--chunk-tokens"]), *TRAIN_SETTINGS)
    assert TrainRequest(Path("x"), given).settings(TokenizerSettings) == chunks
    with pytest.raises(TextgenError, match=r"are of one kind\. Received: word, chunk"):
        TrainRequest(Path("x"), {"word_tokens": True, **given})


def test_a_model_of_a_new_tokenizer_writes(chunks: TokenizerSettings) -> None:
    generator = random_generator(build_tokenizer(VERSES, chunks))
    assert len(generator.generate("The river ", length=20, random_seed=1)) > 20
    twice = Generator.mix([generator, generator])
    assert len(twice.generate("The river ", length=20, random_seed=1)) > 20
