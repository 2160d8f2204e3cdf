"""How fast text is written, against the ways it is usually done; prints the tables.

    python -m benchmarks.generation [speed] [linear] [start]

Ways that are compared take turns, round by round, because machines are shared and noisy: trust the
ratios. PyTorch is compared with where it is installed; it is no requirement.
"""

import json
import os
import statistics
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import textgen
from benchmarks.machine import announce
from tests.conftest import ROOT
from textgen.model import checkpoint
from textgen.settings.definitions import (
    ModelSettings,
    SamplingSettings,
    TokenizerSettings,
    TrainingSettings,
)
from textgen.tokens import build_tokenizer
from textgen.tokens.tokenizer import Tokenizer

ROUNDS = 5
CHARACTERS = string.ascii_letters + string.punctuation[:12] + " \n"
"""With the unknown one, a vocabulary of 67."""


def main() -> None:
    announce(__doc__)
    parts = {"speed": speed, "linear": linear, "start": start}
    for name in sys.argv[1:] or parts:
        parts[name]()


def take_turns(ways: dict[str, Callable[[], int]], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Tokens per second of each way (a function that returns its number of tokens), per round."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()  # compiles, and warms caches
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            tokens = way()
            rates[name].append(tokens / (time.perf_counter() - start))
    return rates


def speed() -> None:
    """Tokens per second, one stream and 64, for the default model and one of 512 units."""
    for rnn_size in (128, 512):
        settings = ModelSettings(rnn_size=rnn_size)
        print(f"\n{rnn_size} x 2, tokens per second: median of {ROUNDS} rounds (lowest to highest)")
        rates = take_turns(ours(settings) | keras_ways(settings) | torch_ways(settings))
        predict = statistics.median(rates["model.predict, 1 stream"])
        for name, each in rates.items():
            median = statistics.median(each)
            print(
                f"  {name:<28}{median:>12,.0f}  ({min(each):,.0f} to {max(each):,.0f})"
                f"{median / predict:>10,.0f} x predict"
            )
        ratios = [
            ours / theirs
            for ours, theirs in zip(
                rates["ours, 1 stream"], rates.get("PyTorch steps, 1 stream", []), strict=False
            )
        ]
        if ratios:
            ratio = statistics.median(ratios)
            print(f"  one stream against PyTorch's, in the same round: {ratio:.1f} x")


def ours(settings: ModelSettings) -> dict[str, Callable[[], int]]:
    model = saved_model(settings)
    length = 4000 if settings.rnn_size == 128 else 320

    def one() -> int:
        return len(model.generate("The ", length, random_seed=1))

    def many(count: int, length: int) -> int:
        settings = SamplingSettings(length=length, random_seed=1)
        return sum(sample.tokens for sample in model.samples(count, "The ", settings))

    return {
        "ours, 1 stream": one,
        "ours, 64 streams": lambda: many(64, length // 8),
        "ours, 1000 streams": lambda: many(1000, length // 40),
    }


def keras_ways(settings: ModelSettings) -> dict[str, Callable[[], int]]:
    """What a Keras user does: predict, or a compiled function, per token."""
    import tensorflow as tf

    from textgen.model.keras_model import build_model

    model = build_model(settings, len(CHARACTERS) + 1, batch_size=1)
    rng = np.random.default_rng(1)
    step = tf.function(lambda ids: tf.nn.softmax(model(ids)[0, 0]))

    def drawn(probabilities: np.ndarray) -> int:
        return int(rng.choice(len(probabilities), p=probabilities / probabilities.sum()))

    def predict() -> int:
        token = 1
        for _ in range(10):
            logits = model.predict(np.array([[token]]), verbose=0)[0, 0].astype(np.float64)
            token = drawn(np.exp(logits - logits.max()))
        return 10

    def compiled() -> int:
        token = 1
        for _ in range(300):
            token = drawn(step(tf.constant([[token]])).numpy().astype(np.float64))
        return 300

    return {"model.predict, 1 stream": predict, "tf.function step, 1 stream": compiled}


def torch_ways(settings: ModelSettings) -> dict[str, Callable[[], int]]:
    try:
        import torch
    except ImportError:
        print("  (PyTorch is not installed)")
        return {}
    embedding = torch.nn.Embedding(len(CHARACTERS) + 1, settings.embedding_size)
    lstm = torch.nn.LSTM(settings.embedding_size, settings.rnn_size, settings.num_layers)
    output = torch.nn.Linear(settings.rnn_size, len(CHARACTERS) + 1)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def steps(streams: int, length: int, threads: int) -> int:
        torch.set_num_threads(threads)  # one is faster for one stream
        ids, state = torch.ones((1, streams), dtype=torch.long), None
        for _ in range(length):
            hidden, state = lstm(embedding(ids), state)
            ids = torch.multinomial(torch.softmax(output(hidden[0]), -1), 1).T
        return streams * length

    return {
        "PyTorch steps, 1 stream": lambda: steps(1, 600, 1),
        "PyTorch steps, 64 streams": lambda: steps(64, 200, os.cpu_count() or 1),
    }


def linear() -> None:
    """Cost against length, and a long seed read at once against token by token."""
    model = saved_model(ModelSettings())

    def seconds(length: int, seed: str = "The ") -> float:
        begin = time.perf_counter()
        model.generate(seed, length, random_seed=1)
        return time.perf_counter() - begin

    rounds = [(seconds(10_000), seconds(100_000)) for _ in range(3)]
    short, long = (statistics.median(times) for times in zip(*rounds, strict=True))
    print(f"\n10,000 tokens {short:.3f} s, 100,000 tokens {long:.3f} s: {long / short:.2f} x")
    seed = "The old man and the sea " * 400
    turns = [(seconds(1, seed), seconds(len(seed)), seconds(2000)) for _ in range(3)]
    read, stepped, after_short = (statistics.median(times) for times in zip(*turns, strict=True))
    after_long = statistics.median(seconds(2000, seed) for _ in range(3)) - read
    print(f"a seed of {len(seed):,} tokens: read in {read:.3f} s, written in {stepped:.3f} s")
    print(f"2,000 tokens after a short seed {after_short:.3f} s, after that one {after_long:.3f} s")


def start() -> None:
    """sample.py from start to exit: seconds and memory."""
    print(f"\nsample.py, start to exit: median of {ROUNDS} (lowest to highest), highest memory")
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder), ModelSettings(), characters())
        run_script(folder, "1000 characters", "--length", "1000")
        begin = time.perf_counter()
        textgen.load(folder)
        print(f"  textgen.load in a running process: {time.perf_counter() - begin:.3f} s")
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder), ModelSettings(), words(50_000))
        run_script(folder, "200 of 50,000 words", "--length", "200")
        run_script(folder, "the same, top-p 0.9", "--length", "200", "--top-p", "0.9")
        run_script(folder, "the same, top-k 50", "--length", "200", "--top-k", "50")


