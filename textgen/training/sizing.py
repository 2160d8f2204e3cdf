"""Which model to train in so many minutes on this machine, and whether a model fits into it."""

from __future__ import annotations

import functools
import math
import os
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from textgen.model import devices
from textgen.model.architecture import weight_shapes
from textgen.settings.definitions import AUTO_TOKENS, EPOCHS, ModelSettings, TrainingSettings
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.parallel import cores
from textgen.tokens import TOKENIZERS, subwords
from textgen.tokens.tokenizer import Tokenizer
from textgen.training.batches import MOST_AT_ONCE, tokens_needed, walk


class Chosen(NamedTuple):
    """What is trained in a time, and why."""

    settings: dict[str, Any]
    """Fields of `ModelSettings` and `TrainingSettings`."""
    speed: float
    """Of this machine, as a multiple of the one that the tables of sizes were measured on."""
    tokens_per_second: float
    """Of the training, as measured."""
    reason: str


def choose(
    minutes: float,
    num_tokens: int,
    tokenizer: Tokenizer,
    measure: Callable[[dict[str, Any]], float],
) -> Chosen:
    """Chooses size, dropout, batch and learning rate for `minutes` of training.

    What would be chosen on the machine that the tables of sizes were measured on is trained here
    for a moment; if that is so much faster or slower that another size would be chosen, so is that.

    Args:
        minutes: wall time of the training.
        num_tokens: tokens of the training text.
        tokenizer: knows what suits its tokens.
        measure: returns the tokens per second of a training with such settings.

    """
    speed, measured = 1.0, dict[tuple[int, int], float]()
    while True:
        settings, expected = tokenizer.choose_size(minutes, num_tokens, speed)
        size = settings["rnn_size"], settings["num_layers"]
        if size in measured:
            break
        measured[size] = measure(settings)
        speed *= measured[size] / expected
    reason = (
        f"about {measured[size]:,.0f} {tokenizer.unit}s/s here read the text"
        f" {60 * minutes * measured[size] / num_tokens:.1f} times in"
        f" {console.counted(minutes, 'minute')}"
    )
    return Chosen(settings, speed, measured[size], reason)


OFTEN_READ = 8
"""Readings of a text from which on a model that goes on from another one is to change slowly."""
SLOW = 0.2
"""The share of the learning rate of a new model that it then has."""
MOST_DROPOUT = 0.5
"""What it then drops."""


def choose_further(
    minutes: float, num_tokens: int, tokenizer: Tokenizer, tokens_per_second: float
) -> dict[str, Any]:
    """Chooses learning rate and dropout for a model that is trained further, on another text.

    A short text is soon known by heart: with a small rate and much dropout, less is lost of what
    the model knows. docs/benchmarks.md has the measurements.

    Args:
        minutes: wall time of the training.
        num_tokens: tokens of the text.
        tokenizer: of the model.
        tokens_per_second: of its training here.
    """
    usual = tokenizer.choose_size(minutes, num_tokens, 1.0).settings
    rate, dropout = usual["learning_rate"], usual["dropout"]
    if 60 * minutes * tokens_per_second > OFTEN_READ * num_tokens:
        rate, dropout = float(f"{SLOW * rate:.2g}"), MOST_DROPOUT
    return {"learning_rate": rate, "dropout": dropout}


def compared(
    characters: int, minutes: float, speed: float, bytes_per_character: float = 1.0
) -> str:
    """Tells how often each kind of token lets a text be read, and which one suits it best.

    Args:
        characters: of the training text.
        minutes: wall time of the training.
        speed: of this machine, as a multiple of the one that the tables were measured on.
        bytes_per_character: of the text in UTF-8.
    """
    readings = []
    for kind in TOKENIZERS.values():
        tokens = max(1, round(characters / kind.usual_length))
        choice = kind.choose_size(minutes, tokens, speed)
        times = 60 * minutes * choice.tokens_per_second / tokens
        readings.append(f"as {kind.unit}s {times:.1f}")
    best, _ = choose_tokens(characters, minutes, bytes_per_character)
    return (
        f"in {console.counted(minutes, 'minute')} this text is read about so many times:"
        f" {', '.join(readings)}; `tokens={AUTO_TOKENS}` takes {TOKENIZERS[best].unit}s"
    )


