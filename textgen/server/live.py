"""A training in progress: the rows of history.csv, and the newest live samples."""

import asyncio
import csv
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from textgen.support.files import stamp
from textgen.training.live import read_samples, sample_file

SECONDS_BETWEEN_LOOKS = 1.0
MOST_ROWS = 2000
"""Epochs that are shown."""


def rows(data_dir: Path) -> list[dict[str, float]]:
    """Returns the epochs in history.csv; what is no number is left out."""
    try:
        with (data_dir / "history.csv").open(encoding="utf-8", newline="") as file:
            return [_numbers(row) for row in csv.DictReader(file)][-MOST_ROWS:]
    except (OSError, ValueError, csv.Error):
        return []


def _numbers(row: dict[str | Any, str | Any]) -> dict[str, float]:
    numbers = {}
    for name, text in row.items():
        try:
            number = float(text)
        except (TypeError, ValueError):
            continue
        if isinstance(name, str) and math.isfinite(number):
            numbers[name] = number
    return numbers


async def updates(data_dir: Path, closing: asyncio.Event) -> AsyncIterator[dict[str, Any]]:
    """Yields what is to be shown, now and whenever it changes.

    Args:
        data_dir: the folder of the run.
        closing: ends it.
    """
    shown = None
    while not closing.is_set():
        stamps = await asyncio.to_thread(_stamps, data_dir)
        if stamps != shown:
            shown = stamps
            yield await asyncio.to_thread(_state, data_dir)
        try:
            await asyncio.wait_for(closing.wait(), SECONDS_BETWEEN_LOOKS)
        except TimeoutError:
            continue


def _stamps(data_dir: Path) -> list[tuple[int, ...]]:
    return [stamp(data_dir / "history.csv"), stamp(sample_file(data_dir))]


def _state(data_dir: Path) -> dict[str, Any]:
    return {"rows": rows(data_dir), "samples": read_samples(data_dir)}
