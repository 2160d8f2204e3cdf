"""The examples run: programs as processes, notebooks in a kernel, with a small text."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import textgen
from tests.conftest import ROOT, VERSES, run_python
from textgen.model.devices import XLA_SWITCH

EXAMPLES = ROOT / "examples"
ESCAPE = "\x1b["


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "input.txt").write_text(VERSES * 40)
    return tmp_path


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), XLA_SWITCH: "0", "MPLBACKEND": ""}


def executed(name: str, folder: Path, **values: object) -> Any:
    """Runs a notebook of the examples in `folder`, with other values of its constants."""
    notebook = nbformat.read(EXAMPLES / name, as_version=4)
    for constant, value in values.items():
        cells = [cell for cell in notebook.cells if re.search(rf"(?m)^{constant} = ", cell.source)]
        assert len(cells) == 1, f"{name} has {len(cells)} cells that set {constant}"
        cells[0].source = re.sub(
            rf"(?m)^{constant} = .*", f"{constant} = {value!r}", cells[0].source
        )
    client = NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(folder)}})
    with pytest.MonkeyPatch.context() as patch:
        for variable, text in environment().items():
            patch.setenv(variable, text)
        patch.delenv("MPLBACKEND")
        client.execute()
    return notebook


def outputs(notebook: Any, kind: str) -> Iterator[str]:
    """The outputs of a notebook that are of one kind: a stream's name, or a type of data."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == kind:
                yield output.text
            elif kind in output.get("data", {}):
                yield output.data[kind]


def test_the_quickstart(data_dir: Path) -> None:
    notebook = executed("quickstart.ipynb", data_dir, DATA=str(data_dir), MINUTES=0.05)
    said = "".join(outputs(notebook, "stdout"))
    assert said.count("The run is complete") == 2  # trained, and gone on with
    assert "textgen.train(" in said
    assert ESCAPE not in said
    assert list(outputs(notebook, "stderr")) == []  # which a notebook shows in red
    assert any(page.count("<span") == 300 for page in outputs(notebook, "text/html"))
    assert len(list(outputs(notebook, "image/png"))) == 1
    assert textgen.load(data_dir).history


def test_colab(data_dir: Path) -> None:
    notebook = executed("colab.ipynb", data_dir, INSTALL=False, MINUTES=0.05, DATA=str(data_dir))
    assert "The run is complete" in "".join(outputs(notebook, "stdout"))
    assert any("<span" in page for page in outputs(notebook, "text/html"))


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.name)
def test_notebooks_are_kept_with_small_outputs_of_their_cells(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < 200_000
    assert ESCAPE not in path.read_text(encoding="utf-8")
    counts = [c.execution_count for c in notebook.cells if c.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), "run it from the top and save it"


def test_the_loop_of_keras(data_dir: Path) -> None:
    program = EXAMPLES / "keras_loop.py"
    code = [line for line in program.read_text().splitlines() if line and line[0] not in '"#']
    assert len(code) <= 32, "it is to be short"
    done = run_python(program, data_dir / "input.txt", cwd=data_dir, env=environment())
    assert done.returncode == 0, done.stderr
    assert len(textgen.load(data_dir / "data" / "keras_loop").generate("The ", 20)) == 20


def test_many_texts_at_once(trained_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    done = run_python(EXAMPLES / "batch_generation.py", trained_dir, 5, file, env=environment())
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"wrote 5 texts to {file}")
    assert len(file.read_text().splitlines()) == 5
