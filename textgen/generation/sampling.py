"""Logits -> next token ids. NumPy, pure functions; chance is passed in as uniform numbers.

The filters mean what Hugging Face transformers' logits processors of the same names mean, and come
in the same order: repetition penalty and bans, which look at the tokens before; temperature; then
`FILTERS`. Shapes: B streams, V tokens in the vocabulary, M remembered tokens.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import InitVar, dataclass, field, fields
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from textgen.settings.definitions import SamplingSettings
from textgen.support.errors import TextgenError
from textgen.tokens.tokenizer import Ids

Logits: TypeAlias = npt.NDArray[np.float32]
Reals: TypeAlias = npt.NDArray[np.float64]

NEVER = np.float32(-np.inf)
"""The logit of a token that must not be drawn."""


def keep_top_k(logits: Logits, k: int) -> Logits:
    """Sets all but the `k` highest logits of a row to -inf; ties with the last one stay.

    Example:
        >>> keep_top_k(np.array([[1.0, 3.0, 2.0]], np.float32), 2)
        array([[-inf,   3.,   2.]], dtype=float32)
    """
    size = logits.shape[-1]
    if k >= size:
        return logits
    lowest = np.partition(logits, size - k, axis=-1)[:, size - k, np.newaxis]  # (B, 1)
    return np.where(logits < lowest, NEVER, logits)


def keep_top_p(logits: Logits, p: float) -> Logits:
    """Sets logits to -inf outside the smallest set of likeliest tokens that together reach `p`.

    Nucleus sampling (Holtzman et al. 2020). The likeliest token always stays, and so do tokens
    exactly as likely as the last one of the set.

    Example:
        >>> keep_top_p(np.log(np.array([[0.5, 0.3, 0.2]], np.float32)), 0.7) > -np.inf
        array([[ True,  True, False]])
    """
    probabilities = softmax(logits)  # (B, V)
    falling = -np.sort(-probabilities, axis=-1)  # (B, V), highest first
    above = falling.cumsum(axis=-1) - falling  # (B, V), the sum of all higher ones
    last = (above < p).sum(axis=-1, keepdims=True) - 1  # (B, 1), at least 0: nothing is above it
    return np.where(probabilities < np.take_along_axis(falling, last, axis=-1), NEVER, logits)


def keep_min_p(logits: Logits, share: float) -> Logits:
    """Sets logits of tokens less probable than `share` of the likeliest to -inf.

    Nguyen et al. 2024.

    Example:
        >>> keep_min_p(np.log(np.array([[0.5, 0.3, 0.2]], np.float32)), 0.5) > -np.inf
        array([[ True,  True, False]])
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.where(np.exp(shifted) < share, NEVER, logits)


FILTERS: dict[str, Callable[[Logits, Any], Logits]] = {
    "top_k": keep_top_k,
    "top_p": keep_top_p,
    "min_p": keep_min_p,
}
"""The filters of logits (B, V) after temperature, in this order, by the name of the setting.

A filter is given the logits and the value of its field of `SamplingSettings`, whose default is
None: off. It leaves every row a token that can be drawn. Flag, Python keyword, HTTP field and page
control are made from the field; exported pages need the filter in `export/static/sampling.js` too.
"""


def filters_of(settings: SamplingSettings) -> tuple[tuple[str, Any], ...]:
    """The name and the value of each of `FILTERS` that `settings` ask for, in their order."""
    values = [(name, getattr(settings, name)) for name in FILTERS]
    return tuple((name, value) for name, value in values if value is not None)


class NoTokenLeftError(TextgenError):
    """Bans that leave some rows no token.

    Args:
        rows: which ones, (N,).
    """

    def __init__(self, rows: Ids) -> None:
        super().__init__("the banned texts leave no token to go on with. Ban fewer")
        self.rows = rows


