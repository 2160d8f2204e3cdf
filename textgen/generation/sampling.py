"""Logits -> next token ids. NumPy, pure functions; chance is passed in as uniform numbers.

The filters mean what Hugging Face transformers' logits processors of the same names mean.
"""

from collections.abc import Hashable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from textgen.support.arrays import Ids
from textgen.support.errors import TextgenError

Logits: TypeAlias = npt.NDArray[np.float32]
Reals: TypeAlias = npt.NDArray[np.float64]

NEVER = np.float32(-np.inf)
"""The logit of a token that must not be drawn."""


class NoTokenLeftError(TextgenError):
    """Bans that leave some rows no token."""

    def __init__(self, rows: Ids) -> None:
        super().__init__("the banned texts leave no token to go on with. Ban fewer")
        self.rows = rows


@dataclass(frozen=True)
class Rules:
    """A `SamplingSettings` as it applies to one vocabulary, in token ids.

    Streams with equal rules are sampled together.
    """

    temperatures: tuple[float, ...] = (1.0,)
    """Taken in turn, token by token; 0 is argmax."""
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0
    repetition_window: int = 64
    banned: tuple[tuple[int, ...], ...] = ()
    """Sequences of ids that must not appear."""
    drawn_after: frozenset[int] | None = None
    """Ids after which the next token is drawn; after others it is the likeliest. None: all."""

    @cached_property
    def kind(self) -> Hashable:
        """What rules have alike whose streams are sampled together.

        All of them must be equal; of rules that draw every token, with one temperature, the
        temperature may differ.
        """
        settings = [getattr(self, part.name) for part in fields(self)]
        if len(self.temperatures) == 1 and self.temperatures[0] > 0 and self.drawn_after is None:
            settings = settings[1:]  # temperatures come first
        return tuple(settings)

    @cached_property
    def single_bans(self) -> Ids:
        """The ids that must not appear at all."""
        return np.array([ids[0] for ids in self.banned if len(ids) == 1], np.intp)

    @property
    def memory(self) -> int:
        """How many of the last tokens the rules look at."""
        penalty = self.repetition_window if self.repetition_penalty != 1 else 0
        bans = max((len(ids) - 1 for ids in self.banned), default=0)
        return max(penalty, bans, int(self.drawn_after is not None))


def sample_next(
    logits: Logits,
    uniforms: Reals,
    rules: Rules,
    recent: Ids,
    count: int | Ids = 0,
    temperatures: Reals | None = None,
) -> Ids:
    """Draw one token id per row.

    Args:
        logits: (B, V); -inf for a token that must not be drawn. They are not changed.
        uniforms: one number in [0, 1) per row, (B,).
        rules: the filters.
        recent: the last ids of each row, newest last, at least `rules.memory`, (B, M).
        count: how many tokens each row has drawn before, which chooses the temperature.
        temperatures: of rows whose rules differ in nothing else, (B,), above 0.

    Returns:
        Token ids, (B,).
    """
    logits = restrained(logits, rules, recent)
    if temperatures is not None:
        return draw(np.exp(filtered(logits, temperatures[:, np.newaxis], rules)), uniforms)
    if len(rules.temperatures) > 1 or rules.drawn_after is not None:
        return _sample_by_row(logits, uniforms, rules, recent, count)
    temperature = float(rules.temperatures[0])
    if temperature == 0:
        return likeliest(logits)
    return draw(np.exp(filtered(logits, temperature, rules)), uniforms)


def _sample_by_row(
    logits: Logits, uniforms: Reals, rules: Rules, recent: Ids, count: int | Ids
) -> Ids:
    """The same where rows differ in temperature, or some take the likeliest token."""
    turns = np.broadcast_to(count, len(logits)) % len(rules.temperatures)
    temperatures = np.array(rules.temperatures)[turns]
    greedy = temperatures == 0
    if rules.drawn_after is not None:
        greedy |= ~np.isin(recent[:, -1], list(rules.drawn_after))
    drawn = draw(np.exp(filtered(logits, temperatures[:, np.newaxis], rules)), uniforms)
    return np.where(greedy, likeliest(logits), drawn)


def next_probabilities(logits: Logits, rules: Rules, recent: Ids) -> Reals:
    """What the next token is drawn with, (B, V); where it is not drawn, the model's own."""
    logits = restrained(logits, rules, recent)
    return softmax(filtered(logits, float(rules.temperatures[0]) or 1.0, rules))


def restrained(logits: Logits, rules: Rules, recent: Ids) -> Logits:
    """The repetition penalty and the bans, applied to a copy of `logits` (B, V).

    Args:
        logits: (B, V).
        rules: what is penalized and banned.
        recent: the last ids of each row, newest last, at least `rules.memory`, (B, M).

    Raises:
        NoTokenLeftError: if the bans leave a row no token.
    """
    if rules.repetition_penalty != 1:
        window = recent[:, -rules.repetition_window :]
        logits = penalize_repetition(logits, window, rules.repetition_penalty)
    else:
        logits = logits.copy()
    logits[:, rules.single_bans] = NEVER
    for *before, last in rules.banned:
        if before:
            rows = (recent[:, -len(before) :] == before).all(axis=-1)
            logits[rows, last] = NEVER
    if len(rules.banned) > 1 and (ended := logits.max(axis=-1) == NEVER).any():
        raise NoTokenLeftError(np.flatnonzero(ended))
    return logits


