"""Real worker processes on loopback: equal to one process, killed, resumed, refused.

The required suite has one pair that trains in peace, in few steps that XLA does not compile.
"""

import csv
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.conftest import ROOT, VERSES, run_here, run_python, write_texts
from textgen.commands import train
from textgen.model import checkpoint
from textgen.training.workers import Layout

pytestmark = pytest.mark.xdist_group("distributed")

FLAGS = (
    "--embedding-size", "8", "--rnn-size", "16", "--num-layers", "1", "--batch-size", "8",
    "--seq-length", "20", "--seq-step", "10", "--steps-per-epoch", "40", "--num-epochs", "5",
    "--learning-rate", "0.003", "--random-seed", "5", "--live-sample", "--save-every", "24",
)  # fmt: skip
"""200 steps."""
SHORT = ("--steps-per-epoch", "8", "--num-epochs", "2")
TRAIN = ("train.py",)
CONSTANT = ("--dropout", "0.3", "--schedule", "constant", "--warmup-steps", "0")
"""A run whose first epochs do not depend on how long it is."""


class Ended(NamedTuple):
    """What came of a process."""

    code: int
    shown: str
    said: str


def text_folder(folder: Path, text: str = VERSES * 8) -> Path:
    return write_texts(folder, text)


def free_addresses(count: int) -> str:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = ",".join(f"127.0.0.1:{server.getsockname()[1]}" for server in sockets)
    for server in sockets:
        server.close()
    return addresses


def started(*arguments: object, tf_config: str = "") -> "subprocess.Popen[str]":
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("TF_CONFIG", None)
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)], cwd=ROOT, encoding="utf-8", text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment | ({"TF_CONFIG": tf_config} if tf_config else {}),
    )  # fmt: skip


def together(folders: Sequence[Path], *flags: str) -> list[Ended]:
    """Train with a worker in each folder."""
    workers = ("--workers", free_addresses(len(folders)), "--worker-index")
    processes = [
        started(*TRAIN, "--data-dir", folder, *workers, index, *FLAGS, *flags)
        for index, folder in enumerate(folders)
    ]
    return [ended(process) for process in processes]


def ended(process: "subprocess.Popen[str]", seconds: float = 200) -> Ended:
    try:
        shown, said = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return Ended(process.returncode, shown, said)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


class Pair(NamedTuple):
    """Two folders in which one model was trained by two workers, in peace."""

    chief: Path
    other: Path
    ended: list[Ended]


def trained_pair(home: Path, *flags: str) -> Pair:
    folders = [text_folder(home / name) for name in ("chief", "other")]
    done = together(folders, *flags)
    assert [process.code for process in done] == [0, 0], done[0].said + done[1].said
    return Pair(*folders, done)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return trained_pair(tmp_path_factory.mktemp("pair"))


def check_equal_to_one(pair: Pair, alone: Path, *flags: str) -> None:
    """That one process, which trains in the folder `alone`, comes to the same model."""
    folder = text_folder(alone)
    done = run_here(train.main, "--data-dir", folder, *FLAGS, *flags)
    assert done.returncode == 0, done.stderr
    for ours, theirs in zip(rows(pair.chief), rows(folder), strict=True):
        for column in ("loss", "val_loss", "learning_rate", "gradient_norm"):
            assert float(ours[column]) == pytest.approx(float(theirs[column]), rel=1e-6)
    weights = checkpoint.load(pair.chief / "latest").weights
    for path, array in checkpoint.load(folder / "latest").weights.items():
        difference = np.linalg.norm(weights[path] - array) / np.linalg.norm(array)
        assert difference < 1e-6, path


def test_two_workers_train_the_model_that_one_trains_and_only_the_chief_speaks_and_writes(
    light: None, tmp_path: Path
) -> None:
    pair = trained_pair(tmp_path, *SHORT)
    check_equal_to_one(pair, tmp_path / "alone", *SHORT)
    assert rows(pair.chief)[-1]["step"] == "16"
    chief, other = pair.ended
    assert "epoch 2/2" in chief.said
    assert chief.said.count("epoch 2, diversity 0.5") == 1
    assert (other.shown, other.said) == ("", "")
    assert sorted(path.name for path in pair.other.iterdir()) == [
        ".textgen", "input.txt", "validate.txt",
    ]  # fmt: skip
    assert not (pair.other / ".textgen" / "checkpoints").exists()


@pytest.mark.slow
def test_two_workers_train_the_model_that_one_trains_in_200_compiled_steps(
    pair: Pair, tmp_path: Path
) -> None:
    check_equal_to_one(pair, tmp_path / "alone")
    assert rows(pair.chief)[-1]["step"] == "200"


