"""The wheel: what is in it, what it asks for, and that it works away from the clone."""

import ast
import email
import os
import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import textgen
from tests.conftest import ROOT

pytest.importorskip("setuptools", minversion="77")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of a copy of what it is made from, without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(
        ROOT / "textgen", source / "textgen", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE", "train.py"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """A folder into which the wheel was unpacked."""
    folder = wheel.parent / "installed"
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def metadata(installed: Path) -> Message:
    return email.message_from_bytes(next(installed.glob("*.dist-info/METADATA")).read_bytes())


def test_it_holds_the_package_and_nothing_else(installed: Path) -> None:
    def files(folder: Path) -> set[str]:
        paths = (path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix() for path in paths}

    caches = {name for name in files(ROOT / "textgen") if "__pycache__" in name}
    assert files(installed / "textgen") == files(ROOT / "textgen") - caches
    others = {path.name for path in installed.iterdir()} - {"textgen"}
    assert others == {f"textgen-{textgen.__version__}.dist-info"}


def test_it_asks_for_what_the_requirements_say(installed: Path) -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    asked = map(Requirement, metadata(installed).get_all("Requires-Dist", []))
    core = {str(requirement) for requirement in asked if requirement.marker is None}
    assert core == {str(Requirement(line.split("#")[0])) for line in lines}


def test_every_package_that_is_imported_is_asked_for(installed: Path) -> None:
    asked = list(map(Requirement, metadata(installed).get_all("Requires-Dist", [])))
    core = {requirement.name.lower() for requirement in asked if requirement.marker is None}
    optional = {
        requirement.name.lower()
        for requirement in asked
        if requirement.marker and not requirement.marker.evaluate({"extra": "dev"})
    }
    brought = {"starlette", "pydantic", "pydantic_core", "sqlalchemy"}  # by fastapi and Optuna
    of_other_names = {"yaml": "pyyaml", "prometheus_client": "prometheus-client"}
    used = {of_other_names.get(name, name) for name in imported(installed / "textgen")}
    reference = {"nltk"}  # asked for, but not imported: tests and benchmarks measure against it
    assert core - used == reference
    assert used <= core | optional | brought


def imported(package: Path) -> set[str]:
    """The modules of others that the package imports, by their first name."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in package.rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    first = {str(name).split(".")[0] for name in names}
    return first - sys.stdlib_module_names - {"textgen", "train"}


def test_it_works_away_from_the_clone(installed: Path, trained_dir: Path, tmp_path: Path) -> None:
    def run(*arguments: object) -> str:
        environment = {**os.environ, "PYTHONPATH": str(installed)}
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True,
            timeout=120,
        ).stdout  # fmt: skip

    assert run("-m", "textgen", "--version") == f"textgen {textgen.__version__}\n"
    code = (
        "import sys, textgen; print(textgen.__file__);"
        "print(len(textgen.load(sys.argv[1]).generate('The ', length=20)))"
    )
    assert run("-c", code, trained_dir) == f"{installed / 'textgen' / '__init__.py'}\n20\n"
    points = next(installed.glob("*.dist-info/entry_points.txt")).read_text(encoding="utf-8")
    assert "textgen = textgen.commands:run_from_shell" in points
