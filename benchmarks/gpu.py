"""All that is to be seen on a GPU, in one run of less than ten minutes.

    python -m benchmarks.gpu FILE [--parts speed works learning resume ways] [--budget 540]
    python -m benchmarks.gpu FILE --device cpu

FILE is a text of a megabyte or so, such as tinyshakespeare. The parts, in this order:

- `speed`: tokens per second of a training step at four sizes, as `train.py` makes it, beside
  PyTorch's cuDNN LSTM (fused AdamW, gradients clipped; with TF32, as TensorFlow has it, and
  without). Judged: at least PyTorch's speed at each size, and 1.2 times in the geometric mean.
- `works`: every cell and option trains on the GPU and on the processor, side by side. Judged: loss
  and validation loss after equal steps differ by at most 0.02 nats.
- `learning`: `train.py --minutes` on the first 90 %. Judged: at most 1.38 nats on the last 10 %,
  and the best epoch is among the last fifth.
- `resume`: a run goes from the GPU to the processor and back. Judged: its loss is within 0.02 of
  the one that stayed on the processor; with `--deterministic` a run of one process and one that is
  resumed make the same weights, bit for bit. Whether they do without is told, not judged.
- `ways`: the speed of each of the candidates of `textgen.model.devices`, at the smallest size
  first, and at larger ones while it is within a fifth of the best; of bfloat16, of float32 without
  TF32, and of `--deterministic`. Judged: the loss after equal steps is within 0.02 of that of
  training as it is.

Each line is printed as soon as it is known. Work is done in processes of their own, so that what
crashes or hangs costs its own line; what does not fit into the budget any more is left out. What
fell short stands at the end: goals, failures and what was left out. Then the exit code is 1.

With `--device cpu` all of it runs small and without a GPU, to see that it runs: goals of speed and
of learning are not judged.

PyTorch runs first and without LD_LIBRARY_PATH and PYTHONPATH, which may be made for TensorFlow.
"""

import argparse
import contextlib
import csv
import hashlib
import json
import os
import queue
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.machine import announce
from textgen.model.devices import COMMAND_BUFFERS, GPU_SWITCH

