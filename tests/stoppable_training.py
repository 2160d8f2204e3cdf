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
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textgen.commands import run, train
from textgen.model.backend import keras, tf
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


def in_the_middle(save: Callable[..., Any]) -> Callable[..., Any]:
    """TensorFlow writes on while the test is told to kill: the moment is a random one."""

    def stoppable(*arguments: Any, **options: Any) -> Any:
        if how == "hang" and count + 1 == stop_at:
            threading.Thread(target=save, args=arguments, daemon=True).start()
        try:
            moment()
        except OSError as error:
            raise tf.errors.ResourceExhaustedError(None, None, error.strerror) from error
        return save(*arguments, **options)

    return stoppable


def counted(self: RunClock, steps: int) -> None:
    moment(writing=False)
    count_steps(self, steps)


count_steps = RunClock.count_steps
RunClock.count_steps = counted  # type: ignore[method-assign]
os.fsync = before(os.fsync)
Path.replace = before(Path.replace)  # type: ignore[method-assign]
Path.write_bytes = by_halves  # type: ignore[method-assign,assignment]
keras.Model.save = before(keras.Model.save)
tf.train.CheckpointManager.save = in_the_middle(tf.train.CheckpointManager.save)

if __name__ == "__main__":
    code = run(sys.argv[3:], train.main)
    print(count)
    sys.exit(code)
