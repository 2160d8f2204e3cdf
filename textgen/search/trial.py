"""A trial's child process, from both sides, and what a trial may take of the machine."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from multiprocessing import Pipe, connection
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from textgen.model.architecture import weights_per_layer
from textgen.model.history import Row
from textgen.settings.definitions import ModelSettings, TrainingSettings
from textgen.settings.request import TrainRequest
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.parallel import begin_child
from textgen.text import known
from textgen.training import sizing
from textgen.training.batches import tokens_needed

HELD_OUT = 0.1
"""The share that is held out where there is neither held-out text nor a `validation_split`."""

Tell = Callable[[dict[str, Any]], object]
"""Sends a message to the parent."""


class StoppedError(Exception):
    """The search was asked to stop."""


class ChildError(TextgenError):
    """A child process failed, for the reason in the message."""


def needs(settings: Mapping[str, Any], vocabulary_size: int) -> dict[str, float]:
    """Returns what a training takes of the machine and of the text, by name.

    `weights`; `GiB of memory`, as `sizing.memory_needed` estimates them; `tokens of text`, which
    fill a batch. Raises TextgenError if settings contradict each other.
    """
    model, training = ModelSettings.from_given(settings), TrainingSettings.from_given(settings)
    return {
        "weights": sum(weights_per_layer(model, vocabulary_size).values()),
        "GiB of memory": sizing.memory_needed(model, training, vocabulary_size) / 2**30,
        "tokens of text": tokens_needed(
            training.batch_size, training.seq_length, training.seq_step
        ),
    }


class Children:
    """The running child processes; from any thread, all of them can be ended at once.

    Args:
        work: what they do, given an order and `Tell` (default: `carry_out`).
    """

    def __init__(self, work: Callable[[dict[str, Any], Tell], object] | None = None) -> None:
        self.work = work or carry_out
        self.stopped = False
        self._running: set[SpawnProcess] = set()
        self._lock = threading.Lock()  # a process that begins asks after all others

    def stop(self) -> None:
        """Ends all children, and starts none any more."""
        self.stopped = True
        for process in list(self._running):
            process.kill()

    def messages(self, order: dict[str, Any], loud: bool = False) -> Generator[dict[str, Any]]:
        """Starts a child and yields its messages; where the caller ends listening, it is killed.

        Args:
            order: see `carry_out`.
            loud: whether its standard error is shown.

        Raises:
            TextgenError: with the message of the child's own.
            ChildError: if it fails otherwise.
            StoppedError: if `stop` was called.
        """
        channel, its = Pipe(duplex=False)
        with self._lock:
            process = begin_child(_begin, self.work, order, its, loud)
            self._running.add(process)
        its.close()
        try:
            if not self.stopped:
                yield from _heard(channel)
                connection.wait([process.sentinel])
            if self.stopped:
                raise StoppedError
            with self._lock:
                process.join()
            if process.exitcode:
                raise ChildError(_reason(process.exitcode))
        finally:
            process.kill()
            connection.wait([process.sentinel])
            with self._lock:
                process.join()
            self._running.discard(process)
            channel.close()


def _heard(channel: Connection) -> Generator[dict[str, Any]]:
    """Yields what a child says, until it ends, perhaps in the middle of it."""
    with suppress(EOFError, OSError):
        while True:
            message = channel.recv()
            if isinstance(message, TextgenError):
                raise message
            yield message


def _reason(code: int) -> str:
    """Returns why a child failed that could not say so: by a signal, or an exit code."""
    if code > 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    hint = " (the system does so when memory runs out)" if name == "SIGKILL" else ""
    return f"killed by {name}{hint}"


def _begin(
    work: Callable[[dict[str, Any], Tell], object],
    order: dict[str, Any],
    channel: Connection,
    loud: bool,
) -> None:
    """In the child: does the work, and tells what goes wrong."""
    os.dup2(2 if loud else os.open(os.devnull, os.O_WRONLY), 1)  # standard output is not for it
    if not loud:
        os.dup2(1, 2)
    try:
        work(order, channel.send)
    except TextgenError as error:
        channel.send(error)
    except Exception as error:
        channel.send(ChildError(traceback.format_exception_only(error)[-1].strip()))
        raise


def carry_out(order: dict[str, Any], tell: Tell) -> None:
    """Plans, and trains if there is a folder for it.

    Args:
        order: `data_dir`, `given` (settings of a training), `folder` (where the model goes, or
            None), `log` (a folder for TensorBoard, or None), `threads`, `verbosity`, and may be
            `flags` (those that settings are printed as).
        tell: gets `{"plan": ...}`, or `{"row": ..., "fraction": ...}` after every epoch.
    """
    level = console.Verbosity(order["verbosity"])
    with console.verbosity(level), console.flags_for_settings():
        console.add_flags(order.get("flags", {}))
        if order["folder"]:
            _train(order, tell)
        else:
            tell({"plan": _plan(order)})


def _plan(order: dict[str, Any]) -> dict[str, Any]:
    """Returns a training's settings, and what is known of its text, as built-in values."""
    data_dir, given = Path(order["data_dir"]), dict(order["given"])
    share = given.get("validation_split", 0.0)
    if not share and known.find_or_make_texts(data_dir, 0.0).validation is None:
        given["validation_split"] = HELD_OUT
        console.say(
            f"{data_dir} has no validate.txt: holding out {HELD_OUT:.0%} of the text to compare"
            " the trials on (`validation_split` takes another share)"
        )
    from textgen.training.plan import make_plan, with_random_seed  # here: it imports TensorFlow

    plan = make_plan(TrainRequest(data_dir, given))
    settings = plan._replace(training=with_random_seed(plan.training)).setup.settings
    return {
        "settings": {name: value for name, value in settings.items() if value is not None},
        "vocabulary_size": len(plan.corpus.tokenizer.vocabulary),
        "num_tokens": len(plan.corpus.training.ids),
        "texts": plan.corpus.hashes,
    }


def _train(order: dict[str, Any], tell: Tell) -> None:
    """Trains with the settings given, and tells the row of each epoch."""
    from textgen.model.backend import tf  # here: TensorFlow takes seconds to import
    from textgen.training.live import TensorBoardLog
    from textgen.training.plan import make_plan
    from textgen.training.run import fit

    tf.config.threading.set_intra_op_parallelism_threads(order["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(order["threads"])
    plan = make_plan(TrainRequest(Path(order["data_dir"]), order["given"]))
    log = TensorBoardLog(Path(order["log"])) if order["log"] else None

    def on_epoch(row: Row, fraction: float) -> None:
        if log:
            log.write_row(row)
        tell({"row": row, "fraction": fraction})

    fit(Path(order["folder"]), plan, on_epoch=on_epoch)