@dataclass(frozen=True)
class BannedText:
    """A text that must not appear, however it is cut into tokens.

    How much of it stands at the end of what is written is a state; a token leads to another state,
    or completes the text (Knuth, Morris & Pratt 1977).

    Args:
        text: its bytes, n of them.
        tokens: the bytes of each token of the vocabulary; what has none begins a new text.
    """

    text: bytes
    tokens: InitVar[Sequence[bytes]]
    after: Ids = field(init=False, compare=False, repr=False)
    """(n, V): the state after a state and a token."""
    completes: npt.NDArray[np.bool_] = field(init=False, compare=False, repr=False)
    """(n, V): whether a token completes the text in a state."""

    def __post_init__(self, tokens: Sequence[bytes]) -> None:
        size, end = len(self.text), 256  # what stands beyond the end of a token
        after_byte = np.zeros((size + 1, end + 1), np.intp)
        for state in range(size + 1):
            for byte in set(self.text):
                after_byte[state, byte] = self._overlap(self.text[:state] + bytes([byte]))
        after_byte[:, end] = np.arange(size + 1)
        padded = np.full((len(tokens), max(map(len, tokens))), end)
        for row, token in zip(padded, tokens, strict=True):
            row[: len(token)] = list(token)
        after = np.repeat(np.arange(size)[:, np.newaxis], len(tokens), axis=1)
        completes = np.zeros(after.shape, bool)
        for column in padded.T:
            after = after_byte[after, column]
            completes |= after == size
        after[after == size] = self._overlap(self.text[1:])
        after[:, [not token for token in tokens]] = 0
        object.__setattr__(self, "after", after)
        object.__setattr__(self, "completes", completes)

    def _overlap(self, seen: bytes) -> int:
        """Returns how many bytes at the end of `seen` are the beginning of the text."""
        most = min(len(seen), len(self.text))
        return next((n for n in range(most, 0, -1) if seen.endswith(self.text[:n])), 0)

    def follows(self, recent: Ids) -> npt.NDArray[np.bool_]:
        """Returns which tokens would complete the text after ids (B, M): (B, V).

        M is at least `memory`.
        """
        states = np.zeros(len(recent), np.intp)
        for column in recent[:, recent.shape[1] - self.memory :].T:
            states = self.after[states, column]
        found: npt.NDArray[np.bool_] = self.completes[states]
        return found

    @property
    def memory(self) -> int:
        """Number of tokens before the next one that may hold a part of the text."""
        return len(self.text) - 1


@dataclass(frozen=True)
class Rules:
    """How the tokens of one vocabulary are drawn: `SamplingSettings` with texts as token ids.

    Streams with equal rules are sampled together.
    """

    temperature: tuple[float, ...] = (1.0,)
    """Taken in turn, token by token; 0 is argmax."""
    filters: tuple[tuple[str, Any], ...] = ()
    """See `filters_of`."""
    repetition_penalty: float = 1.0
    repetition_window: int = 64
    ban: tuple[tuple[int, ...], ...] = ()
    """Sequences of ids that must not appear."""
    banned_texts: tuple[BannedText, ...] = ()
    """Texts that must not, where these can be cut into tokens in several ways."""
    boundaries: frozenset[int] | None = None
    """Ids after which the next token is drawn; after others it is the likeliest. None: all."""

    @cached_property
    def group(self) -> Hashable:
        """A key that is equal for rules whose streams can be sampled in one call.

        They are equal, or draw every token with one temperature each and differ in that alone.
        """
        values = [getattr(self, part.name) for part in fields(self)]
        if not self.takes_turns and self.temperature[0] > 0 and self.boundaries is None:
            values = values[1:]  # temperature comes first
        return tuple(values)

    @cached_property
    def single_bans(self) -> Ids | int:
        """The ids that must not appear at all, (N,); one by itself, which is faster to index by."""
        ids = [ids[0] for ids in self.ban if len(ids) == 1]
        return ids[0] if len(ids) == 1 else np.array(ids, np.intp)

    @property
    def takes_turns(self) -> bool:
        """Whether it depends on the number of tokens before how the next one is drawn."""
        return len(self.temperature) > 1

    def forbid(self, before: Ids, ids: Sequence[int]) -> bool:
        """Whether the bans keep tokens from coming after ids (T,), of which some may be missing."""
        together = np.concatenate([np.zeros(self.memory, np.intp), before, ids]).astype(np.intp)
        places = range(len(together) - len(ids), len(together))
        return any(
            banned.follows(together[np.newaxis, :place])[0, together[place]]
            for banned in self.banned_texts
            for place in places
        )

    @property
    def memory(self) -> int:
        """Number of tokens before the next one that the rules look at."""
        penalty = self.repetition_window if self.repetition_penalty != 1 else 0
        bans = max((len(ids) - 1 for ids in self.ban), default=0)
        texts = max((banned.memory for banned in self.banned_texts), default=0)
        return max(penalty, bans, texts, int(self.boundaries is not None))


