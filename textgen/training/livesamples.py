"""What a model wrote while it was trained, in a file that the live view of the service shows."""

import json
from pathlib import Path
from typing import Any

from textgen.support.files import write_atomic
from textgen.training.workspace import work_folder

KEPT = 12
"""The newest samples; an epoch has four."""


def file_of(data_dir: Path) -> Path:
    """Where the samples are: `.textgen/samples.json`."""
    return work_folder(data_dir) / "samples.json"


class SampleFile:
    """Keeps the newest samples of a run.

    Args:
        data_dir: the data directory.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = file_of(data_dir)
        self._samples: list[dict[str, str]] = []

    def write(self, title: str, seed: str, text: str) -> None:
        """Keep a sample, the newest first."""
        sample = {"title": title, "seed": seed, "text": text}
        self._samples = [sample, *self._samples][:KEPT]
        write_atomic(self._path, json.dumps(self._samples).encode())


def read(data_dir: Path) -> list[dict[str, Any]]:
    """The newest samples of the last run that kept any; empty where there are none."""
    try:
        samples = json.loads(file_of(data_dir).read_bytes())
    except (OSError, ValueError):
        return []
    return samples if isinstance(samples, list) else []
