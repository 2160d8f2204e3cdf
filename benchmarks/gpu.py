"""All that is to be seen on a GPU, in one run of about ten minutes.

    python -m benchmarks.gpu FILE [--parts works speed learning resume] [--device cpu]

FILE is a text of a megabyte or so, such as tinyshakespeare. The parts, in this order:

- `works`: every cell and option trains an epoch on the GPU and on the processor; the losses after
  equal steps differ by at most 0.02 nats.
- `speed`: tokens per second of a training step at four sizes, with each of the candidates of
  `textgen.model.devices` and in bfloat16, beside PyTorch's cuDNN LSTM (fused AdamW, gradients
  clipped) where PyTorch is installed. XLA's flags need a process of their own.
- `learning`: `train.py --minutes` on the first 90 %: the loss on the last 10 %, and where the best
  epoch is.
- `resume`: a run goes from the GPU to the processor and back; `--deterministic` makes the same
  weights twice, also where it was resumed in between.

With `--device cpu` the script runs as a whole without a GPU, small, to see that it runs.
"""

import argparse
import csv
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

PARTS = ("works", "speed", "learning", "resume")
VOCABULARY_SIZE, EMBEDDING_SIZE = 66, 64
RUNS = {
    "lstm": [],
    "gru": ["--cell", "gru"],
    "rnn": ["--cell", "rnn"],
    "recurrent dropout": ["--recurrent-dropout", "0.1"],
    "tied": ["--tie-weights", "--embedding-size", "128"],
    "residual": ["--residual"],
    "layer norm": ["--layer-norm"],
    "one-hot": ["--embedding-size", "0"],
}
"""Flags of the part `works`."""
WAYS = {
    "as it is": "",
    "cudnn": "cudnn",
    "more-steps": "more-steps",
    "more-steps, device-batches": "more-steps,device-batches",
    "command-buffers": "command-buffers",
    "command-buffers, more-steps": "command-buffers,more-steps",
}
"""Values of `TEXTGEN_GPU` that are compared; bfloat16 comes besides, with the first."""


class Size(NamedTuple):
    """A row of the table of speeds."""

    rnn_size: int
    num_layers: int
    batch_size: int
    length: int

    @property
    def title(self) -> str:
        return f"{self.rnn_size} x {self.num_layers}, {self.batch_size} x {self.length}"


SIZES = [Size(128, 2, 32, 50), Size(512, 1, 32, 32), Size(512, 2, 64, 100), Size(1024, 2, 128, 128)]
SMALL = [Size(16, 2, 4, 10)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--minutes", type=float, default=70 / 60, help="of the part `learning`")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each speed that is measured")
    parser.add_argument("--way", help="measure this value of TEXTGEN_GPU and no more")
    parser.add_argument("--dtype", default="float32")
    arguments = parser.parse_args()
    sizes = SIZES if arguments.device == "gpu" else SMALL
    if arguments.way is not None:
        for size in sizes:
            print(speed(size, arguments.device == "gpu", arguments.dtype, arguments.seconds))
        return
    text = arguments.file.read_text(encoding="utf-8")
    begun = time.perf_counter()
    for part in arguments.parts:
        print(f"\n== {part}", flush=True)
        if part == "speed":
            compare(arguments, sizes)
        elif part == "works":
            works(text, arguments.device)
        elif part == "learning":
            learning(text, arguments.device, arguments.minutes)
        else:
            resume(text, arguments.device)
        print(f"({time.perf_counter() - begun:.0f} s since the start)", flush=True)