@pytest.mark.slow
def test_a_killed_worker_ends_the_others_and_resuming_loses_nothing(
    pair: Pair, tmp_path: Path
) -> None:
    folders = [text_folder(tmp_path / name) for name in ("chief", "other")]
    addresses = free_addresses(2)
    workers = ("--workers", addresses, "--worker-index")
    chief = started(*TRAIN, "--data-dir", folders[0], *workers, 0, *FLAGS)
    other = started(*TRAIN, "--data-dir", folders[1], *workers, 1, *FLAGS)
    assert chief.stderr is not None
    assert any(line.startswith("epoch 2/5") for line in chief.stderr)
    other.kill()
    start = time.monotonic()
    code, _, said = ended(chief, seconds=60)
    assert time.monotonic() - start < 60
    assert code == 1
    last = said.splitlines()[-1]
    assert last.startswith(f"error: lost worker 1 ({addresses.split(',')[1]})"), said
    ended(other)
    done = together(folders, "--resume")
    assert [process.code for process in done] == [0, 0], done[0].said + done[1].said
    assert "going on from epoch" in done[0].said
    weights = checkpoint.load(folders[0] / "latest").weights
    for path, array in checkpoint.load(pair.chief / "latest").weights.items():
        np.testing.assert_array_equal(weights[path], array, err_msg=path)


@pytest.mark.slow
def test_another_number_of_workers_goes_on_with_the_same_run(pair: Pair, tmp_path: Path) -> None:
    folder = tmp_path / "chief"
    shutil.copytree(pair.chief, folder)
    last = float(rows(folder)[-1]["loss"])
    alone = run_python(*TRAIN, "--data-dir", folder, "--resume", "--num-epochs", "7")
    assert alone.returncode == 0, alone.stderr
    assert float(rows(folder)[-1]["loss"]) < last + 0.05
    assert [row["epoch"] for row in rows(folder)] == list("1234567")


@pytest.mark.slow
@pytest.mark.parametrize("shared", [False, True], ids=["copies", "shared folder"])
def test_dropout_and_recurrent_state_are_exactly_resumed_by_two(
    tmp_path: Path, shared: bool
) -> None:
    def folders(name: str) -> list[Path]:
        (tmp_path / name).mkdir()
        chief = text_folder(tmp_path / name / "chief")
        return [chief, chief if shared else text_folder(tmp_path / name / "other")]

    whole, parts = folders("whole"), folders("parts")
    first = together(parts, *CONSTANT, "--num-epochs", "2")
    assert [e.code for e in first] == [0, 0]
    same = together(whole, *CONSTANT)
    rest = together(parts, "--resume", *CONSTANT, "--num-epochs", "5")
    assert [e.code for e in same + rest] == [0] * 4, rest[0].said
    weights = checkpoint.load(parts[0] / "latest").weights
    for path, array in checkpoint.load(whole[0] / "latest").weights.items():
        np.testing.assert_array_equal(weights[path], array, err_msg=path)


@pytest.mark.slow
def test_another_text_on_a_worker_is_refused_on_all(tmp_path: Path) -> None:
    folders = [text_folder(tmp_path / "chief"), text_folder(tmp_path / "other", VERSES * 7)]
    for done in together(folders):
        assert done.code == 2, done.said
        assert "the text input.txt of worker 1 (127.0.0.1:" in done.said.splitlines()[-1]


@pytest.mark.slow
def test_a_mistake_that_one_worker_finds_ends_all_of_them(tmp_path: Path) -> None:
    folders = [text_folder(tmp_path / "chief"), tmp_path / "other"]
    folders[1].mkdir()
    done = together(folders)
    assert [process.code for process in done] == [2, 2]
    assert "error: worker 1 (127.0.0.1:" in done[0].said
    assert "input.txt" in done[0].said.splitlines()[-1]


@pytest.mark.slow
def test_tf_config_is_read_and_batches_that_cannot_be_shared_are_refused(tmp_path: Path) -> None:
    folder = text_folder(tmp_path / "chief")
    workers = free_addresses(2).split(",")
    processes = [
        started(
            *TRAIN, "--distribute", "--data-dir", folder, "--batch-size", 9,
            tf_config=Layout(tuple(workers), index).to_json(),
        )
        for index in range(2)
    ]  # fmt: skip
    for process in map(ended, processes):
        assert process.code == 2
        assert "--batch-size 9 cannot be shared by 2 workers" in process.said.splitlines()[-1]
