"""Compiled training programs, kept from one training in a process to the next one like it.

To compile them takes seconds, and TensorFlow keeps what was compiled until the process ends. So the
step that `minutes` has measured is the one that is trained with, and a notebook that trains again
with the same sizes compiles nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable

from textgen.model.backend import keras, on_device
from textgen.model.devices import Computation
from textgen.model.keras_model import build_model
from textgen.settings.definitions import ModelSettings, TrainingSettings
from textgen.tokens.tokenizer import StoredIds
from textgen.training.step import TrainStep, Validation
from textgen.training.workers import SingleProcess

NOT_COMPILED = frozenset([
    "batch_parts", "decay_rate", "device", "init_from", "learning_rate", "live_sample", "minutes",
    "num_epochs", "patience", "print_every", "random_seed", "save_every", "schedule", "seq_step",
    "steps_per_epoch", "tensorboard", "validation_split", "warmup_steps", "word2vec",
])  # fmt: skip
"""Settings of a training that may differ from run to run of one program."""


class Programs:
    """A model, the step that trains it, and its validation.

    Args:
        key: what programs of the same key have in common.
        model: of `build_model`, a function of rows and state.
        training: how to train it.
        how: what of it is compiled.
        parts: programs that compute the gradients side by side.
        workers: the processes that train together.
    """

    def __init__(
        self,
        key: Hashable,
        model: keras.Model,
        training: TrainingSettings,
        how: Computation,
        parts: int,
        workers: SingleProcess,
    ) -> None:
        self.key, self.model = key, model
        self._training, self._how, self._parts, self._workers = training, how, parts, workers
        self.step = TrainStep(model, training, workers=workers, how=how, parts=parts)
        self._validation: Validation | None = None

    def validation(self, ids: StoredIds) -> Validation:
        """Returns the validation on a held-out text, (N,). Raises TextgenError if it is short."""
        if self._validation is None:
            self._validation = Validation(
                self.model, ids, self._training, self._workers, self._how, self._parts
            )
        else:
            self._validation.read(ids)
        return self._validation


_kept: dict[Hashable, Programs] = {}
"""The last ones that were given back; more would hold the memory of more models."""
_lock = threading.Lock()


def take(
    model: ModelSettings,
    training: TrainingSettings,
    vocabulary_size: int,
    how: Computation,
    on_gpu: bool,
    parts: int,
    workers: SingleProcess | None = None,
    documents: bool = False,
) -> Programs:
    """Returns programs as they are before training, for the caller alone.

    Args:
        model: settings of the model.
        training: how to train it.
        vocabulary_size: V.
        how: what of it is compiled.
        on_gpu: where it is computed.
        parts: programs that compute the gradients side by side.
        workers: the processes that train together; None for this one alone.
        documents: whether the text is many.
    """
    workers = workers or SingleProcess()
    compiled = sorted(training.names() - NOT_COMPILED)
    settings = tuple(getattr(training, name) for name in compiled)
    key = (model, settings, vocabulary_size, how, on_gpu, parts, documents)
    with _lock:
        kept = _kept.pop(key, None) if workers.count == 1 else None
        _kept.clear()  # so that two models are never held at once
    with on_device(on_gpu):
        fresh = build_model(
            model, vocabulary_size, training.batch_size, training.random_seed, how.own_layers,
            training.dtype, carries_state=False, documents=documents,
        )  # fmt: skip
        if kept is None:
            return Programs(key, fresh, training, how, parts, workers)
        kept.step.restart(fresh, training)
    return kept


def give_back(programs: Programs) -> None:
    """Keeps programs that are not used any more for the next training like theirs."""
    with _lock:
        _kept.clear()
        _kept[programs.key] = programs
