"""What the default settings come to, held in numbers: new options must not move them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import VERSES, train_on
from textgen.model import checkpoint
from textgen.settings.definitions import ModelSettings, TokenizerSettings, TrainingSettings
from textgen.tokens import tokenizer_class

RATE = {"character": 0.004, "word": 0.003}
"""The default when these figures were taken."""
EXPECTED = {
    "character": {
        "embedding/embeddings": 53.523,
        "logits/bias": 0.199,
        "logits/kernel": 409.273,
        "lstm_1/lstm_cell/bias": 129.742,
        "lstm_1/lstm_cell/kernel": 1682.084,
        "lstm_1/lstm_cell/recurrent_kernel": 2314.562,
        "lstm_2/lstm_cell/bias": 129.685,
        "lstm_2/lstm_cell/kernel": 3178.183,
        "lstm_2/lstm_cell/recurrent_kernel": 2315.99,
    },
    "word": {
        "embedding/embeddings": 571.497,
        "logits/bias": 0.389,
        "logits/kernel": 571.497,
        "lstm_1/lstm_cell/bias": 258.53,
        "lstm_1/lstm_cell/kernel": 8986.48,
        "lstm_1/lstm_cell/recurrent_kernel": 6548.012,
    },
}
"""By `tokens`: the sum of each array's absolute values, as it was before there was a choice
of cells, optimizers and schedules."""


@pytest.mark.parametrize("tokens", ["character", "word"])
def test_default_settings_give_the_weights_they_always_gave(tmp_path: Path, tokens: str) -> None:
    (tmp_path / "input.txt").write_text(VERSES * 4, encoding="utf-8")
    tokenizer = TokenizerSettings(tokens)
    chosen = tokenizer_class(tokenizer).defaults
    model = ModelSettings.from_given({}, chosen)
    defaults = TrainingSettings.from_given({}, chosen)
    train_on(
        tmp_path,
        model,
        tokenizer,
        replace(defaults, num_epochs=2, random_seed=1, learning_rate=RATE[tokens]),
    )
    weights = checkpoint.load(tmp_path / "latest").weights
    sums = {path: float(np.abs(array).sum()) for path, array in weights.items()}
    assert sums == pytest.approx(EXPECTED[tokens], rel=1e-4, abs=2e-3)
