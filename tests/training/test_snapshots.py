"""The training state on disk: what is read back was written, if not last then before."""

import resource
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT, TINY_MODEL, run_here
from textgen.commands import train
from textgen.model.backend import tf
from textgen.model.checkpoint import Setup
from textgen.model.keras_model import build_model
from textgen.settings.definitions import TrainingSettings
from textgen.support.errors import TextgenError
from textgen.training import snapshots
from textgen.training.snapshots import Snapshots, Stored, stored_progress
from textgen.training.step import TrainStep

FORMAT_3 = ROOT / "tests" / "data" / "snapshot-3"
"""A text, and the state of its training as textgen kept it with TensorFlow."""


def variables(random_seed: int = 0) -> dict[str, tf.Variable]:
    settings = replace(TINY_MODEL, dropout=0.5)
    model = build_model(settings, 5, 2, random_seed, carries_state=False)
    return TrainStep(model, TrainingSettings(batch_size=2)).variables()


def progress(step: int) -> Stored:
    return Stored({"texts": {}}, {"step": step}, [{"epoch": 1, "loss": 0.1}])


def values(snapshots_: Snapshots) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in snapshots_.variables.items()}


def two_snapshots(folder: Path) -> dict[str, np.ndarray]:
    """Two snapshots, at the steps 1 and 2, of the same values; returns these."""
    writer = Snapshots(folder, variables())
    for position, variable in enumerate(writer.variables.values()):
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


def files(data_dir: Path) -> list[str]:
    return sorted(path.name for path in (data_dir / ".textgen" / "checkpoints").iterdir())


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    two_snapshots(tmp_path)
    writer = Snapshots(tmp_path, variables())
    writer.restore()
    writer.save(progress(3))
    assert files(tmp_path) == ["state-2.npz", "state-3.npz"]


@pytest.mark.parametrize("length", [0, 100, -1])
def test_a_snapshot_cut_short_is_passed_over_and_removed(
    tmp_path: Path, length: int, capsys: pytest.CaptureFixture[str]
) -> None:
    two_snapshots(tmp_path)
    folder = tmp_path / ".textgen" / "checkpoints"
    newest = folder / "state-2.npz"
    newest.write_bytes(newest.read_bytes()[:length])
    (folder / "state-3_temp").mkdir()
    (folder / ".state-3.01234567.tmp.npz").touch()
    assert Snapshots(tmp_path, variables(1)).restore() == progress(1)
    assert f"{newest} is damaged; going on from the one before" in capsys.readouterr().err
    assert files(tmp_path) == ["state-1.npz"]
    assert stored_progress(tmp_path) == progress(1)


def test_a_changed_snapshot_is_passed_over(tmp_path: Path) -> None:
    """Wherever a bit is another, nothing of it is taken."""
    before = two_snapshots(tmp_path)
    newest = tmp_path / ".textgen" / "checkpoints" / "state-2.npz"
    data, rng = newest.read_bytes(), np.random.default_rng(0)
    reader = Snapshots(tmp_path, variables(1))
    for place in rng.integers(0, len(data), 80):
        changed = bytearray(data)
        changed[place] ^= 1 << int(rng.integers(8))
        newest.write_bytes(changed)
        if (found := stored_progress(tmp_path)) == progress(1):
            continue  # noticed
        assert found == progress(2)  # a bit that says nothing, such as a date
        assert reader.restore() == progress(2)
        for name, value in values(reader).items():
            np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_no_whole_snapshot_is_said_so(tmp_path: Path) -> None:
    two_snapshots(tmp_path)
    for path in (tmp_path / ".textgen" / "checkpoints").iterdir():
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


def test_a_run_that_textgen_before_npz_began_goes_on(light: None, tmp_path: Path) -> None:
    """It was interrupted at step 14, in the middle of an epoch; the values are TensorFlow's."""
    shutil.copy(FORMAT_3 / "input.txt", tmp_path)
    shutil.copytree(FORMAT_3 / "checkpoints", tmp_path / ".textgen" / "checkpoints")
    stored = stored_progress(tmp_path)
    assert stored is not None
    assert stored.clock["step"] == 14
    result = run_here(train.main, "--data-dir", tmp_path, "--resume")
    assert result.returncode == 0, result.stderr
    assert "going on from epoch 1, step 14" in result.stderr
    assert files(tmp_path) == ["state-13.npz", "state-14.npz"]
    assert stored_progress(tmp_path).complete


def test_the_values_of_a_former_snapshot_come_back(tmp_path: Path) -> None:
    shutil.copytree(FORMAT_3 / "checkpoints", tmp_path / ".textgen" / "checkpoints")
    setup = Setup.from_dict(stored_progress(tmp_path).run)
    size, training = len(setup.tokenizer.vocabulary), setup.training
    model = build_model(setup.model, size, training.batch_size, 5, carries_state=False)
    step = TrainStep(model, training)
    reader = Snapshots(tmp_path, step.variables())
    assert reader.restore().clock["step"] == 14
    stored = tf.train.load_checkpoint(str(FORMAT_3 / "checkpoints" / "state-3"))
    for name, value in values(reader).items():
        key = f"variables/{name.replace('/', '.S')}/.ATTRIBUTES/VARIABLE_VALUE"
        np.testing.assert_array_equal(value, stored.get_tensor(key), err_msg=name)
    state = values(reader)["lstm_1/state/0"]
    assert state.any(), "or it shows nothing"
    reader.save(progress(15))
    assert files(tmp_path) == ["state-3.data-00000-of-00001", "state-3.index", "state-4.npz"]
    before = values(reader)
    for variable in reader.variables.values():
        variable.assign(tf.zeros_like(variable))
    assert reader.restore() == progress(15)
    for name, value in values(reader).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_a_full_disk_leaves_the_snapshots_before(tmp_path: Path) -> None:
    """The system refuses a file's bytes beyond some size, as a full disk does."""
    writer = Snapshots(tmp_path, variables())
    writer.begin()
    writer.save(progress(1))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(TextgenError, match=r"cannot write the training state"):
            writer.save(progress(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert files(tmp_path) == ["state-1.npz"]
    assert stored_progress(tmp_path) == progress(1)
