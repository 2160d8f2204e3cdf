"""`textgen convert`: makes a model of keras-text-generation one that textgen reads.

That project (github.com/mattdangerw/keras-text-generation, 2017) leaves a `model.pkl` with a
pickled `MetaModel`, which holds a `Vectorizer`, and a `model.h5` as Keras 2 saves it. Nothing in
them is run: the objects are read as records, the layers as JSON, the weights as arrays.

Only what textgen computes in the same way is converted. Refused are words by that project's own
tokenizer, and the piecewise linear gates (`hard_sigmoid`) that Keras had before version 2.3. Its
models have no unknown token and skip what they do not know; the converted model reads it as zeros.
"""

import json
import reprlib
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textgen.commands.flags import ArgumentParser
from textgen.model import checkpoint, safe_pickle
from textgen.model.architecture import Array, weight_shapes
from textgen.model.checkpoint import Metadata
from textgen.model.safe_pickle import Record
from textgen.model.weights_file import WeightsFile
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.tokens import TOKENIZERS

NEVER = -100.0
"""Bias of the unknown token's logit: its share of the probability is lost in rounding."""
REQUIRED: dict[str, dict[str, object]] = {
    "Embedding": {"mask_zero": False},
    "LSTM": {
        "activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True,
        "return_sequences": True, "go_backwards": False, "time_major": False,
    },
    "Dense": {"activation": "softmax", "use_bias": True},
}  # fmt: skip
"""The layers of textgen's network in Keras' words; what Keras does not name is False."""
WITHOUT_WEIGHTS = ("InputLayer", "Dropout")


class Layer(NamedTuple):
    """A layer of the ancestor's Keras model."""

    name: str
    kind: str
    """Keras' class."""
    settings: dict[str, Any]


def main(argv: Sequence[str]) -> None:
    """Runs the command with the arguments `argv`. Raises TextgenError."""
    directory = parser().read(argv).directory
    metadata, weights = read(directory)
    write_model = _built(metadata, weights)
    _keep_original(directory)
    checkpoint.save(directory, metadata, write_model)
    more_text = console.command_line("sample", data_dir=directory)
    console.say(f"converted. More text: {more_text}", "green")


def parser() -> ArgumentParser:
    """Returns the flags of the command."""
    parser = ArgumentParser(
        prog=console.program("convert"),
        description="Convert the model of keras-text-generation in DIR (model.h5 and model.pkl)."
        " Nothing in its files is run; they are kept in DIR/original.",
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="folder with the model")
    return parser


def read(directory: Path) -> tuple[Metadata, dict[str, Array]]:
    """Returns the model of keras-text-generation in `directory` as textgen's metadata and weights.

    How it was trained is not in its files: the training settings are the defaults, the results
    none.

    Raises:
        TextgenError: if there is none, it is damaged, or textgen would not compute the same.
    """
    vectorizer, seeds = _read_objects(directory / "model.pkl")
    with WeightsFile(directory / "model.h5") as file:
        layers = _read_layers(file)
        values = {
            "model": _model_settings(layers, file.path),
            "tokenizer": _tokenizer(vectorizer, directory / "model.pkl"),
            "training": {},
            "results": {},
            "line_starts": seeds,
        }
        try:
            metadata = Metadata.from_dict(values)
        except TextgenError as error:
            raise _cannot(directory, str(error)) from error
        return metadata, _read_weights(file, metadata, layers)


def _read_objects(path: Path) -> tuple[dict[str, Any], Any]:
    """Returns the attributes of the `Vectorizer`, and the seeds."""
    if not path.is_file():
        raise TextgenError(f"{path} is missing: give a folder with model.h5 and model.pkl")
    data = checkpoint.read_bytes(path)
    if not checkpoint.is_keras_text_generation(data):
        raise TextgenError(
            f"{path} is not a MetaModel of keras-text-generation: there is nothing to convert."
            " Models of textgen are read as they are"
        )
    if not data.startswith(b"\x80"):
        raise _cannot(path, "it was written by Python 2, whose texts are bytes")
    try:
        model = safe_pickle.loads(data, classes=("MetaModel", "Vectorizer"))
    except safe_pickle.PickleError as error:
        raise _cannot(path, str(error)) from error
    vectorizer = model.attributes.get("vectorizer") if isinstance(model, Record) else None
    if not isinstance(vectorizer, Record):
        raise _cannot(path, "its MetaModel has no Vectorizer")
    return vectorizer.attributes, model.attributes.get("seeds")


def _tokenizer(vectorizer: dict[str, Any], path: Path) -> dict[str, Any]:
    """Returns the tokenizer as metadata have it, not checked; the unknown token comes first."""
    names = ("word_tokens", "_pristine_input", "_pristine_output")
    settings = {name.removeprefix("_"): vectorizer.get(name) for name in names}
    if settings["word_tokens"] and not settings["pristine_input"]:
        raise _cannot(path, "its words were made by a tokenizer that textgen does not have")
    tokens = vectorizer.get("_indices_token")
    if not isinstance(tokens, dict) or list(tokens) != list(range(len(tokens))):
        raise _cannot(path, "its vocabulary is not numbered from 0")
    unknown = TOKENIZERS["word" if settings["word_tokens"] else "character"].unknown_token
    if unknown in tokens.values():
        raise _cannot(path, f"textgen keeps its token {unknown!r} for what is unknown")
    return {"config": settings, "vocabulary": [unknown, *tokens.values()]}


