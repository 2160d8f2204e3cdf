"""The house stands as it was planned: which module may know which, and what the README says."""

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT, run_python
from textgen.config import (
    ModelConfig,
    SamplingConfig,
    TokenizerConfig,
    TrainingConfig,
)
from textgen.options import Config, flags_of
from textgen.server.settings import ServerConfig

ALLOWED = {
    "arrays": set(),
    "errors": set(),
    "console": {"errors"},
    "options": {"errors"},
    "config": {"errors", "options"},
    "files": {"errors"},
    "backend": set(),
    "downloads": {"errors"},
    "corpora": {"errors"},
    "sources": {"corpora", "errors"},
    "splitting": {"errors", "sources"},
    "textfiles": {"console", "corpora", "files"},
    "recipes": {
        "console", "corpora", "downloads", "errors", "sources", "splitting", "textfiles",
    },
    "_treebank_words": set(),
    "_treebank_rule": {"_treebank_words"},
    "treebank": {"_treebank_rule", "_treebank_words"},
    "tokenizers": {"arrays", "config", "errors", "treebank"},
    "pieces": {"config", "errors", "parallel", "tokenizers", "treebank"},
    "counting": {"console", "tokenizers"},
    "lines": set(),
    "tokenfiles": {"files", "tokenizers"},
    "tokenization": {
        "config", "console", "counting", "errors", "files", "lines", "parallel", "pieces",
        "recipes", "splitting", "tokenfiles", "tokenizers", "workspace",
    },
    "dataset": {"arrays", "errors", "tokenizers"},
    "distributed": set(),
    "distributed.layout": {"errors"},
    "distributed.cluster": {"backend", "console", "distributed.layout", "errors"},
    "distributed.agreement": {
        "config", "console", "distributed.cluster", "distributed.layout", "errors", "planning",
        "tokenization", "tokenizers", "training",
    },
    "distributed.ray": {"console", "errors", "options"},
    "recurrent": {"backend"},
    "model": {"backend", "config", "network", "recurrent"},
    "cells": {"arrays"},
    "network": {"arrays", "cells", "config", "errors"},
    "sampling": {"arrays", "errors"},
    "safe_pickle": set(),
    "weights_file": {"arrays", "errors"},
    "checkpoint": {
        "arrays", "config", "errors", "files", "network", "safe_pickle", "tokenizers",
        "weights_file",
    },
    "convert": {
        "arrays", "checkpoint", "config", "console", "errors", "model", "network", "options",
        "safe_pickle", "tokenizers", "weights_file",
    },
    "sizing": {"console", "backend", "config", "errors", "network"},
    "batch": {"arrays", "sampling", "tokenizers"},
    "beam": {"arrays", "batch", "sampling"},
    "controls": {"config", "errors", "sampling", "tokenizers"},
    "writer": {"tokenizers"},
    "texts": {"arrays", "batch", "config", "controls", "tokenizers", "writer"},
    "parallel": set(),
    "mixture": {"arrays", "batch", "controls", "errors", "tokenizers"},
    "generator": {
        "batch", "beam", "checkpoint", "config", "errors", "mixture", "network", "parallel",
        "sampling", "texts", "tokenizers",
    },
    "interactive": {"config", "console", "controls", "errors", "generator"},
    "output": {"errors", "files"},
    "callbacks": {"backend", "clock", "config", "history", "model", "schedules"},
    "feed": {
        "arrays", "backend", "config", "dataset", "distributed.cluster", "tokenfiles", "tokenizers",
    },
    "keeper": {
        "backend", "checkpoint", "clock", "console", "errors", "files", "history", "model", "plot",
    },
    "progress": {
        "backend", "checkpoint", "clock", "console", "generator", "history", "model", "network",
    },
    "validation": {
        "backend", "config", "dataset", "distributed.cluster", "model", "tokenfiles", "tokenizers",
    },
    "history": set(),
    "clock": {"config"},
    "plot": {"console", "files", "history"},
    "events": {"backend", "console", "errors", "history", "workspace"},
    "schedules": {"config"},
    "settings_file": {"errors", "options", "sources"},
    "summary": {"checkpoint", "config", "console", "dataset", "network", "sizing"},
    "closing": {"checkpoint", "config", "history"},
    "gensim_file": {"arrays", "safe_pickle"},
    "embeddings": {"arrays", "errors", "gensim_file"},
    "optimizers": {"backend", "config"},
    "losses": {"backend"},
    "stepping": {"backend", "config", "losses", "optimizers"},
    "workspace": {"checkpoint", "console", "errors", "files", "history"},
    "snapshots": {
        "backend", "clock", "console", "distributed.cluster", "errors", "files", "workspace",
    },
    "interruption": {"backend"},
    "finetuning": {"arrays", "cells", "config"},
    "run": {
        "arrays", "backend", "callbacks", "checkpoint", "clock", "console", "distributed.cluster",
        "errors", "events", "feed", "history", "interruption", "keeper", "livesamples", "losses",
        "model", "progress", "snapshots", "stepping", "summary", "tokenization", "tokenizers",
        "validation", "workspace",
    },
    "training": {
        "arrays", "checkpoint", "closing", "config", "console", "distributed.cluster",
        "embeddings", "files", "history", "run", "sizing", "tokenization", "workspace",
    },
    "planning": {
        "checkpoint", "config", "console", "embeddings", "errors", "events", "finetuning",
        "options", "sizing", "snapshots", "tokenization", "tokenizers", "training",
    },
    "preparation": set(),
    "preparation.cleaning": {"console", "corpora", "sources"},
    "preparation.documents": {"corpora"},
    "preparation.report": {"config", "pieces"},
    "preparation.making": {
        "console", "corpora", "errors", "files", "preparation.cleaning", "preparation.documents",
        "preparation.report", "sources", "splitting", "textfiles",
    },
    "preparation.command": {
        "console", "errors", "options", "preparation.making", "recipes", "splitting",
    },
    "search": set(),
    "search.space": {"config", "errors", "options", "settings_file"},
    "search.request": {"config", "errors", "options", "search.space"},
    "search.limits": {"config", "dataset", "sizing", "summary"},
    "search.storage": {"errors"},
    "search.study": {"errors"},
    "search.trial": {
        "backend", "console", "errors", "events", "history", "planning", "recipes", "training",
    },
    "search.children": {"errors"},
    "search.objective": {
        "console", "errors", "history", "search.children", "search.limits", "search.space",
        "search.study",
    },
    "search.ranking": {"search.objective", "search.study"},
    "search.plots": {"console", "files", "search.ranking", "search.study"},
    "search.reporter": {
        "console", "errors", "files", "search.objective", "search.plots", "search.ranking",
        "search.request", "search.study",
    },
    "search.session": {
        "console", "errors", "files", "parallel", "planning", "recipes", "search.children",
        "search.limits", "search.objective", "search.reporter", "search.request", "search.space",
        "search.storage", "search.study", "sizing", "training", "workspace",
    },
    "search.command": {
        "config", "console", "errors", "options", "search.request", "search.session",
        "search.space",
    },
    "livesamples": {"files", "workspace"},
    "server": set(),
    "server.settings": {"options"},
    "server.scheduler": {"batch", "generator", "sampling", "server.settings", "texts"},
    "server.inbox": {"server.scheduler"},
    "server.models": {
        "checkpoint", "errors", "files", "generator", "server.scheduler", "server.settings",
    },
    "server.metrics": {"server.models"},
    "server.problems": set(),
    "server.schemas": {"config"},
    "server.events": set(),
    "server.service": {
        "server.inbox", "server.metrics", "server.models", "server.settings",
    },
    "server.writing": {
        "errors", "generator", "server.inbox", "server.models", "server.problems",
        "server.scheduler", "server.schemas", "server.service", "texts", "tokenizers",
    },
    "server.guard": {"server.metrics", "server.problems", "server.settings"},
    "server.protocol": {"server.settings"},
    "server.live": {"files", "livesamples"},
    "server.log": set(),
    "server.app": {
        "server.events", "server.guard", "server.live", "server.problems", "server.scheduler",
        "server.schemas", "server.service", "server.writing",
    },
    "server.command": {
        "config", "console", "errors", "options", "parallel", "server.app", "server.log",
        "server.protocol", "server.service", "server.settings",
    },
    "server.beside": {"parallel", "server.command", "server.settings"},
    "__main__": {"console", "errors"},
    "__init__": {"config", "errors", "generator", "model"},
}  # fmt: skip
"""The modules of textgen that each module may import. It goes one way: see the README's tour."""


