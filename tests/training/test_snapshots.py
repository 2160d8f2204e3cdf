"""The training state on disk: what is read back was written, if not last then before."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import TINY_MODEL
from textgen.model.backend import tf
from textgen.model.keras_model import build_model
from textgen.settings.definitions import TrainingSettings
from textgen.support.errors import TextgenError
from textgen.training import snapshots
from textgen.training.snapshots import Progress, Snapshots, stored_progress
from textgen.training.step import TrainStep


def variables(random_seed: int = 0) -> dict[str, tf.Variable]:
    model = build_model(replace(TINY_MODEL, dropout=0.5), 5, 2, random_seed)
    return TrainStep(model, TrainingSettings()).variables()


def progress(step: int) -> Progress:
    return Progress({"texts": {}}, {"step": step}, [{"epoch": 1, "loss": 0.1}])


def values(snapshots_: Snapshots) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in snapshots_._checkpoint.variables.items()}


def two_snapshots(folder: Path) -> dict[str, np.ndarray]:
    """Two snapshots, at the steps 1 and 2, of the same values; returns these."""
    writer = Snapshots(folder, variables())
    for position, variable in enumerate(writer._checkpoint.variables.values()):
        variable.assign_add(np.full(variable.shape, position + 1, variable.dtype.as_numpy_dtype))
    writer.begin()
    writer.save(progress(1))
    writer.save(progress(2))
    return values(writer)


def test_every_variable_that_training_changes_comes_back(tmp_path: Path) -> None:
    written = two_snapshots(tmp_path)
    reader = Snapshots(tmp_path, variables(1))
    assert reader.restore() == progress(2)
    read = values(reader)
    assert read.keys() == written.keys() >= {
        "embedding/0", "lstm_1/state/0", "lstm_2/state/1", "dropout_1/0", "metrics/1",
    }  # fmt: skip
    for name, value in written.items():
        np.testing.assert_array_equal(read[name], value, err_msg=name)


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    two_snapshots(tmp_path)
    writer = Snapshots(tmp_path, variables())
    writer.restore()
    writer.save(progress(3))
    names = sorted(path.name for path in (tmp_path / ".textgen" / "checkpoints").glob("*.index"))
    assert names == ["state-2.index", "state-3.index"]


@pytest.mark.parametrize("damaged", ["state-2.index", "state-2.data-00000-of-00001"])
@pytest.mark.parametrize("length", [0, 100])
def test_a_snapshot_cut_short_is_passed_over_and_removed(
    tmp_path: Path, damaged: str, length: int
) -> None:
    two_snapshots(tmp_path)
    folder = tmp_path / ".textgen" / "checkpoints"
    (folder / damaged).write_bytes((folder / damaged).read_bytes()[:length])
    (folder / "state-3_temp").mkdir()
    reader = Snapshots(tmp_path, variables(1))
    assert reader.restore() == progress(1)
    assert {path.stem for path in folder.iterdir()} == {"state-1", "checkpoint"}
    assert stored_progress(tmp_path) == progress(1)


def test_the_list_of_snapshots_may_be_lost(tmp_path: Path) -> None:
    two_snapshots(tmp_path)
    (tmp_path / ".textgen" / "checkpoints" / "checkpoint").unlink()
    assert Snapshots(tmp_path, variables(1)).restore() == progress(2)


def test_no_whole_snapshot_is_said_so(tmp_path: Path) -> None:
    two_snapshots(tmp_path)
    for path in (tmp_path / ".textgen" / "checkpoints").glob("*.data*"):
        path.write_bytes(b"")
    assert stored_progress(tmp_path) is None
    with pytest.raises(TextgenError, match=r"no snapshot in .* is whole"):
        Snapshots(tmp_path, variables()).restore()


def test_a_snapshot_of_another_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "FORMAT_VERSION", 99)
    two_snapshots(tmp_path)
    monkeypatch.undo()
    with pytest.raises(TextgenError, match="of another version of textgen"):
        stored_progress(tmp_path)


def test_a_folder_without_snapshots(tmp_path: Path) -> None:
    assert stored_progress(tmp_path) is None


def test_a_disk_that_takes_no_snapshot_is_named(tmp_path: Path) -> None:
    writer = Snapshots(tmp_path, variables())
    writer.begin()
    shutil.rmtree(writer.folder)
    writer.folder.write_text("a file in the way")
    with pytest.raises(TextgenError, match=r"cannot write the training state to .*checkpoints"):
        writer.save(progress(1))