MEASURE = """
import json, resource, subprocess, sys, time
begin = time.perf_counter()
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
seconds = time.perf_counter() - begin
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024]))
"""
"""A process of its own, because a child's peak memory starts with that of its parent."""


def run_script(folder: str, name: str, *flags: str) -> None:
    command = [sys.executable, "sample.py", "--data-dir", folder, "--random-seed", "1", *flags]
    results = []
    for _ in range(ROUNDS):
        output = subprocess.check_output([sys.executable, "-c", MEASURE, *command], cwd=ROOT)
        results.append(json.loads(output))
    seconds, memory = zip(*results, strict=True)
    spread = f"({min(seconds):.3f} to {max(seconds):.3f})"
    print(f"  {name:<22}{statistics.median(seconds):.3f} s {spread}  {max(memory):.0f} MB")


def characters() -> Tokenizer:
    return build_tokenizer(CHARACTERS, TokenizerSettings(pristine_input=True))


def words(number: int) -> Tokenizer:
    rng = np.random.default_rng(1)
    letters = list(string.ascii_lowercase)
    text = " ".join({"".join(rng.choice(letters, 8)) for _ in range(number)})
    return build_tokenizer(text, TokenizerSettings("word"))


def saved_model(settings: ModelSettings) -> textgen.Generator:
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder), settings, characters())
        return textgen.load(folder)


def save(folder: Path, settings: ModelSettings, tokenizer: Tokenizer) -> None:
    """A model as it is before training, in `folder`."""
    from textgen.model.keras_model import build_model

    model = build_model(settings, len(tokenizer.vocabulary), batch_size=1, random_seed=1)
    metadata = checkpoint.Metadata(settings, tokenizer, TrainingSettings(), {}, ["The "])
    checkpoint.save(folder, metadata, model.save)


if __name__ == "__main__":
    main()
