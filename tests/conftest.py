"""A small real text and a model trained on it, made once per test session."""

import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from textgen.config import ModelConfig, TokenizerConfig, TrainingConfig

ROOT = Path(__file__).parent.parent

VERSES = """\
FERRYMAN:
The river keeps no record of the rain,
And yet it carries all of it away.
Who asks the water when it comes again?
It has a different name on every day.

TRAVELLER:
I asked you for the crossing, not a song;
The evening falls, the other bank is dim.
How much for me? I can't be waiting long.

FERRYMAN:
A coin for you. The shadow there: for him,
Who has been walking at your heel since noon,
I'll take a word you never said aloud.

TRAVELLER:
Then take "perhaps" -- I said it to the moon,
And even she had gone behind a cloud.
"""
"""Written for these tests."""


@pytest.fixture(scope="session")
def corpus_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a training and a validation text."""
    directory = tmp_path_factory.mktemp("verses")
    (directory / "input.txt").write_text(VERSES * 4, encoding="utf-8")
    (directory / "validate.txt").write_text(VERSES[:300], encoding="utf-8")
    return directory


TINY_MODEL = ModelConfig(embedding_size=8, rnn_size=16, num_layers=2)
TINY_TRAINING = TrainingConfig(
    batch_size=4, seq_length=20, seq_step=20, num_epochs=20, learning_rate=0.02, random_seed=1
)


@pytest.fixture(scope="session")
def trained_dir(corpus_dir: Path) -> Path:
    """The data directory after a short training of a character model."""
    from textgen.training import train

    train(corpus_dir, TINY_MODEL, TokenizerConfig(pristine_input=True), TINY_TRAINING)
    return corpus_dir


@pytest.fixture
def ancestor() -> Iterator[Any]:
    """The classes of the ancestor, in modules of their names, while a test pickles objects."""
    modules = {"model": "MetaModel", "vectorizer": "Vectorizer"}
    for module, name in modules.items():
        sys.modules[module] = types.ModuleType(module)
        setattr(sys.modules[module], name, type(name, (), {"__module__": module}))
    yield types.SimpleNamespace(
        MetaModel=sys.modules["model"].MetaModel, Vectorizer=sys.modules["vectorizer"].Vectorizer
    )
    for module in modules:
        del sys.modules[module]


def run_python(*arguments: object, **options: object) -> "subprocess.CompletedProcess[str]":
    """Run Python from the project's root, as a user would, and return what it printed."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=240, **options
    )
