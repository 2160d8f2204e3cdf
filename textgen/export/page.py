"""A model -> one HTML file that writes text in a browser, without any host.

The page is that of the service (`textgen/server/static`), with a source of texts of its own
(`static/offline.js`): a worker that computes what `textgen.model.network` does, in JavaScript and,
for products of matrices, WebAssembly (`static/product.wat`).
The file has parts that no browser runs by themselves; the page's script stands before the weights,
so that the page is there, and a worker begun, while they are still read:

    facts      JSON: the tokenizer, the sizes of the network, what each array is, what is shown
    engine     the worker's script
    weights-0  the arrays one after the other, in base64, in as many parts as it takes

Each part says how long it is, and the CRC-32 of its bytes (of the weights, of those in base64), so
that a page which was cut or changed says so. The security policy lets the page load nothing, and
run no script but its own.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import itertools
import json
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textgen import server, treebank
from textgen.export import ExportSettings, tokenizer_file
from textgen.export.bundle import bundle
from textgen.generation import scoring
from textgen.generation.generator import Generator
from textgen.model.architecture import Array, describe_layers, weight_shapes
from textgen.model.checkpoint import Checkpoint
from textgen.model.network import Network
from textgen.settings.definitions import ModelSettings, SamplingSettings
from textgen.settings.fields import fields_of, json_schema
from textgen.support.console import size as shown_size
from textgen.support.errors import TextgenError
from textgen.support.files import write_atomic
from textgen.text.documents import LINES, join_documents
from textgen.text.sources import find_source
from textgen.tokens.tokenizer import Tokenizer

STATIC = Path(__file__).parent / "static"
FOLDERS = (STATIC, Path(server.__file__).parent / "static")
LARGEST = 64 * 2**20
"""Bytes of weights in a page: a phone needs five times as much memory to open it."""
PART_SIZE = 3 * 2**17
"""Bytes of weights in a part of the file: one is decoded while the next one is read."""
LARGEST_LENGTH = 100_000
"""Tokens of a text; each is an element of the page."""
TOKENIZERS = frozenset({"character", "word", "subword"})
"""The kinds that `static/tokenizers.js` has."""
CELLS = frozenset({"lstm", "gru", "rnn"})
"""The cells that `static/network.js` has."""
NOT_OFFERED = frozenset({"beam_size", "force", "new"})
"""Settings that the page does not have: of a search, or of what the training text is needed for."""
MEASURED = 20_000
"""Characters of the text that the loss of accuracy is measured on."""
SAMPLES = 20
"""Texts that the model writes to be measured on, where no other is at hand."""
UNTIL_IT_RUNS = {
    '<p id="error" role="alert" hidden></p>': '<p id="error" role="alert">This page cannot write:'
    " the browser runs no scripts, or the file was cut or changed on its way.</p>",
    'id="write" class="main">': 'id="write" class="main" disabled>',
}
"""Parts of the page of the service, and what they are here until the script runs."""
POLICY = (
    "default-src 'none'; script-src 'sha256-{script}' 'wasm-unsafe-eval'; style-src"
    " 'sha256-{style}'; img-src data:; worker-src blob:; base-uri 'none'; form-action 'none'"
)
PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="data:image/svg+xml;base64,{icon}">
<style>{style}</style>
</head>
<body>{body}{parts}
<script>{script}</script>
{weights}
</body>
</html>
"""
PART = (
    '<script type="{kind}" id="{name}" data-length="{length}" data-check="{check}">{text}</script>'
)


class Stored(NamedTuple):
    """An array as it is in the page."""

    data: bytes
    values: Array
    """The numbers that the page makes of it."""


def write(model: Checkpoint, path: Path, settings: ExportSettings, folder: Path) -> list[str]:
    """Writes the page; returns how large it is and what its numbers cost. Raises TextgenError."""
    _refuse_unknown(model)
    kind = "int8" if settings.int8 else "float32" if settings.float32 else "float16"
    _refuse_large(model, kind)
    arrays = arrays_of(model)
    stored = {name: STORES[kind](array) for name, array in arrays.items()}
    page = assemble(model, stored, kind, settings, folder).encode("utf-8", "replace")
    write_atomic(path, page)
    notes = [f"{shown_size(len(page))}, weights as {kind}"]
    if kind != "float32":
        values = {name: one.values for name, one in stored.items()}
        try:
            notes.append(_cost(model, values, kind, folder))
        except TextgenError as error:  # of the text, without which the page is as good
            notes.append(f"what {kind} costs was not measured: {error}")
    return notes


def _refuse_unknown(model: Checkpoint) -> None:
    """Raises TextgenError on what the page's own engine lacks."""
    cell, kind = model.metadata.model.cell, model.metadata.tokenizer.name
    for name, value, known in (("cell", cell, CELLS), ("tokens", kind, TOKENIZERS)):
        if value not in known:
            raise TextgenError(
                f"a page cannot compute `{name}` {value}, only {', '.join(sorted(known))}. Export"
                " to keras"
            )


# --- the arrays ---