CHARACTERS_PER_SECOND = 35_000
"""That a model of characters reads in training, about, where tokens are chosen by the time."""
FEW_READINGS = 4.5
"""Of a text by characters, up to which subwords learn no less from it: see docs/tokens.md."""
MANY_BYTES = 2.5
"""Of a character in UTF-8, on average: in Chinese and Japanese a character is a word, or nearly."""
LEAST_CHARACTERS = 300_000
"""Of a text whose subwords are worth learning."""


def bytes_per_character(sample: str) -> float:
    """Returns how many bytes of UTF-8 a character of some text has on average; 1 of no text."""
    return len(sample.encode("utf-8", "surrogatepass")) / len(sample) if sample else 1.0


def choose_tokens(
    characters: float, minutes: float | None, bytes_per_character: float = 1.0
) -> tuple[str, str]:
    """Chooses what a token is: the name of a tokenizer.

    Args:
        characters: of the text.
        minutes: wall time of the training; None: so many epochs that the text is read often.
        bytes_per_character: of the text in UTF-8.

    Returns:
        The name, and the reason.
    """
    size = f"{characters:,.0f} characters"
    if characters < LEAST_CHARACTERS:
        return "character", f"the text is short, with about {size}"
    if bytes_per_character > MANY_BYTES:
        return "character", "each character of its script says much"
    if minutes is None:
        return "character", f"without minutes the text, about {size}, is taken to be read often"
    readings = 60 * minutes * CHARACTERS_PER_SECOND / characters
    if readings > FEW_READINGS:
        return "character", f"they read the text, about {size}, {readings:.1f} times"
    if not subwords.is_installed():
        return "character", f"subwords, which suit {size} better, need {subwords.INSTALL}"
    return "subword", (
        f"characters would read the text, about {size}, only {readings:.1f} times in"
        f" {console.counted(minutes, 'minute')}"
    )


WARM_UP = 2
"""Calls that do not count when speed is measured; the first one compiles."""


def measure_speed(
    model: ModelSettings,
    settings: TrainingSettings,
    vocabulary_size: int,
    on_gpu: bool,
    documents: bool = False,
    seconds: float = 2.0,
) -> float:
    """Returns the tokens per second of training steps, made for so many seconds.

    That is by the median of the calls, of which the first ones only warm up: other work on the
    machine comes and goes, and a second of it would count for the whole run.
    """
    # Only here: the rest is for processes without TensorFlow too.
    from textgen.model.backend import on_device, tf
    from textgen.training import programs

    rows, length = settings.batch_size, settings.seq_length
    how = devices.computation(model, on_gpu)
    parts = choose_parts(model, settings, how)
    with on_device(on_gpu):
        made = programs.take(
            model, settings, vocabulary_size, how, on_gpu, parts, documents=documents
        )
        made.step.set_learning_rate(settings.learning_rate)
        ids = np.random.default_rng(0).integers(0, vocabulary_size, (rows, length), np.int32)
        batches = iter(tf.data.Dataset.from_tensors((ids, ids)).repeat())
        for _ in range(WARM_UP):
            made.step(batches, MOST_AT_ONCE)
        times, end = list[float](), time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            start = time.perf_counter()
            made.step(batches, MOST_AT_ONCE)
            times.append(time.perf_counter() - start)
    programs.give_back(made)
    return MOST_AT_ONCE * rows * length / statistics.median(times)


def fitting_batch(settings: TrainingSettings, num_tokens: int) -> dict[str, int]:
    """Returns fields of a batch that a text of so many tokens fills: as set, or smaller.

    Rows are fewer first, as they are computed side by side; then they are shorter.
    """
    rows, length, step = settings.batch_size, settings.seq_length, settings.seq_step
    while rows > 1 and tokens_needed(rows, length, step) > num_tokens:
        rows //= 2
    while length > 1 and tokens_needed(rows, length, step) > num_tokens:
        length //= 2
        step = min(step, length)
    return {"batch_size": rows, "seq_length": length, "seq_step": step}


