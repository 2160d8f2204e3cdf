"""What a trial of the search may take: weights, memory, text; known before it is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from textgen import sizing
from textgen.config import ModelConfig, TrainingConfig
from textgen.summary import weights_per_layer


class Limits(NamedTuple):
    """The most that a trial may have."""

    parameters: float
    memory: float
    """Bytes, as `sizing.memory_needed` estimates them."""
    tokens: int
    """Of the training text, which has to fill a batch."""


class Need(NamedTuple):
    """What a trial needs of one thing."""

    what: str
    amount: float
    most: float
    shown: str
    """The amount, and the most, for people."""

    @property
    def excess(self) -> float:
        """How far it goes beyond the most, as a share of that; 0 or less: it does not."""
        return -1.0 if math.isinf(self.most) else self.amount / self.most - 1


def configs(settings: Mapping[str, Any]) -> tuple[ModelConfig, TrainingConfig]:
    """The settings of a trial in their classes.

    Raises:
        TextgenError: if they contradict each other.
    """
    parts = []
    for kind in (ModelConfig, TrainingConfig):
        names = kind.defaults(False)
        parts.append(kind.from_dict({n: v for n, v in settings.items() if n in names}))
    return parts[0], parts[1]  # type: ignore[return-value]


def parameters(settings: Mapping[str, Any], vocabulary_size: int) -> int:
    """The weights that are learned."""
    layers = weights_per_layer(configs(settings)[0], vocabulary_size)
    return sum(count for _, count in layers.values())


def needs(settings: Mapping[str, Any], vocabulary_size: int, limits: Limits) -> list[Need]:
    """What a trial needs.

    Raises:
        TextgenError: if its settings contradict each other.
    """
    model, training = configs(settings)
    weights = parameters(settings, vocabulary_size)
    memory = sizing.memory_needed(model, training, vocabulary_size)
    last = (training.seq_length - 1) // training.seq_step * training.seq_step
    batch = training.batch_size * training.seq_length + 1 + last
    return [
        Need("parameters", weights, limits.parameters, f"{weights:,} of {limits.parameters:,}"),
        Need(
            "memory", memory, limits.memory,
            f"{memory / 2**30:,.2f} of {limits.memory / 2**30:,.2f} GiB",
        ),
        Need("tokens", batch, limits.tokens, f"{batch:,} of {limits.tokens:,}"),
    ]  # fmt: skip
