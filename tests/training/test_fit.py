import csv
import itertools
import math
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import TINY_MODEL, TINY_TRAINING, VERSES, train_on
from textgen.model import checkpoint
from textgen.settings.definitions import ModelSettings, TokenizerSettings, TrainingSettings
from textgen.support.errors import TextgenError


def history(directory: Path) -> list[dict[str, str]]:
    with (directory / "history.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_loss_falls_and_the_best_epoch_is_kept(trained_dir: Path) -> None:
    rows = history(trained_dir)
    assert [int(row["epoch"]) for row in rows] == list(range(1, 21))
    losses = [float(row["val_loss"]) for row in rows]
    assert losses[-1] < losses[0] < math.log(40)
    best = checkpoint.load(trained_dir).metadata.results
    assert best["val_loss"] == pytest.approx(min(losses))
    assert checkpoint.load(trained_dir / "latest").metadata.results["epoch"] == 20


def test_history_has_the_documented_columns(trained_dir: Path) -> None:
    assert list(history(trained_dir)[0]) == [
        "epoch", "step", "seconds", "loss", "val_loss", "learning_rate", "tokens_per_second",
        "bits_per_character", "gradient_norm", "update_ratio_embedding", "update_ratio_lstm_1",
        "update_ratio_lstm_2", "update_ratio_logits",
    ]  # fmt: skip
    assert (trained_dir / "history.png").read_bytes().startswith(b"\x89PNG")


def test_minutes_end_the_run_and_the_schedule(
    light: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that goes on by a hundredth of a second each time it is read."""
    ticks = itertools.count()
    monkeypatch.setattr("textgen.training.clock.time.perf_counter", lambda: next(ticks) / 100)
    (tmp_path / "input.txt").write_text(VERSES * 2)
    settings = replace(TINY_TRAINING, minutes=0.1, num_epochs=1)
    best = train_on(tmp_path, TINY_MODEL, TokenizerSettings(), settings)
    assert "val_loss" not in best, "nothing is held out unless asked for"
    last = history(tmp_path)[-1]
    assert float(last["learning_rate"]) < 0.02 * TINY_TRAINING.learning_rate
    assert best["epoch"] > 1


def test_a_share_of_the_text_is_held_out(light: None, tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_text(VERSES * 6)
    settings = replace(TINY_TRAINING, num_epochs=1, validation_split=0.2)
    assert "val_loss" in train_on(tmp_path, TINY_MODEL, TokenizerSettings(), settings)


def test_tiny_texts_are_refused_with_the_numbers(tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_text("Too short to learn from.\n")
    with pytest.raises(TextgenError, match=r"needs at least 1,626 tokens; .* has 25"):
        train_on(tmp_path, ModelSettings(), TokenizerSettings(), TrainingSettings())
