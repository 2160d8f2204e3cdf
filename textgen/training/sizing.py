"""Which model to train in so many minutes on this machine, and whether a model fits into it."""

from __future__ import annotations

import math
import os
import time
from typing import Any

from textgen.model.architecture import weight_shapes
from textgen.settings.definitions import ModelSettings, TrainingSettings
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.tokens.tokenizer import Tokenizer

REFERENCE_GFLOPS = 310.0
"""The speed that `measure_gflops` gave on the machine that the tables of sizes were measured on."""


def choose(
    minutes: float, num_tokens: int, tokenizer: Tokenizer, gflops: float
) -> tuple[dict[str, Any], str]:
    """Chooses size, dropout, batch and learning rate for `minutes` of training.

    Args:
        minutes: wall time of the training.
        num_tokens: tokens of the training text.
        tokenizer: knows what suits its tokens.
        gflops: the speed of this machine, by `measure_gflops`.

    Returns:
        Fields of `ModelSettings` and `TrainingSettings`, and the reason.
    """
    settings, speed = tokenizer.choose_size(minutes, num_tokens, gflops / REFERENCE_GFLOPS)
    reason = (
        f"about {speed:,.0f} {tokenizer.unit}s/s here read the text"
        f" {60 * minutes * speed / num_tokens:.1f} times in {console.counted(minutes, 'minute')}"
    )
    return settings, reason


SIZES = frozenset(["embedding_size", "rnn_size", "num_layers"])
"""Settings that say how large a model is; where one is given, none is chosen."""


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


def weights_per_layer(model: ModelSettings, vocabulary_size: int) -> dict[str, int]:
    """Returns how many weights each layer learns, by Keras' name."""
    counts: dict[str, int] = {}
    for path, shape in weight_shapes(model, vocabulary_size).items():
        name = path.split("/")[0]
        is_fixed = name == "embedding" and not model.embedding_size
        is_shared = path == "logits/kernel" and model.is_tied
        count = 0 if is_fixed or is_shared else math.prod(shape)
        counts[name] = counts.get(name, 0) + count
    return counts


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