def arrays_of(model: Checkpoint) -> dict[str, Array]:
    """Returns the arrays that the page needs, each with a row for every number that comes out.

    What can be made of others is left out: one-hot vectors, and the output where it is tied.
    """
    settings, weights = model.metadata.model, dict(model.weights)
    if not settings.embedding_size:
        del weights["embedding/embeddings"]
    if settings.is_tied:
        del weights["logits/kernel"]
    return {name: _by_output(name, array) for name, array in weights.items()}


def _by_output(name: str, array: Array) -> Array:
    return np.ascontiguousarray(array.T) if name.endswith("kernel") else array


def _as_float32(array: Array) -> Stored:
    return Stored(array.astype("<f4").tobytes(), array)


def _as_float16(array: Array) -> Stored:
    largest = np.finfo(np.float16).max
    short = array.clip(-largest, largest).astype("<f2")
    return Stored(short.tobytes(), short.astype(np.float32))


def _as_int8(array: Array) -> Stored:
    """Rounds each row of a matrix to 255 steps; vectors, which are small, stay as they are."""
    if array.ndim < 2 or len(array) < 3:
        return _as_float32(array)
    scales = np.abs(array).max(axis=1, keepdims=True).astype("<f4") / np.float32(127)
    scales[scales == 0] = 1
    steps = np.rint(array / scales).astype(np.int8)
    return Stored(scales.tobytes() + steps.tobytes(), steps * scales)


STORES = {"float32": _as_float32, "float16": _as_float16, "int8": _as_int8}
"""How the numbers of an array are kept, by the kind of them."""


def _kind_of(array: Stored, kind: str) -> str:
    """Returns the kind of an array's numbers, which is another where they are few."""
    return "float32" if len(array.data) == 4 * array.values.size else kind


def _described(stored: Mapping[str, Stored], kind: str) -> tuple[list[dict[str, Any]], bytes]:
    """Returns what the page is told of each array, and their bytes, each from a multiple of 4."""
    described, data = [], bytearray()
    for name, array in stored.items():
        own = _kind_of(array, kind)
        described.append({
            "name": name, "kind": own, "at": len(data), "count": array.values.size,
            "rows": len(array.values),
        })  # fmt: skip
        data += array.data
        data += bytes(-len(data) % 4)
    return described, bytes(data)


# --- what fits ---


def size_of(settings: ModelSettings, vocabulary_size: int, kind: str) -> int:
    """Returns the bytes of the weights of a model in a page."""
    shapes = weight_shapes(settings, vocabulary_size)
    left_out = {"embedding/embeddings"} if not settings.embedding_size else set()
    left_out |= {"logits/kernel"} if settings.is_tied else set()
    numbers = sum(math.prod(shape) for name, shape in shapes.items() if name not in left_out)
    return numbers * {"float32": 4, "float16": 2, "int8": 1}[kind]


def _refuse_large(model: Checkpoint, kind: str) -> None:
    """Raises TextgenError, which says what would fit, if a model is too large for a page."""
    settings, vocabulary_size = model.metadata.model, len(model.metadata.tokenizer.vocabulary)
    found = size_of(settings, vocabulary_size, kind)
    if found <= LARGEST:
        return
    ways = [k for k in STORES if size_of(settings, vocabulary_size, k) <= LARGEST]
    if ways:
        mend = f"As {ways[-1]} they are {shown_size(size_of(settings, vocabulary_size, ways[-1]))}"
        mend += ": give `int8`" if ways == ["int8"] else ": leave `float32` out"
    else:
        fitting = _fitting_size(settings, vocabulary_size)
        mend = f"With `int8` a model of `rnn_size` {fitting} would fit" if fitting else (
            "With this vocabulary none would fit: train with a lower `max_vocab` (of subwords"
            " `vocab_size`)"
        )  # fmt: skip
    raise TextgenError(
        f"the weights of this model are {shown_size(found)} as {kind}, and a page holds"
        f" {shown_size(LARGEST)}. {mend}"
    )


def _fitting_size(settings: ModelSettings, vocabulary_size: int) -> int:
    """Returns the largest `rnn_size` that fits as int8 with all else as it is; 0 if none does."""

    def fits(size: int) -> bool:
        narrow = size if settings.is_tied else settings.embedding_size
        smaller = dataclasses.replace(settings, rnn_size=size, embedding_size=narrow)
        return size_of(smaller, vocabulary_size, "int8") <= LARGEST

    return max((size for size in range(8, settings.rnn_size, 8) if fits(size)), default=0)


# --- what it costs ---


