"""A model -> TensorFlow's SavedModel, with a signature that has the state as input and output.

    inputs     ids (B, T), int32; h_1 (B, H), for LSTMs also c_1, and so on for each layer
    outputs    logits (B, T, V); next_h_1 (B, H), next_c_1 ...

B and T are free.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textgen.export import ExportSettings
from textgen.export.states import NEXT, state_names
from textgen.model.checkpoint import Checkpoint
from textgen.support.errors import TextgenError
from textgen.support.files import explained

if TYPE_CHECKING:
    from textgen.model.backend import keras

MARK = "saved_model.pb"
"""The file by which such a folder is known."""


def write(model: Checkpoint, path: Path, settings: ExportSettings, folder: Path) -> list[str]:
    """Writes the folder, or replaces one of an earlier export.

    Raises:
        TextgenError: if there is something else, or the disk does not take it.
    """
    if path.exists() and not (path / MARK).is_file():
        raise TextgenError(f"{path} is there, and is no SavedModel. Give another `output`")
    from textgen.model.backend import keras, tf

    made, names = with_explicit_state(model), state_names(model.metadata.model)
    states, size = [name for each in names for name in each], model.metadata.model.rnn_size

    def step(inputs: dict[str, Any]) -> dict[str, Any]:
        logits, *after = made([inputs["ids"], *(inputs[name] for name in states)])
        return {"logits": logits} | {NEXT + n: a for n, a in zip(states, after, strict=True)}

    signature = {"ids": tf.TensorSpec((None, None), tf.int32, "ids")}
    signature |= {name: tf.TensorSpec((None, size), tf.float32, name) for name in states}
    archive = keras.export.ExportArchive()
    archive.track(made)
    archive.add_endpoint("serve", step, [signature])
    # Keras prints the signature.
    silent = contextlib.redirect_stdout(io.StringIO())
    with explained(path), replacing_folder(path) as unfinished, silent:
        archive.write_out(str(unfinished))
    return []


def with_explicit_state(model: Checkpoint) -> keras.Model:
    """Returns the model as a function of token ids and states: to logits and the next states."""
    from textgen.model.backend import keras
    from textgen.model.keras_model import build_model, set_weights

    settings = dataclasses.replace(
        model.metadata.model, dropout=0.0, embedding_dropout=0.0, recurrent_dropout=0.0,
        tie_weights=False,
    )  # fmt: skip
    size = len(model.metadata.tokenizer.vocabulary)
    whole = build_model(settings, size, batch_size=1, own_layers=False, carries_state=False)
    ids, _, *states = whole.inputs  # the second tells dropout which rows these are
    made = keras.Model([ids, *states], whole.outputs)
    set_weights(made, model.weights)
    return made


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yields a folder to write; when the block ends well, it takes the place of `path`."""
    new, old = (path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp") for _ in range(2))
    try:
        yield new
        if path.exists():
            path.rename(old)
        new.rename(path)
    finally:
        for folder in (new, old):
            shutil.rmtree(folder, ignore_errors=True)
