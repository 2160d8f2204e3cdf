"""The first tokens of a text whose seed ends within a word: they spell its end, and may go on.

A seed ends where somebody stopped to type, which need not be where a token ends: `The sl` may go on
to `The slow`, whose last token, ` slow`, the model has seen whole. So the end of the seed is left
to the first tokens. Of all the ways in which tokens begin that spell it, one is drawn, with its
probability in the model.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from textgen.generation.sampling import Reals, Rules, log_softmax, sample_next
from textgen.generation.texts import Text

Opening = tuple[int, ...]
"""Token ids in a row."""
CHANCE = 1
"""Beside the random seed of a text: what its opening is drawn with is not what the rest is."""


def draw_opening(text: Text, stepper: Any) -> Opening:
    """Returns the tokens that a text begins with, drawn as its settings have it.

    Args:
        text: a text with a `typed` end of its seed.
        stepper: a stream that has read its prompt.
    """
    openings = text.openings()
    logits = log_probabilities(openings, stepper).astype(np.float32)[np.newaxis]  # (1, N)
    seed = text.settings.random_seed
    chance = np.random.default_rng(None if seed is None else [seed, CHANCE])
    is_greedy = text.settings.beam_size is not None or text.rules.boundaries is not None
    temperature = (0.0,) if is_greedy else text.rules.temperature[:1]
    rules = Rules(temperature, text.rules.filters)
    places = sample_next(logits, chance.random(1), rules, np.zeros((1, 0), np.intp))
    return openings[int(places[0])]


def log_probabilities(openings: Sequence[Opening], stepper: Any) -> Reals:
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