def _cost(model: Checkpoint, arrays: Mapping[str, Array], kind: str, folder: Path) -> str:
    """Returns, in words, the loss with the numbers of the page, and with those of the model."""
    tokenizer = model.metadata.tokenizer
    name, text = _text_to_measure(model, folder)
    if not text:
        return f"{folder} has no text on which to measure what {kind} costs"
    weights = dict(model.weights) | {name: _by_output(name, a) for name, a in arrays.items()}
    if model.metadata.model.is_tied:
        weights["logits/kernel"] = np.ascontiguousarray(weights["embedding/embeddings"].T)
    losses = [
        scoring.score(Network(model.metadata.model, each), tokenizer, [text]).nats_per_token
        for each in (weights, model.weights)
    ]
    return (
        f"{name}: {losses[0]:.4f} nats per {tokenizer.unit} as {kind}, {losses[1]:.4f} as float32"
        f" ({losses[0] - losses[1]:+.4f})"
    )


def _text_to_measure(model: Checkpoint, folder: Path) -> tuple[str, str]:
    """Returns the name and the beginning of a text: held out, else trained on, else written."""
    for name in ("validate", "input"):
        source = find_source(folder, name)
        if source is None:
            continue
        text = ""
        for chunk in source.read():
            text += chunk.text
            if len(text) >= MEASURED:
                break
        if text.strip():
            return source.paths[0].name, text[:MEASURED]
    samples = Generator.of(model).samples(SAMPLES, length=200, random_seed=0)
    kind = model.metadata.tokenizer.settings.documents or LINES
    texts = [sample.text for sample in samples if sample.text.strip()]
    return "what it writes", "".join(join_documents(texts, kind))


# --- the file ---


def assemble(
    model: Checkpoint,
    stored: Mapping[str, Stored],
    kind: str,
    settings: ExportSettings,
    folder: Path,
) -> str:
    """Returns the text of the page."""
    title = settings.title or folder.resolve().name or "textgen"
    described, weights = _described(stored, kind)
    pieces = [weights[at : at + PART_SIZE] for at in range(0, len(weights), PART_SIZE)]
    facts = _facts(model, settings, title) | {
        "arrays": described, "bytes": len(weights), "parts": len(pieces),
        "id": hashlib.sha256(weights).hexdigest()[:16],
        "product": base64.b64encode((STATIC / "product.wasm").read_bytes()).decode(),
    }  # fmt: skip
    parts = [
        _part("facts", "application/json", _safe(json.dumps(facts))),
        _part("engine", "text/plain", bundle("worker.js", FOLDERS)),
    ]
    style, icon = (_static(name) for name in ("style.css", "icon.svg"))
    script = "\n" + bundle("offline.js", FOLDERS)
    body = _static("index.html").partition("<body>")[2].partition("</body>")[0]
    for usual, here in UNTIL_IT_RUNS.items():
        body = body.replace(usual, here)
    return PAGE.format(
        policy=POLICY.format(script=_sha256(script), style=_sha256(style)),
        title=html.escape(title),
        icon=base64.b64encode(icon.encode()).decode(),
        style=style,
        body=body,
        script=script,
        parts="\n".join(parts),
        weights="\n".join(itertools.starmap(_weights_part, enumerate(pieces))),
    )


def _facts(model: Checkpoint, settings: ExportSettings, title: str) -> dict[str, Any]:
    """Returns all that the page knows beside the weights."""
    metadata = model.metadata
    tokenizer, starts = metadata.tokenizer, metadata.line_starts
    about = "Type a beginning, and a small network goes on from it: here, on this device."
    return {
        "title": title,
        "about": f"By {settings.author}. {about}" if settings.author else about,
        "note": settings.note or "",
        "model": metadata.model.to_dict(),
        "layers": [layer.cell_path for layer in describe_layers(metadata.model)],
        "tokenizer": tokenizer_file.facts(tokenizer) | {"treebank": treebank.tables()},
        "schemas": schemas(tokenizer),
        "labels": tokenizer.labels,
        "seed": starts[0] if starts and not tokenizer.settings.documents else "",
    }


def schemas(tokenizer: Tokenizer) -> dict[str, Any]:
    """Returns a JSON Schema of each setting that the page has a control for, by name, in order."""
    group, found = "", {}
    for field in fields_of(SamplingSettings):
        group = field.metadata["group"] or group
        if field.name not in NOT_OFFERED and (field.name != "label" or tokenizer.labels):
            found[field.name] = json_schema(field) | {"group": group}
    found["length"] |= {"minimum": 1, "maximum": LARGEST_LENGTH, "default": 200}
    return found


def _safe(text: str) -> str:
    """Returns JSON in which nothing can end the element that it stands in."""
    return text.replace("<", "\\u003c")


def _weights_part(number: int, data: bytes) -> str:
    text = base64.b64encode(data).decode()
    return _part(f"weights-{number}", "application/octet-stream", text, data)


def _part(name: str, kind: str, text: str, checked: bytes | None = None) -> str:
    """Returns a part of the file, with the check of its bytes, or of those that it stands for."""
    check = f"{zlib.crc32(text.encode() if checked is None else checked):08x}"
    length = len(text.encode("utf-16-le")) // 2  # as JavaScript counts
    return PART.format(kind=kind, name=name, length=length, check=check, text=text)


def _static(name: str) -> str:
    path = next(folder / name for folder in FOLDERS if (folder / name).is_file())
    return path.read_text(encoding="utf-8")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
