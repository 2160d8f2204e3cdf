"""Token ids -> contiguous batches for a stateful RNN."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from textgen.errors import TextgenError
from textgen.tokenizers import Ids

MOST_AT_ONCE = 8
"""More steps per call save no time that can be measured, and make Ctrl-C and progress lag."""


class Batches(NamedTuple):
    """What the network reads and what it should predict: the same tokens, one later.

    Row i of a batch continues where row i of the batch before stopped, except at the start of
    each pass, that is at every batch whose index is a multiple of `batches_per_pass`.
    """

    inputs: Ids
    """(num_batches, B, T)"""
    targets: Ids
    """(num_batches, B, T)"""
    batches_per_pass: int
    steps_at_once: int
    """A divisor of `batches_per_pass`: how many batches one call may train on."""


def training_batches(ids: Ids, batch_size: int, seq_length: int, seq_step: int) -> Batches:
    """Cut the token ids (N,) of a text into the batches of one epoch.

    An epoch makes one pass over the text from each offset 0, `seq_step`, 2 x `seq_step`, ...
    below `seq_length`; in each, the text is cut into B rows of equal length that are read side
    by side, T tokens at a time. Passes have equally many batches, so the last B x T tokens
    (at most, plus one pass' offset) of a text may go unread, and up to one in 50 batches more to
    make their number a multiple of `steps_at_once`.

    Returns:
        inputs and targets: int32, (num_batches, B, T).

    Raises:
        TextgenError: if the text does not fill one batch from each offset.
    """
    offsets = range(0, seq_length, seq_step)
    count = (len(ids) - 1 - offsets[-1]) // (batch_size * seq_length)
    if count < 1:
        needed = batch_size * seq_length + 1 + offsets[-1]
        raise TextgenError(
            f"--seq-length {seq_length} x --batch-size {batch_size} needs at least {needed:,}"
            f" tokens; the training text has {len(ids):,}. Lower one of them or add text"
        )
    steps_at_once = next(k for k in range(MOST_AT_ONCE, 0, -1) if count % k <= count // 50)
    count -= count % steps_at_once
    passes = [_rows(ids[offset:], count, batch_size, seq_length) for offset in offsets]
    inputs, targets = (np.concatenate(parts) for parts in zip(*passes, strict=True))
    return Batches(inputs, targets, batches_per_pass=count, steps_at_once=steps_at_once)


def _rows(ids: Ids, count: int, batch_size: int, seq_length: int) -> tuple[Ids, Ids]:
    """`count` batches of inputs and of targets, each (count, B, T), from the start of `ids`."""
    size = batch_size * count * seq_length

    def cut(part: Ids) -> Ids:
        return part.reshape(batch_size, count, seq_length).swapaxes(0, 1)

    return cut(ids[:size]), cut(ids[1 : size + 1])


class EvaluationBatch(NamedTuple):
    """One batch of a text to be scored; `weights` is 1 where a target counts, 0 for padding."""

    inputs: Ids
    targets: Ids
    weights: npt.NDArray[np.float32]


def evaluation_batches(ids: Ids, batch_size: int, seq_length: int) -> Iterator[EvaluationBatch]:
    """Cut the token ids (N,) of a text so that each token but the first is a target once.

    The text is cut into B rows of equal length; what they lack at the end is padding of weight
    0. Row i of a batch continues where row i of the batch before stopped.

    Yields:
        inputs, targets (int32) and weights (float32), each (B, T).

    Raises:
        TextgenError: if the text has fewer than two tokens.
    """
    if len(ids) < 2:
        raise TextgenError(
            f"the validation text has {len(ids)} token(s) and needs at least 2. Add text to"
            " validate.txt, or remove it"
        )
    count = -(-(len(ids) - 1) // (batch_size * seq_length))
    size = batch_size * count * seq_length
    padded = np.zeros(size + 1, np.int32)
    padded[: len(ids)] = ids
    inputs, targets = _rows(padded, count, batch_size, seq_length)
    real = (np.arange(size) < len(ids) - 1).astype(np.float32)
    weights = real.reshape(batch_size, count, seq_length).swapaxes(0, 1)
    yield from map(EvaluationBatch, inputs, targets, weights)
