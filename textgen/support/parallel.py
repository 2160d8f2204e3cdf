"""Work spread over all cores: a thread for each, and a matrix library that works on one.

NumPy lets go of Python's lock inside its operations, so threads with a batch each use the cores
better than a matrix library that splits every small product: OpenBLAS, on a machine that is busy
with other work, makes such a product up to 100 times slower.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing import connection
from typing import TypeVar

from threadpoolctl import threadpool_limits

Part = TypeVar("Part")
Result = TypeVar("Result")

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
    bounds = [len(parts) * number // shares for number in range(shares + 1)]
    with ThreadPoolExecutor(shares) as pool:
        futures = [pool.submit(work, parts[start:end], given_up) for start, end in pairwise(bounds)]
        try:
            return [result for future in futures for result in future.result()]
        finally:
            given_up.set()  # after an error, or Ctrl-C, in one of them


def end_with_parent() -> None:
    """Sends SIGTERM to this process when the one that began it has ended, however it did."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(parent: int) -> None:
    connection.wait([parent])
    os.kill(os.getpid(), signal.SIGTERM)


def cores() -> int:
    """The number of the processor's cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
