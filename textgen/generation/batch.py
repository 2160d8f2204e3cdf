"""Token streams that advance together, one matrix product per layer and step.

This is the one core that all writing sits on. Streams join and leave between two steps. Each
has its own rules and its own random generator, and what it draws does not depend on the others
(but for float32 rounding: a product of one row and one of many may differ in the last bit, which
changes about one token in a million).
"""

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from textgen.generation.sampling import NoTokenLeftError, Reals, Rules, log_softmax, sample_next
from textgen.support.arrays import Array, Ids
from textgen.tokens.tokenizer import UNKNOWN_ID

BLOCK = 64
"""Random numbers that are drawn at once for a stream; the text does not depend on it."""


class Stepper(Protocol):
    """The state of some streams, in a network or a mixture of networks."""

    logits: Array
    """For the next token of each stream, (B, V)."""

    def step(self, ids: Ids) -> None:
        """Read one token per stream, ids (B,), and write `logits` anew."""

    def read(self, ids: Ids) -> None:
        """Read more of the prompts, (B, T), T above 0, and write `logits` anew."""

    def select(self, rows: Ids) -> None:
        """Go on with these rows, in this order."""

    def join(self, other: Any) -> None:
        """Take over the streams of `other`, after one's own."""


class Model(Protocol):
    """What makes steppers: a network or a mixture of networks."""

    vocabulary_size: int

    def stepper(self, ids: Ids) -> Stepper:
        """Streams that have read the prompts `ids`, (B, T)."""


class Scores(NamedTuple):
    """What the model thought of one step of some streams, before all filters, in nats."""

    log_probabilities: Reals
    """Of the ids that were made, (B,); nan where none are asked for."""
    likeliest: dict[int, list[tuple[int, float]]]
    """By row, where they are asked for: the likeliest ids, likeliest first, and their own."""


class Group(NamedTuple):
    """Streams that are sampled together."""

    rules: Rules
    rows: slice | Ids
    temperatures: Reals | None
    """Of each stream, (B,), where they differ."""