def _read_layers(file: WeightsFile) -> list[Layer]:
    """Returns the layers of the Keras model, from its description in JSON."""
    described = file.text("model_config") or ""
    try:
        layers = json.loads(described)["config"]
        if not isinstance(layers, list):  # since Keras 2.2.3
            layers = layers["layers"]
        return [_layer(layer) for layer in layers]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise _cannot(file.path, "it does not describe a sequence of Keras layers") from error


def _layer(described: dict[str, Any]) -> Layer:
    """Returns a layer that Keras describes. Raises KeyError or TypeError if it does not."""
    kind, settings = described["class_name"], described["config"]
    name = settings["name"]
    if kind == "TimeDistributed":
        inner = _layer(settings["layer"])
        return Layer(name, inner.kind, inner.settings)
    if not isinstance(name, str) or not isinstance(kind, str) or not isinstance(settings, dict):
        raise TypeError
    return Layer(name, kind, settings)


def _model_settings(layers: list[Layer], path: Path) -> dict[str, Any]:
    """Returns the sizes of the network, not checked, if textgen computes it in the same way."""
    weighted = [layer for layer in layers if layer.kind not in WITHOUT_WEIGHTS]
    kinds = [layer.kind for layer in weighted]
    if len(kinds) < 3 or kinds != ["Embedding", *["LSTM"] * (len(kinds) - 2), "Dense"]:
        raise _cannot(
            path, f"its layers are not Embedding, LSTM, Dense. Received: {reprlib.repr(kinds)}"
        )
    for layer in weighted:
        for name, value in REQUIRED[layer.kind].items():
            if layer.settings.get(name, False) != value:
                found = reprlib.repr(layer.settings.get(name))
                raise _cannot(path, f"its {layer.kind} has {name}={found} instead of {value}")
    rates = [layer.settings.get("rate") for layer in layers if layer.kind == "Dropout"]
    return {
        "embedding_size": weighted[0].settings.get("output_dim"),
        "rnn_size": weighted[1].settings.get("units"),
        "num_layers": len(kinds) - 2,
        "dropout": rates[0] if rates else 0.0,
    }


def _read_weights(file: WeightsFile, metadata: Metadata, layers: list[Layer]) -> dict[str, Array]:
    """Returns the weights by textgen's paths, with the unknown token put before the others."""
    names = [layer.name for layer in layers if layer.kind not in WITHOUT_WEIGHTS]
    shapes = weight_shapes(metadata.model, len(metadata.tokenizer.vocabulary) - 1)
    ours = list(dict.fromkeys(path.split("/")[0] for path in shapes))  # layers, in order
    groups = {our: _group(file, name) for our, name in zip(ours, names, strict=True)}
    places = {path: f"{groups[path.split('/')[0]]}/{path.split('/')[-1]}:0" for path in shapes}
    arrays = file.arrays({places[path]: shape for path, shape in shapes.items()})
    weights = {path: arrays[place] for path, place in places.items()}
    rows, columns = ((1, 0), (0, 0)), ((0, 0), (1, 0))
    weights["embedding/embeddings"] = np.pad(weights["embedding/embeddings"], rows)  # (V, D)
    weights["logits/kernel"] = np.pad(weights["logits/kernel"], columns)  # (H, V)
    weights["logits/bias"] = np.pad(weights["logits/bias"], (1, 0), constant_values=NEVER)
    return weights


def _group(file: WeightsFile, layer: str) -> str:
    """Returns the group of the arrays of `layer`, which Keras has put at different depths."""
    path = f"model_weights/{layer}"
    for _ in range(4):
        inside = file.children(path)
        if len(inside) != 1 or inside[0].endswith(":0"):
            break
        path += "/" + inside[0]
    return path


def _keep_original(directory: Path) -> None:
    """Copies the pair to `original`, which must not exist."""
    kept = directory / "original"
    try:
        kept.mkdir()
        for name in checkpoint.PAIR:
            shutil.copy2(directory / name, kept)
    except OSError as error:
        raise TextgenError(
            f"cannot keep the original files in {kept} ({error.strerror}): move it away, or check"
            " the free space"
        ) from error


def _built(metadata: Metadata, weights: dict[str, Array]) -> Callable[[Path], None]:
    """Returns what writes the model to a file; so what cannot be built leaves the folder alone."""
    # Here, because Keras takes seconds.
    from textgen.model.keras_model import build_model_to_save, set_weights, write_h5

    model = build_model_to_save(metadata.model, len(metadata.tokenizer.vocabulary))
    set_weights(model, weights)
    return partial(write_h5, model)


def _cannot(path: Path, problem: str) -> TextgenError:
    return TextgenError(f"{path} cannot be converted: {problem}. Train again on its text")