def sample_next(
    logits: Logits,
    uniforms: Reals,
    rules: Rules,
    recent: Ids,
    count: int | Ids = 0,
    temperatures: Reals | None = None,
) -> Ids:
    """Draws one token id per row.

    Args:
        logits: (B, V); -inf for a token that must not be drawn. They are not changed.
        uniforms: one number in [0, 1) per row, (B,).
        rules: how to draw.
        recent: the last ids of each row, newest last, at least `rules.memory`, (B, M).
        count: how many tokens each row has drawn before, which chooses the temperature.
        temperatures: of rows whose rules differ in nothing else, (B,), above 0.

    Returns:
        Token ids, (B,).

    Raises:
        NoTokenLeftError: if the bans leave a row no token.
    """
    logits = restrict(logits, rules, recent)  # (B, V)
    if temperatures is not None:
        weights = np.exp(scale_and_filter(logits, temperatures[:, np.newaxis], rules))  # (B, V)
        return draw(weights, uniforms)
    if rules.takes_turns or rules.boundaries is not None:
        return _sample_by_row(logits, uniforms, rules, recent, count)
    temperature = float(rules.temperature[0])
    if temperature == 0:
        return _argmax(logits)
    return draw(np.exp(scale_and_filter(logits, temperature, rules)), uniforms)


def _sample_by_row(
    logits: Logits, uniforms: Reals, rules: Rules, recent: Ids, count: int | Ids
) -> Ids:
    """The same where rows differ in temperature, or some take the likeliest token."""
    turns = np.broadcast_to(count, len(logits)) % len(rules.temperature)  # (B,)
    temperatures = np.array(rules.temperature)[turns]  # (B,)
    greedy = temperatures == 0  # (B,)
    if rules.boundaries is not None:
        greedy |= ~np.isin(recent[:, -1], list(rules.boundaries))
    weights = np.exp(scale_and_filter(logits, temperatures[:, np.newaxis], rules))  # (B, V)
    return np.where(greedy, _argmax(logits), draw(weights, uniforms))


def next_probabilities(logits: Logits, rules: Rules, recent: Ids) -> Reals:
    """The probabilities that the next token is drawn with, (B, V).

    Where it is not drawn but chosen, they are the model's own.
    """
    logits = restrict(logits, rules, recent)
    return softmax(scale_and_filter(logits, float(rules.temperature[0]) or 1.0, rules))


def restrict(logits: Logits, rules: Rules, recent: Ids) -> Logits:
    """Returns a copy of `logits`, (B, V), with the repetition penalty and the bans applied.

    Where there are none, it is no copy, and must not be changed.

    Args:
        logits: (B, V).
        rules: what is penalized and banned.
        recent: the last ids of each row, newest last, at least `rules.memory`, (B, M).

    Raises:
        NoTokenLeftError: if the bans leave a row no token.
    """
    if rules.repetition_penalty == 1 and not rules.ban:
        return logits
    if rules.repetition_penalty != 1:
        window = recent[:, -rules.repetition_window :]
        logits = penalize_repetition(logits, window, rules.repetition_penalty)
    else:
        logits = logits.copy()
    logits[:, rules.single_bans] = NEVER
    for *before, last in rules.ban:
        if before:
            rows = (recent[:, -len(before) :] == before).all(axis=-1)  # (B,)
            logits[rows, last] = NEVER
    for banned in rules.banned_texts:
        logits[banned.follows(recent)] = NEVER
    if (len(rules.ban) > 1 or rules.banned_texts) and (ended := logits.max(axis=-1) == NEVER).any():
        raise NoTokenLeftError(np.flatnonzero(ended))
    return logits


