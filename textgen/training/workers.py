"""The processes that train one model together, on several machines: who they are, how they find
each other, and what they tell each other by TensorFlow's own collectives.

`SingleProcess` is the plain case: all there is to agree on it knows itself. `Workers` is one of
several. Every worker makes the same calls in the same order; each call waits for all of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from textgen.model.backend import tf
from textgen.model.devices import candidates
from textgen.support import console
from textgen.support.errors import TextgenError, WorkerLostError

Values = npt.NDArray[Any]
Tensors = list[tf.Tensor]

VARIABLE = "TF_CONFIG"
EXAMPLE = (
    '{"cluster": {"worker": ["one:2222", "two:2222"]}, "task": {"type": "worker", "index": 0}}'
)
ADDRESS = re.compile(r".+:\d{1,5}")
CONNECT_SECONDS = 120.0
"""How long workers that are started one after another wait for each other."""
LOST = (
    tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError,
    tf.errors.DeadlineExceededError, tf.errors.FailedPreconditionError,
)  # fmt: skip
"""Errors that TensorFlow raises where another worker is gone."""


@dataclass(frozen=True)
class Layout:
    """The workers of a run.

    Args:
        workers: HOST:PORT of each; the first is the chief.
        index: which of them this process is.

    Raises:
        TextgenError: if they cannot be one.
    """

    workers: tuple[str, ...]
    index: int

    def __post_init__(self) -> None:
        names = self.workers
        if len(set(names)) < len(names) or not all(map(ADDRESS.fullmatch, names)):
            raise TextgenError(
                f"each of `workers` has a HOST:PORT of its own. Received: {', '.join(names)[:200]}"
            )
        if not 0 <= self.index < len(names):
            raise TextgenError(
                f"`worker_index` is 0 to {len(names) - 1} for {len(names)} workers. Received:"
                f" {self.index}"
            )

    def name(self, index: int) -> str:
        """Returns how messages call a worker."""
        return f"worker {index} ({self.workers[index]})"

    def to_json(self) -> str:
        """The value of TF_CONFIG, https://www.tensorflow.org/guide/distributed_training."""
        task = {"type": "worker", "index": self.index}
        return json.dumps({"cluster": {"worker": list(self.workers)}, "task": task})


def layout_of(workers: str | None, index: int | None, distribute: bool) -> Layout | None:
    """Returns the workers that are asked for, or None for this process alone.

    Args:
        workers: `HOST:PORT,HOST:PORT`, instead of TF_CONFIG.
        index: which of them this process is.
        distribute: take the workers of TF_CONFIG.

    Raises:
        TextgenError: if they, or TF_CONFIG, are wrong or say but half of it.
    """
    if workers is None and index is None:
        return layout_of_environment(os.environ) if distribute else None
    if workers is None or index is None:
        raise TextgenError(
            "`workers` HOST:PORT,HOST:PORT and `worker_index` I go together: add the other one"
        )
    return Layout(tuple(workers.split(",")), index)


def layout_of_environment(environment: Mapping[str, str]) -> Layout:
    """Returns the workers that TF_CONFIG tells; a chief of its own kind is worker 0.

    Raises:
        TextgenError: if it is not set, or wrong.
    """
    text = environment.get(VARIABLE)
    if not text:
        raise TextgenError(
            f"`distribute` reads the environment variable {VARIABLE}, which is not set. Set it, or"
            " give `workers` HOST:PORT,HOST:PORT and `worker_index` I"
        )
    try:
        values = json.loads(text)
        cluster, task = tf.train.ClusterSpec(values["cluster"]).as_dict(), values["task"]
        cluster.pop("evaluator", None)
        chiefs, workers = cluster.pop("chief", []), cluster.pop("worker", [])
        index = int(task["index"]) + {"chief": 0, "worker": len(chiefs)}[task["type"]]
        if cluster:
            raise ValueError(f"no place for {', '.join(cluster)}")
        return Layout((*chiefs, *workers), index)
    except (TextgenError, ValueError, KeyError, TypeError) as error:
        raise TextgenError(
            f"{VARIABLE} must be JSON like {EXAMPLE}, perhaps with a chief. Received: {text[:200]}"
            f" ({error})"
        ) from error


def wait_for_peers(layout: Layout, seconds: float = CONNECT_SECONDS) -> None:
    """Return when the addresses of all workers answer.

    TensorFlow connects by itself, but waits for ever for a worker that does not come and ends the
    process where its port is taken. So this looks beforehand: that the own port is free, and that
    there is somebody at each of the others.

    Raises:
        TextgenError: if the own port is taken, or others do not answer, naming them.
    """
    deadline = time.monotonic() + seconds
    with _listening(layout):
        while missing := _missing(layout):
            if time.monotonic() > deadline:
                raise TextgenError(
                    f"no answer from {missing} in {seconds:g} seconds. Start train.py there with"
                    " the same flags, and see that the address is right and no firewall in between"
                )
            time.sleep(0.1)


