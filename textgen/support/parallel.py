"""Work spread over all cores and in other processes, and how Ctrl-C ends it.

Threads on all cores go with a matrix library that works on one.

NumPy lets go of Python's lock inside its operations, so threads with a batch each use the cores
better than a matrix library that splits every small product: OpenBLAS, on a machine that is busy
with other work, makes such a product up to 100 times slower.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from threadpoolctl import threadpool_limits

from textgen.support import console

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

Part = TypeVar("Part")
Result = TypeVar("Result")

SIGNALS = (signal.SIGINT, signal.SIGTERM)

_lock = threading.Lock()
_users = 0
_limits: threadpool_limits | None = None


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Lets the matrix library work on one thread; the setting is the whole process's.

    Blocks may overlap in any order, in any threads: the last one to end restores the setting.
    """
    global _users, _limits
    with _lock:
        _users += 1
        if _users == 1:
            _limits = threadpool_limits(1, user_api="blas")
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0 and _limits is not None:
                _limits.restore_original_limits()


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Holds Python's search for circular garbage back, for work that makes much that stays.

    Each few hundred new objects begin a search, which finds none of them to be garbage.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def map_in_threads(
    work: Callable[[Sequence[Part], threading.Event], list[Result]],
    parts: Sequence[Part],
    smallest_share: int,
) -> list[Result]:
    """Returns the results of `work` on all `parts`, in order; each thread works on a share of them.

    Args:
        work: given some parts, and an event that tells it to give up, returns a result for each.
        parts: the work to do.
        smallest_share: the number of parts for which a thread is worth its cost.

    Raises:
        Exception: the first one that `work` raised; the other threads are told to give up.
    """
    shares = max(1, min(cores(), len(parts) // smallest_share))
    given_up = threading.Event()
    if shares == 1:
        return work(parts, given_up)
    from concurrent.futures import ThreadPoolExecutor  # here, for the start of `sample.py`

    bounds = [len(parts) * number // shares for number in range(shares + 1)]
    with ThreadPoolExecutor(shares) as pool:
        futures = [pool.submit(work, parts[start:end], given_up) for start, end in pairwise(bounds)]
        try:
            return [result for future in futures for result in future.result()]
        finally:
            given_up.set()  # after an error, or Ctrl-C, in one of them


def begin_child(work: Callable[..., object], *arguments: object) -> SpawnProcess:
    """Returns a process that has begun `work`; it ends with this one, and Ctrl-C does not reach it.

    It is a new Python, because TensorFlow's threads do not survive a fork.
    """
    import multiprocessing  # here, for the start of `sample.py`

    child = multiprocessing.get_context("spawn").Process(target=_child, args=(work, *arguments))
    with _without_ctrl_c():  # until the child ignores it itself
        child.start()
    return child


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Holds Ctrl-C back in this thread and, where there are such masks, in processes it begins."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _child(work: Callable[..., object], *arguments: object) -> None:
    follow_parent()
    work(*arguments)


def follow_parent() -> None:
    """Leaves Ctrl-C to the parent of this process, and ends at once when that has ended."""
    import multiprocessing

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(parent: int) -> None:
    from multiprocessing import connection

    connection.wait([parent])
    os._exit(1)


class StopSignals:
    """Notes Ctrl-C and SIGTERM within a block: the first asks to stop well.

    The second one raises KeyboardInterrupt wherever the program is.

    Args:
        message: what happens then.
        stop: is called at the first one.
    """

    def __init__(self, message: str, stop: Callable[[], object] = lambda: None) -> None:
        self.requested = False
        self._message, self._stop = message, stop
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():  # others cannot take signals
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        if console.current() <= console.Verbosity.QUIET and not console.in_notebook():
            # Not by a note: a signal may come in the middle of printing one.
            os.write(2, f"\n{self._message}; once more stops at once\n".encode())
        self._stop()


def cores() -> int:
    """The number of the processor's cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
