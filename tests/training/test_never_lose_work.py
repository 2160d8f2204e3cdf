"""Real trainings that are killed, or run out of disk, at moments drawn at random.

After each, the folder loads and samples; in the end the weights are those of a run left in peace.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import run_here, run_python
from tests.processes import beside
from tests.stoppable_training import stoppable
from textgen.commands import train
from textgen.generation import generator
from textgen.model import checkpoint

pytestmark = pytest.mark.xdist_group("never_lose_work")

FLAGS = (
    "--pristine-input", "--embedding-size", "8", "--rnn-size", "16", "--num-layers", "1",
    "--dropout", "0.3", "--batch-size", "4", "--seq-length", "20", "--seq-step", "10",
    "--num-epochs", "3", "--save-every", "10", "--random-seed", "5",
)  # fmt: skip
DRIVER = ("-m", "tests.stoppable_training")


def command(folder: Path) -> tuple[str, ...]:
    """The one command line that is repeated until the run is done."""
    return "--data-dir", str(folder), "--resume", *FLAGS


@pytest.fixture
def folder(trained_dir: Path, tmp_path: Path) -> Path:
    """A folder with texts and the model of an earlier training."""
    shutil.copytree(trained_dir, tmp_path / "verses", ignore=shutil.ignore_patterns(".textgen"))
    return tmp_path / "verses"


@pytest.fixture(scope="module")
def in_peace(trained_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """The folder after an uninterrupted run, and how many moments that had."""
    folder = tmp_path_factory.mktemp("peace") / "verses"
    shutil.copytree(trained_dir, folder, ignore=shutil.ignore_patterns(".textgen"))
    with stoppable("hang", 0) as moments:
        done = run_here(train.main, *command(folder))
    assert done.returncode == 0, done.stderr
    return folder, moments.count


def killed(folder: Path, moment: int) -> bool:
    """Train and kill the process with SIGKILL at `moment`; False if it was done before."""
    with beside(
        *DRIVER, "hang", moment, *command(folder),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        arrived = process.stdout.readline() == "moment\n"
        process.kill()
    return arrived


def check_usable(folder: Path) -> None:
    """Every model in the folder loads and samples."""
    places = [folder, *(folder / name for name in ("latest", "previous"))]
    for place in places:
        if place is folder or (place / "model.h5").exists():
            model = generator.Generator.load(place)
            assert len(model.generate("The ", 20, random_seed=1)) == 20


def check_equal(folder: Path, expected: Path) -> None:
    for place in (".", "latest", "previous"):
        weights = checkpoint.load(folder / place).weights
        for name, array in checkpoint.load(expected / place).weights.items():
            np.testing.assert_array_equal(weights[name], array, err_msg=f"{place}: {name}")


def finish(folder: Path) -> None:
    done = run_here(train.main, *command(folder))
    assert done.returncode == 0, done.stderr
    assert not list(folder.rglob("*.tmp*")), "files of killed writers were left behind"


def stopped_by_a_full_disk(folder: Path, moment: int) -> None:
    with stoppable("full", moment):
        stopped = run_here(train.main, *command(folder))
    assert stopped.returncode == 2, stopped.stderr
    assert stopped.stderr.splitlines()[-1].startswith("error: cannot write ")
    assert "Traceback" not in stopped.stderr


@pytest.mark.parametrize(
    ("kills", "full"),
    [(1, 1), *(pytest.param(*times, marks=pytest.mark.slow) for times in ((20, 0), (0, 20)))],
)
def test_a_run_killed_or_on_a_full_disk_at_random_moments_loses_nothing(
    folder: Path, in_peace: tuple[Path, int], kills: int, full: int
) -> None:
    expected, moments = in_peace
    rng = np.random.default_rng(kills)
    for number in range(kills + full):
        # So that 20 of them end before the run does, though nothing were lost between them.
        moment = int(rng.integers(1, moments // 12))
        if number < kills:
            assert killed(folder, moment)
        else:
            stopped_by_a_full_disk(folder, moment)
        check_usable(folder)
    finish(folder)
    check_usable(folder)
    check_equal(folder, expected)


@contextlib.contextmanager
def small_disk(place: Path, kilobytes: int) -> Iterator[None]:
    """A file system of its own, where this process may mount one."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield
    finally:
        # Lazily: a search that ran in this process may hold its database open.
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("spare_kilobytes", [20, 60, 90, 120])
def test_a_disk_that_is_really_full(
    trained_dir: Path, in_peace: tuple[Path, int], tmp_path: Path, spare_kilobytes: int
) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, 4096):
        folder = disk / "verses"
        shutil.copytree(trained_dir, folder, ignore=shutil.ignore_patterns(".textgen"))
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
        filler = disk / "filler"
        filler.write_bytes(bytes(free - 1024 * spare_kilobytes))
        stopped = run_python("train.py", *command(folder))
        assert stopped.returncode == 2, stopped.stderr
        assert stopped.stderr.splitlines()[-1].startswith("error: cannot write ")
        assert "Traceback" not in stopped.stderr
        check_usable(folder)
        filler.unlink()
        finish(folder)
        check_equal(folder, in_peace[0])
