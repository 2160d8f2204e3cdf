import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from textgen.model import checkpoint
from textgen.model.keras_model import build_model_to_save
from textgen.training.results import BestCheckpoint, keep_previous


@pytest.fixture
def folder(trained_dir: Path, tmp_path: Path) -> Path:
    """A copy of a folder with a model."""
    shutil.copytree(trained_dir, tmp_path / "copy")
    return tmp_path / "copy"


def save_with(folder: Path, **results: float) -> None:
    """Give the model in `folder` other results."""
    metadata = replace(checkpoint.load(folder).metadata, results=results)
    content = (folder / "model.h5").read_bytes()
    checkpoint.save(folder, metadata, lambda path: path.write_bytes(content) and None)


def test_the_old_pair_is_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_with(folder, val_loss=2.0, loss=1.5, epoch=3)
    keep_previous(folder)
    said = f"the model that was here (2.000 nats per character, epoch 3) is kept in {folder}"
    assert capsys.readouterr().err == f"{said}/previous\n"
    kept, model = checkpoint.load(folder / "previous"), checkpoint.load(folder)
    assert kept.metadata.to_dict() == model.metadata.to_dict()
    for path, array in model.weights.items():
        np.testing.assert_array_equal(kept.weights[path], array)


@pytest.mark.parametrize(("then", "kept"), [(2.5, 2.0), (1.5, 1.5)])
def test_a_worse_model_does_not_replace_the_one_kept(
    folder: Path, capsys: pytest.CaptureFixture[str], then: float, kept: float
) -> None:
    save_with(folder, val_loss=2.0, loss=1.5, epoch=3)
    keep_previous(folder)
    capsys.readouterr()
    save_with(folder, val_loss=then, loss=1.5, epoch=3)
    keep_previous(folder)
    assert checkpoint.load(folder / "previous").metadata.results["val_loss"] == kept
    stays = "is replaced; a better one (2.000 nats per character, epoch 3) stays in"
    assert (stays in capsys.readouterr().err) == (then == 2.5)


def test_losses_of_different_texts_are_not_compared(folder: Path) -> None:
    save_with(folder, val_loss=2.0)
    keep_previous(folder)
    save_with(folder, loss=2.5)
    keep_previous(folder)
    assert checkpoint.load(folder / "previous").metadata.results == {"loss": 2.5}


def test_files_that_cannot_be_read_are_kept_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"of another program")
    keep_previous(tmp_path)
    assert (tmp_path / "previous" / "model.pkl").read_bytes() == b"of another program"
    assert not (tmp_path / "model.pkl").exists()


def test_files_that_cannot_be_read_do_not_replace_a_model(folder: Path) -> None:
    keep_previous(folder)
    (folder / "model.h5").unlink()
    left = (folder / "model.pkl").read_bytes()
    keep_previous(folder)
    assert checkpoint.load(folder / "previous").weights
    assert (folder / "previous" / "unreadable" / "model.pkl").read_bytes() == left


def test_a_folder_without_a_model_has_nothing_to_keep(tmp_path: Path) -> None:
    keep_previous(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_history_goes_with_its_model(folder: Path) -> None:
    """A run over a model that ends in its first epoch has none; the old one is in `previous/`."""
    metadata, before = checkpoint.load(folder).metadata, (folder / "history.csv").read_text()
    (folder / "history.png").write_bytes(b"a picture")
    keep_previous(folder)
    model = build_model_to_save(metadata.model, len(metadata.tokenizer.vocabulary))
    BestCheckpoint(folder, metadata, model, writes=True).keep_unfinished([], 3)
    assert not (folder / "history.csv").exists()
    assert not (folder / "history.png").exists()
    assert (folder / "previous" / "history.csv").read_text() == before
    assert (folder / "previous" / "history.png").read_bytes() == b"a picture"
