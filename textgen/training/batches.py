"""Token ids -> contiguous batches for a stateful RNN, of one text or of many in random order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from textgen.model.devices import candidates
from textgen.support.errors import TextgenError
from textgen.tokens.corpus import release
from textgen.tokens.tokenizer import END_ID, Ids, StoredIds

if TYPE_CHECKING:
    from textgen.model.backend import tf

MOST_AT_ONCE = 8
"""More steps per call save no time that can be measured, and make Ctrl-C and progress lag."""
MOST_ON_GPU = 64
"""Likewise where a GPU is to try more."""
BLOCK_TOKENS = 1 << 17
"""About how many tokens are read from the ids at once."""
SCANNED = 1 << 24
"""Tokens that are searched for the ends of documents at once."""


@dataclass(frozen=True)
class Batches:
    """The batches of a text, read from its ids when they are needed.

    Training walks over the text again and again. Row i of a batch continues where row i of the
    batch before stopped, except at the start of each pass, that is at every batch whose number
    is a multiple of `batches_per_pass`.
    """

    ids: StoredIds
    """(N,)"""
    batch_size: int
    seq_length: int
    offsets: range
    """Where the passes begin; one walk over the text makes them all."""
    batches_per_pass: int
    steps_per_epoch: int
    steps_at_once: int
    """Batches that one call may train on: a divisor of both numbers above."""
    rows: slice = field(default_factory=lambda: slice(None))
    """The rows of each batch to read."""

    def __len__(self) -> int:
        """Batches in one walk over the text."""
        return len(self.offsets) * self.batches_per_pass

    def with_more_at_once(self) -> Batches:
        """Returns the same batches, up to `MOST_ON_GPU` of them in a call."""
        common = math.gcd(self.batches_per_pass, self.steps_per_epoch)
        most = max(k for k in range(1, MOST_ON_GPU + 1) if common % k == 0)
        return replace(self, steps_at_once=most)

    def blocks(self, start: int, end: float = math.inf) -> Iterator[tuple[Ids, Ids]]:
        """Read the batches from number `start` to number `end` of the training, or without end.

        Yields:
            Inputs and targets of batches that follow one another: int32, (n, B, T), or of each
            batch the `rows`.
        """
        most = max(1, BLOCK_TOKENS // (self.batch_size * self.seq_length))
        while start < end:
            number, first = divmod(start, self.batches_per_pass)
            count = int(min(most, self.batches_per_pass - first, end - start))
            yield self._cut(number, first, count, 0), self._cut(number, first, count, 1)
            start += count

    def _cut(self, number: int, first: int, count: int, shift: int) -> Ids:
        """Returns `count` batches of a pass from the `first` on, `shift` tokens on, (count, B, T).

        Passes are numbered from the start of the training.
        """
        offset = self.offsets[number % len(self.offsets)] + shift
        size = self.batch_size * self.batches_per_pass * self.seq_length
        rows = self.ids[offset : offset + size].reshape(self.batch_size, -1, self.seq_length)
        return rows[self.rows, first : first + count].swapaxes(0, 1).astype(np.int32, order="C")


@dataclass(frozen=True)
class DocumentBatches(Batches):
    """The batches of many texts, which each pass reads in an order of its own."""

    documents: ShuffledDocuments = field(kw_only=True)

    def _cut(self, number: int, first: int, count: int, shift: int) -> Ids:
        order = self.documents.in_pass(number)
        length = self.seq_length
        starts = range(
            first * length + shift,
            self.batch_size * self.batches_per_pass * length,
            self.batches_per_pass * length,
        )[self.rows]
        rows = [order.read(start, start + count * length) for start in starts]
        return np.stack(rows).reshape(len(rows), count, length).swapaxes(0, 1)


class ShuffledDocuments:
    """Documents in random order, another one in each pass, and the same ones again when asked.

    Args:
        ids: documents one after another, (N,), with `END_ID` before and after each.
        random_seed: decides the orders.
    """

    def __init__(self, ids: StoredIds, random_seed: int) -> None:
        self.ids = ids
        self.ends = _places_of_ends(ids)
        self._random_seed = random_seed
        self._last: tuple[int, DocumentOrder] | None = None

    def __len__(self) -> int:
        return len(self.ends) - 1

    def in_pass(self, number: int) -> DocumentOrder:
        """Returns the documents in the order of a pass, which is made once for those in a row."""
        if self._last is None or self._last[0] != number:
            rng = np.random.default_rng([self._random_seed, number])
            self._last = number, DocumentOrder(self.ids, self.ends, shuffled(len(self), rng))
        return self._last[1]


class DocumentOrder:
    """Documents one after another in some order, to be read at any place.

    Args:
        ids: as of `ShuffledDocuments`.
        ends: where `END_ID` is in them, (K + 1,).
        order: of the K documents, (K,).
    """

    def __init__(
        self, ids: StoredIds, ends: npt.NDArray[np.int64], order: npt.NDArray[np.int64]
    ) -> None:
        self._ids = ids
        self._from = ends[order]  # of each document: where the end before it is
        sizes = ends[order + 1] - self._from
        self._to = np.cumsum(sizes)  # where it ends in this order
        self._begins = self._to - sizes

    def read(self, start: int, stop: int) -> Ids:
        """Returns the tokens from place `start` to `stop`, each document begun by an end, int32."""
        places = np.arange(start, min(stop, self._to[-1]))
        which = np.arange(
            np.searchsorted(self._to, start, "right"), np.searchsorted(self._to, stop, "left") + 1
        )
        which = which[which < len(self._to)]
        counts = np.minimum(self._to[which], stop) - np.maximum(self._begins[which], start)
        found = self._ids[places + np.repeat(self._from[which] - self._begins[which], counts)]
        last = np.full(stop - start - len(places), END_ID)  # after the last document
        return np.concatenate([found, last]).astype(np.int32)


GROUP, GROUPS = 1 << 12, 1 << 8
"""Documents that stand together, and how many groups of them are mixed. More documents than that
are shuffled in groups first, so that what is read at a time lies in few places of a large file."""


def shuffled(count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Returns the numbers from 0 to `count` in random order; all orders are as likely where they
    are fewer than `GROUP` x `GROUPS`.
    """
    if count <= GROUP * GROUPS:
        return rng.permutation(count)
    groups = rng.permutation(-(-count // GROUP))
    numbers = (groups[:, np.newaxis] * GROUP + np.arange(GROUP)).reshape(-1)
    numbers = numbers[numbers < count]
    for start in range(0, count, GROUP * GROUPS):
        rng.shuffle(numbers[start : start + GROUP * GROUPS])
    return numbers


def _places_of_ends(ids: StoredIds) -> npt.NDArray[np.int64]:
    """Returns where documents end, (K + 1,), holding a piece of the ids at a time."""
    starts = range(0, len(ids), SCANNED)
    found = [np.flatnonzero(ids[start : start + SCANNED] == END_ID) + start for start in starts]
    release(ids)
    return np.concatenate(found)


def pass_offsets(seq_length: int, seq_step: int) -> range:
    """The tokens that the passes of a walk over a text begin with: 0, `seq_step`, ..."""
    return range(0, seq_length, seq_step)


def tokens_needed(batch_size: int, seq_length: int, seq_step: int) -> int:
    """The fewest tokens of a text that fill one batch, and its targets, from each offset."""
    return batch_size * seq_length + 1 + pass_offsets(seq_length, seq_step)[-1]


def walk(num_tokens: int, batch_size: int, seq_length: int, seq_step: int) -> tuple[int, int]:
    """Returns how many passes a walk over a text makes, and the full batches of a pass.

    Raises:
        TextgenError: if the text does not fill one batch from each offset.
    """
    offsets = pass_offsets(seq_length, seq_step)
    count = (num_tokens - 1 - offsets[-1]) // (batch_size * seq_length)
    if count < 1:
        needed = tokens_needed(batch_size, seq_length, seq_step)
        raise TextgenError(
            f"`seq_length` {seq_length} x `batch_size` {batch_size} needs at least {needed:,}"
            f" tokens; the training text has {num_tokens:,}. Lower one of them or add text"
        )
    return len(offsets), count


def cut_batches(
    ids: StoredIds,
    batch_size: int,
    seq_length: int,
    seq_step: int,
    steps_per_epoch: int | None,
    documents: ShuffledDocuments | None = None,
) -> Batches:
    """Cut the token ids (N,) of a text into batches.

    Documents are read in another order in each pass. Otherwise a walk over the text makes one pass
    from each offset 0, `seq_step`, 2 x `seq_step`, ... below `seq_length`. In each pass, the text
    is cut into B rows of equal length that are read side by side, T tokens at a time. Passes have
    equally many batches, so the last B x T tokens (at most, plus one pass' offset) of a text may go
    unread, and up to one in 50 batches more to make their number a multiple of `steps_at_once`.

    Args:
        ids: the text.
        batch_size: B.
        seq_length: T.
        seq_step: tokens between the starts of two passes.
        steps_per_epoch: batches in an epoch; None for those of one walk.
        documents: those that the text is made of, where it is many.

    Raises:
        TextgenError: if the text does not fill one batch from each offset.
    """
    passes, count = walk(len(ids), batch_size, seq_length, seq_step)
    at_once = next(
        k for k in range(MOST_AT_ONCE, 0, -1)
        if count % k <= count // 50 and (steps_per_epoch or 0) % k == 0
    )  # fmt: skip
    count -= count % at_once
    epoch = steps_per_epoch or passes * count
    offsets = pass_offsets(seq_length, seq_step)
    made = ids, batch_size, seq_length, offsets, count, epoch, at_once
    return DocumentBatches(*made, documents=documents) if documents else Batches(*made)


def tf_dataset(batches: Batches, start: int, on_gpu: bool = False) -> tf.data.Dataset:
    """Returns the batches from number `start` on, without end, read one call of steps ahead.

    Where a GPU is to try it, they wait in its memory.

    Without autotuning, whose thread is now and then waited for where reading ends, for as long as
    the reading took.
    """
    from textgen.model.backend import tf  # only here: a search cuts batches without TensorFlow

    def read() -> Iterator[tuple[Ids, Ids]]:
        for block in batches.blocks(start):
            yield block
            release(batches.ids)

    options = tf.data.Options()
    options.autotune.enabled = False
    rows = len(range(batches.batch_size)[batches.rows])
    block = tf.TensorSpec((None, rows, batches.seq_length), tf.int32)
    blocks = tf.data.Dataset.from_generator(read, output_signature=(block, block))
    data = blocks.unbatch().prefetch(batches.steps_at_once).with_options(options)
    if on_gpu and "device-batches" in candidates():
        data = data.apply(tf.data.experimental.prefetch_to_device("/GPU:0", batches.steps_at_once))
    return data


class EvaluationBatch(NamedTuple):
    """One batch of a text to be scored; `weights` is 1 where a target counts, 0 for padding."""

    inputs: Ids
    targets: Ids
    weights: npt.NDArray[np.float32]


def evaluation_batches(
    ids: StoredIds, batch_size: int, seq_length: int, rows: slice = slice(None)
) -> Iterator[EvaluationBatch]:
    """Cut the token ids (N,) of a text so that each token but the first is a target once.

    The text is cut into B rows of equal length; what they lack at the end is padding of weight
    0. Row i of a batch continues where row i of the batch before stopped.

    Yields:
        inputs, targets (int32) and weights (float32), each (B, T), or of each batch the `rows`.

    Raises:
        TextgenError: if the text has fewer than two tokens.
    """
    if len(ids) < 2:
        raise TextgenError(
            f"the validation text has {len(ids)} token(s) and needs at least 2. Add text to"
            " validate.txt, or remove it"
        )
    row = -(-(len(ids) - 1) // (batch_size * seq_length)) * seq_length
    for start in range(0, row, seq_length):
        places = np.arange(start, batch_size * row, row)[rows, np.newaxis] + np.arange(seq_length)
        weights = (places < len(ids) - 1).astype(np.float32)
        yield EvaluationBatch(_padded(ids, places), _padded(ids, places + 1), weights)


def _padded(ids: StoredIds, places: npt.NDArray[np.int64]) -> Ids:
    """The ids at some places, 0 beyond the end."""
    found = ids[np.minimum(places, len(ids) - 1)]
    return np.where(places < len(ids), found, 0).astype(np.int32)
