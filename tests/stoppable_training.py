"""train.py as it is, but for its writing, which stops or fails at a moment of the test's choice.

    python -m tests.stoppable_training HOW MOMENT [flags of train.py]

Moments are counted from 1: each call of steps, and several within each write. At MOMENT, by HOW:

- `hang`: prints "moment" and does no more, so that the test can kill the process right there;
- `full`: this write and all that follow fail, as on a disk without space.

At the end the number of moments is printed.
"""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from textgen.commands import run, train
from textgen.model.backend import keras
from textgen.training.schedule import RunClock

how, stop_at = sys.argv[1], int(sys.argv[2])
count = 0


def moment(writing: bool = True) -> None:
    global count
    count += 1
    if how == "hang" and count == stop_at:
        hang()
    if how == "full" and count >= stop_at and writing:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def hang() -> None:
    print("moment", flush=True)
    sys.stdin.read()


def before(call: Callable[..., Any]) -> Callable[..., Any]:
    def stoppable(*arguments: Any, **options: Any) -> Any:
        moment()
        return call(*arguments, **options)

    return stoppable


def by_halves(self: Path, data: bytes) -> int:
    with self.open("wb") as file:
        file.write(data[: len(data) // 2])
        file.flush()
        moment()
        return file.write(data[len(data) // 2 :])


def saved_by_halves(path: Path, **arrays: Any) -> None:
    save_arrays(path, **arrays)
    by_halves(path, path.read_bytes())


def counted(self: RunClock, steps: int) -> None:
    moment(writing=False)
    count_steps(self, steps)


count_steps, save_arrays = RunClock.count_steps, np.savez
RunClock.count_steps = counted  # type: ignore[method-assign]
os.fsync = before(os.fsync)
Path.replace = before(Path.replace)  # type: ignore[method-assign]
Path.write_bytes = by_halves  # type: ignore[method-assign,assignment]
keras.Model.save = before(keras.Model.save)
np.savez = saved_by_halves

if __name__ == "__main__":
    code = run(sys.argv[3:], train.main)
    print(count)
    sys.exit(code)