def longer_epochs(
    settings: TrainingSettings, num_tokens: int, tokens_per_second: float
) -> dict[str, int]:
    """Returns the steps of an epoch of a run in minutes, where one walk over the text is too short.

    With several walks to an epoch there are no more than `EPOCHS` epochs, each of which is
    validated, saved and told.
    """
    if settings.steps_per_epoch or settings.num_epochs or not settings.minutes:
        return {}
    rows, length = settings.batch_size, settings.seq_length
    if num_tokens < tokens_needed(rows, length, settings.seq_step):
        return {}  # of a batch that was given: the run refuses it
    passes, count = walk(num_tokens, rows, length, settings.seq_step)
    steps = 60 * settings.minutes * tokens_per_second / (rows * length)
    walks = math.ceil(steps / EPOCHS / (passes * count))
    return {"steps_per_epoch": walks * passes * count} if walks > 1 else {}


SIZES = frozenset(["embedding_size", "rnn_size", "num_layers"])
"""Settings that say how large a model is; where one is given, none is chosen."""


SECONDS_PER_TOKEN = 4e-6
"""The time that a token takes beside the products of matrices."""
GPU_SECONDS_PER_STEP, GPU_SECONDS_PER_LAYER = 1e-3, 60e-6
"""What a training step takes on a GPU, and what each layer adds to it per token of a row: kernels
so small do not fill the card, and the time is that of starting them. Measured on an NVIDIA H200."""
GPU_GFLOPS = 3e5
"""The speed of its large products, which counts for large models only."""


def estimated_seconds(
    model: ModelSettings, vocabulary_size: int, tokens: int, gflops: float
) -> float:
    """How long `tokens` of training take, within a factor of two or so.

    A token is multiplied with every weight but the token vectors once forward and twice backward,
    with two operations each. On the reference machine that gives 14,500 characters/s for 512 x 2,
    measured 12,700, and 163,000 for 128 x 1, measured 204,000.
    """
    return tokens * (1e-9 * _operations(model, vocabulary_size) / gflops + SECONDS_PER_TOKEN)


def estimated_gpu_seconds(
    model: ModelSettings, settings: TrainingSettings, vocabulary_size: int
) -> float:
    """Returns how long a training step takes on a GPU, within a quarter of what an H200 took.

    Measured there: 128 x 2 with batches of 32 x 50 6.1 ms, 512 x 1 (32 x 32) 3.1 ms, 512 x 2
    (64 x 100) 12.4 ms, 1024 x 2 (128 x 128) 19.9 ms.
    """
    kernels = settings.seq_length * model.num_layers * GPU_SECONDS_PER_LAYER
    tokens = settings.batch_size * settings.seq_length
    products = 1e-9 * tokens * _operations(model, vocabulary_size) / GPU_GFLOPS
    return GPU_SECONDS_PER_STEP + kernels + products


def _operations(model: ModelSettings, vocabulary_size: int) -> int:
    """Returns the floating-point operations that training makes per token."""
    shapes = weight_shapes(model, vocabulary_size)
    return 6 * sum(math.prod(s) for name, s in shapes.items() if not name.startswith("embedding"))


def choose_device(model: ModelSettings, settings: TrainingSettings, vocabulary_size: int) -> bool:
    """Returns whether a GPU computes a training, and says which device does where there is one.

    Raises:
        TextgenError: if a GPU is asked for and there is none.
    """
    from textgen.model.backend import gpu_names

    def seconds() -> tuple[float, float]:
        tokens = settings.batch_size * settings.seq_length
        processor = estimated_seconds(model, vocabulary_size, tokens, measure_gflops())
        return processor, estimated_gpu_seconds(model, settings, vocabulary_size)

    choice = devices.choose(settings.device, gpu_names(), seconds, devices.has_driver())
    if choice.reason:
        console.say(choice.reason)
    return choice.on_gpu


SMALLEST_PART = 1e6
"""Floating-point operations of a part's product with the recurrent weights below which starting a
program costs more than it saves."""
STEPS_OF_PART = 16
"""Time steps of what is measured."""
SECONDS_IN_TURNS = 0.5
"""How long whole batches and parts are measured, all together."""
LEAST_GAIN = 1.1
"""How much faster the whole has to be than parts. In whole steps it never was, on the machines seen
so far, but other work on the machine can make it look so."""


