from pathlib import Path

import numpy as np
import pytest

import textgen
from textgen.config import ModelConfig, TokenizerConfig
from textgen.errors import TextgenError
from textgen.generator import Generator
from textgen.network import Network, weight_shapes
from textgen.tokenizers import build_tokenizer


@pytest.fixture(scope="module")
def generator(trained_dir: Path) -> Generator:
    return textgen.load(trained_dir)


def test_length_counts_new_characters_only(generator: Generator) -> None:
    assert len(generator.generate("The river", length=37)) == 37
    assert generator.generate("The river", length=0) == ""


def test_a_random_seed_repeats_the_text(generator: Generator) -> None:
    texts = [generator.generate("The ", 60, random_seed=seed) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_a_longer_text_begins_with_the_shorter_one(generator: Generator) -> None:
    short, long = (generator.generate("The ", length, random_seed=4) for length in (20, 40))
    assert long.startswith(short)


def test_the_stream_joins_to_the_whole_text(generator: Generator) -> None:
    pieces = list(generator.stream("The ", 40, random_seed=1))
    assert len(pieces) == 40
    assert "".join(pieces) == generator.generate("The ", 40, random_seed=1)


def test_the_seed_matters(generator: Generator) -> None:
    assert generator.generate("FERRY", 30, 0) != generator.generate("The ", 30, 0)


def test_unknown_and_empty_seeds_are_read(generator: Generator) -> None:
    assert len(generator.generate("日本", 10, random_seed=1)) == 10
    assert generator.generate("", 30, 0) == generator.generate("\n", 30, 0)


def test_the_unknown_token_is_never_generated() -> None:
    tokenizer = build_tokenizer("ab", TokenizerConfig())
    config = ModelConfig(embedding_size=2, rnn_size=2, num_layers=1)
    weights = {p: np.zeros(s, np.float32) for p, s in weight_shapes(config, 3).items()}
    weights["logits/bias"] = np.array([9, 0, 0], np.float32)
    text = Generator(Network(config, weights), tokenizer).generate("a", 200, random_seed=0)
    assert set(text) == {"a", "b"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": -1}, "length must be at least 0. Received: -1"),
        ({"temperature": -0.5}, "--diversity must be at least 0. Received: -0.5"),
        ({"random_seed": -1}, "random_seed must be at least 0. Received: -1"),
    ],
)
def test_values_out_of_range(generator: Generator, options, message: str) -> None:
    with pytest.raises(TextgenError, match=message):
        generator.generate("The ", **options)
