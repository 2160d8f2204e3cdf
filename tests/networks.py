"""Small models with random weights: what tests of generation need, without any training."""

import numpy as np

from textgen.generation.generator import Generator
from textgen.model.architecture import weight_shapes
from textgen.model.network import Network
from textgen.settings.definitions import ModelSettings, TokenizerSettings
from textgen.tokens import build_tokenizer
from textgen.tokens.tokenizer import Tokenizer

SMALL = ModelSettings(embedding_size=3, rnn_size=8, num_layers=2)

LETTERS = "abcdefgh .\n"
WORDS = "The old dog sat.\nIt ate bread!\nWho saw it?\nNo one did."


def random_weights(settings: ModelSettings, vocabulary_size: int, scale: float = 1.0):
    rng = np.random.default_rng(3)
    shapes = weight_shapes(settings, vocabulary_size)
    return {path: (scale * rng.normal(size=s)).astype(np.float32) for path, s in shapes.items()}


def random_network(settings: ModelSettings = SMALL, vocabulary_size: int = 7) -> Network:
    return Network(settings, random_weights(settings, vocabulary_size))


def random_generator(tokenizer: Tokenizer | None = None) -> Generator:
    """A model of characters (`LETTERS`) unless told otherwise."""
    tokenizer = tokenizer or build_tokenizer(LETTERS, TokenizerSettings(pristine_input=True))
    return Generator(random_network(SMALL, len(tokenizer.vocabulary)), tokenizer, ("a",))


def word_tokenizer() -> Tokenizer:
    return build_tokenizer(WORDS, TokenizerSettings("word"))


def biased_generator(
    probabilities: dict[str, float], tokenizer: Tokenizer | None = None
) -> Generator:
    """A model, of characters unless told otherwise, that gives each token the same probability at
    every step."""
    settings = TokenizerSettings(pristine_input=True)
    tokenizer = tokenizer or build_tokenizer("".join(probabilities), settings)
    vocabulary_size = len(tokenizer.vocabulary)
    weights = {p: np.zeros(s, np.float32) for p, s in weight_shapes(SMALL, vocabulary_size).items()}
    shares = [probabilities.get(token, 1e-9) for token in tokenizer.vocabulary]
    weights["logits/bias"] = np.log(np.array(shares, np.float32))
    return Generator(Network(SMALL, weights), tokenizer)
