"""The graph of ONNX, run by onnxruntime, against the NumPy network."""

import re
import textwrap
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import textgen
from tests.conftest import ROOT, run_python
from tests.export.models import (
    CASES,
    TOKENS,
    expected,
    likeliest_text,
    random_model,
    real_ids,
    write,
)
from textgen.export.states import NEXT
from textgen.generation.sampling import softmax


class Session:
    """A graph and the state of its rows."""

    def __init__(self, path: Path, rows: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options)
        self.inputs = {
            given.name: np.zeros((rows, given.shape[1]), np.float32)
            for given in self.session.get_inputs()[1:]
        }

    def run(self, ids: np.ndarray) -> np.ndarray:
        """Logits (B, T, V) of ids (B, T)."""
        logits, *states = self.session.run(None, {"ids": ids.astype(np.int64), **self.inputs})
        names = [output.name for output in self.session.get_outputs()[1:]]
        self.inputs = {
            name.removeprefix(NEXT): state for name, state in zip(names, states, strict=True)
        }
        return logits


@pytest.mark.parametrize("case", CASES)
def test_it_computes_what_the_network_does(case: str, tmp_path: Path) -> None:
    model = random_model(CASES[case])
    path = write(model, "onnx", tmp_path / "model.onnx")
    ids = real_ids(model)
    session = Session(path, 2)
    both = np.stack([ids, ids[::-1]])
    first, rest = session.run(both[:, :100]), session.run(both[:, 100:])  # the state goes on
    found = softmax(np.concatenate([first, rest], axis=1))
    np.testing.assert_allclose(found[0], expected(model, ids), atol=1e-4)
    np.testing.assert_allclose(found[1], expected(model, ids[::-1]), atol=1e-4)
    assert len(ids) == TOKENS


def test_the_program_in_the_documentation_needs_no_textgen(
    trained_dir: Path, tmp_path: Path
) -> None:
    textgen.export_model(trained_dir, "onnx", tmp_path / "model.onnx")
    page = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    found = re.search(r"(?m)^    import json\n(?:    .*\n|\n(?=    ))*", page)
    assert found is not None
    program = "import sys\nsys.modules['textgen'] = None\n" + textwrap.dedent(found[0])
    done = run_python("-c", program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) == 200
    assert set(done.stdout) <= set(textgen.load(trained_dir).tokenizer.vocabulary[1:])


def test_its_likeliest_text_is_the_same(tmp_path: Path) -> None:
    model = random_model(CASES["lstm"])
    session = Session(write(model, "onnx", tmp_path / "model.onnx"), 1)
    ids = [0]
    for _ in range(TOKENS):
        ids.append(int(session.run(np.array([ids[-1:]]))[0, 0].argmax()))
    assert ids[1:] == likeliest_text(model)
