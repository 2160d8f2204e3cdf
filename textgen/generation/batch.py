"""Texts that advance together, one matrix product per layer and step: drawn, or searched for.

A `Batch` is what all drawing sits on. Texts join and leave between two steps. Each has
its own rules and its own random generator, and what it draws does not depend on the others (but
for float32 rounding: a product of one row and one of many may differ in the last bit, which
changes about one token in a million). `beam_search` keeps the likeliest of many candidates instead.

Shapes: B texts, S steps, V tokens in the vocabulary, M remembered tokens, K candidates.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from textgen.generation import openings
from textgen.generation.sampling import (
    NoTokenLeftError,
    Reals,
    Rules,
    likeliest,
    log_softmax,
    restrict,
    sample_next,
)
from textgen.generation.texts import Piece, Text
from textgen.model.architecture import Array
from textgen.tokens.tokenizer import UNKNOWN_ID, Ids

BLOCK = 64
"""Random numbers that are drawn at once for a text; what is written does not depend on it."""


class Stepper(Protocol):
    """The state of some streams of tokens, in a network or a mixture of networks."""

    logits: Array
    """For the next token of each stream, (B, V)."""

    def step(self, ids: Ids) -> None:
        """Reads one token per stream, ids (B,), and writes `logits` anew."""

    def read(self, ids: Ids) -> None:
        """Reads more of the prompts, (B, T), T above 0, and writes `logits` anew."""

    def select(self, rows: Ids) -> None:
        """Goes on with these rows, in this order."""

    def copy(self) -> Any:
        """Returns the same streams, which go on apart."""

    def join(self, other: Any) -> None:
        """Takes over the streams of `other`, after its own."""


class Model(Protocol):
    """A network or a mixture of networks: it makes steppers."""

    vocabulary_size: int
    multiplications: int
    """That its recurrent layers make per token."""

    def stepper(self, ids: Ids) -> Stepper:
        """Streams that have read the prompts `ids`, (B, T)."""


class Group(NamedTuple):
    """Texts whose next tokens are sampled in one call."""

    rules: Rules
    rows: slice | Ids
    temperatures: Reals | None
    """Of each text, (B,), where they differ."""


class Batch:
    """The unfinished texts that a model is writing.

    Args:
        model: predicts the next token; it may be shared, a batch may not.

    Attributes:
        texts: the texts, one a row.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.texts: list[Text] = []
        self._stepper: Stepper | None = None
        self._generators: list[np.random.Generator] = []
        self._recent = np.zeros((0, 0), np.intp)  # (B, M), the last ids that rules look back at
        self._uniforms = np.zeros((0, BLOCK))  # (B, BLOCK)
        self._column = 0  # of the next uniform numbers
        self._groups: list[Group] = []
        self._scored = np.zeros(0, np.intp)  # rows whose probabilities are wanted

    def add(self, texts: Sequence[Text], stepper: Stepper | None = None) -> None:
        """Lets texts with one seed join. Finished ones are left out.

        Args:
            texts: the texts; their seed is read once.
            stepper: one stream of the model that has read the seed already.
        """
        new = [text for text in texts if not text.finished]
        if not new:
            return
        prompt = new[0].prompt[np.newaxis]  # (1, T)
        stepper = stepper or self.model.stepper(prompt)
        openings.begin(new, stepper)
        if len(new) > 1:
            stepper.select(np.zeros(len(new), np.intp))
        if self._stepper is None:
            self._stepper = stepper
        else:
            self._stepper.join(stepper)
        self.texts += new
        memory = max(text.rules.memory for text in self.texts)
        recent = np.repeat(last_ids(prompt, memory), len(new), axis=0)
        self._recent = np.concatenate([last_ids(self._recent, memory), recent])
        uniforms = np.zeros((len(new), BLOCK))
        for numbers, text in zip(uniforms, new, strict=True):
            generator = np.random.default_rng(text.settings.random_seed)
            numbers[self._column :] = generator.random(BLOCK - self._column)
            self._generators.append(generator)
        self._uniforms = np.concatenate([self._uniforms, uniforms])
        self._regroup()

    def remove(self, texts: Sequence[Text]) -> None:
        """Lets texts leave, finished or not; those after them move up."""
        gone = set(texts)
        kept = np.array([row for row, text in enumerate(self.texts) if text not in gone], np.intp)
        self.texts = [self.texts[row] for row in kept]
        self._generators = [self._generators[row] for row in kept]
        self._recent, self._uniforms = self._recent[kept], self._uniforms[kept]
        if self._stepper is not None:
            self._stepper.select(kept)
        self._regroup()

    def advance(self, steps: int = 1) -> list[tuple[Text, Piece]]:
        """Makes up to `steps` tokens of every text, and lets the finished ones leave.

        Several steps at once cost less; what a text makes after its end is thrown away.

        Returns:
            Every text with what the steps added to it.

        Raises:
            NoTokenLeftError: with the rows of the texts whose bans leave no token. The step has
                not been made: it can be when they are gone. The steps before it are lost.
        """
        if self._stepper is None or not self.texts:
            return []
        forced: list[int | None] = []
        if any(text.has_forced for text in self.texts):
            steps, forced = 1, [text.forced_id() for text in self.texts]
        ids = np.empty((len(self.texts), steps), np.intp)  # (B, S)
        scores = np.full(ids.shape, np.nan) if len(self._scored) else None  # (B, S)
        others: list[list[list[tuple[int, float]]]] = [[] for _ in self.texts]  # by row and step
        for step in range(steps):
            logits = self._stepper.logits  # (B, V)
            next_ids = self._sample(logits, step, forced)  # (B,)
            if scores is not None:
                self._score(logits, next_ids, scores[:, step], others)
            ids[:, step] = next_ids
            self._stepper.step(next_ids)
        own = [[math.nan] * steps] * len(self.texts) if scores is None else scores.tolist()
        made = zip(self.texts, ids.tolist(), own, others, strict=True)
        pieces = [(text, text.take(new, each, told)) for text, new, each, told in made]
        finished = [text for text in self.texts if text.finished]
        if finished:
            self.remove(finished)
        return pieces

    def _sample(self, logits: Array, step: int, forced: Sequence[int | None]) -> Ids:
        """The next id of each text, (B,), by its rules where none is forced.

        So many steps were made since the texts last took their tokens.
        """
        if self._column == BLOCK:
            self._column = 0
            for numbers, generator in zip(self._uniforms, self._generators, strict=True):
                generator.random(out=numbers)
        if len(self._groups) == 1:
            ids = self._sample_group(logits, step, self._groups[0])
        else:
            ids = np.empty(len(self.texts), np.intp)
            for group in self._groups:
                ids[group.rows] = self._sample_group(logits[group.rows], step, group)
        for row, forced_id in enumerate(forced):
            if forced_id is not None:
                ids[row] = forced_id
            elif (instead := self.texts[row].instead_of(int(ids[row]))) is not None:
                ids[row] = instead
        self._column += 1
        if self._recent.shape[1]:
            self._recent[:, :-1] = self._recent[:, 1:]
            self._recent[:, -1] = ids
        return ids

    def _sample_group(self, logits: Array, step: int, group: Group) -> Ids:
        rules, rows, temperatures = group
        uniforms = self._uniforms[rows, self._column]
        count: int | Ids = 0
        if rules.takes_turns:
            count = np.array([len(text.ids) + step for text in self.texts])[rows]  # (B,)
        try:
            return sample_next(logits, uniforms, rules, self._recent[rows], count, temperatures)
        except NoTokenLeftError as error:
            raise NoTokenLeftError(np.arange(len(self.texts))[rows][error.rows]) from error

    def _score(
        self,
        logits: Array,
        ids: Ids,
        scores: Reals,
        others: list[list[list[tuple[int, float]]]],
    ) -> None:
        """Writes the model's own log-probabilities of `ids` (B,) to `scores` (B,).

        Where a text wants alternatives, they are added to its row of `others`.
        """
        rows = self._scored
        own = log_softmax(logits[rows])  # (R, V), R of the B rows
        scores[rows] = own[np.arange(len(rows)), ids[rows]]
        for row, log_probabilities in zip(rows.tolist(), own, strict=True):
            if number := self.texts[row].alternatives:
                others[row].append(likeliest(log_probabilities, number))

    def _regroup(self) -> None:
        """Finds the texts whose rules allow to sample them together."""
        groups: dict[Hashable, list[int]] = {}
        for row, text in enumerate(self.texts):
            groups.setdefault(text.rules.group, []).append(row)
        self._groups = [self._group(rows) for rows in groups.values()]
        scored = [row for row, text in enumerate(self.texts) if text.scored]
        self._scored = np.array(scored, np.intp)

    def _group(self, rows: list[int]) -> Group:
        rules = [self.texts[row].rules for row in rows]
        places = slice(None) if len(rows) == len(self.texts) else np.array(rows)
        if all(each == rules[0] for each in rules):
            return Group(rules[0], places, None)
        return Group(rules[0], places, np.array([each.temperature[0] for each in rules]))


