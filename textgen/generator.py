"""Prompt -> stream of text."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from textgen import checkpoint
from textgen.config import SamplingConfig
from textgen.errors import TextgenError
from textgen.network import Network
from textgen.sampling import sample_next
from textgen.tokenizers import UNKNOWN_ID, Decoder, Ids, Tokenizer


class Generator:
    """A trained model that writes text.

    Calls share no state that changes, so one generator serves any number of threads.

    Args:
        network: the trained network.
        tokenizer: the tokenizer it was trained with.
        line_starts: beginnings of lines to choose a seed from.
    """

    def __init__(
        self, network: Network, tokenizer: Tokenizer, line_starts: tuple[str, ...] = ()
    ) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self.line_starts = line_starts

    @classmethod
    def load(cls, directory: str | Path) -> "Generator":
        """Read the model in `directory`.

        Raises:
            TextgenError: if there is no intact model.
        """
        metadata, weights = checkpoint.load(Path(directory))
        network = Network(metadata.model, weights)
        return cls(network, metadata.tokenizer, tuple(metadata.line_starts))

    def generate(
        self,
        seed: str = "",
        length: int = 200,
        temperature: float = 1.0,
        random_seed: int | None = None,
    ) -> str:
        """Write `length` tokens that go on from `seed`.

        Args:
            seed: the text before; characters or words that the vocabulary lacks are read as
                unknown. With an empty seed the text starts like a new line.
            length: tokens (characters or words) to make.
            temperature: see `SamplingConfig`.
            random_seed: the same number gives the same text.

        Returns:
            The new text, without the seed.

        Raises:
            TextgenError: on a value out of range.
        """
        return "".join(self.stream(seed, length, temperature, random_seed))

    def stream(
        self,
        seed: str = "",
        length: int = 200,
        temperature: float = 1.0,
        random_seed: int | None = None,
    ) -> Iterator[str]:
        """The text of `generate`, in pieces, as it is made."""
        if length < 0:
            raise TextgenError(f"length must be at least 0. Received: {length}")
        config = SamplingConfig(temperature=temperature)
        rng = random_generator(random_seed)
        ids, decoder = self.tokenizer.prompt(seed or "\n")
        return self._pieces(ids, decoder, length, config, rng)

    def _pieces(
        self,
        prompt: Ids,
        decoder: Decoder,
        length: int,
        config: SamplingConfig,
        rng: np.random.Generator,
    ) -> Iterator[str]:
        vocabulary = self.tokenizer.vocabulary
        logits, state = self.network.read(prompt[np.newaxis], self.network.initial_state(1))
        for _ in range(length):
            logits[:, UNKNOWN_ID] = -np.inf
            ids = sample_next(logits, rng, config)
            if piece := decoder.push(vocabulary[ids[0]]):
                yield piece
            logits, state = self.network.step(ids, state)


def random_generator(random_seed: int | None) -> np.random.Generator:
    """NumPy's generator for a number of the user's, or an unpredictable one for None."""
    if random_seed is not None and random_seed < 0:
        raise TextgenError(f"random_seed must be at least 0. Received: {random_seed}")
    return np.random.default_rng(random_seed)
