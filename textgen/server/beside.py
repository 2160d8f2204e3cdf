"""The page of a training in progress, served by a process beside it: `train.py --serve`.

A process of its own takes nothing from the training but what its visitors ask for.
"""

import multiprocessing
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from textgen.commands.serve import check_installed, listening, serve
from textgen.settings.server import ServerSettings
from textgen.support.parallel import end_with_parent

SECONDS_TO_END = 10


@contextmanager
def beside(data_dir: Path, port: int) -> Iterator[None]:
    """Serve the folder of a run meanwhile.

    Raises:
        TextgenError: if the port cannot be used, or the service is not installed.
    """
    check_installed()
    settings = ServerSettings(port=port, watch=True, grace_seconds=0)
    with listening(settings) as listener:
        context = multiprocessing.get_context("spawn")  # TensorFlow's threads do not survive a fork
        process = context.Process(target=_serve, args=(data_dir, settings, listener), daemon=True)
        process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join(SECONDS_TO_END)


def _serve(data_dir: Path, settings: ServerSettings, listener: socket.socket) -> None:
    """In the other process: serve until the training ends, whichever way."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the training, which ends this
    end_with_parent()
    try:
        serve([data_dir], settings, listener)
    except KeyboardInterrupt:
        os._exit(0)
