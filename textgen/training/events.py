"""TensorBoard's logs of a run: scalars per epoch, and what the model writes."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textgen.model.backend import keras, tf
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.training.history import RATIO, Row
from textgen.training.workspace import work_folder


def check_installed() -> None:
    """Raise TextgenError where TensorBoard, which no other part needs, is missing."""
    if importlib.util.find_spec("tensorboard") is None:
        raise TextgenError("--tensorboard needs TensorBoard. Install it: pip install tensorboard")


def folder(data_dir: Path) -> Path:
    """Where the logs of all runs in `data_dir` are, each in a folder with its number."""
    return work_folder(data_dir) / "tensorboard"


def opened(data_dir: Path, resumed: bool, row: Callable[[], Row]) -> Events:
    """The logs of a run in `data_dir`, a new one or the one that is `resumed`; see `Events`.

    Raises:
        TextgenError: where TensorBoard is missing.
    """
    check_installed()
    console.say(f"to watch: tensorboard --logdir {folder(data_dir)}")
    return Events(run_folder(data_dir, resumed), row)


def run_folder(data_dir: Path, resumed: bool) -> Path:
    """The folder of a run in `data_dir`: that of the last run if `resumed`, else a new one."""
    names = [path.name for path in folder(data_dir).glob("*")]
    last = max((int(name) for name in names if name.isdecimal()), default=0)
    return folder(data_dir) / str(max(last, 1) if resumed else last + 1)


class Log:
    """Writes rows of the history, by step, and texts to a folder that TensorBoard shows."""

    def __init__(self, place: Path) -> None:
        self._writer = tf.summary.create_file_writer(str(place))

    def write(self, row: Row) -> None:
        """Write the row of an epoch."""
        with self._writer.as_default(step=int(row["step"])):
            for name, value in row.items():
                tf.summary.scalar(_tag(name), value)
        self._writer.flush()

    def write_text(self, name: str, text: str, step: int) -> None:
        """Write a text, which is shown as it is."""
        indented = "\n".join(f"    {line}" for line in text.splitlines())
        with self._writer.as_default(step=step):
            tf.summary.text(name, indented)
        self._writer.flush()


class Events(keras.callbacks.Callback):
    """Writes each epoch's row of the history, and samples.

    Args:
        place: the folder of the run.
        row: gives the row of the epoch that has ended.
    """

    def __init__(self, place: Path, row: Callable[[], Row]) -> None:
        super().__init__()
        self.row, self._log = row, Log(place)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._log.write(self.row())

    def write_sample(self, title: str, seed: str, text: str) -> None:
        """Keep a sample; those of one diversity are shown together."""
        self._log.write_text(title.split(", ")[-1], seed + text, int(self.row()["step"]))


def _tag(column: str) -> str:
    """Columns of one kind share a section of the page."""
    if column.startswith(RATIO):
        return f"update_ratio/{column.removeprefix(RATIO)}"
    return f"loss/{column}" if column in ("loss", "val_loss") else column
