"""Small models with random weights, and what the NumPy network makes of real text with them."""

import re
from pathlib import Path

import numpy as np

from tests.conftest import ROOT, VERSES
from tests.networks import random_weights
from textgen.generation.sampling import softmax
from textgen.model.checkpoint import Checkpoint, Metadata
from textgen.model.network import Network
from textgen.settings.definitions import ModelSettings, TokenizerSettings, TrainingSettings
from textgen.tokens import build_tokenizer
from textgen.tokens.tokenizer import Tokenizer

PROSE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
TOKENS = 500

CASES = {
    "lstm": ModelSettings(embedding_size=8, rnn_size=16, num_layers=2),
    "gru": ModelSettings(embedding_size=8, rnn_size=16, num_layers=2, cell="gru"),
    "rnn": ModelSettings(embedding_size=8, rnn_size=16, num_layers=2, cell="rnn"),
    "lstm, deep": ModelSettings(
        embedding_size=6, rnn_size=10, num_layers=3, residual=True, layer_norm=True
    ),
    "gru, one-hot": ModelSettings(
        embedding_size=0, rnn_size=13, num_layers=2, cell="gru", residual=True
    ),
    "lstm, one-hot": ModelSettings(embedding_size=0, rnn_size=8, num_layers=1),
    "gru, tied": ModelSettings(
        embedding_size=12, rnn_size=12, num_layers=2, cell="gru", tie_weights=True, layer_norm=True
    ),
    "rnn, one-hot": ModelSettings(
        embedding_size=0, rnn_size=9, num_layers=2, cell="rnn", residual=True, layer_norm=True
    ),
}
"""Every cell with every option; some sizes are no multiple of four, which the page computes by."""


def tokenizer(kind: str = "character", text: str = VERSES, **settings: object) -> Tokenizer:
    return build_tokenizer(text, TokenizerSettings(kind, **settings))


def random_model(settings: ModelSettings, own: Tokenizer | None = None) -> Checkpoint:
    own = own or tokenizer(pristine_input=True)
    weights = random_weights(settings, len(own.vocabulary), scale=0.5)
    if not settings.embedding_size:
        weights["embedding/embeddings"] = np.eye(len(own.vocabulary), dtype=np.float32)
    if settings.is_tied:
        weights["logits/kernel"] = np.ascontiguousarray(weights["embedding/embeddings"].T)
    starts = ["The river keeps"]
    return Checkpoint(Metadata(settings, own, TrainingSettings(), {}, starts), weights)


def real_ids(model: Checkpoint, text: str = PROSE) -> np.ndarray:
    """500 tokens of real text, (T,)."""
    own = model.metadata.tokenizer
    encoded = own.encode_documents(text) if own.settings.documents else own.encode(text)
    return encoded[:TOKENS]


def expected(model: Checkpoint, ids: np.ndarray) -> np.ndarray:
    """The probabilities of the token after each, (T, V)."""
    network = Network(model.metadata.model, model.weights)
    state, found = network.initial_state(1), []
    for token_id in ids.tolist():
        logits, state = network.read(np.array([[token_id]]), state)
        found.append(softmax(logits)[0])
    return np.array(found)


def likeliest_text(model: Checkpoint) -> list[int]:
    """The ids of an argmax text of 500 tokens after the unknown one."""
    network, ids = Network(model.metadata.model, model.weights), [0]
    stepper = network.stepper(np.array([[0]]))
    for _ in range(TOKENS):
        ids.append(int(stepper.logits[0].argmax()))
        stepper.step(np.array(ids[-1:]))
    return ids[1:]


def write(model: Checkpoint, to: str, path: Path, **settings: object) -> Path:
    """Writes a model that is in no folder in one of the forms."""
    import importlib

    from textgen.export import FORMATS, ExportSettings

    module = importlib.import_module(f"textgen.export.{FORMATS[to].module}")
    module.write(model, path, ExportSettings(**settings), path.parent)
    return path


def parts_of(page: str) -> dict[str, str]:
    """The parts of a page that no browser runs by themselves, by their names."""
    form = r'<script type="[^"]*" id="([\w-]+)"[^>]*>(.*?)</script>'
    parts = dict(re.findall(form, page, re.DOTALL))
    weights = "".join(text for name, text in parts.items() if name.startswith("weights-"))
    return parts | {"weights": weights}