def last_ids(ids: Ids, count: int) -> Ids:
    """The last `count` of each row of `ids` (B, T); before a text stands the unknown id."""
    before = np.full((len(ids), count), UNKNOWN_ID, np.intp)
    return np.concatenate([before, ids], axis=1)[:, ids.shape[1] :]  # (B, count)


class Candidate(NamedTuple):
    """A text and its mean log-probability per token."""

    ids: list[int]
    score: float


def beam_search(
    model: Model,
    prompt: Ids,
    rules: Rules,
    length: int,
    size: int,
    is_over: Callable[[list[int]], bool],
) -> Candidate:
    """Returns the best text found (Graves 2012, Sutskever et al. 2014).

    At each step every candidate is continued with every token, and the `size` likeliest
    continuations are kept. Texts of different lengths are compared by their mean log-probability
    per token. Of the rules, the repetition penalty and the bans apply; nothing is drawn. What bans
    leave no token to go on with is given up.

    Args:
        model: a network or a mixture.
        prompt: token ids, (T,).
        rules: see above.
        length: tokens of a text that does not end before, at least 1.
        size: candidates kept.
        is_over: whether a text ends with the last of these ids.

    Raises:
        NoTokenLeftError: if the bans leave no candidate a token.
    """
    stepper = model.stepper(prompt[np.newaxis])  # K candidates, at first one
    (before,) = last_ids(prompt[np.newaxis], rules.memory).tolist()
    texts: list[list[int]] = [[]]
    totals = np.zeros(1)  # (K,)
    ended: list[Candidate] = []
    while texts and len(texts[0]) < length and len(ended) < size:
        recent = np.array([(before + text)[len(text) :] for text in texts], np.intp)  # (K, M)
        try:
            logits = restrict(stepper.logits, rules, recent)  # (K, V)
        except NoTokenLeftError as error:
            if len(error.rows) == len(texts) and not ended:
                raise
            kept = np.delete(np.arange(len(texts)), error.rows)
            texts, totals = [texts[row] for row in kept], totals[kept]
            stepper.select(kept)
            continue
        scores = totals[:, np.newaxis] + log_softmax(logits)  # (K, V)
        going: list[tuple[int, list[int], float]] = []
        for place, total in likeliest(scores.reshape(-1), size):
            row, token_id = divmod(place, model.vocabulary_size)
            text = [*texts[row], token_id]
            if total > -math.inf and is_over(text):
                ended.append(Candidate(text, total / len(text)))
            elif total > -math.inf:
                going.append((row, text, total))
        texts, totals = [text for _, text, _ in going], np.array([total for *_, total in going])
        if going:
            stepper.select(np.array([row for row, *_ in going]))
            stepper.step(np.array([text[-1] for text in texts]))
    unfinished = zip(texts, totals.tolist(), strict=True)
    ended += [Candidate(text, total / len(text)) for text, total in unfinished]
    return max(ended, key=lambda candidate: candidate.score)