ROOT = Path(__file__).parents[1]
EMBEDDING_SIZE = 64
APART = 0.02
"""Nats by which losses of the same training may differ."""
GOAL, GOAL_SECONDS = 1.38, 70
LEAST_RATIO, MEAN_RATIO = 1.0, 1.2
NEAR = 0.8
"""The share of the best speed with which a way is tried at the next size."""
JOB_SECONDS = 120
"""After so long without an answer a process is ended."""
GUESSES = {"start": 12.0, "torch": 4.0, "speed": 20.0, "train": 25.0}
"""Seconds that things take, before there was one."""
TENSORFLOWS = ("LD_LIBRARY_PATH", "PYTHONPATH")
"""Environment variables that may have been made for TensorFlow."""
LOSS_STEPS = 64
"""Steps after which losses are compared in `ways`; a multiple of the steps of any call."""
CELLS = {
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


class Way(NamedTuple):
    """A way to compute a training step."""

    title: str
    candidates: str = ""
    """The value of `TEXTGEN_GPU`."""
    xla_flags: str = ""
    dtype: str = "float32"
    tf32: bool = True
    deterministic: bool = False

    @property
    def process(self) -> str:
        """Ways with the same can be measured in one process: XLA takes its flags as it starts."""
        command_buffers = "command-buffers" if "command-buffers" in self.candidates else ""
        exact = "deterministic" if self.deterministic else ""
        return " ".join(filter(None, ["speeds", command_buffers, self.xla_flags, exact]))


PLAIN = Way("as it is")
WAYS = [
    Way("more-steps", "more-steps"),
    Way("cudnn", "cudnn"),
    Way("command-buffers", "command-buffers"),
    Way("command buffers, no WHILE", xla_flags=COMMAND_BUFFERS.replace(",WHILE", "")),
    Way("command-buffers, more-steps", "command-buffers,more-steps"),
    Way("more-steps, device-batches", "more-steps,device-batches"),
]
BFLOAT16, NO_TF32 = Way("bfloat16", dtype="mixed_bfloat16"), Way("without TF32", tf32=False)
DETERMINISTIC = Way("--deterministic", deterministic=True)
PEER, PEER_NO_TF32 = "PyTorch, TF32", "PyTorch, no TF32"


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
SMALL = [Size(16, 2, 4, 10), Size(24, 1, 4, 10)]
FIRST, SECOND, PROCESSOR = "first on the device", "second on the device", "on the processor"
"""Processes that train."""


class EndedError(Exception):
    """Nothing more can be measured."""


def say(line: str) -> None:
    print(line, flush=True)


# Processes that work, a job after another: what the rest of this file tells them to do.


class Child:
    """A process that does jobs: it takes a line of JSON each and answers one; first, what it is.

    It starts with its first job, and anew after it was ended.
    """

    def __init__(self, name: str, command: Sequence[str], environment: dict[str, str]) -> None:
        self.name, self.command, self.environment = name, command, environment
        self.process: subprocess.Popen[str] | None = None
        self.facts: dict[str, Any] = {}
        self.start_seconds: float | None = None

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ask(self, **job: Any) -> None:
        if not self.is_alive:
            self._start()
        assert self.process is not None
        with contextlib.suppress(BrokenPipeError):  # of one that has just died: `answer` tells
            print(json.dumps(job), file=self.process.stdin, flush=True)

    def answer(self, end: float) -> dict[str, Any]:
        """Returns the answer to a job, or `error` where there is none by the time `end`."""
        assert self.process is not None
        error = "no answer in time"
        with contextlib.suppress(queue.Empty):
            while line := self.lines.get(timeout=max(0.1, end - time.monotonic())):
                if self.start_seconds is not None:
                    return dict(json.loads(line))
                self.facts, self.start_seconds = json.loads(line), self.first_line - self._started
            error = "the process ended"
            with contextlib.suppress(subprocess.TimeoutExpired):  # by itself: with its exit code
                self.process.wait(5)
        self.stop()
        return {"died": True, "error": f"{error} (exit code {self.process.returncode})"}

    def stop(self) -> None:
        """Ends the process and all that it has started."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _start(self) -> None:
        self.start_seconds, self._started = None, time.monotonic()
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            self.command, cwd=ROOT, env=self.environment, text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
        )  # fmt: skip
        self.lines: queue.Queue[str | None] = queue.Queue()
        arguments = self.process.stdout, self.lines
        threading.Thread(target=self._read, args=arguments, daemon=True).start()

    def _read(self, stream: Any, lines: "queue.Queue[str | None]") -> None:
        for number, line in enumerate(stream):
            if number == 0:
                self.first_line = time.monotonic()
            lines.put(line)
        lines.put(None)

    def said(self) -> list[str]:
        """Returns the lines of its standard error but for empty ones and a stack's addresses."""
        text = os.pread(self.errors.fileno(), 1 << 24, 0).decode(errors="replace")
        lines = [line.strip()[:300] for line in text.splitlines()]
        return [line for line in lines if line and not line.startswith("@ ")]


class Session:
    """One run of this script: its time, its processes, and what fell short."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments, self.is_real = arguments, arguments.device == "gpu"
        self.begun = time.monotonic()
        self.end = self.begun + arguments.budget
        self.sizes = SIZES if self.is_real else SMALL
        self.text = arguments.file.read_text(encoding="utf-8")
        self.took: dict[str, list[float]] = {}
        self.children: dict[str, Child] = {}
        self.misses: list[str] = []
        self.told: set[str] = set()
        self.rates: dict[tuple[Size, str], float] = {}
        """Tokens per second; 0 where it failed."""
        self.losses: dict[tuple[Size, str], float] = {}

    def miss(self, what: str) -> None:
        """Notes what fell short."""
        say(f"!! {what}")
        self.misses.append(what.split("\n")[0])

    def judge_losses(self, title: str, one: float, other: float) -> None:
        if not abs(one - other) <= APART:
            self.miss(f"{title}: losses {one:.4f} and {other:.4f} are more than {APART} apart")

    def child(self, name: str, kind: str = "tensorflow", **environment: str) -> Child:
        """Returns the process of a name, one that does jobs of some kind."""
        if name not in self.children:
            command = [sys.executable, "-m", "benchmarks.gpu", str(self.arguments.file)]
            command += ["--device", self.arguments.device, "--child", kind]
            values = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ, **environment}
            if kind == "torch":
                values = {k: v for k, v in values.items() if k not in TENSORFLOWS}
            self.children[name] = Child(name, command, values)
        return self.children[name]

    def seconds(self, kind: str) -> float:
        """Returns what a thing of some kind is estimated to take."""
        return statistics.mean(self.took.get(kind) or [GUESSES[kind]])

    def do(
        self, title: str, kind: str, *jobs: tuple[Child, dict[str, Any]], limit: float = JOB_SECONDS
    ) -> list[dict[str, Any]]:
        """Has processes do a job each, side by side, and returns their answers.

        An answer with `error` has been told. There are none where the time would not suffice.
        """
        begun, starting = time.monotonic(), [child for child, _ in jobs if not child.is_alive]
        if begun + self.seconds(kind) + bool(starting) * self.seconds("start") > self.end:
            self.miss(f"{title}: left out: no time")
            return []
        for child, job in jobs:
            child.ask(**job)
        answers = [child.answer(min(begun + limit, self.end)) for child, _ in jobs]
        seconds = time.monotonic() - begun
        for (child, _), answer in zip(jobs, answers, strict=True):
            self._tell(child)
            if "error" in answer:
                said = "".join(f"\n     {line}" for line in child.said()[-8:])
                again = said in self.told
                self.told.add(said)
                said = "\n     (and the same lines as before)" if again else said
                self.miss(f"{title}: failed ({child.name}): {answer['error']}{said}")
        if fine(answers):
            started = max((child.start_seconds or 0.0 for child in starting), default=0.0)
            self.took.setdefault(kind, []).append(seconds - started)
            if starting and kind != "torch":
                self.took.setdefault("start", []).append(started)
        return answers

    def _tell(self, child: Child) -> None:
        """Tells once what a process is. Raises EndedError where it has no GPU."""
        facts = " ".join(f"{name} {value}" for name, value in child.facts.items())
        if facts and facts not in self.told:
            self.told.add(facts)
            say(f"   ({facts})")
        if self.is_real and child.facts.get("GPUs") == []:
            raise EndedError("TensorFlow finds no GPU here")

    def stop(self) -> None:
        for child in self.children.values():
            child.stop()


def fine(answers: list[dict[str, Any]]) -> bool:
    """Whether jobs were done, all of them."""
    return bool(answers) and not any("error" in answer for answer in answers)


# The parts.


def speed(session: Session, folder: Path) -> None:
    """Measures PyTorch's speed and ours, as it is, at all sizes, and judges the ratios."""
    compare_peer(session)
    for size in session.sizes:
        measure(session, PLAIN, size)
    ratios = ratios_to_peer(session, PLAIN.title)
    if not ratios:
        return
    mean = statistics.geometric_mean(ratios)
    say(f"as it is / {PEER}: {shown(ratios)}")
    if session.is_real and min(ratios) < LEAST_RATIO:
        session.miss(f"speed: {min(ratios):.2f} of PyTorch's at one size: below {LEAST_RATIO}")
    if session.is_real and mean < MEAN_RATIO:
        session.miss(f"speed: {mean:.2f} of PyTorch's in the mean: below {MEAN_RATIO}")


def ratios_to_peer(session: Session, title: str) -> list[float]:
    """Returns how many times as fast as PyTorch a way is, at the sizes at which both are known."""
    rates = session.rates
    both = [size for size in session.sizes if rates.get((size, title)) and rates.get((size, PEER))]
    return [rates[size, title] / rates[size, PEER] for size in both]


def shown(ratios: list[float]) -> str:
    mean = statistics.geometric_mean(ratios)
    return f"{' '.join(f'{ratio:.2f}' for ratio in ratios)}; geometric mean {mean:.2f}"


def compare_peer(session: Session) -> None:
    """Measures PyTorch's speeds, in a process that is ended then."""
    child = session.child("PyTorch", "torch")
    for title, tf32 in ((PEER, True), (PEER_NO_TF32, False)):
        for size in session.sizes:
            job = {"do": "speed", "size": size, "tf32": tf32, "seconds": session.arguments.seconds}
            for answer in session.do(f"{title}, {size.title}", "torch", (child, job)):
                if "missing" in answer:
                    session.miss("PyTorch is not installed: no comparison")
                    return
                session.rates[size, title] = rate = answer.get("rate", 0)
                if rate:
                    say(f"{size.title:<21} {title:<27} {rate:>11,.0f} tokens/s ({answer['tf32']})")
    child.stop()


def measure(session: Session, way: Way, size: Size) -> bool:
    """Measures a way at a size, unless that was done. Returns False if its process died."""
    if (size, way.title) in session.rates:
        return True
    environment = {GPU_SWITCH: way.candidates}
    if way.xla_flags:
        environment["XLA_FLAGS"] = f"{way.xla_flags} {os.environ.get('XLA_FLAGS', '')}"
    child = session.child(way.process, **environment)
    job = {"do": "speed", "size": size, "seconds": session.arguments.seconds}
    job |= {name: getattr(way, name) for name in ("candidates", "dtype", "tf32", "deterministic")}
    answers = session.do(f"{way.title}, {size.title}", "speed", (child, job))
    session.rates[size, way.title] = rate = answers[0].get("rate", 0) if answers else 0
    if not rate:
        return not any("died" in answer for answer in answers)
    loss = session.losses[size, way.title] = answers[0]["loss"]
    ratios = "".join(
        f", {rate / session.rates[size, other]:.2f} of {other}"
        for other in (PLAIN.title, PEER)
        if other != way.title and session.rates.get((size, other))
    )
    say(
        f"{size.title:<21} {way.title:<27} {rate:>11,.0f} tokens/s{ratios}; loss {loss:.4f};"
        f" first call {answers[0]['first']:.1f} s"
    )
    plain = session.losses.get((size, PLAIN.title))
    if plain is not None:
        session.judge_losses(f"{way.title}, {size.title}", loss, plain)
    return True


def ways(session: Session, folder: Path) -> None:
    """Measures the candidates, precisions, and `--deterministic`, and prints the table."""
    trying, broken = list(WAYS), set()
    for size in session.sizes:
        measure(session, PLAIN, size)
        for way in list(trying):
            if way.process in broken:
                session.rates[size, way.title] = 0
                session.miss(f"{way.title}, {size.title}: not tried: such a process died before")
            elif not measure(session, way, size):
                broken.add(way.process)
        known = {way: session.rates[size, way.title] for way in trying}
        best = max(session.rates[size, PLAIN.title], *known.values(), 0)
        trying = [way for way, rate in known.items() if rate and rate >= NEAR * best]
        slow = "; ".join(way.title for way, rate in known.items() if 0 < rate < NEAR * best)
        if slow and size != session.sizes[-1]:
            say(f"not tried at larger sizes, with less than {NEAR} of the best speed here: {slow}")
        if size == session.sizes[0]:  # more is to be known of these than of larger sizes
            for way, at in ((BFLOAT16, -1), (NO_TF32, -1), (DETERMINISTIC, 0)):
                measure(session, PLAIN, session.sizes[at])
                measure(session, way, session.sizes[at])
    for size in reversed(session.sizes):
        measure(session, BFLOAT16, size)


def print_table(session: Session) -> None:
    """Prints what is known of the speeds as Markdown."""
    titles = list(dict.fromkeys(title for _, title in session.rates))
    if not titles:
        return
    heads = " | ".join(size.title for size in session.sizes)
    say(f"\n| tokens/s | {heads} |\n|{'---|' * (1 + len(session.sizes))}")
    for title in titles:
        rates = [session.rates.get((size, title), 0) for size in session.sizes]
        say(f"| {title} | {' | '.join(f'{rate:,.0f}' if rate else '-' for rate in rates)} |")
    for title in titles:
        if ratios := ratios_to_peer(session, title):
            say(f"{title} / {PEER}: {shown(ratios)}")


def works(session: Session, folder: Path) -> None:
    """Prints the losses of every cell and option on the device and on the processor."""
    steps = ["--num-epochs", "1", "--steps-per-epoch", str(session.arguments.steps)]
    steps += ["--random-seed", "1"]
    for name, flags in CELLS.items():
        jobs = [
            train_job(session, process, folder / f"{name} {process}", device, *steps, *flags)
            for process, device in ((FIRST, session.arguments.device), (PROCESSOR, "cpu"))
        ]
        answers = session.do(f"works, {name}", "train", *jobs)
        if not fine(answers):
            continue
        line = f"{name:<18}"
        for title, loss in (("loss", "loss"), ("validation loss", "val_loss")):
            here, there = (answer["rows"][-1][loss] for answer in answers)
            line += f" {title} {here:.4f}, on the processor {there:.4f};"
            session.judge_losses(f"works, {name}, {title}", here, there)
        say(line)


def train_job(
    session: Session, process: str, folder: Path, device: str, *flags: str
) -> tuple[Child, dict[str, Any]]:
    """Returns a process, and its job to train in a folder, which gets a piece of the text."""
    if not folder.exists():
        text = session.text
        fill(folder, text[: min(400_000, len(text) // 2)], text[-40_000:])
    flags = (*flags, "--device", device)
    return session.child(process), {"do": "train", "folder": str(folder), "flags": flags}


def fill(folder: Path, text: str, held_out: str) -> None:
    folder.mkdir()
    (folder / "input.txt").write_text(text, encoding="utf-8")
    (folder / "validate.txt").write_text(held_out, encoding="utf-8")


def learning(session: Session, folder: Path) -> None:
    """Prints the loss that some minutes of wall time buy, and where the best epoch was."""
    text, place = session.text, folder / "learning"
    cut = int(0.9 * len(text))
    fill(place, text[:cut], text[cut:])
    flags = ["--minutes", str(session.arguments.minutes), "--random-seed", "1"]
    flags += ["--device", session.arguments.device]
    seconds = 60 * session.arguments.minutes
    session.took["learning"] = [seconds + 25]
    begun = time.monotonic()
    job = {"do": "train", "folder": str(place), "flags": flags}
    answers = session.do(
        "learning", "learning", (session.child("learning"), job), limit=seconds + JOB_SECONDS
    )
    session.child("learning").stop()
    if not fine(answers):
        return
    for line in session.child("learning").said():
        if line.startswith(("chosen", "because", "computing")):
            say(line)
    rows, losses = answers[0]["rows"], [row["val_loss"] for row in answers[0]["rows"]]
    best = losses.index(min(losses))
    say(
        f"{losses[best]:.4f} nats per character, epoch {best + 1} of {len(rows)},"
        f" at {rows[best]['tokens_per_second']:,.0f} tokens/s;"
        f" {time.monotonic() - begun:.0f} s with the start"
    )
    say(f"validation losses: {' '.join(f'{loss:.3f}' for loss in losses)}")
    if session.is_real and losses[best] > GOAL:
        session.miss(f"learning: {losses[best]:.4f} nats in {seconds:.0f} s, not {GOAL}")
    if session.is_real and best + 1 <= 0.8 * len(rows):
        session.miss(
            f"learning: the best epoch is {best + 1} of {len(rows)}, not in the last fifth"
        )


def resume(session: Session, folder: Path) -> None:
    """Prints how runs go on that change their device, or are to be the same bit for bit."""
    device, exact = session.arguments.device, "--deterministic"
    flags = ["--steps-per-epoch", str(session.arguments.steps), "--random-seed", "1"]
    flags += ["--dropout", "0.1", "--schedule", "constant", "--learning-rate", "0.002"]
    flags += ["--batch-parts", "1", "--resume", "--num-epochs"]

    def train_to(title: str, *jobs: tuple[str, ...]) -> list[dict[str, Any]]:
        """Trains side by side: each in a process, a folder, on a device, to an epoch."""
        made = [
            train_job(session, process, folder / name, where, *flags, *more)
            for process, name, where, *more in jobs
        ]
        answers = session.do(f"resume, {title}", "train", *made)
        return answers if fine(answers) else []

    first = train_to(
        "first epoch",
        (FIRST, "moved", device, "1"), (SECOND, "again", device, "1"),
        (PROCESSOR, "whole", "cpu", "3"),
    )  # fmt: skip
    if first:
        equal = "bit-equal" if first[0]["hash"] == first[1]["hash"] else "not bit-equal"
        say(f"two runs without --deterministic: {equal} (not judged)")
    if first and train_to("on the processor", (PROCESSOR, "moved", "cpu", "2")):
        for moved in train_to("moved back", (FIRST, "moved", device, "3")):
            whole, found = first[2]["rows"][-1]["loss"], moved["rows"][-1]["loss"]
            say(f"on the processor {whole:.4f}, moved between devices {found:.4f}")
            session.judge_losses("resume, moved between devices", whole, found)
    halves = train_to(
        "deterministic",
        (FIRST, "exact", device, "2", exact), (SECOND, "halves", device, "1", exact),
    )  # fmt: skip
    rest = halves and train_to("second half", (SECOND, "halves", device, "2", exact))
    if rest:
        one, other = halves[0]["hash"], rest[0]["hash"]
        say(f"deterministic: {one}, and in another process, resumed, {other}")
        if one != other:
            session.miss("resume: weights with --deterministic are not equal bit for bit")


PARTS = {"speed": speed, "works": works, "learning": learning, "resume": resume, "ways": ways}


# What the processes do. Only these import TensorFlow and PyTorch.


def work(arguments: argparse.Namespace) -> None:
    """Does the jobs on standard input, and answers to standard output."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else prints there does not disturb
    kinds: dict[str, tuple[Callable[[], Any], dict[str, Callable[..., Any]]]] = {
        "tensorflow": (tensorflow_facts, {"speed": our_speed, "train": train}),
        "torch": (torch_facts, {"speed": torch_speed}),
    }
    begin, jobs = kinds[arguments.child]
    print(json.dumps(begin()), file=answers, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        try:
            answer = jobs[job.pop("do")](arguments, **job)
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"[:300].split("\n")[0]}
        print(json.dumps(answer), file=answers, flush=True)


def tensorflow_facts() -> dict[str, Any]:
    from textgen.model.backend import gpu_names, tf

    tf32 = tf.config.experimental.tensor_float_32_execution_enabled()
    return {"TensorFlow": tf.__version__, "GPUs": gpu_names(), "TF32 allowed": tf32}


def train(arguments: argparse.Namespace, folder: str, flags: list[str]) -> dict[str, Any]:
    """Trains as train.py does; returns the rows of history.csv and a hash of the weights."""
    from textgen.commands.train import main
    from textgen.model import checkpoint

    main(["--data-dir", folder, "--pristine-input", *flags])
    with (Path(folder) / "history.csv").open() as file:
        rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    weights = checkpoint.load(Path(folder) / "latest").weights
    joined = b"".join(weights[name].tobytes() for name in sorted(weights))
    return {"rows": rows, "hash": hashlib.sha256(joined).hexdigest()[:12]}


def our_speed(
    arguments: argparse.Namespace,
    size: Sequence[int],
    seconds: float,
    candidates: str,
    dtype: str,
    tf32: bool,
    deterministic: bool,
) -> dict[str, float]:
    """Measures tokens per second of training steps as `train.py` makes them."""
    import numpy as np

    from textgen.model.backend import on_device, tf
    from textgen.model.devices import computation
    from textgen.model.keras_model import build_model
    from textgen.settings.definitions import ModelSettings, TrainingSettings
    from textgen.training.batches import cut_batches, tf_dataset
    from textgen.training.step import TrainStep

    os.environ[GPU_SWITCH] = candidates
    tf.config.experimental.enable_tensor_float_32_execution(tf32)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    rnn_size, num_layers, batch_size, length = size
    on_gpu = arguments.device == "gpu"
    model = ModelSettings(embedding_size=EMBEDDING_SIZE, rnn_size=rnn_size, num_layers=num_layers)
    training = TrainingSettings(batch_size=batch_size, seq_length=length, dtype=dtype)
    codes = np.frombuffer(arguments.file.read_text(encoding="utf-8").encode("utf-32-le"), np.uint32)
    vocabulary, ids = np.unique(codes, return_inverse=True)
    number = 10 * LOSS_STEPS
    ids = np.resize(ids.astype(np.uint16), batch_size * length * number + 1)
    batches = cut_batches(ids, batch_size, length, length, number)
    if "more-steps" in candidates:
        batches = batches.with_more_at_once()
    with on_device(on_gpu):
        how = computation(model, on_gpu=True)  # also without a GPU, to see that it runs
        network = build_model(
            model, len(vocabulary), batch_size, 0, how.own_layers, dtype, carries_state=False
        )
        step = TrainStep(network, training, batches.steps_at_once, how=how)
        step.set_learning_rate(0.002)
        stream = iter(tf_dataset(batches, 0, on_gpu))
        begun = time.perf_counter()
        loss = step(stream)
        first = time.perf_counter() - begun
        for _ in range(LOSS_STEPS // batches.steps_at_once - 1):
            loss = step(stream)
        rates: list[float] = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(rates) < 2:
            begun = time.perf_counter()
            step(stream)
            tokens = batches.steps_at_once * batch_size * length
            rates.append(tokens / (time.perf_counter() - begun))
    return {"rate": round(statistics.median(rates)), "loss": loss, "first": first}


def torch_facts() -> dict[str, Any]:
    if not find_spec("torch"):
        return {}
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return {"PyTorch": torch.__version__, "on": name, "cuDNN": torch.backends.cudnn.version()}


def torch_speed(
    arguments: argparse.Namespace, size: Sequence[int], tf32: bool, seconds: float
) -> dict[str, Any]:
    """Measures PyTorch's tokens per second of the same training."""
    if not find_spec("torch"):
        return {"missing": True}
    import torch

    device = "cuda" if arguments.device == "gpu" else "cpu"
    if device == "cpu":
        torch.set_num_threads(1)
    wait = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    rnn_size, num_layers, *shape = size
    vocabulary_size = len(set(arguments.file.read_text(encoding="utf-8")))
    embedding = torch.nn.Embedding(vocabulary_size, EMBEDDING_SIZE)
    lstm = torch.nn.LSTM(EMBEDDING_SIZE, rnn_size, num_layers, batch_first=True)
    dense = torch.nn.Linear(rnn_size, vocabulary_size)
    model = torch.nn.ModuleList([embedding, lstm, dense]).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    inputs, targets = (torch.randint(vocabulary_size, shape).to(device) for _ in range(2))
    state: Any = None

    def steps(count: int) -> None:
        nonlocal state
        for _ in range(count):
            outputs, (h, c) = lstm(embedding(inputs), state)
            state = h.detach(), c.detach()
            logits = dense(outputs).flatten(0, 1)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(logits, targets.flatten()).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        wait()

    steps(20)
    done, begun = 0, time.perf_counter()
    while not done or time.perf_counter() - begun < seconds:
        steps(50)
        done += 50
    rate = done * shape[0] * shape[1] / (time.perf_counter() - begun)
    products, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    return {"rate": rate, "tf32": f"allow_tf32: matmul {products}, cudnn {cudnn}"}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--budget", type=float, default=540, help="seconds for all of it")
    parser.add_argument("--minutes", type=float, help="of the part `learning`")
    parser.add_argument("--seconds", type=float, help="of each speed that is measured")
    parser.add_argument("--steps", type=int, help="of an epoch in `works` and `resume`")
    parser.add_argument("--child", choices=("tensorflow", "torch"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    is_real = arguments.device == "gpu"
    arguments.file = arguments.file.resolve()
    arguments.minutes = arguments.minutes or (GOAL_SECONDS / 60 if is_real else 0.1)
    arguments.seconds = arguments.seconds or (2.0 if is_real else 0.2)
    arguments.steps = arguments.steps or (104 if is_real else 16)
    return arguments


def main() -> int:
    """Runs the parts. Returns 1 if anything fell short."""
    arguments = parse()
    if arguments.child:
        work(arguments)
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    announce(__doc__)
    session = Session(arguments)
    try:
        with tempfile.TemporaryDirectory() as place:
            for name in PARTS:
                if name in arguments.parts:
                    run_part(session, name, Path(place))
    except EndedError as error:
        session.miss(str(error))
    finally:
        session.stop()
        print_table(session)
        count = len(session.misses)
        say(f"\n{count} things fell short:" if count else "\nNothing fell short.")
        for miss in session.misses:
            say(f"- {miss}")
    return 1 if session.misses else 0


def run_part(session: Session, name: str, folder: Path) -> None:
    say(f"\n== {name}")
    try:
        PARTS[name](session, folder)
    except EndedError:
        raise
    except Exception:
        session.miss(f"{name}: failed within this script\n{traceback.format_exc()}")
    taken = {kind: f"{statistics.mean(times):.1f}" for kind, times in session.took.items()}
    means = ", ".join(f"{kind} {seconds}" for kind, seconds in taken.items())
    say(f"({time.monotonic() - session.begun:.0f} s since the start; mean seconds: {means})")


if __name__ == "__main__":
    sys.exit(main())
