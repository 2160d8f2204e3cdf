"""Shows a run's model while it lasts: samples, printed and for the live page, and TensorBoard.

The page of the service reads the newest samples from a file, without TensorFlow.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from textgen.generation.generator import Generator
from textgen.model.architecture import Array
from textgen.model.history import RATIO, Row
from textgen.model.network import Network
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import work_folder, write_atomic

if TYPE_CHECKING:
    from textgen.model.checkpoint import Metadata

TEMPERATURES = (0.2, 0.5, 1.0, 1.2)
KEPT = 12
"""The newest samples; an epoch has four."""


class Sample(NamedTuple):
    """A text that the model wrote after an epoch."""

    epoch: float
    """From 1; a share where the epoch has not ended."""
    temperature: float
    seed: str
    text: str
    """The text that follows the seed."""

    @property
    def title(self) -> str:
        """Its heading."""
        return f"epoch {self.epoch:g}, diversity {self.temperature}"


def samples(metadata: Metadata, weights: dict[str, Array], epoch: float) -> Iterator[Sample]:
    """Yields what the model writes after an epoch, at several temperatures.

    Each epoch has its seed, so that a resumed run goes on with those of an uninterrupted one.
    """
    tokenizer = metadata.tokenizer
    generator = Generator(Network(metadata.model, weights), tokenizer)
    rng = np.random.default_rng([metadata.training.random_seed or 0, math.ceil(epoch) - 1])
    starts = [] if tokenizer.settings.documents else metadata.line_starts
    seed = tokenizer.folded(str(rng.choice(starts or [""])), tokenizer.settings)
    for temperature in TEMPERATURES:
        text = generator.generate(seed, tokenizer.live_length, temperature)
        yield Sample(epoch, temperature, seed, text)


def sample_file(data_dir: Path) -> Path:
    """Returns where the newest samples are: `.textgen/samples.json`."""
    return work_folder(data_dir) / "samples.json"


class SampleFile:
    """Keeps the newest samples of a run.

    Args:
        data_dir: the data directory.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = sample_file(data_dir)
        self._samples: list[dict[str, str]] = []

    def write(self, sample: Sample) -> None:
        """Keep a sample, the newest first."""
        values = {"title": sample.title, "seed": sample.seed, "text": sample.text}
        self._samples = [values, *self._samples][:KEPT]
        write_atomic(self._path, json.dumps(self._samples).encode())


def read_samples(data_dir: Path) -> list[dict[str, Any]]:
    """Returns the newest samples of the last run that kept any; empty where there are none."""
    try:
        samples = json.loads(sample_file(data_dir).read_bytes())
    except (OSError, ValueError):
        return []
    return samples if isinstance(samples, list) else []


def check_tensorboard() -> None:
    """Raises TextgenError where TensorBoard, which no other part needs, is missing."""
    if importlib.util.find_spec("tensorboard") is None:
        raise TextgenError("`tensorboard` needs TensorBoard. Install it: pip install tensorboard")


def tensorboard_folder(data_dir: Path) -> Path:
    """Returns where the logs of all runs in `data_dir` are, each in a folder with its number."""
    return work_folder(data_dir) / "tensorboard"


class TensorBoardLog:
    """Writes rows of the history, by step, and samples to a folder that TensorBoard shows."""

    def __init__(self, folder: Path) -> None:
        from textgen.model.backend import tf  # only here: the live page needs no TensorFlow

        self._folder, self._summary, self._error = folder, tf.summary, tf.errors.OpError
        self._writer = tf.summary.create_file_writer(str(folder))

    @classmethod
    def open(cls, data_dir: Path, resumed: bool) -> TensorBoardLog:
        """Open the log of a new run in `data_dir`, or of the last one if it is `resumed`.

        Raises:
            TextgenError: where TensorBoard is missing.
        """
        check_tensorboard()
        folder = tensorboard_folder(data_dir)
        console.say(f"to watch: tensorboard --logdir {folder}")
        names = [path.name for path in folder.glob("*")]
        last = max((int(name) for name in names if name.isdecimal()), default=0)
        return cls(folder / str(max(last, 1) if resumed else last + 1))

    def write_row(self, row: Row) -> None:
        """Write the row of an epoch. Raises TextgenError where the disk does not take it."""
        with self._flushed(int(row["step"])):
            for name, value in row.items():
                self._summary.scalar(_tag(name), value)

    def write_sample(self, sample: Sample, step: int) -> None:
        """Write a sample, shown as it is; those of one temperature are shown together.

        Raises TextgenError where the disk does not take it.
        """
        indented = "\n".join(f"    {line}" for line in (sample.seed + sample.text).splitlines())
        with self._flushed(step):
            self._summary.text(f"diversity {sample.temperature}", indented)

    @contextlib.contextmanager
    def _flushed(self, step: int) -> Iterator[None]:
        """What is written meanwhile is of this step, and on the disk at the end."""
        try:
            with self._writer.as_default(step=step):
                yield
            self._writer.flush()
        except self._error as error:
            full = "No space left on device"
            reason = full if full in str(error) else "an error of TensorFlow's"
            raise TextgenError(
                f"cannot write {self._folder} ({reason}): check the folder, its permissions and the"
                " free space, then go on with `resume`"
            ) from error


class LiveView:
    """Shows the rows and the samples of a run wherever its settings ask for them.

    Args:
        data_dir: the data directory.
        metadata: what is known of the model.
        resumed: whether the run goes on.
        keep_samples: write samples for the live page, also where they are shown nowhere else.
    """

    def __init__(
        self, data_dir: Path, metadata: Metadata, resumed: bool, keep_samples: bool
    ) -> None:
        settings = metadata.training
        is_quiet = console.current() > console.Verbosity.USUAL
        self.metadata, self._prints = metadata, settings.live_sample and not is_quiet
        self._log = TensorBoardLog.open(data_dir, resumed) if settings.tensorboard else None
        self._samples = bool(keep_samples or settings.live_sample or self._log)
        self._file = SampleFile(data_dir)
        if not resumed:
            sample_file(data_dir).unlink(missing_ok=True)  # of the run before

    def show(self, row: Row, weights: dict[str, Array]) -> None:
        """Show an epoch: its row, and what the model writes with its weights, by path."""
        if self._log:
            self._log.write_row(row)
        if not self._samples:
            return
        for sample in samples(self.metadata, weights, row["epoch"]):
            if self._prints:
                console.heading(sample.title)
                console.show(console.paint(sample.seed, "cyan", sys.stdout) + sample.text)
            if self._log:
                self._log.write_sample(sample, int(row["step"]))
            self._file.write(sample)


def _tag(column: str) -> str:
    """Returns the name of a column there; columns of one kind share a section of the page."""
    if column.startswith(RATIO):
        return f"update_ratio/{column.removeprefix(RATIO)}"
    return f"loss/{column}" if column in ("loss", "val_loss") else column
