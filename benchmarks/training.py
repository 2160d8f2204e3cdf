"""Training speed: `train.py`'s step, stock Keras layers and PyTorch's nn.LSTM on this machine.

    python -m benchmarks.training
    python -m benchmarks.training --cells 128x2x32 512x3x50 --repeats 9

Each cell is rnn size x layers x batch size. Each of the three is a process of its own, so that none
has what another sets. They take turns, A B C A B C, so that a busy machine disturbs all alike; the
table shows medians of speed, and of ratios within a round with their spread. A turn trains for
about `--seconds`: textgen as `train.py` does, stock Keras through `model.fit`, PyTorch through the
usual training loop. All train the same model: embedding 64, LSTM layers with carried state, logits
over 65 tokens, cross-entropy, Adam, gradients clipped to global norm 1, float32. PyTorch takes part
where it is installed.

`--cost` measures instead how step time grows with batch and length, and `--memory` the peak memory
of each at 512 x 3.
"""

import argparse
import contextlib
import functools
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np

from benchmarks.machine import announce, spread

VOCABULARY_SIZE, EMBEDDING_SIZE, LENGTH = 65, 64, 50
GRID = ["128x2x32"] + [f"{size}x{layers}x50" for size in (128, 256, 512) for layers in (1, 2, 3)]
TITLES = {"ours": "textgen", "stock": "stock Keras", "torch": "PyTorch"}
KINDS = tuple(kind for kind in TITLES if kind != "torch" or find_spec("torch"))
STEPS_PER_CALL = 8
Train = Callable[[int], None]  # trains for so many steps


class Cell(NamedTuple):
    """One row of the table."""

    rnn_size: int
    num_layers: int
    batch_size: int
    length: int = LENGTH

    @classmethod
    def parse(cls, text: str) -> "Cell":
        """Reads `rnn size x layers x batch size`, with `x length` if not 50."""
        return cls(*map(int, text.split("x")))

    @property
    def title(self) -> str:
        return f"{self.rnn_size} x {self.num_layers} x {self.batch_size}"