def train(folder: Path, *flags: str) -> list[dict[str, str]]:
    """Trains as train.py does and returns the rows of history.csv, or ends with what it said."""
    command = [sys.executable, "train.py", "--data-dir", str(folder), "--pristine-input", *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


def folder_of(place: Path, name: str, text: str, held_out: str = "") -> Path:
    folder = place / name
    folder.mkdir()
    (folder / "input.txt").write_text(text, encoding="utf-8")
    if held_out:
        (folder / "validate.txt").write_text(held_out, encoding="utf-8")
    return folder


def works(text: str, device: str) -> None:
    """Prints the losses of every cell and option on the device and on the processor."""
    length = ["--num-epochs", "1", "--steps-per-epoch", "200", "--random-seed", "1"]
    with tempfile.TemporaryDirectory() as place:
        for name, flags in RUNS.items():
            losses = []
            for where in (device, "cpu"):
                folder = folder_of(Path(place), f"{name} {where} {len(losses)}", text[:400_000])
                losses.append(float(train(folder, *length, *flags, "--device", where)[-1]["loss"]))
            judged = "ok" if abs(losses[0] - losses[1]) <= 0.02 else "APART"
            print(f"{name:<18} {device} {losses[0]:.4f}, cpu {losses[1]:.4f}: {judged}", flush=True)


def speed(size: Size, on_gpu: bool, dtype: str, seconds: float) -> float:
    """Returns tokens per second of training steps, as `train.py` makes them, in this process."""
    import numpy as np

    from textgen.model.backend import on_device
    from textgen.model.devices import candidates, computation
    from textgen.model.keras_model import build_model
    from textgen.settings.definitions import ModelSettings, TrainingSettings
    from textgen.training.batches import tf_dataset, training_batches
    from textgen.training.step import TrainStep

    model = ModelSettings(
        embedding_size=EMBEDDING_SIZE, rnn_size=size.rnn_size, num_layers=size.num_layers
    )
    training = TrainingSettings(batch_size=size.batch_size, seq_length=size.length, dtype=dtype)
    ids = np.random.default_rng(0).integers(0, VOCABULARY_SIZE, 4_000_000).astype(np.uint8)
    batches = training_batches(ids, size.batch_size, size.length, size.length, 1920)
    if "more-steps" in candidates():
        batches = batches.with_more_at_once()
    with on_device(on_gpu):
        how = computation(model, on_gpu)
        network = build_model(
            model, VOCABULARY_SIZE, size.batch_size, 0, how.own_layers, dtype, carries_state=False
        )
        step = TrainStep(network, training, batches.steps_at_once, how=how)
        step.set_learning_rate(0.001)
        stream = iter(tf_dataset(batches, 0, on_gpu))
        for _ in range(3):
            step(stream)
        rates = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(rates) < 5:
            begun = time.perf_counter()
            step(stream)
            tokens = batches.steps_at_once * size.batch_size * size.length
            rates.append(tokens / (time.perf_counter() - begun))
    return round(statistics.median(rates))


def compare(arguments: argparse.Namespace, sizes: list[Size]) -> None:
    """Prints the table of speeds: a column per way, and PyTorch's."""
    columns = dict(all_speeds(arguments))
    peer = torch_speeds(sizes) if find_spec("torch") and arguments.device == "gpu" else None
    if peer:
        columns["PyTorch"] = peer
    print("| size |", " | ".join(columns), "|")
    print("|---" * (1 + len(columns)) + "|")
    for row, size in enumerate(sizes):
        cells = [f"{column[row]:,.0f}" if column else "failed" for column in columns.values()]
        print(f"| {size.title} |", " | ".join(cells), "|", flush=True)
    for name, column in columns.items():
        if peer and column and name != "PyTorch":
            ratios = [ours / theirs for ours, theirs in zip(column, peer, strict=True)]
            mean, shown = statistics.geometric_mean(ratios), ", ".join(f"{r:.2f}" for r in ratios)
            print(f"{name} / PyTorch: {shown}; geometric mean {mean:.2f}")


def all_speeds(arguments: argparse.Namespace) -> Iterator[tuple[str, list[float]]]:
    """Yields each way and its speeds, measured in a process of its own; none where that failed."""
    ways = [(name, way, "float32") for name, way in WAYS.items()]
    for name, way, dtype in [*ways, ("bfloat16", "", "mixed_bfloat16")]:
        command = [sys.executable, "-m", "benchmarks.gpu", str(arguments.file), "--way", way]
        command += ["--device", arguments.device, "--dtype", dtype]
        command += ["--seconds", str(arguments.seconds)]
        environment = {**os.environ, "TEXTGEN_GPU": way}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            print(f"{name} failed: {' '.join(done.stderr.split())[-500:]}", flush=True)
        yield name, [float(line) for line in done.stdout.split()] if not done.returncode else []


def torch_speeds(sizes: list[Size], steps: int = 100) -> list[float]:
    """Returns PyTorch's tokens per second of the same training."""
    return [torch_speed(size, steps) for size in sizes]


def torch_speed(size: Size, steps: int) -> float:
    import torch

    embedding = torch.nn.Embedding(VOCABULARY_SIZE, EMBEDDING_SIZE)
    lstm = torch.nn.LSTM(EMBEDDING_SIZE, size.rnn_size, size.num_layers, batch_first=True)
    dense = torch.nn.Linear(size.rnn_size, VOCABULARY_SIZE)
    model = torch.nn.ModuleList([embedding, lstm, dense]).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    shape = (size.batch_size, size.length)
    inputs, targets = (torch.randint(0, VOCABULARY_SIZE, shape).cuda() for _ in range(2))
    state: Any = None

    def step() -> None:
        nonlocal state
        outputs, (h, c) = lstm(embedding(inputs), state)
        state = h.detach(), c.detach()
        logits = dense(outputs).flatten(0, 1)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits, targets.flatten()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    for _ in range(20):
        step()
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(steps):
        step()
    torch.cuda.synchronize()
    return steps * size.batch_size * size.length / (time.perf_counter() - begun)


def learning(text: str, device: str, minutes: float) -> None:
    """Prints the loss that some minutes of wall time buy, and where the best epoch was."""
    cut = int(0.9 * len(text))
    with tempfile.TemporaryDirectory() as place:
        folder = folder_of(Path(place), "learning", text[:cut], text[cut:])
        begun = time.perf_counter()
        rows = train(folder, "--minutes", str(minutes), "--random-seed", "1", "--device", device)
        seconds = time.perf_counter() - begun
        best = min(rows, key=lambda row: float(row["val_loss"]))
        print((folder / "model.yaml").read_text())
    print(
        f"{float(best['val_loss']):.4f} nats per character, epoch {best['epoch']} of {len(rows)},"
        f" at {float(best['tokens_per_second']):,.0f} tokens/s; {seconds:.0f} s with the start"
    )


def resume(text: str, device: str) -> None:
    """Prints how runs go on that change their device, or are to be the same bit for bit."""
    flags = ["--steps-per-epoch", "100", "--random-seed", "1", "--dropout", "0.1"]
    flags += ["--schedule", "constant", "--warmup-steps", "0"]
    with tempfile.TemporaryDirectory() as place:
        whole = folder_of(Path(place), "whole", text[:400_000])
        rows = train(whole, *flags, "--num-epochs", "3", "--device", "cpu")
        moved = folder_of(Path(place), "moved", text[:400_000])
        for epochs, where in (("1", device), ("2", "cpu"), ("3", device)):
            found = train(moved, *flags, "--resume", "--num-epochs", epochs, "--device", where)
        print(f"on the processor {rows[-1]['loss']}, moved between devices {found[-1]['loss']}")
        hashes = []
        for name, halves in (("one", ["2"]), ("two", ["2"]), ("resumed", ["1", "2"])):
            folder = folder_of(Path(place), name, text[:400_000])
            for epochs in halves:
                exact = [*flags, "--resume", "--num-epochs", epochs, "--deterministic"]
                train(folder, *exact, "--device", device)
            hashes.append(weights_hash(folder))
        print(f"deterministic: {hashes}: {'equal' if len(set(hashes)) == 1 else 'NOT EQUAL'}")


def weights_hash(folder: Path) -> str:
    """Returns a short hash of the newest weights in a folder."""
    from textgen.model import checkpoint

    weights = checkpoint.load(folder / "latest").weights
    joined = b"".join(weights[name].tobytes() for name in sorted(weights))
    return hashlib.sha256(joined).hexdigest()[:12]


if __name__ == "__main__":
    main()