def imported(path: Path) -> set[str]:
    """The modules of textgen that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        module = (isinstance(node, ast.ImportFrom) and node.module) or ""
        if module == "textgen" or module.startswith("textgen."):
            is_package = (ROOT / module.replace(".", "/")).is_dir()
            names = [f"{module}.{alias.name}" for alias in node.names] if is_package else [module]
            found |= {name.removeprefix("textgen.") for name in names}
    return found


def name_of(path: Path) -> str:
    """The module's name, without `textgen.`."""
    parts = path.relative_to(ROOT / "textgen").with_suffix("").parts
    return ".".join(parts if len(parts) == 1 or parts[-1] != "__init__" else parts[:-1])


@pytest.mark.parametrize("path", sorted(ROOT.glob("textgen/**/*.py")), ids=name_of)
def test_imports_follow_the_plan(path: Path) -> None:
    name = name_of(path)
    assert name in ALLOWED, f"say in ALLOWED what {path.name} may import"
    assert imported(path) <= ALLOWED[name]


def test_no_import_goes_in_a_circle() -> None:
    done: set[str] = set()
    while ready := {name for name in ALLOWED.keys() - done if ALLOWED[name] <= done}:
        done |= ready
    assert done == ALLOWED.keys(), f"in a circle: {ALLOWED.keys() - done}"


