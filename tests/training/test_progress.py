from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import TINY_MODEL, TINY_TRAINING, VERSES, train_on
from tests.networks import word_tokenizer
from textgen.settings.definitions import TokenizerSettings
from textgen.training.clock import RunClock
from textgen.training.progress import ProgressBar


def test_live_samples_show_four_temperatures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "input.txt").write_text(VERSES * 2)
    settings = replace(TINY_TRAINING, num_epochs=1, live_sample=True)
    train_on(tmp_path, TINY_MODEL, TokenizerSettings(), settings)
    shown, said = capsys.readouterr()
    assert len(shown) > 4 * 200
    for temperature in (0.2, 0.5, 1.0, 1.2):
        assert f"epoch 1, diversity {temperature}" in said


def test_a_speed_that_is_not_known_yet_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar(RunClock(None, 60.0, tokens_per_step=4), None, word_tokenizer())
    bar.on_epoch_begin(0)
    bar.on_epoch_end(0, {"loss": 1.0})
    said = capsys.readouterr().err
    assert said.startswith("epoch 1  loss 1.000  (perplexity 2.7)  0:0")
