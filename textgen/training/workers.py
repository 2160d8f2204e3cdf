"""The processes that train one model together, by TensorFlow's own collectives.

`SingleProcess` is the plain case: all there is to agree on it knows itself. `Workers` is one of
several. Every worker makes the same calls in the same order; each call waits for all of them.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from textgen.model.backend import tf
from textgen.support import console
from textgen.support.errors import TextgenError, WorkerLostError
from textgen.training.layout import VARIABLE, Layout, answers

Values = npt.NDArray[Any]
Tensors = list[tf.Tensor]

LOST = (
    tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError,
    tf.errors.DeadlineExceededError, tf.errors.FailedPreconditionError,
)  # fmt: skip
"""Errors that TensorFlow raises where another worker is gone."""


class SingleProcess:
    """A process that trains alone."""

    count = 1
    """Workers (K)."""
    index = 0
    """Which of them this is; 0 is the chief, which alone prints and writes files."""
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
        """The sum over all workers; float64 or int64, any shape, the same on all."""
        return values

    def joined(self, rows: Values) -> Values:
        """The rows (B / K, ...) of all workers, one after another, (B, ...), float32."""
        return rows

    def texts(self, text: str) -> list[str]:
        """The texts of all workers."""
        return [text]

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
                raise TextgenError(self._told(index, answer[1:]))
        return [answer[1:] for answer in answers]

    def by_chief(self, work: Callable[[], str]) -> str:
        """Do something on the chief alone; returns, on all, what it says, or raises likewise."""
        return self.each(work if self.is_chief else str)[0]

    def _told(self, index: int, message: str) -> str:
        return message


class Workers(SingleProcess):
    """One of several processes, connected by `tf.distribute.MultiWorkerMirroredStrategy`.

    Variables are this process' own: a process is one replica, with one device. The strategy sums
    gradients, and as the update is the same on all, the weights stay equal.

    Args:
        layout: the workers; all must be there, see `layout.wait_for_peers`.
    """

    compiles_mean = False

    def __init__(self, layout: Layout) -> None:
        self.layout, self.count, self.index = layout, len(layout.workers), layout.index
        os.environ[VARIABLE] = layout.to_json()
        _take_one_gpu(layout)
        self._strategy = tf.distribute.MultiWorkerMirroredStrategy()
        self._sum_now = tf.function(self._summed, reduce_retracing=True)
        self._join_now = tf.function(self._joined, reduce_retracing=True)

    def mean(self, tensors: Tensors) -> Tensors:
        # In one message: what costs is their number.
        flat = self._summed(tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0))
        parts = tf.split(flat / self.count, [tensor.shape.num_elements() for tensor in tensors])
        return [tf.reshape(p, t.shape) for p, t in zip(parts, tensors, strict=True)]

    def sum(self, values: Values) -> Values:
        flat = self._sum_now(tf.constant(values.reshape(-1)))
        return np.asarray(flat.numpy()).reshape(values.shape)

    def joined(self, rows: Values) -> Values:
        return np.asarray(self._join_now(tf.constant(rows)).numpy())

    def texts(self, text: str) -> list[str]:
        codes = np.frombuffer(text.encode(), np.uint8).astype(np.int32)
        sizes = self.joined(np.array([len(codes)], np.int32))
        parts = np.split(self.joined(codes), np.cumsum(sizes)[:-1])
        return [bytes(part.astype(np.uint8)).decode() for part in parts]

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """TensorFlow's errors about the connection as one that names the worker that is lost.

        Raises:
            WorkerLostError: when another worker ends or is not reachable any more.
        """
        try:
            yield
        except LOST as error:
            raise WorkerLostError(
                f"lost {self._lost(str(error))}. Start the same command with --resume on all"
                " workers to go on from the last saved state"
            ) from error

    def _lost(self, message: str) -> str:
        others = [index for index in range(self.count) if index != self.index]
        gone = [index for index in others if not answers(self.layout.workers[index])]
        told = [int(number) for number in re.findall(r"/task:(\d+)", message)]
        names = gone or sorted(set(told) - {self.index})
        return ", ".join(map(self.layout.name, names)) or f"the others ({message.splitlines()[0]})"

    def _told(self, index: int, message: str) -> str:
        return message if index == self.index else f"{self.layout.name(index)}: {message}"

    def _summed(self, flat: tf.Tensor) -> tf.Tensor:
        def add(values: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(values))

        return self._strategy.run(add, (flat,))

    def _joined(self, rows: tf.Tensor) -> tf.Tensor:
        def gather(values: tf.Tensor) -> tf.Tensor:
            return tf.distribute.get_replica_context().all_gather(tf.identity(values), axis=0)

        return self._strategy.run(gather, (rows,))


def _take_one_gpu(layout: Layout) -> None:
    """Use one of this machine's GPUs: each of the workers on one host takes another."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return
    hosts = [address.rpartition(":")[0] for address in layout.workers]
    here = hosts[layout.index]
    tf.config.set_visible_devices(gpus[hosts[: layout.index].count(here) % len(gpus)], "GPU")
    if hosts.count(here) < len(gpus):
        console.warn(
            f"{here} has {len(gpus)} GPUs and {hosts.count(here)} worker(s): each worker uses one."
            " Start one worker per GPU"
        )
