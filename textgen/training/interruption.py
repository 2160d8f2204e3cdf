"""Ctrl-C and SIGTERM while training: the first asks to stop well, the second stops at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from textgen.model.backend import keras

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop, and stands where it can be saved."""


class Interruption(keras.callbacks.Callback):
    """Raises `Interrupted` between two calls of steps, once a signal has come.

    A context manager too: signals are listened to within it. The second one raises
    KeyboardInterrupt wherever the program is.

    Args:
        agree: tells whether any of the machines that train together was asked, given whether this
            one was.
    """

    def __init__(self, agree: Callable[[bool], bool] = bool) -> None:
        super().__init__()
        self.requested, self.agree = False, agree
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
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
        # Not by `console`: a signal may come in the middle of its printing.
        os.write(2, b"\nfinishing the step and saving; once more stops at once\n")

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.agree(self.requested):
            raise Interrupted
