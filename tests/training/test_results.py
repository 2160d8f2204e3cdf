import math
import shutil
import struct
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.networks import LETTERS, word_tokenizer
from textgen.model import checkpoint
from textgen.settings.definitions import TokenizerSettings
from textgen.tokens import build_tokenizer
from textgen.training import results
from textgen.training.results import Row, csv_text, keep_previous, selection_loss


def test_columns_begin_with_the_documented_ones_and_gaps_stay_empty() -> None:
    rows = [{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": 2.0, "gradient_norm": 0.5}]
    assert csv_text(rows).splitlines() == [
        "epoch,step,seconds,loss,val_loss,learning_rate,tokens_per_second,gradient_norm",
        "1,,,2.5,,,,",
        "2,,,2.0,,,,0.5",
    ]


def test_models_are_judged_by_validation_where_there_is_one() -> None:
    assert selection_loss({"loss": 1.0, "val_loss": 2.0}) == 2.0
    assert selection_loss({"loss": 1.0}) == 1.0
    assert selection_loss({}) == math.inf


CHARACTERS, WORDS = build_tokenizer(LETTERS, TokenizerSettings()), word_tokenizer()


def rows(count: int) -> list[Row]:
    return [
        {
            "epoch": epoch, "loss": 3 / epoch, "val_loss": 3 / epoch + 0.01 * epoch,
            "learning_rate": 0.004, "update_ratio_embedding": 0.01, "update_ratio_lstm_1": 0.002,
        }
        for epoch in range(1, count + 1)
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1, 50])
def test_a_picture_of_the_run(tmp_path: Path, count: int) -> None:
    results.draw(tmp_path, rows(count), CHARACTERS)
    data = (tmp_path / "history.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert struct.unpack(">2I", data[16:24]) == (990, 990)


def test_updates_that_end_at_nothing_leave_room_for_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda *a, **more: drawn.append(a[0]) or save(*a, **more)
    )
    for last, share in ((1e-12, 1e-4), (1e-3, 10**-1.1)):  # matplotlib's margins are a twentieth
        two: list[Row] = [
            {"epoch": 1, "update_ratio_a": 1e-2},
            {"epoch": 2, "update_ratio_a": last},
        ]
        results.draw(tmp_path, two, WORDS)
        bottom, top = drawn.pop().axes[2].get_ylim()
        assert bottom / top == pytest.approx(share)


def test_nothing_is_drawn_of_no_epochs(tmp_path: Path) -> None:
    results.draw(tmp_path, [], WORDS)
    assert list(tmp_path.iterdir()) == []


def test_rows_of_before_a_column_was_there_leave_a_gap(tmp_path: Path) -> None:
    results.draw(tmp_path, [{"epoch": 1, "loss": 2.0}, *rows(2)[1:]], WORDS)
    assert (tmp_path / "history.png").exists()


def test_without_matplotlib_training_goes_on_and_says_once_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    results.has_matplotlib.cache_clear()
    for _ in range(2):
        results.draw(tmp_path, rows(1), CHARACTERS)
    results.has_matplotlib.cache_clear()
    assert capsys.readouterr().err.count("pip install matplotlib") == 1
    assert list(tmp_path.iterdir()) == []


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


def test_the_old_pair_is_kept(folder: Path) -> None:
    keep_previous(folder)
    kept, model = checkpoint.load(folder / "previous"), checkpoint.load(folder)
    assert kept.metadata.to_dict() == model.metadata.to_dict()
    for path, array in model.weights.items():
        np.testing.assert_array_equal(kept.weights[path], array)


@pytest.mark.parametrize(("then", "kept"), [(2.5, 2.0), (1.5, 1.5)])
def test_a_worse_model_does_not_replace_the_one_kept(
    folder: Path, then: float, kept: float
) -> None:
    save_with(folder, val_loss=2.0)
    keep_previous(folder)
    save_with(folder, val_loss=then)
    keep_previous(folder)
    assert checkpoint.load(folder / "previous").metadata.results == {"val_loss": kept}


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