@contextlib.contextmanager
def _listening(layout: Layout) -> Iterator[None]:
    """Hold the own port, so that the others see that this worker is there."""
    port = int(layout.workers[layout.index].rpartition(":")[2])
    try:
        server = socket.create_server(("", port))
    except (OSError, OverflowError) as error:
        raise TextgenError(
            f"port {port} of {layout.name(layout.index)} cannot be used ({error}). Stop what uses"
            " it, or name another port on all workers"
        ) from error
    with server:
        yield


def _missing(layout: Layout) -> str:
    """Returns the names of the other workers at whose addresses nobody listens."""
    others = [index for index in range(len(layout.workers)) if index != layout.index]
    gone = [index for index in others if not answers(layout.workers[index])]
    return ", ".join(map(layout.name, gone))


def host_of(address: str) -> str:
    """Returns the number of the host of HOST:PORT, or its name where nobody knows it."""
    host = address.rpartition(":")[0]
    try:
        return socket.gethostbyname(host)
    except OSError:
        return host


def answers(address: str) -> bool:
    """Whether somebody listens there."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
    except (OSError, OverflowError, UnicodeError):  # the last of what can be no host's name: "a..b"
        return False
    return True


class SingleProcess:
    """A process that trains alone."""

    count = 1
    """Workers (K)."""
    index = 0
    """Which of them this is; 0 is the chief, which alone prints and writes files."""
    on_gpu: bool | None = None
    """Whether a GPU computes; None where that is still to be chosen."""
    compiles_mean = True
    """Whether XLA can compile `mean`."""

    def mean(self, tensors: Tensors) -> Tensors:
        """Returns the mean of each tensor over all workers, within a training step."""
        return tensors

    @property
    def is_chief(self) -> bool:
        """Whether this worker prints and writes files."""
        return self.index == 0

    def rows(self, batch_size: int) -> slice:
        """The rows of every batch of B that this worker feeds: B / K of them.

        Raises:
            TextgenError: if B is not divisible by K.
        """
        size, rest = divmod(batch_size, self.count)
        if rest:
            raise TextgenError(
                f"`batch_size` {batch_size} cannot be shared by {self.count} workers: each feeds"
                f" as many rows. Choose a multiple of {self.count}"
            )
        return slice(self.index * size, (self.index + 1) * size)

    def sum(self, values: Values) -> Values:
        """The sum over all workers; of any shape, the same on all."""
        return values

    def joined(self, rows: Values) -> Values:
        """The rows (B / K, ...) of all workers, one after another, (B, ...)."""
        every = np.zeros((self.count, *rows.shape), rows.dtype)
        every[self.index] = rows
        return self.sum(every).reshape(-1, *rows.shape[1:])

    def texts(self, text: str) -> list[str]:
        """The texts of all workers."""
        codes = np.frombuffer(text.encode(), np.uint8)
        ends = np.cumsum(self.joined(np.array([len(codes)])))
        every = np.zeros(ends[-1], np.int64)
        every[ends[self.index] - len(codes) : ends[self.index]] = codes
        parts = np.split(self.sum(every), ends[:-1])
        return [bytes(part.astype(np.uint8)).decode() for part in parts]

    def from_chief(self, values: Values) -> Values:
        """The values of the chief; the others give some of the same shape."""
        return self.sum(values if self.is_chief else np.zeros_like(values))

    def any(self, flag: bool) -> bool:
        """Whether any worker says so."""
        return bool(self.sum(np.array(float(flag))))

    def seconds(self, seconds: float) -> float:
        """The chief's time."""
        return float(self.from_chief(np.array(seconds)))

    def each(self, work: Callable[[], str]) -> list[str]:
        """Do something on all workers; returns what each has to say.

        Raises:
            TextgenError: on all of them, if it was raised on one; the message names that one.
        """
        try:
            own = "+" + work()
        except TextgenError as error:
            own = f"-{error}"
        answers = self.texts(own)
        for index, answer in enumerate(answers):
            if answer.startswith("-"):
                sender = "" if index == self.index else f"{self.name(index)}: "
                raise TextgenError(sender + answer[1:])
        return [answer[1:] for answer in answers]

    def by_chief(self, work: Callable[[], str]) -> str:
        """Do something on the chief alone; returns, on all, what it says, or raises likewise."""
        return self.each(work if self.is_chief else str)[0]

    def refuse_difference(self, what: str, values: Callable[[], Mapping[str, Any]]) -> None:
        """Refuses workers whose values are not, by name, those of the chief.

        Args:
            what: what a value is, for the message, with {} for its name.
            values: returns this worker's.

        Raises:
            TextgenError: as `each` does, and on all workers where one differs.
        """
        ours, *others = map(json.loads, self.each(lambda: json.dumps(values(), default=str)))
        for index, theirs in enumerate(others, start=1):
            for name in sorted(ours | theirs):
                here, there = ours.get(name), theirs.get(name)
                if here != there:
                    raise TextgenError(
                        f"{what.format(name)} of {self.name(index)} is not that of {self.name(0)}:"
                        f" {_short(there)}, not {_short(here)}. Make it the same on all workers"
                    )

    def name(self, index: int) -> str:
        """Returns how messages call a worker."""
        return f"worker {index}"