def penalize_repetition(logits: Logits, recent: Ids, penalty: float) -> Logits:
    """Divides the positive logits of `recent` ids (B, N) by `penalty`, and multiplies the others.

    Keskar et al. 2019 (CTRL), with the sign rule of transformers'
    `RepetitionPenaltyLogitsProcessor`. An id that occurs twice is penalized once.

    Example:
        >>> logits = np.array([[2.0, -1.0, 3.0]], np.float32)
        >>> penalize_repetition(logits, np.array([[0, 1, 1]]), 2.0)
        array([[ 1., -2.,  3.]], dtype=float32)
    """
    found = np.take_along_axis(logits, recent, axis=-1)  # (B, N)
    changed = np.where(found < 0, found * np.float32(penalty), found / np.float32(penalty))
    penalized = logits.copy()
    np.put_along_axis(penalized, recent, changed.astype(np.float32), axis=-1)
    return penalized


def scale_and_filter(logits: Logits, temperature: float | Reals, rules: Rules) -> Logits:
    """Divides by the temperature and applies the filters of `rules`.

    Args:
        logits: (B, V).
        temperature: for all rows, or (B, 1).
        rules: the filters.

    Returns:
        (B, V), shifted so that the highest logit of each row is 0: exp of them is in proportion
        to the probabilities and does not overflow.
    """
    scaled: Logits = logits - np.maximum.reduce(logits, axis=-1, keepdims=True)
    if not isinstance(temperature, float) or temperature != 1:
        with np.errstate(over="ignore"):  # what overflows becomes -inf, and is never drawn
            scaled /= _divisor(temperature)
    for name, value in rules.filters:
        scaled = FILTERS[name](scaled, value)
    return scaled


def _divisor(temperature: float | Reals) -> float | Logits:
    """A temperature that float32 can divide by; beyond, it is as good as 0 or infinity."""
    coldest, hottest = 1e-30, 1e30
    if isinstance(temperature, float):
        return min(max(temperature, coldest), hottest)
    return temperature.clip(coldest, hottest).astype(np.float32)


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


def likeliest(log_probabilities: Reals, number: int) -> list[tuple[int, float]]:
    """The `number` ids with the highest of `log_probabilities`, (V,), highest first, with them."""
    start = max(len(log_probabilities) - number, 0)
    ids = np.argpartition(log_probabilities, start)[start:]
    ids = ids[np.argsort(-log_probabilities[ids], kind="stable")]
    return list(zip(ids.tolist(), log_probabilities[ids].tolist(), strict=True))


def _argmax(logits: Logits) -> Ids:
    """The id of the highest logit per row, (B,); the lowest id among equals."""
    ids: Ids = logits.argmax(axis=-1)
    return ids


def draw(weights: Logits | Reals, uniforms: Reals) -> Ids:
    """Draws one index per row of `weights` (B, V), in proportion to them.

    The cumulative distribution is inverted, in float64: index i is drawn where
    sum(weights[:i]) <= uniform x sum(weights) < sum(weights[:i + 1]). The sums are far above the
    smallest floats, as those of a softmax are: there, a product may be rounded up to the sum.

    Args:
        weights: (B, V), none below 0, at least one of each row above.
        uniforms: one number in [0, 1) per row, (B,).

    Returns:
        Indices, (B,).
    """
    cumulative = np.add.accumulate(weights, axis=-1, dtype=np.float64)  # (B, V)
    if len(cumulative) == 1:  # the same in half the time; beyond the last is the first, as below
        (row,) = cumulative
        return np.array([row.searchsorted(uniforms[0] * row[-1], "right") % len(row)])
    thresholds = uniforms[:, np.newaxis] * cumulative[:, -1:]  # (B, 1)
    ids: Ids = (cumulative > thresholds).argmax(axis=-1)  # the first one that is above
    return ids
