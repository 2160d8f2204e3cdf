"""The first tokens of a text whose seed ends within a word: they spell its end, and may go on.

A seed ends where somebody stopped to type, which need not be where a token ends: `The sl` may go on
to `The slow`, whose last token, ` slow`, the model has seen whole. So the end of the seed is left
to the first tokens. Of all the ways in which tokens begin that spell it, one is drawn, with its
probability in the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from textgen.generation.sampling import (
    Logits,
    Reals,
    Rules,
    log_softmax,
    next_probabilities,
    sample_next,
)
from textgen.generation.texts import Text

if TYPE_CHECKING:
    from textgen.generation.batch import Stepper

Opening = tuple[int, ...]
"""Token ids in a row."""
CHANCE = 1
"""Beside the random seed of a text: what its opening is drawn with is not what the rest is."""
NOTHING = np.zeros((1, 0), np.intp)
"""The tokens that rules look back at, where they look at none."""


class Openings(NamedTuple):
    """The ways in which a text may begin, which are drawn from as a vocabulary is."""

    ways: Sequence[Opening]
    logits: Logits
    """The log-probability of each in the model, (1, N)."""

    @classmethod
    def of(cls, text: Text, stepper: Stepper) -> Openings:
        """Returns those of a text with a `typed` end; `stepper` has read its prompt."""
        ways = text.openings()
        return cls(ways, log_probabilities(ways, stepper).astype(np.float32)[np.newaxis])

    def draw(self, text: Text) -> Opening:
        """Returns one, drawn as the settings of a text have it."""
        seed = text.settings.random_seed
        chance = np.random.default_rng(None if seed is None else [seed, CHANCE])
        is_greedy = text.settings.beam_size is not None or text.rules.boundaries is not None
        temperature = (0.0,) if is_greedy else text.rules.temperature[:1]
        rules = Rules(temperature, text.rules.filters)
        return self.ways[int(sample_next(self.logits, chance.random(1), rules, NOTHING)[0])]

    def probabilities(self, text: Text) -> Reals:
        """Returns what each is drawn with, (N,)."""
        rules = Rules(text.rules.temperature, text.rules.filters)
        shares: Reals = next_probabilities(self.logits, rules, NOTHING)[0]
        return shares


def begin(texts: Sequence[Text], stepper: Stepper) -> None:
    """Lets texts with one prompt begin with openings, each with its own where its seed needs one.

    Args:
        texts: the texts.
        stepper: a stream that has read their prompt.
    """
    found: dict[object, Openings] = {}
    for text in texts:
        if text.typed:
            key = text.typed, text.rules.banned_texts
            if key not in found:
                found[key] = Openings.of(text, stepper)
            text.begin(found[key].draw(text))


def log_probabilities(openings: Sequence[Opening], stepper: Stepper) -> Reals:
    """Returns the log-probability of each of N openings, (N,), in nats.

    Args:
        openings: what may follow.
        stepper: one stream, which is left as it is.
    """
    total = np.zeros(len(openings))
    stepper = stepper.copy()
    before: list[Opening] = [()]  # the beginnings that the streams have read
    depth = 0
    while before:
        scores = log_softmax(stepper.logits)  # (B, V)
        rows = {begun: row for row, begun in enumerate(before)}
        for place, ids in enumerate(openings):
            if len(ids) > depth:
                total[place] += scores[rows[ids[:depth]], ids[depth]]
        depth += 1
        longer = list(dict.fromkeys(ids[:depth] for ids in openings if len(ids) > depth))
        if longer:
            stepper.select(np.array([rows[begun[:-1]] for begun in longer]))
            stepper.step(np.array([begun[-1] for begun in longer]))
        before = longer
    return total