def _short(value: Any) -> str:
    """A value for people; of a content hash its beginning is enough."""
    return "none" if value is None else str(value)[:40]


class Workers(SingleProcess):
    """One of several processes, connected by `tf.distribute.MultiWorkerMirroredStrategy`.

    Variables are this process' own: a process is one replica, with one device. The strategy sums
    gradients, and as the update is the same on all, the weights stay equal.

    Args:
        layout: the workers; all must be there, see `wait_for_peers`.
        device: the setting of that name; where it is auto, a GPU is taken that is there.
    """

    compiles_mean = False

    def __init__(self, layout: Layout, device: str = "auto") -> None:
        self.layout, self.count, self.index = layout, len(layout.workers), layout.index
        os.environ[VARIABLE] = layout.to_json()
        gpu = gpu_for(layout, tf.config.list_physical_devices("GPU"), device)
        tf.config.set_visible_devices([] if gpu is None else [gpu], "GPU")
        self.on_gpu = gpu is not None
        exchange = tf.distribute.experimental.CommunicationImplementation
        by_nccl = self.on_gpu and "nccl" in candidates()
        options = tf.distribute.experimental.CommunicationOptions(
            implementation=exchange.NCCL if by_nccl else exchange.AUTO
        )
        self._strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
        self._sum_now = tf.function(self._summed, reduce_retracing=True)

    def mean(self, tensors: Tensors) -> Tensors:
        # In one message: what costs is their number.
        flat = self._summed(tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0))
        parts = tf.split(flat / self.count, [tensor.shape.num_elements() for tensor in tensors])
        return [tf.reshape(p, t.shape) for p, t in zip(parts, tensors, strict=True)]

    def sum(self, values: Values) -> Values:
        flat = self._sum_now(tf.constant(values.reshape(-1)))
        return np.asarray(flat.numpy()).reshape(values.shape)

    def name(self, index: int) -> str:
        return self.layout.name(index)

    def _summed(self, flat: tf.Tensor) -> tf.Tensor:
        def add(values: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(values))

        return self._strategy.run(add, (flat,))


@contextlib.contextmanager
def connected(layout: Layout | None, device: str = "auto") -> Iterator[SingleProcess]:
    """Yields the workers of `layout` when all are there; None is this process alone.

    Within the block all but the chief are silent, and errors of TensorFlow's about the connection
    are one that names the worker that is lost.

    Args:
        layout: who they are.
        device: the setting of that name, for several workers.

    Raises:
        TextgenError: when they cannot be brought together.
        WorkerLostError: when another worker ends or is not reachable any more.
    """
    if layout is None:
        yield SingleProcess()
        return
    if layout.index == 0:
        console.say(f"waiting for the {len(layout.workers) - 1} other worker(s) ...")
    wait_for_peers(layout)
    with console.verbosity(console.Verbosity.SILENT if layout.index else console.current()):
        workers = Workers(layout, device)
        console.say(f"{workers.count} workers train together")
        try:
            yield workers
        except LOST as error:
            lost = _missing(layout) or f"another worker ({str(error).splitlines()[0]})"
            raise WorkerLostError(
                f"lost {lost}. Start the same command with `resume` on all workers to go on from"
                " the last saved state"
            ) from error


def gpu_for(
    layout: Layout, gpus: Sequence[Any], device: str, environ: Mapping[str, str] = os.environ
) -> Any:
    """Returns the one of this machine's GPUs that a worker takes, or None for the processor.

    Each of the workers on one host takes another. Where CUDA_VISIBLE_DEVICES shows a worker a
    single one, as Ray and Slurm do, that is its own.

    Raises:
        TextgenError: if a GPU is asked for and there is none, or fewer than workers.
    """
    if device == "cpu" or not (gpus or device == "gpu"):
        return None
    if len(gpus) == 1 and "CUDA_VISIBLE_DEVICES" in environ:
        return gpus[0]
    hosts = [host_of(address) for address in layout.workers]
    here = hosts[layout.index]
    number, count = hosts[: layout.index].count(here), hosts.count(here)
    if count > len(gpus):
        raise TextgenError(
            f"{here} has {console.counted(len(gpus), 'GPU')} for {count} workers, and each takes"
            " one. Start as many workers there as it has GPUs, or all of them with `device` cpu"
        )
    if count < len(gpus):
        console.warn(
            f"{here} has {len(gpus)} GPUs and {count} worker(s): each worker uses one. Start one"
            " worker per GPU"
        )
    return gpus[number]
