"""Beam search: looks for the likeliest text by keeping a few candidates at each step."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from textgen.generation.batch import Model, last_ids
from textgen.generation.sampling import NoTokenLeftError, Reals, Rules, log_softmax, restrict
from textgen.support.arrays import Ids


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
        parents, ids = _best(scores, size)  # (size,) each, or fewer
        longer = [[*texts[p], i] for p, i in zip(parents.tolist(), ids.tolist(), strict=True)]
        over = np.array([is_over(text) for text in longer])
        ended += _candidates(longer, scores[parents, ids], np.flatnonzero(over))
        kept = np.flatnonzero(~over)
        texts, totals = [longer[row] for row in kept], scores[parents, ids][kept]
        if texts:
            stepper.select(parents[kept])
            stepper.step(ids[kept])
    ended += _candidates(texts, totals, np.arange(len(texts)))
    return max(ended, key=lambda candidate: candidate.score)


def _candidates(texts: list[list[int]], totals: Reals, rows: Ids) -> list[Candidate]:
    return [Candidate(texts[row], float(totals[row]) / len(texts[row])) for row in rows]


def _best(scores: Reals, size: int) -> tuple[Ids, Ids]:
    """Returns rows and columns of the `size` highest scores above -inf, highest first."""
    flat = scores.reshape(-1)
    top = np.argpartition(-flat, min(size, len(flat)) - 1)[:size]
    top = top[np.isfinite(flat[top])]
    top = top[np.argsort(-flat[top], kind="stable")]
    return np.divmod(top, scores.shape[1])
