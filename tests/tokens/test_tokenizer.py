"""What holds for all tokenizers, and what it takes to add one."""

import collections
import dataclasses
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
    known = ", ".join([*TOKENIZERS, "auto"])
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


# --- documents ---

LINES = {name: TokenizerSettings(name, documents="lines") for name in TOKENIZERS}
each_kind = pytest.mark.parametrize("settings", LINES.values(), ids=LINES)
POEMS = '<|dog|>The dog said, "No.\nIt can\'t.\n\n<|cat|>"Oh!" said it.\n<|dog|>No one  did.\n'


@each_kind
def test_documents_are_tokens_of_each_alone_with_an_end_and_a_label(
    settings: TokenizerSettings,
) -> None:
    tokenizer = build_tokenizer(POEMS, settings)
    assert tokenizer.vocabulary[1:4] == ["<|endoftext|>", "<|dog|>", "<|cat|>"]
    assert tokenizer.labels == ["dog", "cat"]
    expected = [1]
    for line in filter(None, POEMS.split("\n")):
        label, text = (line[:7], line[7:]) if line.startswith("<|") else ("", line)
        expected += [tokenizer.vocabulary.index(label)] if label else []
        expected += [*tokenizer.encode(text).tolist(), 1]
    assert tokenizer.encode_documents(POEMS).tolist() == expected


@each_kind
def test_documents_are_decoded_as_a_file_has_them(settings: TokenizerSettings) -> None:
    tokenizer = build_tokenizer(POEMS, settings)
    text = POEMS.replace("\n\n", "\n").rstrip("\n")
    text = tokenizer.folded(text, settings)
    assert tokenizer.decode(tokenizer.encode_documents(POEMS)) == text
    assert tokenizer.decode(tokenizer.encode(text[7:14])) == text[7:14]


@each_kind
def test_the_numbers_of_documents_are_those_of_the_base_class(settings: TokenizerSettings) -> None:
    kind = TOKENIZERS[settings.tokens]
    texts = ["The dog.", 'He said, "Żółw', "\x1e\ufffd", "No"]

    def parts_of(number: Any) -> list[str]:
        numbers, part = number(texts, settings)
        return ["END" if n == -1 else part(n) for n in numbers.tolist()]

    plain = Tokenizer.number_documents.__func__
    got = parts_of(kind.number_documents)
    want = parts_of(lambda *both: plain(kind, *both))
    if settings.tokens == "character":  # the mark between documents is unknown within one
        want = ["\ufffd" if part == "\x1e" else part for part in want]
    assert got == want


@each_kind
@pytest.mark.parametrize("size", [1, 20, 1000])
def test_documents_of_a_folder_are_the_same_read_in_any_pieces(
    settings: TokenizerSettings, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "input.txt").write_text(POEMS * 3, encoding="utf-8")
    monkeypatch.setattr(TOKENIZERS[settings.tokens], "piece_size", size)
    training = read_corpus(tmp_path, VocabularyRule(settings), 0.0).training
    assert training.ids.tolist() == training.tokenizer.encode_documents(POEMS * 3).tolist()
    assert training.tokenizer.vocabulary == build_tokenizer(POEMS * 3, settings).vocabulary


@each_kind
def test_whole_documents_are_held_out(settings: TokenizerSettings, tmp_path: Path) -> None:
    lines = [f"<|dog|>line {number} of a list." for number in range(40)]
    (tmp_path / "input.txt").write_text("\n".join(lines), encoding="utf-8")
    corpus = read_corpus(tmp_path, VocabularyRule(settings), 0.2)
    assert corpus.validation is not None
    sides = [corpus.tokenizer.decode(side.ids) for side in (corpus.training, corpus.validation)]
    held_out = sides[1].split("\n")
    assert len(held_out) == 8
    known = {line.replace("<unk>", "") for line in held_out}
    assert all(line.startswith("<|dog|>line") and line.endswith("list.") for line in known)
    assert len(sides[0].split("\n")) == 32


@each_kind
def test_a_tokenizer_of_documents_survives_its_file(settings: TokenizerSettings) -> None:
    tokenizer = build_tokenizer(POEMS, settings)
    again = tokenizer_from_dict(tokenizer.to_dict())
    assert again.labels == ["dog", "cat"]
    assert again.settings.documents == "lines"
    damaged = tokenizer.to_dict()
    damaged["vocabulary"] = [token for token in damaged["vocabulary"] if token != "<|endoftext|>"]
    with pytest.raises(TextgenError, match="a vocabulary of documents has"):
        tokenizer_from_dict(damaged)


@each_kind
def test_a_document_is_begun_with_its_end_its_label_and_the_seed(
    settings: TokenizerSettings,
) -> None:
    tokenizer = build_tokenizer(POEMS, settings)
    assert tokenizer.prompt("").ids.tolist() == [1]
    assert tokenizer.prompt("", "cat").ids.tolist() == [1, 3]
    seed = tokenizer.prompt("No", "dog", whole=True).ids.tolist()
    assert seed == [1, 2, *tokenizer.encode("No").tolist()]
    with pytest.raises(TextgenError, match=r"`label` must be one of dog, cat\. Received: cow"):
        tokenizer.prompt("", "cow")
    plain = build_tokenizer(POEMS, TokenizerSettings(settings.tokens))
    with pytest.raises(TextgenError, match="this model has no labels"):
        plain.prompt("a", "cow")


@pytest.mark.parametrize("documents", [" ", "\n"])
def test_documents_that_nothing_separates_are_refused(documents: str) -> None:
    with pytest.raises(TextgenError, match="`documents` is lines, paragraphs, files, or the mark"):
        TokenizerSettings(documents=documents)


@pytest.mark.parametrize("pristine", [False, True])
@each_kind
def test_a_piece_without_documents_has_no_parts(
    settings: TokenizerSettings, pristine: bool
) -> None:
    kind = TOKENIZERS[settings.tokens]
    chosen = dataclasses.replace(settings, pristine_input=pristine)
    assert kind.split_documents([], chosen).kinds == []
    texts = ["a b", "<|x|>b"]
    parts = kind.split_documents(texts, chosen)
    assert parts.counts[parts.kinds.index("<|endoftext|>")] == 2