class Batch:
    """Streams of token ids.

    Args:
        model: what predicts the next token; it may be shared, a batch may not.

    Attributes:
        scores: of the last step.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.scores = Scores(np.zeros(0), {})
        self._stepper: Stepper | None = None
        self._rules: list[Rules] = []
        self._generators: list[np.random.Generator] = []
        self._counts = np.zeros(0, np.intp)
        self._recent = np.zeros((0, 0), np.intp)
        self._uniforms = np.zeros((0, BLOCK))
        self._column = 0
        self._groups: list[Group] = []
        self._alternatives: list[int | None] = []
        self._scored = np.zeros(0, np.intp)

    def __len__(self) -> int:
        return len(self._rules)

    def add(
        self,
        prompt: Ids,
        rules: Rules,
        generators: Sequence[np.random.Generator],
        alternatives: int | None = None,
        stepper: Stepper | None = None,
    ) -> None:
        """Let a stream per random generator join, each going on from `prompt`.

        Args:
            prompt: (T,), T above 0. It is read once, whatever the number of streams.
            rules: how their tokens are drawn.
            generators: their chance.
            alternatives: how many of the likeliest tokens `scores` shall have for each; 0: only
                the probabilities of those that are made; None: nothing.
            stepper: one stream of the model that has read the prompt already.
        """
        number = len(generators)
        stepper = stepper or self.model.stepper(prompt[np.newaxis])
        if number > 1:
            stepper.select(np.zeros(number, np.intp))
        if self._stepper is None:
            self._stepper = stepper
        else:
            self._stepper.join(stepper)
        self._rules += [rules] * number
        self._alternatives += [alternatives] * number
        self._generators += generators
        self._counts = np.append(self._counts, np.zeros(number, np.intp))
        self._remember(prompt, number)
        uniforms = np.zeros((number, BLOCK))
        for row, generator in zip(uniforms, generators, strict=True):
            row[self._column :] = generator.random(BLOCK - self._column)
        self._uniforms = np.concatenate([self._uniforms, uniforms])
        self._regroup()

    def remove(self, rows: Sequence[int]) -> None:
        """Let streams leave; those after them move up."""
        kept = np.delete(np.arange(len(self)), rows)
        self._rules = [self._rules[row] for row in kept]
        self._generators = [self._generators[row] for row in kept]
        self._alternatives = [self._alternatives[row] for row in kept]
        self._counts, self._recent = self._counts[kept], self._recent[kept]
        self._uniforms = self._uniforms[kept]
        if self._stepper is not None:
            self._stepper.select(kept)
        self._regroup()

    def step(self, demands: Sequence[int | None] = ()) -> Ids:
        """Make one token per stream, (B,).

        Args:
            demands: per stream the id that it must make, or None to draw one; empty: all draw.

        Raises:
            NoTokenLeftError: with the streams that have none. The step has not been made: it can be
                when they are gone.
        """
        if self._stepper is None or not self._rules:
            return np.zeros(0, np.intp)
        if self._column == BLOCK:
            self._column = 0
            for row, generator in zip(self._uniforms, self._generators, strict=True):
                generator.random(out=row)
        ids = self._sample(self._stepper.logits, demands)
        self._column += 1
        self._counts += 1
        if self._recent.shape[1]:
            self._recent[:, :-1] = self._recent[:, 1:]
            self._recent[:, -1] = ids
        self._stepper.step(ids)
        return ids

    def _sample(self, logits: Array, demands: Sequence[int | None]) -> Ids:
        if len(self._groups) == 1:
            ids = self._sample_group(logits, self._groups[0])
        else:
            ids = np.empty(len(self), np.intp)
            for group in self._groups:
                ids[group.rows] = self._sample_group(logits[group.rows], group)
        for row, demand in enumerate(demands):
            if demand is not None:
                ids[row] = demand
        if len(self._scored):
            self._score(logits, ids)
        return ids

    def _score(self, logits: Array, ids: Ids) -> None:
        rows = self._scored
        scores = log_softmax(logits[rows])
        self.scores.log_probabilities[rows] = scores[np.arange(len(rows)), ids[rows]]
        for row, own in zip(rows.tolist(), scores, strict=True):
            if number := self._alternatives[row]:
                self.scores.likeliest[row] = likeliest(own, number)

    def _sample_group(self, logits: Array, group: Group) -> Ids:
        rules, rows, temperatures = group
        uniforms, counts = self._uniforms[rows, self._column], self._counts[rows]
        try:
            return sample_next(logits, uniforms, rules, self._recent[rows], counts, temperatures)
        except NoTokenLeftError as error:
            raise NoTokenLeftError(np.arange(len(self))[rows][error.rows]) from error

    def _remember(self, prompt: Ids, number: int) -> None:
        """Make room for the ids that rules look back at, and take those of new streams."""
        memory = max(rules.memory for rules in self._rules)
        new = np.repeat(last_ids(prompt[np.newaxis], memory), number, axis=0)
        self._recent = np.concatenate([last_ids(self._recent, memory), new])

    def _regroup(self) -> None:
        """Find the streams of one kind of rules, which are sampled together."""
        kinds: dict[Hashable, list[int]] = {}
        for row, rules in enumerate(self._rules):
            kinds.setdefault(rules.kind, []).append(row)
        self._groups = [self._group(rows) for rows in kinds.values()]
        asked = [row for row, number in enumerate(self._alternatives) if number is not None]
        self._scored = np.array(asked, np.intp)
        self.scores = Scores(np.full(len(self), np.nan), {})

    def _group(self, rows: list[int]) -> Group:
        rules = self._rules[rows[0]]
        places = slice(None) if len(rows) == len(self) else np.array(rows)
        if all(self._rules[row] is rules or self._rules[row] == rules for row in rows):
            return Group(rules, places, None)
        temperatures = np.array([self._rules[row].temperatures[0] for row in rows])
        return Group(rules, places, temperatures)


def last_ids(ids: Ids, count: int) -> Ids:
    """The last `count` of each row of `ids` (B, T); before a text stands the unknown id."""
    before = np.full((len(ids), count), UNKNOWN_ID, np.intp)
    return np.concatenate([before, ids], axis=1)[:, ids.shape[1] :]


def likeliest(scores: Reals, number: int) -> list[tuple[int, float]]:
    """The `number` highest of `scores`, (V,), highest first, with their places."""
    number = min(number, len(scores))
    highest = np.argpartition(scores, len(scores) - number)[len(scores) - number :]
    highest = highest[np.argsort(-scores[highest], kind="stable")]
    return list(zip(highest.tolist(), scores[highest].tolist(), strict=True))
