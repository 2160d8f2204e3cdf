"""For training loops of one's own: batches of a text, and the model that Keras has trained, saved.

`textgen.build_model` gives the model. `examples/keras_loop.py` puts them together.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from textgen.generation.generator import folder_of
from textgen.model import checkpoint
from textgen.model.backend import keras, tf
from textgen.model.checkpoint import Metadata
from textgen.model.keras_model import (
    build_model_to_save,
    read_model,
    reset_state,
    set_weights,
    write_h5,
)
from textgen.settings.definitions import TrainingSettings
from textgen.support.errors import TextgenError
from textgen.support.files import exclusive, explained
from textgen.tokens.tokenizer import Ids, Tokenizer
from textgen.training import batches
from textgen.training.results import keep_previous


def training_batches(
    ids: Ids,
    batch_size: int = TrainingSettings.batch_size,
    seq_length: int = TrainingSettings.seq_length,
) -> tf.data.Dataset:
    """Returns one pass over a text, in batches for a model that carries its state.

    The text is cut into B rows of equal length that are read side by side: row i of a batch
    continues where row i of the batch before stopped. The targets are the tokens one further on.

    Args:
        ids: the token ids of the text, (N,).
        batch_size: B.
        seq_length: T.

    Returns:
        Inputs and targets, int32, (B, T) each; the last B x T tokens at most are left out.

    Raises:
        TextgenError: if the text does not fill a batch, or a number is out of range.

    Example:
        >>> inputs, targets = next(iter(training_batches(np.arange(13), 2, 3)))
        >>> inputs.numpy().tolist(), targets.numpy().tolist()
        ([[0, 1, 2], [6, 7, 8]], [[1, 2, 3], [7, 8, 9]])
    """
    TrainingSettings.check("batch_size", batch_size)
    TrainingSettings.check("seq_length", seq_length)
    ids = np.asarray(ids)
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
        raise TextgenError(
            "`ids` are whole numbers, (N,), as `tokenizer.encode` gives them. Received: an array of"
            f" {ids.dtype}, {ids.shape}"
        )
    cut = batches.cut_batches(ids, batch_size, seq_length, seq_length, steps_per_epoch=None)

    def read() -> Iterator[tuple[Ids, Ids]]:
        for inputs, targets in cut.blocks(0, len(cut)):
            yield from zip(inputs, targets, strict=True)

    batch = tf.TensorSpec((batch_size, seq_length), tf.int32)
    data = tf.data.Dataset.from_generator(read, output_signature=(batch, batch))
    return data.apply(tf.data.experimental.assert_cardinality(len(cut))).prefetch(2)


class ResetState(keras.callbacks.Callback):
    """Has Keras' `fit` begin each pass over a text, and its validation, with an empty memory.

    Example:
        >>> settings = textgen.ModelSettings(rnn_size=8)
        >>> model = textgen.build_model(settings, vocabulary_size=20, batch_size=2)
        >>> model.compile("adam", "mse")  # or what fits
        >>> data = textgen.training_batches(np.arange(20), batch_size=2, seq_length=3)
        >>> history = model.fit(
        ...     data.map(lambda ids, targets: (ids, tf.one_hot(targets, 20))),
        ...     shuffle=False, verbose=0, callbacks=[textgen.ResetState()],
        ... )
    """

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        reset_state(self.model)

    def on_test_begin(self, logs: Any = None) -> None:
        reset_state(self.model)

    def on_test_end(self, logs: Any = None) -> None:
        reset_state(self.model)


def save(model: keras.Model, tokenizer: Tokenizer, directory: str | Path) -> None:
    """Writes a Keras model as `train.py` does, for `textgen.load` and the commands.

    A model that is in the folder goes to `previous/` there.

    Args:
        model: what `textgen.build_model` returns, or `keras.models.load_model` of a `model.h5`.
        tokenizer: the tokenizer of the ids that it was trained on.
        directory: a folder, made if missing.

    Raises:
        TextgenError: if the model has other layers or another vocabulary, a training is going on
            in the folder, or the disk does not take the files.

    Example:
        >>> tokenizer, settings = textgen.load(folder).tokenizer, textgen.ModelSettings(rnn_size=8)
        >>> model = textgen.build_model(settings, len(tokenizer.vocabulary), batch_size=4)
        >>> textgen.save(model, tokenizer, folder / "own")
        >>> len(textgen.load(folder / "own").generate("The ", length=9))
        9
    """
    folder = folder_of(directory)
    settings, weights = read_model(model, len(tokenizer.vocabulary))
    with explained(folder), exclusive(folder):
        keep_previous(folder)
        to_save = build_model_to_save(settings, len(tokenizer.vocabulary))
        set_weights(to_save, weights)
        metadata = Metadata(settings, tokenizer, TrainingSettings(), {})
        checkpoint.save(folder, metadata, partial(write_h5, to_save))
