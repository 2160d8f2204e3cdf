"""What the whole runs of `test_run.py` and `test_training.py` do not show of the keeper."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import TINY_MODEL, TINY_TRAINING
from textgen.model.checkpoint import Metadata
from textgen.settings.definitions import TokenizerSettings
from textgen.tokens import build_tokenizer
from textgen.training.clock import RunClock
from textgen.training.keeper import DivergenceError, Keeper, Patience


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    tokenizer = build_tokenizer("abcd", TokenizerSettings())
    metadata = Metadata(TINY_MODEL, tokenizer, TINY_TRAINING, {})
    return Keeper(tmp_path, metadata, RunClock(10, None, 1), writes=False)


def test_a_loss_far_above_that_of_knowing_nothing_is_divergence(keeper: Keeper) -> None:
    keeper.on_train_batch_end(0, {"loss": 16.0})  # of 5 tokens: ln 5 = 1.609
    for loss in (16.1, float("nan"), float("inf")):
        with pytest.raises(DivergenceError, match=r"diverged at step 0 \(loss "):
            keeper.on_train_batch_end(0, {"loss": loss})


def test_patience_counts_epochs_since_the_best(keeper: Keeper) -> None:
    patience = Patience(keeper, 2)
    patience.set_model(SimpleNamespace(stop_training=False))
    for loss, stops in [(3.0, False), (2.0, False), (2.5, False), (2.2, True)]:
        keeper.history.append({"epoch": len(keeper.history) + 1, "val_loss": loss})
        keeper.best = min(keeper.history, key=lambda row: row["val_loss"])
        patience.on_epoch_end(0)
        assert patience.model.stop_training is stops
