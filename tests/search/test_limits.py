"""What a trial would take, known before it is trained."""

import math

import pytest

from textgen.search import limits
from textgen.search.limits import Limits
from textgen.settings.definitions import ModelSettings, TrainingSettings
from textgen.support.errors import TextgenError

SETTINGS = (
    ModelSettings(embedding_size=4, rnn_size=8, num_layers=1).to_dict()
    | TrainingSettings(batch_size=2, seq_length=5, seq_step=3).to_dict()
    | {"word_tokens": False}
)
ENOUGH = Limits(546, 2**30, 14)


def test_what_goes_beyond_a_limit_is_named() -> None:
    most = Limits(parameters=273, memory=math.inf, tokens=13)
    needs = limits.needs(SETTINGS, 10, most)
    embedding, lstm, logits = 10 * 4, 4 * 8 * (4 + 8 + 1), (8 + 1) * 10
    assert needs["parameters"].amount == embedding + lstm + logits
    assert needs["parameters"].excess == pytest.approx(1)
    assert needs["parameters"].shown == "546 of 273"
    assert needs["memory"].excess == 0
    assert needs["tokens"].amount == 2 * 5 + 1 + 3, "a batch from the second offset"
    assert needs["tokens"].excess > 0
    assert not any(need.excess for need in limits.needs(SETTINGS, 10, ENOUGH).values())


def test_the_text_that_a_batch_needs_is_what_training_asks_for() -> None:
    import numpy as np

    from textgen.training.batches import training_batches

    training_batches(np.zeros(14, np.uint8), 2, 5, 3, None)
    with pytest.raises(TextgenError, match="needs at least 14 tokens"):
        training_batches(np.zeros(13, np.uint8), 2, 5, 3, None)


def test_settings_that_contradict_each_other_are_told() -> None:
    with pytest.raises(TextgenError, match="--residual needs"):
        limits.needs(SETTINGS | {"residual": True}, 10, Limits(1, 1, 1))
