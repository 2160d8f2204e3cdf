"""Every cell trains with every optimizer, on a small text, and what was trained can be sampled."""

import csv
from pathlib import Path

import pytest

import textgen
from tests.conftest import VERSES, train_on
from textgen.settings.definitions import (
    CELL_NAMES,
    OPTIMIZERS,
    ModelSettings,
    TokenizerSettings,
    TrainingSettings,
)

TINY = {"batch_size": 4, "seq_length": 20, "seq_step": 20, "num_epochs": 4, "random_seed": 1}


def trained(folder: Path, model: ModelSettings, **settings: object) -> list[float]:
    """The training losses, epoch by epoch."""
    (folder / "input.txt").write_text(VERSES * 4, encoding="utf-8")
    train_on(folder, model, TokenizerSettings(), TrainingSettings(**TINY | settings))
    assert len(textgen.load(folder).generate("The ", 20, random_seed=1)) == 20
    with (folder / "history.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def check(folder: Path, cell: str, optimizer: str) -> None:
    model = ModelSettings(embedding_size=4, rnn_size=8, num_layers=1, cell=cell)
    settings = OPTIMIZERS[optimizer] | {"optimizer": optimizer}
    if (cell, optimizer) == ("rnn", "sgd"):
        settings["learning_rate"] = 1.0  # at the rate of the other cells it diverges
    losses = trained(folder, model, **settings)
    assert losses[-1] < losses[0], losses


@pytest.mark.parametrize(("cell", "optimizer"), [("gru", "rmsprop"), ("rnn", "sgd")])
def test_cells_train_with_optimizers(
    light: None, tmp_path: Path, cell: str, optimizer: str
) -> None:
    check(tmp_path, cell, optimizer)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_every_cell_trains_with_every_optimizer(tmp_path: Path, cell: str, optimizer: str) -> None:
    check(tmp_path, cell, optimizer)


def test_everything_at_once_trains(tmp_path: Path) -> None:
    model = ModelSettings(
        embedding_size=0, rnn_size=6, num_layers=2, layer_norm=True, residual=True,
        recurrent_dropout=0.2, cell="gru", dropout=0.1, embedding_dropout=0.1,
    )  # fmt: skip
    options = {"optimizer": "adam", "schedule": "plateau", "label_smoothing": 0.1, "l2": 1e-5}
    losses = trained(tmp_path, model, learning_rate=0.01, **options)
    assert losses[-1] < losses[0], losses