def filtered(logits: Logits, temperature: float | Reals, rules: Rules) -> Logits:
    """Temperature, top-k, top-p and min-p, in this order.

    Args:
        logits: (B, V).
        temperature: for all rows, or (B, 1).
        rules: the other filters.

    Returns:
        (B, V), shifted so that the highest logit of each row is 0: exp of them is in proportion
        to the probabilities and does not overflow.
    """
    scaled: Logits = logits - np.maximum.reduce(logits, axis=-1, keepdims=True)
    if not isinstance(temperature, float) or temperature != 1:
        with np.errstate(over="ignore"):  # what overflows becomes -inf, and is never drawn
            scaled /= _divisor(temperature)
    if rules.top_k:
        scaled = keep_top_k(scaled, rules.top_k)
    if rules.top_p:
        scaled = keep_top_p(scaled, rules.top_p)
    if rules.min_p:
        scaled = keep_min_p(scaled, rules.min_p)
    return scaled


def _divisor(temperature: float | Reals) -> float | Logits:
    """A temperature that float32 can divide by; beyond, it is as good as 0 or infinity."""
    coldest, hottest = 1e-30, 1e30
    if isinstance(temperature, float):
        return min(max(temperature, coldest), hottest)
    return temperature.clip(coldest, hottest).astype(np.float32)


def penalize_repetition(logits: Logits, recent: Ids, penalty: float) -> Logits:
    """Divide the positive logits of `recent` ids (B, N) by `penalty`; multiply the others.

    Keskar et al. 2019 (CTRL), with the sign rule of transformers'
    `RepetitionPenaltyLogitsProcessor`. An id that occurs twice is penalized once.

    Example:
        >>> logits = np.array([[2.0, -1.0, 3.0]], np.float32)
        >>> penalize_repetition(logits, np.array([[0, 1, 1]]), 2.0)
        array([[ 1., -2.,  3.]], dtype=float32)
    """
    found = np.take_along_axis(logits, recent, axis=-1)
    changed = np.where(found < 0, found * np.float32(penalty), found / np.float32(penalty))
    penalized = logits.copy()
    np.put_along_axis(penalized, recent, changed.astype(np.float32), axis=-1)
    return penalized


def keep_top_k(logits: Logits, k: int) -> Logits:
    """-inf for all but the `k` highest logits of a row; ties with the last one stay.

    Example:
        >>> keep_top_k(np.array([[1.0, 3.0, 2.0]], np.float32), 2)
        array([[-inf,   3.,   2.]], dtype=float32)
    """
    size = logits.shape[-1]
    if k >= size:
        return logits
    lowest = np.partition(logits, size - k, axis=-1)[:, size - k, np.newaxis]
    return np.where(logits < lowest, NEVER, logits)


def keep_top_p(logits: Logits, p: float) -> Logits:
    """-inf outside the smallest set of likeliest tokens whose probabilities reach `p`.

    Nucleus sampling (Holtzman et al. 2020). The likeliest token always stays, and so do tokens
    exactly as likely as the last one of the set.

    Example:
        >>> keep_top_p(np.log(np.array([[0.5, 0.3, 0.2]], np.float32)), 0.7) > -np.inf
        array([[ True,  True, False]])
    """
    probabilities = softmax(logits)
    falling = -np.sort(-probabilities, axis=-1)
    above = falling.cumsum(axis=-1) - falling
    last = (above < p).sum(axis=-1, keepdims=True) - 1  # at least 0, for nothing is above the first
    return np.where(probabilities < np.take_along_axis(falling, last, axis=-1), NEVER, logits)


def keep_min_p(logits: Logits, share: float) -> Logits:
    """-inf for tokens less probable than `share` of the likeliest one (Nguyen et al. 2024).

    Example:
        >>> keep_min_p(np.log(np.array([[0.5, 0.3, 0.2]], np.float32)), 0.5) > -np.inf
        array([[ True,  True, False]])
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.where(np.exp(shifted) < share, NEVER, logits)


def softmax(logits: Logits) -> Reals:
    """exp(logits), normalised over the last axis, in float64.

    The highest logit is subtracted first, so nothing overflows.
    """
    weights = np.exp((logits - logits.max(axis=-1, keepdims=True)).astype(np.float64))
    probabilities: Reals = weights / weights.sum(axis=-1, keepdims=True)
    return probabilities


def log_softmax(logits: Logits) -> Reals:
    """The natural logarithm of `softmax(logits)`, in float64."""
    shifted = (logits - logits.max(axis=-1, keepdims=True)).astype(np.float64)
    logarithms: Reals = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logarithms


def likeliest(logits: Logits) -> Ids:
    """The id of the highest logit per row, (B,); the lowest id among equals."""
    ids: Ids = logits.argmax(axis=-1)
    return ids


def draw(weights: Logits | Reals, uniforms: Reals) -> Ids:
    """One index per row of `weights` (B, V), drawn in proportion to them.

    The cumulative distribution is inverted, in float64: index i is drawn where
    sum(weights[:i]) <= uniform x sum(weights) < sum(weights[:i + 1]). The sums are far above the
    smallest floats, as those of a softmax are: there, a product may be rounded up to the sum.
    """
    cumulative = np.add.accumulate(weights, axis=-1, dtype=np.float64)
    thresholds = uniforms[:, np.newaxis] * cumulative[:, -1:]
    ids: Ids = (cumulative > thresholds).argmax(axis=-1)  # the first one that is above
    return ids