def batches(cell: Cell, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns random inputs and targets, int32, (steps, B, T)."""
    shape = (steps, cell.batch_size, cell.length + 1)
    ids = np.random.default_rng(0).integers(0, VOCABULARY_SIZE, shape, dtype=np.int32)
    return np.ascontiguousarray(ids[..., :-1]), np.ascontiguousarray(ids[..., 1:])


def our_trainer(cell: Cell, parts: int | None = None) -> Train:
    """Returns a function that trains for so many steps as `train.py` does.

    Args:
        cell: what.
        parts: of a batch that are computed side by side; None for as many as a run would take.
    """
    from textgen.model.backend import tf
    from textgen.model.devices import computation
    from textgen.model.keras_model import build_model
    from textgen.settings.definitions import ModelSettings, TrainingSettings
    from textgen.training.sizing import choose_parts
    from textgen.training.step import TrainStep

    model = ModelSettings(
        embedding_size=EMBEDDING_SIZE, rnn_size=cell.rnn_size, num_layers=cell.num_layers
    )
    training = TrainingSettings(
        batch_size=cell.batch_size, seq_length=cell.length, optimizer="adam", weight_decay=0.0
    )
    network = build_model(model, VOCABULARY_SIZE, cell.batch_size, carries_state=False)
    parts = parts or choose_parts(model, training, computation(model))
    step = TrainStep(network, training, STEPS_PER_CALL, parts=parts)
    step.set_learning_rate(0.001)

    def train(steps: int) -> None:
        data = tf.data.Dataset.from_tensor_slices(batches(cell, steps)).prefetch(STEPS_PER_CALL)
        options = tf.data.Options()
        options.autotune.enabled = False
        stream = iter(data.with_options(options))
        for _ in range(0, steps, STEPS_PER_CALL):
            step(stream)

    return train


def stock_trainer(cell: Cell) -> Train:
    """Returns a function that trains stock Keras' layers for so many steps through `fit`."""
    import keras
    import tensorflow as tf

    model = keras.Sequential(
        [
            keras.Input(batch_shape=(cell.batch_size, cell.length), dtype="int32"),
            keras.layers.Embedding(VOCABULARY_SIZE, EMBEDDING_SIZE),
            *[
                keras.layers.LSTM(cell.rnn_size, return_sequences=True, stateful=True)
                for _ in range(cell.num_layers)
            ],
            keras.layers.Dense(VOCABULARY_SIZE),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(0.001, global_clipnorm=1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        steps_per_execution=STEPS_PER_CALL,
    )

    options = tf.data.Options()
    options.autotune.enabled = False  # its thread can hold up the end of `fit` for seconds

    def train(steps: int) -> None:
        data = tf.data.Dataset.from_tensor_slices(batches(cell, steps))
        model.fit(data.with_options(options), shuffle=False, verbose=0)

    return train


def torch_trainer(cell: Cell) -> Train:
    """Returns a function that trains for so many steps in a PyTorch loop."""
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    embedding = torch.nn.Embedding(VOCABULARY_SIZE, EMBEDDING_SIZE)
    lstm = torch.nn.LSTM(EMBEDDING_SIZE, cell.rnn_size, cell.num_layers, batch_first=True)
    dense = torch.nn.Linear(cell.rnn_size, VOCABULARY_SIZE)
    parameters = [*embedding.parameters(), *lstm.parameters(), *dense.parameters()]
    optimizer = torch.optim.Adam(parameters, 0.001)
    zeros = torch.zeros(cell.num_layers, cell.batch_size, cell.rnn_size)
    state = (zeros, zeros)

    def train(steps: int) -> None:
        nonlocal state
        data = (torch.from_numpy(ids.astype(np.int64)) for ids in batches(cell, steps))
        for inputs, targets in zip(*data, strict=True):
            outputs, (h, c) = lstm(embedding(inputs), state)
            state = (h.detach(), c.detach())
            logits = dense(outputs).flatten(0, 1)
            loss = torch.nn.functional.cross_entropy(logits, targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()

    return train


TRAINERS = {"ours": our_trainer, "stock": stock_trainer, "torch": torch_trainer}


def trainer(kind: str, cell: Cell) -> Train:
    return TRAINERS[kind](cell)


def timed(train: Train, steps: int) -> float:
    """Returns seconds per step."""
    start = time.perf_counter()
    train(steps)
    return (time.perf_counter() - start) / steps


def serve(jobs: list[tuple[str, Cell]], connection: Connection) -> None:
    """In a child process: trains, for each (job, steps) that comes, and sends seconds per step."""
    trained = [trainer(*job) for job in jobs]
    connection.send(None)
    while request := connection.recv():
        number, steps = request
        connection.send(timed(trained[number], steps))


@contextlib.contextmanager
def process_of(*jobs: tuple[str, Cell]) -> Iterator[list[Callable[[int], float]]]:
    """Starts a process with some jobs; gives for each what trains steps and returns seconds."""
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=serve, args=(list(jobs), theirs), daemon=True)
    process.start()

    def ask(number: int, steps: int) -> float:
        ours.send((number, steps))
        return float(ours.recv())

    try:
        ours.recv()
        yield [functools.partial(ask, number) for number in range(len(jobs))]
    finally:
        process.kill()
        process.join()


def step_times(
    jobs: dict[str, Callable[[int], float]], repeats: int, seconds: float
) -> dict[str, list[float]]:
    """Returns seconds per step of every job in every round, measured in turns after a warm-up."""
    steps = {}
    for name, train in jobs.items():
        train(STEPS_PER_CALL)
        second = train(STEPS_PER_CALL)
        steps[name] = STEPS_PER_CALL * max(1, round(seconds / second / STEPS_PER_CALL))
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(repeats):
        for name, train in jobs.items():
            times[name].append(train(steps[name]))
    return times


def compare(cells: list[Cell], repeats: int, seconds: float) -> None:
    """Prints tokens per second of each at every cell, and ours over the others with the means."""
    titles = [TITLES[kind] for kind in KINDS]
    print_row("rnn size x layers x batch", *titles, *(f"/ {title}" for title in titles[1:]))
    print_row(*["---"] * 2 * len(KINDS))
    means: list[list[float]] = []
    for cell in cells:
        with contextlib.ExitStack() as stack:
            jobs = {kind: stack.enter_context(process_of((kind, cell)))[0] for kind in KINDS}
            times = step_times(jobs, repeats, seconds)
        tokens = cell.batch_size * cell.length
        speeds = [f"{tokens / statistics.median(times[kind]):,.0f}" for kind in KINDS]
        ratios = [
            [other / ours for ours, other in zip(times["ours"], times[kind], strict=True)]
            for kind in KINDS[1:]
        ]
        means.append([statistics.median(ratio) for ratio in ratios])
        print_row(cell.title, *speeds, *(spread(ratio, ".2f") for ratio in ratios))
    for name, summary in (("geometric mean", statistics.geometric_mean), ("smallest", min)):
        found = [f"{summary(column):.2f}" for column in zip(*means, strict=True)]
        print_row(name, *[""] * len(KINDS), *found)


def print_row(*values: str) -> None:
    print("|", " | ".join(values), "|", flush=True)


def cost(cells: list[Cell], repeats: int, seconds: float) -> None:
    """Prints how our step time grows when the batch or the length doubles (linear: at most 2)."""
    print_row("rnn size x layers x batch", "step", "batch doubled", "length doubled")
    print_row(*["---"] * 4)
    for cell in cells:
        sizes = {
            "step": cell,
            "batch": cell._replace(batch_size=2 * cell.batch_size),
            "length": cell._replace(length=2 * cell.length),
        }
        with process_of(*(("ours", size) for size in sizes.values())) as trains:
            times = step_times(dict(zip(sizes, trains, strict=True)), repeats, seconds)
        medians = {name: statistics.median(each) for name, each in times.items()}
        ratios = (f"x {medians[name] / medians['step']:.2f}" for name in ("batch", "length"))
        print_row(cell.title, f"{medians['step'] * 1000:.1f} ms", *ratios)


def peak_memory(kind: str, cell: Cell) -> int:
    """Returns the peak memory in MB of a process that trains for 16 steps, libraries included."""
    code = (
        "import resource; from benchmarks.training import *; "
        f"trainer({kind!r}, Cell{tuple(cell)})(2 * STEPS_PER_CALL); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) // (1024 if sys.platform != "darwin" else 1024 * 1024)


def memory(cells: list[Cell]) -> None:
    """Prints the peak memory of each at every cell."""
    print_row("rnn size x layers x batch", *(TITLES[kind] for kind in KINDS))
    print_row(*["---"] * (1 + len(KINDS)))
    for cell in cells:
        print_row(cell.title, *(f"{peak_memory(kind, cell):,} MB" for kind in KINDS))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--cells", nargs="+", default=None, help="such as 128x2x32 256x1x50")
    parser.add_argument("--repeats", type=int, default=7, help="turns of each (default 7)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a turn (default 1)")
    parser.add_argument("--cost", action="store_true", help="growth with batch and length instead")
    parser.add_argument("--memory", action="store_true", help="peak memory instead")
    arguments = parser.parse_args()
    default = GRID if not (arguments.cost or arguments.memory) else ["128x2x32"]
    default = ["512x3x50"] if arguments.memory else default
    cells = [Cell.parse(text) for text in arguments.cells or default]
    announce(__doc__)
    if arguments.memory:
        memory(cells)
    elif arguments.cost:
        cost(cells, arguments.repeats, arguments.seconds)
    else:
        compare(cells, arguments.repeats, arguments.seconds)


if __name__ == "__main__":
    main()
