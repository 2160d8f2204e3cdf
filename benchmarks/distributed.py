"""Training by several processes: what is measured on this machine, and what follows for others.

    python -m benchmarks.distributed

For each model (units x layers x batch) it measures the time of a step in one process that has all
the processor's threads, and in two worker processes on loopback that share them, in turns. With
each step the workers sum one number per weight; the bytes are counted. Then it extrapolates by a
simple model of a ring all-reduce between K machines like this one (Patarasu & Yuan 2009):

    seconds per step = compute / K + 2 (K - 1) / K x bytes / bandwidth + 2 (K - 1) x latency

`compute` is the step of one process; the batch is that of all workers together.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from typing import Any, NamedTuple

from benchmarks.machine import announce

VOCABULARY_SIZE, EMBEDDING_SIZE, LENGTH, STEPS_AT_ONCE = 65, 64, 50, 5
MODELS = ("128x2x32", "256x2x32", "512x2x64")
WORKERS = (1, 2, 4, 8, 16, 32, 64)
NETWORKS = {"1 Gbit/s": (0.125e9, 100e-6), "25 Gbit/s": (3.125e9, 20e-6)}
"""Bytes per second, and seconds that a message takes to the next machine: usual ones."""


class Figures(NamedTuple):
    """What one worker measured."""

    seconds: float
    """Per step."""
    num_bytes: int
    """Summed per step."""


def measure(cell: str, workers: list[str], index: int, seconds: float) -> Figures:
    """Train in this process, one of `workers`, or alone, and return the median of the calls."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import numpy as np

    from textgen.model.backend import tf

    threads = max(1, (os.cpu_count() or 1) // len(workers))
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)

    from textgen.model.keras_model import build_model
    from textgen.settings.definitions import ModelSettings, TrainingSettings
    from textgen.training.step import TrainStep
    from textgen.training.workers import Layout, SingleProcess, Workers, wait_for_peers

    together = SingleProcess()
    if len(workers) > 1:
        wait_for_peers(layout := Layout(tuple(workers), index))
        together = Workers(layout)
    size, layers, batch = map(int, cell.split("x"))
    settings = ModelSettings(embedding_size=EMBEDDING_SIZE, rnn_size=size, num_layers=layers)
    shape = (batch // together.count, LENGTH)
    model = build_model(settings, VOCABULARY_SIZE, batch, 1, carries_state=False)
    step = TrainStep(model, TrainingSettings(batch_size=batch), STEPS_AT_ONCE, together)
    ids = np.random.default_rng(index).integers(0, VOCABULARY_SIZE, shape, dtype=np.int32)
    data = iter(tf.data.Dataset.from_tensors((ids, ids)).repeat())
    times = []
    step(data)
    for _ in range(calls(step, data, together, seconds)):
        start = time.perf_counter()
        step(data)
        times.append((time.perf_counter() - start) / STEPS_AT_ONCE)
    num_bytes = 4 * (1 + sum(int(np.prod(w.shape)) for w in model.trainable_variables))
    return Figures(statistics.median(times), num_bytes)


def calls(step: Any, data: Any, together: Any, seconds: float) -> int:
    """How many calls take about so many seconds, by the chief's watch."""
    start = time.perf_counter()
    step(data)
    taken = float(together.seconds(time.perf_counter() - start))
    return max(3, round(seconds / taken))


def run(cell: str, count: int, seconds: float) -> Figures:
    """Measure with so many worker processes on this machine."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    workers = [f"127.0.0.1:{server.getsockname()[1]}" for server in sockets]
    for server in sockets:
        server.close()
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.distributed", "--models", cell, "--seconds",
             str(seconds), "--workers", ",".join(workers), "--worker-index", str(index)],
            stdout=subprocess.PIPE, text=True,
        )
        for index in range(count)
    ]  # fmt: skip
    shown = [process.communicate()[0] for process in processes]
    return Figures(*json.loads(shown[0].splitlines()[-1]))


def predicted(
    compute: float, num_bytes: int, count: int, bandwidth: float, latency: float
) -> float:
    """Seconds per step with `count` machines; see the module's head."""
    sent = 2 * (count - 1) / count * num_bytes / bandwidth
    return compute / count + sent + 2 * (count - 1) * latency


def report(cells: list[str], repeats: int, seconds: float) -> None:
    """Print both tables."""
    print("| model | steps/s, 1 process | steps/s, 2 workers | ratio | MB summed per step |")
    print("|---|---|---|---|---|")
    found = {}
    for cell in cells:
        turns = [(run(cell, 1, seconds), run(cell, 2, seconds)) for _ in range(repeats)]
        one, two = zip(*turns, strict=True)
        alone, shared = (statistics.median(f.seconds for f in figures) for figures in (one, two))
        found[cell] = alone, two[0].num_bytes
        print(
            f"| {cell} | {1 / alone:.2f} | {1 / shared:.2f} | {alone / shared:.2f}"
            f" | {two[0].num_bytes / 1e6:.2f} |", flush=True,
        )  # fmt: skip
    print(f"\n| times as fast as one machine, K = | {' | '.join(map(str, WORKERS[1:]))} |")
    print("|---|" + "---|" * len(WORKERS[1:]))
    for cell, (compute, num_bytes) in found.items():
        for name, network in NETWORKS.items():
            gains = [compute / predicted(compute, num_bytes, k, *network) for k in WORKERS[1:]]
            print(f"| {cell}, {name} | {' | '.join(f'{gain:.1f}' for gain in gains)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--models", nargs="+", default=MODELS, help="such as 128x2x32")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each (default 3)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a turn (default 5)")
    parser.add_argument("--workers", help=argparse.SUPPRESS)
    parser.add_argument("--worker-index", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.workers:
        workers = options.workers.split(",")
        figures = measure(options.models[0], workers, options.worker_index, options.seconds)
        print(json.dumps(figures))
    else:
        announce(__doc__)
        report(options.models, options.repeats, options.seconds)


if __name__ == "__main__":
    main()
