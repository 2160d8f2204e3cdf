"""Compiled programs that go from one training to the next."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import textgen
from tests.conftest import TINY_TRAINING, VERSES
from textgen.model import checkpoint
from textgen.model.devices import computation
from textgen.settings.definitions import ModelSettings
from textgen.training import programs
from textgen.training.programs import Programs

MODEL = ModelSettings(embedding_size=8, rnn_size=12, dropout=0.2, embedding_dropout=0.1)
HOW = computation()

pytestmark = pytest.mark.usefixtures("light")


def take(model: ModelSettings = MODEL, vocabulary_size: int = 9, **settings: Any) -> Programs:
    training = replace(TINY_TRAINING, **settings)
    return programs.take(model, training, vocabulary_size, HOW, on_gpu=False, parts=1)


def test_programs_are_taken_by_one_training_at_a_time() -> None:
    first = take()
    assert take() is not first
    programs.give_back(first)
    assert take(random_seed=2, learning_rate=0.5, num_epochs=1, minutes=1.0) is first
    assert take() is not first


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 5}, {"seq_length": 7}, {"optimizer": "sgd"}, {"weight_decay": 0.1},
        {"clip_norm": 2.0}, {"clip_value": 1.0}, {"l1": 0.1}, {"l2": 0.1},
        {"label_smoothing": 0.1}, {"dtype": "mixed_bfloat16"}, {"vocabulary_size": 10},
        {"model": replace(MODEL, dropout=0.3)},
    ],
)  # fmt: skip
def test_other_programs_are_compiled_anew(settings: dict[str, Any]) -> None:
    first = take()
    programs.give_back(first)
    assert take(**settings) is not first


@pytest.mark.parametrize(
    "optimizer",
    ["adamw", *(pytest.param(o, marks=pytest.mark.slow) for o in ("sgd", "rmsprop", "adagrad"))],
)
def test_what_was_trained_before_leaves_no_trace(optimizer: str) -> None:
    """Neither in weights, nor in the optimizer, in dropout, or in recurrent states."""

    def weights(seed: int) -> dict[str, Any]:
        model = textgen.train(
            text=VERSES, verbose=0, rnn_size=12, embedding_size=8, dropout=0.3, num_epochs=3,
            batch_size=4, seq_length=20, random_seed=seed, optimizer=optimizer, batch_parts=1,
            validation_split=0.2,
        )  # fmt: skip
        assert model.data_dir is not None
        rows = [{n: row[n] for n in ("loss", "val_loss", "gradient_norm")} for row in model.history]
        return checkpoint.load(model.data_dir).weights | {"history": np.array(str(rows))}

    programs._kept.clear()
    first, other, again = weights(1), weights(2), weights(1)
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])
    assert any(not np.array_equal(array, other[name]) for name, array in first.items())
