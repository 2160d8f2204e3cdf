"""The examples in the docstrings do what they say, and every public name has one."""

import doctest
import importlib
import shutil
from pathlib import Path

import numpy as np
import pytest

import textgen
from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("as_in_python")


def with_examples() -> list[str]:
    """The modules, by name."""
    paths = [
        path.relative_to(ROOT).with_suffix("")
        for path in ROOT.glob("textgen/**/*.py")
        if ">>> " in path.read_text(encoding="utf-8")
    ]
    return sorted(".".join(path.parts).removesuffix(".__init__") for path in paths)


@pytest.mark.parametrize("name", sorted({*textgen.__all__} - {"TextgenError"}))
def test_every_public_name_has_an_example(name: str) -> None:
    """But for the exception, which those that raise it show."""
    found = doctest.DocTestFinder().find(getattr(textgen, name), name)
    assert any(test.examples for test in found)


@pytest.mark.parametrize("name", with_examples())
def test_examples(name: str, trained_dir: Path) -> None:
    """`textgen`, `np` and `folder`, a folder with a model, are there without a word."""
    module = importlib.import_module(name)
    names = vars(module) | {"textgen": textgen, "np": np, "folder": trained_dir}
    failed, tried = doctest.testmod(module, globs=names)
    assert tried > 0
    assert failed == 0


def test_the_page_about_python(trained_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "verses"
    shutil.copytree(trained_dir, folder)
    names = {"textgen": textgen, "folder": folder}
    failed, tried = doctest.testfile(
        str(ROOT / "docs" / "python.md"), module_relative=False, globs=names,
        optionflags=doctest.ELLIPSIS,
    )  # fmt: skip
    assert tried > 20
    assert failed == 0