def choose_parts(model: ModelSettings, settings: TrainingSettings, how: devices.Computation) -> int:
    """Returns in how many parts the rows of a batch are computed side by side.

    They are the `batch_parts` that are set, else as many as the processor's cores compute fastest.
    What counts is the gradient of a recurrent layer of the model: XLA computes much of it on one
    core, and TensorFlow runs those of parts side by side. Tried are 1, 2 and as many as there are
    cores, in turns.
    """
    if not how.in_parts:
        return 1
    return settings.batch_parts or _best_parts(model.cell, settings.batch_size, model.rnn_size)


@functools.cache
def _best_parts(cell: str, rows: int, size: int) -> int:
    # Only here: the rest is for processes without TensorFlow too.
    from textgen.model.backend import tf

    threads = tf.config.threading.get_inter_op_parallelism_threads() or cores()
    counts = [
        count
        for count in sorted({2, threads})
        if count <= min(rows, threads) and 8 * rows / count * size**2 >= SMALLEST_PART
    ]
    if not counts:
        return 1
    gradient = layer_gradient(cell, size)

    def in_parts(count: int) -> Callable[[], tf.Tensor]:
        parts = [tf.ones((len(p), STEPS_OF_PART, size)) for p in np.array_split(range(rows), count)]
        return tf.function(lambda: [gradient(part) for part in parts])  # type: ignore[no-any-return]

    jobs = {count: in_parts(count) for count in [1, *counts]}
    times: dict[int, list[float]] = {count: [] for count in jobs}
    for job in jobs.values():
        job()  # compiles
    end = time.perf_counter() + SECONDS_IN_TURNS
    while time.perf_counter() < end or len(times[1]) < 5:
        for count, job in jobs.items():
            start = time.perf_counter()
            job()
            times[count].append(time.perf_counter() - start)
    taken = {count: min(seconds) for count, seconds in times.items()}  # what noise hardly touches
    return min(taken, key=lambda count: taken[count] * (LEAST_GAIN if count == 1 else 1))


def layer_gradient(cell: str, size: int) -> Any:
    """Returns a function that computes the gradient of a recurrent layer as training does.

    It maps inputs (B, T, H) to the gradients of the sum of all outputs by the layer's weights.
    """
    # Only here: the rest is for processes without TensorFlow too.
    from textgen.model.backend import tf
    from textgen.model.recurrent import LAYERS

    layer = LAYERS[cell].trained(size, return_sequences=True)
    layer.build((None, None, size))

    @tf.function(jit_compile=devices.computation().compiles_model)  # type: ignore[untyped-decorator]
    def gradient(x: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(layer(x))
        found: list[tf.Tensor] = tape.gradient(total, [w.value for w in layer.trainable_weights])
        return found

    return gradient


def measure_gflops(seconds: float = 1.5) -> float:
    """The processor's speed in what recurrent training does most: a chain of small matrix products.

    The fastest of several chains, so that a moment of other work does not count.

    Args:
        seconds: how long to measure.

    Returns:
        10^9 floating-point operations per second of (32, 512) x (512, 2048) products under XLA.
    """
    # Only here: the rest is for processes without TensorFlow too.
    from textgen.model.backend import on_device, tf

    rows, size, products = 32, 512, 100

    @tf.function(jit_compile=devices.computation().compiles_model)  # type: ignore[untyped-decorator]
    def chain(h: tf.Tensor, u: tf.Tensor) -> tf.Tensor:
        return tf.while_loop(
            lambda i, h: i < products, lambda i, h: (i + 1, tf.tanh(h @ u)[:, :size]), (0, h)
        )[1]

    with on_device(False):
        h, u = tf.ones((rows, size)), tf.ones((size, 4 * size)) / size
        chain(h, u).numpy()
        best, start = float("inf"), time.perf_counter()
        while time.perf_counter() - start < seconds:
            begin = time.perf_counter()
            chain(h, u).numpy()
            best = min(best, time.perf_counter() - begin)
    return 2e-9 * rows * size * 4 * size * products / best


MEMORY_SETTINGS = (
    "`rnn_size`, `num_layers`, `batch_size`, `seq_length` or `max_vocab` (of subwords `vocab_size`)"
)
"""Settings that take less memory when they are lower."""


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
            f" has {present / 2**30:,.1f}. Lower {MEMORY_SETTINGS}"
        )


def physical_memory() -> float:
    """Bytes of memory in this machine; infinity where the system does not say (Windows)."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return float("inf")
