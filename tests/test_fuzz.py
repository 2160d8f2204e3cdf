"""Thousands of hostile and broken pairs: each is loaded or refused, and nothing else happens.

The required suite opens some hundred; `pytest -m slow tests/test_fuzz.py -s` opens many more and
prints what came of them. See `tests/fuzz/`.
"""

import collections
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.commands.test_convert import layers, objects, write_h5
from tests.conftest import ROOT
from tests.fuzz.worker import MAX_BYTES, MAX_SECONDS
from tests.model.test_checkpoint import FORMAT_1

CANARIES = ["canary.h5", "fifo"]


def fuzz(original: Path, folder: Path, start: int, end: int) -> list[tuple[str, str, float]]:
    """Open the mutated pairs `start` to `end`, in as many processes as survive.

    Returns:
        For each the kind of mutation, what came of it, and the seconds it took. The last is
        ("peak", bytes of address space added, 0) of each process.
    """
    rows: list[tuple[str, str, float]] = []
    while start < end:
        command = [sys.executable, "-m", "tests.fuzz.worker", folder, original, start, end]
        done = subprocess.run(
            list(map(str, command)), cwd=ROOT, capture_output=True, text=True, check=False,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip
        lines = [line.split("\t") for line in done.stdout.splitlines()]
        for line in lines:
            if len(line) == 4:
                rows.append((line[1], line[2], float(line[3])))
            elif line[0] == "peak":
                rows.append(("peak", line[1], 0.0))
            else:
                rows.append((line[1], f"{line[0]} killed by signal {-done.returncode}", 2.0))
        tried = [int(line[0]) for line in lines if line[0] != "peak"]
        assert tried, done.stderr
        start = tried[-1] + 1
        assert done.returncode <= 0, done.stderr
    return rows


def canaries(folder: Path) -> None:
    """What links lead to: an array that must not be read, a pipe that blocks whoever opens it."""
    with h5py.File(folder / "canary.h5", "w") as file:
        file["model_weights"] = np.zeros(3, np.float32)
    os.mkfifo(folder / "fifo")


def check(original: Path, folder: Path, start: int, end: int) -> list[tuple[str, str, float]]:
    canaries(folder)
    before = (folder / "canary.h5").read_bytes()
    rows = fuzz(original, folder, start, end)
    results = [row for row in rows if row[0] != "peak"]
    assert len(results) == end - start
    bad = [row for row in results if row[1] not in ("loaded", "refused")]
    assert bad == []
    assert max(seconds for _, _, seconds in results) < MAX_SECONDS
    assert max(int(row[1]) for row in rows if row[0] == "peak") < MAX_BYTES
    assert sorted(os.listdir(folder)) == sorted([*CANARIES, "model.h5", "model.pkl", "scratch.h5"])
    assert (folder / "canary.h5").read_bytes() == before
    return rows


@pytest.fixture(params=["format 1", "newest HDF5", "ancestor"])
def original(request: pytest.FixtureRequest, tmp_path: Path, ancestor: Any) -> Path:
    """An intact pair to start from."""
    if request.param == "format 1":
        return FORMAT_1
    folder = tmp_path / "original"
    folder.mkdir()
    if request.param == "ancestor":
        (folder / "model.pkl").write_bytes(pickle.dumps(objects(ancestor), 3))
        write_h5(folder / "model.h5", {"class_name": "Sequential", "config": layers()})
        return folder
    shutil.copy(FORMAT_1 / "model.pkl", folder)
    with (
        h5py.File(FORMAT_1 / "model.h5") as old,
        h5py.File(folder / "model.h5", "w", libver="latest") as new,
    ):
        old.copy("model_weights", new)
        new.attrs.update(old.attrs)
    return folder


def test_some_hundred(original: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mutated"
    folder.mkdir()
    results = {result for _, result, _ in check(original, folder, 0, 200)}
    assert results >= {"loaded", "refused"}


@pytest.mark.slow
def test_many(original: Path, tmp_path: Path) -> None:
    """TEXTGEN_FUZZ is how many, of each of the three originals."""
    folder = tmp_path / "mutated"
    folder.mkdir()
    rows = check(original, folder, 0, int(os.environ.get("TEXTGEN_FUZZ", "9000")))
    counts = collections.Counter((kind, result) for kind, result, _ in rows if kind != "peak")
    print()
    for (kind, result), count in sorted(counts.items()):
        print(f"{count:7,} {result:8} {kind}")
    print("slowest:", max(rows, key=lambda row: row[2]))
    print("peak:", max(int(row[1]) for row in rows if row[0] == "peak"), "bytes")
