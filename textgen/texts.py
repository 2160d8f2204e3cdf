"""Texts that are written together: each with its own seed, controls, chance and end."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from textgen.batch import Batch, Model
from textgen.config import SamplingConfig
from textgen.controls import Forced, rules_of
from textgen.sampling import Ids, Reals
from textgen.tokenizers import Tokenizer
from textgen.writer import Writer


class Piece(NamedTuple):
    """What some tokens added to a text."""

    text: str
    """Possibly empty: a stop text or a word may not be certain yet."""
    log_probability: float
    """The sum over these tokens, in nats, before all filters; nan unless scored."""


class Text:
    """One text while it is written.

    Args:
        seed: the text before; the unknown is read as unknown, and an empty seed as a new line.
        config: how the text is written, and where it ends.
        tokenizer: the tokenizer of the model that will write it.

    Attributes:
        prompt: the ids of the seed, (T,), T at least 1.
        writer: the ids and the text so far.
        log_probability: the sum over all tokens, in nats, before all filters; nan unless scored.

    Raises:
        TextgenError: if the config asks for what the tokenizer cannot write.
    """

    def __init__(self, seed: str, config: SamplingConfig, tokenizer: Tokenizer) -> None:
        self.config = config
        self.prompt: Ids
        self.prompt, decoder = tokenizer.prompt(seed or "\n")
        self.rules = rules_of(config, tokenizer)
        self.writer = Writer(
            tokenizer.vocabulary, decoder, config.length, config.stop, config.until_paragraph
        )
        self.forced = Forced(config.force, config.length, tokenizer) if config.force else None
        self.log_probability = 0.0

    def demand(self) -> int | None:
        """The id that must be the next one, if any."""
        if self.forced is None:
            return None
        ids = self.writer.ids
        return self.forced.next(len(ids), ids[-1] if ids else int(self.prompt[-1]))

    def take(self, ids: list[int], log_probabilities: Sequence[float]) -> Piece:
        """Take tokens and their log-probabilities, up to the end of the text."""
        before = len(self.writer.ids)
        text = self.writer.push(ids)
        score = float(sum(log_probabilities[: len(self.writer.ids) - before]))
        self.log_probability += score
        return Piece(text, score)


class Texts:
    """The texts that a model is writing; others may join between two calls of `advance`.

    Args:
        model: a network or a mixture.
        scored: whether to compute the probability of every token.

    Attributes:
        open: the texts that are not finished.
    """

    def __init__(self, model: Model, scored: bool = False) -> None:
        self._batch = Batch(model, scored)
        self.open: list[Text] = []
        self._demanding = False

    def add(self, texts: Sequence[Text]) -> None:
        """Let texts with one seed and one set of rules join; the seed is read once."""
        unfinished = [text for text in texts if not text.writer.finished]
        if unfinished:
            generators = [np.random.default_rng(text.config.random_seed) for text in unfinished]
            self._batch.add(unfinished[0].prompt, unfinished[0].rules, generators)
            self.open += unfinished
            self._demanding = any(text.forced for text in self.open)

    def remove(self, texts: Sequence[Text]) -> None:
        """Let texts leave, finished or not."""
        self._batch.remove([row for row, text in enumerate(self.open) if text in texts])
        self.open = [text for text in self.open if text not in texts]
        self._demanding = any(text.forced for text in self.open)

    def advance(self, steps: int = 1) -> list[tuple[Text, Piece]]:
        """Make up to `steps` tokens of every open text, and let the finished ones leave.

        Several steps at once cost less; what a text makes after its end is thrown away.
        """
        ids, scores = self._demanded_step() if self._demanding else self._steps(steps)
        pieces = [
            (text, text.take(row, score_row))
            for text, row, score_row in zip(self.open, ids.tolist(), scores.tolist(), strict=True)
        ]
        finished = [text for text in self.open if text.writer.finished]
        if finished:
            self.remove(finished)
        return pieces

    def _steps(self, steps: int) -> tuple[Ids, Reals]:
        """The ids of the next steps and their log-probabilities, (B, steps) each."""
        ids = np.empty((len(self.open), steps), np.intp)
        scores = np.empty((len(self.open), steps))
        for step in range(steps):
            ids[:, step] = self._batch.step()
            scores[:, step] = self._batch.log_probabilities
        return ids, scores

    def _demanded_step(self) -> tuple[Ids, Reals]:
        """One step, in which some texts demand what comes next."""
        ids = self._batch.step([text.demand() for text in self.open])
        return ids[:, np.newaxis], self._batch.log_probabilities[:, np.newaxis]