@pytest.mark.parametrize(
    "module", ["textgen", "textgen.generator", "textgen.recipes", "textgen.server.app", "sample"]
)
def test_tensorflow_stays_out_of_generation(module: str) -> None:
    code = f"import sys, {module}; print({{'tensorflow', 'keras'}} & set(sys.modules))"
    assert run_python("-c", code).stdout == "set()\n"


SOURCES = [*ROOT.glob("*.py"), *sorted(ROOT.glob("textgen/**/*.py"))]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name


def test_every_module_has_a_test_file() -> None:
    paths = (ROOT / "tests").glob("**/test_*.py")
    parts = [path.relative_to(ROOT / "tests").with_suffix("").parts for path in paths]
    tested = {".".join(part.removeprefix("test_") for part in each) for each in parts}
    internal = {
        "__init__", "_treebank_rule", "_treebank_words", "arrays", "backend", "errors", "options",
    }  # fmt: skip
    packages = {name for name in ALLOWED if (ROOT / "textgen" / name).is_dir()}
    together = {  # app, guard, live and command test these too, as a client sees them
        "server.settings", "server.service", "server.schemas", "server.problems", "server.events",
        "server.inbox", "server.writing", "server.metrics", "server.protocol", "server.log",
        "server.beside", "livesamples", "preparation",
    }  # fmt: skip
    rest = ALLOWED.keys() - internal - packages - together
    assert {name.strip("_") for name in rest} <= tested


def test_the_tour_of_the_house_names_every_module() -> None:
    tour = (ROOT / "README.md").read_text(encoding="utf-8").split("## A tour of the house")[1]
    modules = {name for name in ALLOWED if not (ROOT / "textgen" / name).is_dir()}
    named = {path.removesuffix(".py").replace("/", ".") for path in tour.split("`")[1::2]}
    assert modules - named == {"__init__", "__main__"}


@pytest.mark.parametrize(
    "config", [TokenizerConfig, ModelConfig, TrainingConfig, SamplingConfig, ServerConfig]
)
def test_the_readme_names_every_flag_with_its_default(config: type[Config]) -> None:
    import dataclasses

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        row = next((r for r in readme.splitlines() if r.startswith(f"| `{flags_of(field)[0]}")), "")
        assert row, f"the README has no row for {flags_of(field)[0]}"
        if field.default not in (None, False, ()):
            text = field.default if isinstance(field.default, str) else f"{field.default:.7g}"
            assert f"| {text} |" in row, row


def test_the_public_names_are_there() -> None:
    import textgen

    for name in textgen.__all__:
        assert getattr(textgen, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = textgen.nonsense
