"""What a trial of the search may take: weights, memory, text; known before it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from textgen.settings.definitions import ModelSettings, TrainingSettings
from textgen.training import sizing
from textgen.training.batches import tokens_needed
from textgen.training.report import weights_per_layer


class Limits(NamedTuple):
    """The most that a trial may have."""

    parameters: float
    memory: float
    """Bytes, as `sizing.memory_needed` estimates them."""
    tokens: int
    """Of the training text, which has to fill a batch."""


class Need(NamedTuple):
    """What a trial needs of one thing."""

    amount: float
    most: float
    shown: str
    """The amount, and the most, for people."""

    @property
    def excess(self) -> float:
        """How far it goes beyond the most, as a share of that; 0: it does not."""
        return max(0.0, self.amount / self.most - 1)


def needs(settings: Mapping[str, Any], vocabulary_size: int, limits: Limits) -> dict[str, Need]:
    """What a trial needs of each thing that is limited: `parameters`, `memory` and `tokens`.

    Raises:
        TextgenError: if its settings contradict each other.
    """
    model, training = ModelSettings.from_given(settings), TrainingSettings.from_given(settings)
    layers = weights_per_layer(model, vocabulary_size)
    weights = sum(count for _, count in layers.values())
    memory = sizing.memory_needed(model, training, vocabulary_size)
    batch = tokens_needed(training.batch_size, training.seq_length, training.seq_step)
    shown = f"{memory / 2**30:,.2f} of {limits.memory / 2**30:,.2f} GiB"
    return {
        "parameters": Need(weights, limits.parameters, f"{weights:,} of {limits.parameters:,}"),
        "memory": Need(memory, limits.memory, shown),
        "tokens": Need(batch, limits.tokens, f"{batch:,} of {limits.tokens:,}"),
    }
