"""The examples in the docstrings do what they say."""

import doctest
import importlib
from pathlib import Path

import numpy as np
import pytest

import textgen
from tests.conftest import ROOT


def with_examples() -> list[str]:
    paths = [*ROOT.glob("textgen/*.py"), *ROOT.glob("textgen/server/*.py")]
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts[1:]): path for path in paths}
    sources = {name: path.read_text(encoding="utf-8") for name, path in modules.items()}
    return sorted(name for name, source in sources.items() if ">>> " in source)


def test_the_public_interface_has_examples() -> None:
    assert {"generator", "sampling", "tokenizers"} <= set(with_examples())


@pytest.mark.parametrize("name", with_examples())
def test_examples(name: str, trained_dir: Path) -> None:
    """`textgen`, `np` and `folder`, a folder with a model, are there without a word."""
    module = importlib.import_module(f"textgen.{name}")
    names = vars(module) | {"textgen": textgen, "np": np, "folder": trained_dir}
    failed, tried = doctest.testmod(module, globs=names)
    assert tried > 0
    assert failed == 0
