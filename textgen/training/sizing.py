"""Which model to train in so many minutes on this machine, and whether a model fits into it."""

from __future__ import annotations

import functools
import math
import os
import time
from typing import Any, NamedTuple

from textgen.model.architecture import weight_shapes
from textgen.settings.definitions import ModelSettings, TrainingSettings
from textgen.support import console
from textgen.support.errors import TextgenError

REFERENCE_GFLOPS = 310.0
"""What `measure_gflops` gave on the machine that the tables below were measured on."""


class Size(NamedTuple):
    """A model that is best for some training times."""

    minutes: float
    """The shortest of them, on the reference machine; words go by readings of the text instead."""
    rnn_size: int
    num_layers: int
    learning_rate: float
    tokens_per_second: float
    """On the reference machine, in training."""


CHARACTER_SIZES = (
    Size(0.0, 128, 1, 0.01, 115_000),
    Size(0.2, 256, 1, 0.012, 95_000),
    Size(0.6, 320, 1, 0.01, 50_000),
    Size(1.6, 384, 1, 0.01, 40_000),
    Size(4.0, 512, 1, 0.008, 25_000),
)
CHARACTER_DROPOUTS = ((4, 0.0), (5, 0.1), (8, 0.2), (30, 0.3), (60, 0.4))
"""Dropout for at most so many readings of the text. More than the last get 0.5."""
FEW_READINGS = 10
"""Of a text of words, up to which small steps and output weights of their own learn more."""
WORDS = Size(0.0, 256, 1, 0.003, 12_000)
WORD_SETTINGS: dict[str, Any] = {"dropout": 0.5}
FEW_WORDS = Size(0.0, 288, 1, 0.004, 9_500)
FEW_WORD_SETTINGS: dict[str, Any] = {
    "cell": "gru", "tie_weights": False, "dropout": 0.3, "embedding_dropout": 0.1,
    "batch_size": 8, "seq_length": 28, "seq_step": 14,
}  # fmt: skip


class Choice(NamedTuple):
    """Settings for a time budget, and why."""

    settings: dict[str, Any]
    """Fields of `ModelSettings` and `TrainingSettings`."""
    reason: str


def choose(minutes: float, num_tokens: int, word_tokens: bool, gflops: float) -> Choice:
    """Choose size, dropout, batch and learning rate for `minutes` of training.

    The larger the time and the faster the machine, the larger the model; the more often the
    text is read in that time, the more dropout. Words that are read but a few times are learned
    by other settings than those that are read often.

    Args:
        minutes: wall time of the training.
        num_tokens: tokens of the training text.
        word_tokens: whether a token is a word.
        gflops: the speed of this machine, by `measure_gflops`.
    """
    relative = gflops / REFERENCE_GFLOPS

    def readings(size: Size) -> float:
        return 60 * minutes * relative * size.tokens_per_second / num_tokens

    if word_tokens:
        is_few = readings(WORDS) <= FEW_READINGS
        size, settings = (FEW_WORDS, FEW_WORD_SETTINGS) if is_few else (WORDS, WORD_SETTINGS)
        settings = {"embedding_size": size.rnn_size, **settings}
    else:
        size = [row for row in CHARACTER_SIZES if row.minutes <= minutes * relative][-1]
        times = readings(size)
        dropout = next((share for most, share in CHARACTER_DROPOUTS if times <= most), 0.5)
        settings = {"dropout": dropout, "batch_size": 32, "seq_length": 32, "seq_step": 16}
    sizes = {name: getattr(size, name) for name in ("rnn_size", "num_layers", "learning_rate")}
    speed = relative * size.tokens_per_second
    reason = (
        f"about {speed:,.0f} {'words' if word_tokens else 'characters'}/s here read the text"
        f" {readings(size):.1f} times in {console.counted(minutes, 'minute')}"
    )
    return Choice(sizes | settings, reason)


SIZES = frozenset(["embedding_size", "rnn_size", "num_layers"])
"""Settings that say how large a model is; where one is given, none is chosen."""


SECONDS_PER_TOKEN = 4e-6
"""What a token takes beside the products of matrices."""


def estimated_seconds(
    model: ModelSettings, vocabulary_size: int, tokens: int, gflops: float
) -> float:
    """How long `tokens` of training take, within a factor of two or so.

    A token is multiplied with every weight but the token vectors once forward and twice backward,
    with two operations each. On the reference machine that gives 14,500 characters/s for 512 x 2,
    measured 12,700, and 163,000 for 128 x 1, measured 204,000.
    """
    shapes = weight_shapes(model, vocabulary_size)
    weights = sum(math.prod(s) for name, s in shapes.items() if not name.startswith("embedding"))
    return tokens * (6e-9 * weights / gflops + SECONDS_PER_TOKEN)


@functools.cache
def measure_gflops(seconds: float = 1.5) -> float:
    """The speed of what recurrent training does most: a chain of small matrix products.

    The fastest of several chains, so that a moment of other work does not count.

    Returns:
        10^9 floating-point operations per second of (32, 512) x (512, 2048) products under XLA.
    """
    # Only here: the rest is for processes without TensorFlow too.
    from textgen.model.backend import compile_options, tf

    rows, size, products = 32, 512, 100

    @tf.function(**compile_options())  # type: ignore[untyped-decorator]
    def chain(h: tf.Tensor, u: tf.Tensor) -> tf.Tensor:
        return tf.while_loop(
            lambda i, h: i < products,
            lambda i, h: (i + 1, tf.tanh(h @ u)[:, :size]),
            (0, h),
        )[1]

    h, u = tf.ones((rows, size)), tf.ones((size, 4 * size)) / size
    chain(h, u).numpy()
    best, start = float("inf"), time.perf_counter()
    while time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        chain(h, u).numpy()
        best = min(best, time.perf_counter() - begin)
    return 2e-9 * rows * size * 4 * size * products / best


def memory_needed(model: ModelSettings, settings: TrainingSettings, vocabulary_size: int) -> int:
    """Bytes that training takes at its peak, roughly, in float32.

    Weights are held five times (with gradient, Adam's two moments, and the copy to be saved).
    Per token of a batch, a layer keeps about 16 numbers per unit (gates, states and their
    gradients), and the logits stand three times (with their softmax and gradient).
    """
    weights = sum(math.prod(shape) for shape in weight_shapes(model, vocabulary_size).values())
    per_token = 16 * model.num_layers * model.rnn_size + 3 * vocabulary_size
    return 4 * (5 * weights + settings.batch_size * settings.seq_length * per_token)


def check_memory(model: ModelSettings, settings: TrainingSettings, vocabulary_size: int) -> None:
    """Refuse a training that this machine has no memory for.

    Raises:
        TextgenError: with the estimate.
    """
    needed, present = memory_needed(model, settings, vocabulary_size), physical_memory()
    if needed > present:
        raise TextgenError(
            f"this model and batch need about {needed / 2**30:,.1f} GiB of memory, and the machine"
            f" has {present / 2**30:,.1f}. Lower `rnn_size`, `num_layers`, `batch_size`,"
            " `seq_length` or `max_vocab`"
        )


def physical_memory() -> float:
    """Bytes of memory in this machine; infinity where the system does not say (Windows)."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return float("inf")
