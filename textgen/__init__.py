"""Train recurrent text generators on your own text, and sample them.

    import textgen
    model = textgen.train("data/mine", minutes=2)
    model = textgen.load("data/mine")
    print(model.generate(seed="The ", length=200, temperature=0.8))

Names are imported when first used: `import textgen` costs nothing, and only training and what
deals with Keras' models import TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from textgen.export import export_model
    from textgen.generation.generator import Generator, Prompt
    from textgen.model.keras_model import build_model
    from textgen.settings.definitions import (
        ModelSettings,
        SamplingSettings,
        TokenizerSettings,
        TrainingSettings,
    )
    from textgen.support.errors import TextgenError
    from textgen.tokens import build_tokenizer
    from textgen.training.custom import ResetState, save, training_batches
    from textgen.training.train import train

__version__ = "1.0.0"

_HOMES = {
    "Generator": "generation.generator",
    "ModelSettings": "settings.definitions",
    "Prompt": "generation.generator",
    "ResetState": "training.custom",
    "SamplingSettings": "settings.definitions",
    "TextgenError": "support.errors",
    "TokenizerSettings": "settings.definitions",
    "TrainingSettings": "settings.definitions",
    "build_model": "model.keras_model",
    "build_tokenizer": "tokens",
    "export_model": "export",
    "save": "training.custom",
    "train": "training.train",
    "training_batches": "training.custom",
}

_FORMER_NAMES = {
    f"{kind}Config": f"{kind}Settings" for kind in ("Model", "Sampling", "Tokenizer", "Training")
}
"""Names of before version 1.0, which go on working."""

__all__ = [
    "Generator",
    "ModelSettings",
    "Prompt",
    "ResetState",
    "SamplingSettings",
    "TextgenError",
    "TokenizerSettings",
    "TrainingSettings",
    "build_model",
    "build_tokenizer",
    "export_model",
    "load",
    "save",
    "train",
    "training_batches",
    "treebank",
]


def load(directory: "str | Path") -> "Generator":
    """Read the trained model in `directory`; see `textgen.generation.generator.Generator.load`.

    Example:
        >>> textgen.load(folder).tokenizer.unit
        'character'
        >>> textgen.load("x")
        Traceback (most recent call last):
        textgen.support.errors.TextgenError: no model in x. Train one: textgen.train('x')
    """
    from textgen.generation.generator import Generator

    return Generator.load(directory)


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])


def __getattr__(name: str) -> Any:
    name = _FORMER_NAMES.get(name, name)
    if name == "treebank":
        return importlib.import_module("textgen.treebank")
    if name in _HOMES:
        return getattr(importlib.import_module(f"textgen.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'textgen' has no attribute {name!r}")
