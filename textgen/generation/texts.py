"""Texts that are written together: each with its own seed, controls, chance and end."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from textgen.generation.batch import Batch, Model, Stepper
from textgen.generation.controls import Forced, rules_of
from textgen.generation.writer import Writer
from textgen.settings.definitions import SamplingSettings
from textgen.support.arrays import Ids
from textgen.tokens.tokenizer import Tokenizer


class Token(NamedTuple):
    """A token that was made, where alternatives were asked for."""

    text: str
    """What it added to the text, possibly nothing yet."""
    log_probability: float
    """What the model gave it, in nats, before all filters."""
    likeliest: list[tuple[int, float]]
    """The ids that were likeliest in its place, likeliest first, and theirs."""


class Piece(NamedTuple):
    """What some tokens added to a text."""

    text: str
    """Possibly empty: a stop text or a word may not be certain yet."""
    log_probability: float
    """The sum over these tokens, in nats, before all filters; nan unless scored."""
    tokens: list[Token]
    """Each of them, where alternatives were asked for."""


class Steps(NamedTuple):
    """What some steps made, a row for each text."""

    ids: list[list[int]]
    log_probabilities: list[list[float]]
    likeliest: list[dict[int, list[tuple[int, float]]]]
    """By step and row, where alternatives were asked for."""


class Text:
    """One text while it is written.

    Args:
        seed: the text before; the unknown is read as unknown, and an empty seed as a new line.
        settings: how the text is written, and where it ends.
        tokenizer: the tokenizer of the model that will write it.
        alternatives: how many of the likeliest tokens to tell with each token; 0: only the
            probability of what is written; None: nothing.
        first: ids that the text begins with.

    Attributes:
        prompt: the ids of the seed, (T,), T at least 1.
        writer: the ids and the text so far.
        log_probability: the sum over all tokens, in nats, before all filters; nan where
            `alternatives` is None.

    Raises:
        TextgenError: if the config asks for what the tokenizer cannot write.
    """

    def __init__(
        self,
        seed: str,
        settings: SamplingSettings,
        tokenizer: Tokenizer,
        alternatives: int | None = None,
        first: Sequence[int] = (),
    ) -> None:
        self.seed, self.settings = seed, settings
        self.alternatives, self.first = alternatives, first
        self.prompt: Ids
        self.prompt, decoder = tokenizer.prompt(seed or "\n")
        self.rules = rules_of(settings, tokenizer)
        self.writer = Writer(
            tokenizer.vocabulary, decoder, settings.length, settings.stop, settings.until_paragraph
        )
        self.forced = Forced(settings.force, settings.length, tokenizer) if settings.force else None
        self.log_probability = 0.0

    @property
    def demanding(self) -> bool:
        """Whether some tokens to come are not drawn."""
        return self.forced is not None or len(self.writer.ids) < len(self.first)

    def demand(self) -> int | None:
        """The id that must be the next one, if any."""
        ids = self.writer.ids
        if len(ids) < len(self.first):
            return self.first[len(ids)]
        if self.forced is None:
            return None
        return self.forced.next(len(ids), ids[-1] if ids else int(self.prompt[-1]))

    def take(self, ids: list[int], log_probabilities: Sequence[float]) -> Piece:
        """Take tokens and their log-probabilities, up to the end of the text."""
        before = len(self.writer.ids)
        text = self.writer.push(ids)
        score = float(sum(log_probabilities[: len(self.writer.ids) - before]))
        self.log_probability += score
        return Piece(text, score, [])

    def take_row(self, steps: Steps, row: int) -> Piece:
        """Take the tokens of a row, up to the end of the text."""
        if not self.alternatives:
            return self.take(steps.ids[row], steps.log_probabilities[row])
        tokens = []
        taken = zip(steps.ids[row], steps.log_probabilities[row], steps.likeliest, strict=True)
        for token_id, score, likeliest in taken:
            if not self.writer.finished:
                text = self.take([token_id], [score]).text
                tokens.append(Token(text, score, likeliest[row]))
        text = "".join(token.text for token in tokens)
        return Piece(text, sum(token.log_probability for token in tokens), tokens)


class Texts:
    """The texts that a model is writing; others may join between two calls of `advance`.

    Args:
        model: a network or a mixture.

    Attributes:
        open: the texts that are not finished.
    """

    def __init__(self, model: Model) -> None:
        self._batch = Batch(model)
        self.open: list[Text] = []

    def add(self, texts: Sequence[Text], stepper: Stepper | None = None) -> None:
        """Let texts with one seed, one set of rules and one number of alternatives join.

        The seed is read once, or not at all where `stepper` has read it already.
        """
        unfinished = [text for text in texts if not text.writer.finished]
        if unfinished:
            first = unfinished[0]
            generators = [np.random.default_rng(text.settings.random_seed) for text in unfinished]
            self._batch.add(first.prompt, first.rules, generators, first.alternatives, stepper)
            self.open += unfinished

    def remove(self, texts: Sequence[Text]) -> None:
        """Let texts leave, finished or not."""
        self._batch.remove([row for row, text in enumerate(self.open) if text in texts])
        self.open = [text for text in self.open if text not in texts]

    def advance(self, steps: int = 1) -> list[tuple[Text, Piece]]:
        """Make up to `steps` tokens of every open text, and let the finished ones leave.

        Several steps at once cost less; what a text makes after its end is thrown away.
        """
        if any(text.demanding for text in self.open):
            made = self._steps(1, [text.demand() for text in self.open])
        else:
            made = self._steps(steps, ())
        pieces = [(text, text.take_row(made, row)) for row, text in enumerate(self.open)]
        finished = [text for text in self.open if text.writer.finished]
        if finished:
            self.remove(finished)
        return pieces

    def _steps(self, steps: int, demands: Sequence[int | None]) -> Steps:
        """What the next steps make."""
        ids = np.empty((len(self.open), steps), np.intp)
        scores = np.empty((len(self.open), steps))
        likeliest = []
        for step in range(steps):
            ids[:, step] = self._batch.step(demands)
            scores[:, step] = self._batch.scores.log_probabilities
            likeliest.append(dict(self._batch.scores.likeliest))
        return Steps(ids.tolist(), scores.tolist(), likeliest)
