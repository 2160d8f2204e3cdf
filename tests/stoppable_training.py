"""train.py as it is, but for its writing, which stops or fails at a moment of the test's choice.

    python -m tests.stoppable_training HOW MOMENT [flags of train.py]

Moments are counted from 1: each call of steps, and several within each write. At MOMENT, by HOW:

- `hang`: prints "moment" and does no more, so that the test can kill the process right there;
- `full`: this write and all that follow fail, as on a disk without space.

Where nothing is to be killed, a test calls `stoppable` in its own process.
"""

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from textgen.commands import run, train
from textgen.model.backend import keras
from textgen.training.schedule import RunClock


class Moments:
    """Counts them, and stops a training at one of them."""

    def __init__(self, how: str, stop_at: int) -> None:
        self.how, self.stop_at, self.count = how, stop_at, 0

    def pass_one(self, writing: bool = True) -> None:
        self.count += 1
        if self.how == "hang" and self.count == self.stop_at:
            print("moment", flush=True)
            sys.stdin.read()
        if self.how == "full" and self.count >= self.stop_at and writing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def stoppable(*arguments: Any, **options: Any) -> Any:
            self.pass_one()
            return call(*arguments, **options)

        return stoppable


@contextlib.contextmanager
def stoppable(how: str, stop_at: int) -> Iterator[Moments]:
    """Trainings in this block stop at a moment; 0: at none, they are but counted."""
    moments = Moments(how, stop_at)
    count_steps, save_arrays = RunClock.count_steps, np.savez

    def by_halves(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
            file.flush()
            moments.pass_one()
            return file.write(data[len(data) // 2 :])

    def saved_by_halves(path: Path, **arrays: Any) -> None:
        save_arrays(path, **arrays)
        by_halves(path, path.read_bytes())

    def counted(self: RunClock, steps: int) -> None:
        moments.pass_one(writing=False)
        count_steps(self, steps)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunClock, "count_steps", counted)
        patch.setattr(os, "fsync", moments.before(os.fsync))
        patch.setattr(Path, "replace", moments.before(Path.replace))
        patch.setattr(Path, "write_bytes", by_halves)
        patch.setattr(keras.Model, "save", moments.before(keras.Model.save))
        patch.setattr(np, "savez", saved_by_halves)
        yield moments


if __name__ == "__main__":
    with stoppable(sys.argv[1], int(sys.argv[2])):
        sys.exit(run(sys.argv[3:], train.main))
