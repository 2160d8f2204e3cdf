"""TensorBoard's logs of a run: scalars per epoch, and what the model writes."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textgen.backend import keras, tf
from textgen.errors import TextgenError
from textgen.history import RATIO, Row
from textgen.workspace import work_folder


def check_installed() -> None:
    """Raise TextgenError where TensorBoard, which no other part needs, is missing."""
    if importlib.util.find_spec("tensorboard") is None:
        raise TextgenError("--tensorboard needs TensorBoard. Install it: pip install tensorboard")


def folder(data_dir: Path) -> Path:
    """Where the logs of all runs in `data_dir` are, each in a folder with its number."""
    return work_folder(data_dir) / "tensorboard"


class Events(keras.callbacks.Callback):
    """Writes each epoch's row of the history, by step, and texts.

    Args:
        data_dir: the data directory.
        resumed: go on with the logs of the last run there, not with new ones.
        row: gives the row of the epoch that has ended.
    """

    def __init__(self, data_dir: Path, resumed: bool, row: Callable[[], Row]) -> None:
        super().__init__()
        self.row = row
        last = max((int(path.name) for path in folder(data_dir).glob("[0-9]*")), default=0)
        run = max(last, 1) if resumed else last + 1
        self._writer = tf.summary.create_file_writer(str(folder(data_dir) / str(run)))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        row = self.row()
        with self._writer.as_default(step=int(row["step"])):
            for name, value in row.items():
                tf.summary.scalar(_tag(name), value)
        self._writer.flush()

    def write_sample(self, title: str, seed: str, text: str) -> None:
        """Keep a sample; it is shown as it is, and those of one diversity together."""
        indented = "\n".join(f"    {line}" for line in (seed + text).splitlines())
        with self._writer.as_default(step=int(self.row()["step"])):
            tf.summary.text(title.split(", ")[-1], indented)
        self._writer.flush()


def _tag(column: str) -> str:
    """Columns of one kind share a section of the page."""
    if column.startswith(RATIO):
        return f"update_ratio/{column.removeprefix(RATIO)}"
    return f"loss/{column}" if column in ("loss", "val_loss") else column
