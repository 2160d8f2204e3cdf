from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import TINY_MODEL, TINY_TRAINING, VERSES, train_on
from textgen.config import TokenizerConfig


def test_live_samples_show_four_temperatures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "input.txt").write_text(VERSES * 2)
    config = replace(TINY_TRAINING, num_epochs=1, live_sample=True)
    train_on(tmp_path, TINY_MODEL, TokenizerConfig(), config)
    shown, said = capsys.readouterr()
    assert len(shown) > 4 * 200
    for temperature in (0.2, 0.5, 1.0, 1.2):
        assert f"epoch 1, diversity {temperature}" in said
