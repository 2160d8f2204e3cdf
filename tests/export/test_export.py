"""The command and the function: what is written where, and what is refused."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

import textgen
from tests.conftest import run_here, run_python
from tests.export.models import CASES, random_model, tokenizer, write
from textgen.commands.export import main
from textgen.export import FORMATS, tokenizer_file
from textgen.export.bundle import bundle
from textgen.export.onnx_file import OPERATORS
from textgen.model import checkpoint
from textgen.support.errors import TextgenError


@pytest.fixture
def folder(trained_dir: Path, tmp_path: Path) -> Path:
    """A copy of the model and its texts."""
    folder = tmp_path / "verses"
    folder.mkdir()
    for name in (*checkpoint.PAIR, "input.txt", "validate.txt"):
        shutil.copyfile(trained_dir / name, folder / name)
    return folder


def test_a_page_is_written_and_told(folder: Path, tmp_path: Path) -> None:
    done = run_here(main, "--data-dir", folder, "--to", "page", "--int8", "--title", "My verses")
    assert done.returncode == 0
    assert "weights as int8\nvalidate.txt: " in done.stderr
    assert "nats per character as int8" in done.stderr
    assert f"wrote {folder / 'model.html'}\n" in done.stderr
    assert done.stdout == ""
    small = (folder / "model.html").stat().st_size
    other = tmp_path / "page.html"
    run_here(main, "--data-dir", folder, "--to", "page", "--output", other, "--float32")
    assert "<title>My verses</title>" in (folder / "model.html").read_text(encoding="utf-8")
    assert "<title>verses</title>" in other.read_text(encoding="utf-8")
    assert other.stat().st_size > small


def test_without_a_text_what_the_model_writes_is_measured(folder: Path) -> None:
    for name in ("input.txt", "validate.txt"):
        (folder / name).unlink()
    size, cost = textgen.export_model(folder, "page").notes
    assert size.endswith("weights as float16")
    assert cost.startswith("what it writes: ")


def test_arrays_are_written_by_name(folder: Path, tmp_path: Path) -> None:
    path, tokenizer_path, _ = textgen.export_model(
        textgen.load(folder), "safetensors", tmp_path / "arrays.safetensors"
    )
    weights = checkpoint.load(folder).weights
    with safe_open(path, "np") as file:
        assert set(file.keys()) == set(weights)
        for name, array in weights.items():
            np.testing.assert_array_equal(file.get_tensor(name), array)
        assert json.loads(file.metadata()["model"])["rnn_size"] == 16
    assert tokenizer_path == tmp_path / "tokenizer.json"
    told = json.loads(tokenizer_path.read_text(encoding="utf-8"))
    assert told["vocabulary"] == textgen.load(folder).tokenizer.vocabulary


def test_the_file_of_a_tokenizer_says_what_it_is() -> None:
    own = tokenizer("word", "<|a|>One two\n<|b|>two\n", documents="lines")
    told = tokenizer_file.facts(own)
    assert told["format"], told["version"] == ("textgen-tokenizer", 1)
    assert told["kind"] == "word"
    assert told["marks"] == {"<|endoftext|>": 1, "<|a|>": 2, "<|b|>": 3}
    assert told["settings"]["documents"] == "lines"
    assert told["rules_version"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "tflite"], "--to must be one of page, onnx"),
        (["--to", "onnx", "--int8"], "--int8 is for pages, not for onnx"),
        (["--to", "page", "--int8", "--float32"], "--int8 contradicts --float32"),
        (["--to", "page", "--data-dir", "nowhere"], "no model in nowhere"),
        (["--to", "page", "--output", "no/such/folder/page.html"], "cannot write"),
        (["--to", "page", "--title", ""], "--title must not be empty"),
        ([], "--to"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments: list[str], words: str, folder: Path) -> None:
    done = run_here(main, "--data-dir", folder, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("to", [name for name, form in FORMATS.items() if form.needs])
def test_a_missing_package_is_asked_for(
    to: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_spec(name: str) -> object:
        return None if name in FORMATS[to].needs else importlib.util.find_spec(name)

    monkeypatch.setattr("textgen.export.find_spec", find_spec)
    with pytest.raises(TextgenError, match=rf"Run: pip install {FORMATS[to].needs[0]}"):
        textgen.export_model(folder, to)


def test_a_model_in_no_folder_is_refused(trained_dir: Path) -> None:
    mixed = textgen.Generator.mix([textgen.load(trained_dir)] * 2, [1, 1])
    with pytest.raises(TextgenError, match="in no folder"):
        textgen.export_model(mixed, "page")


def test_a_folder_that_is_no_saved_model_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(TextgenError, match="is no SavedModel"):
        write(random_model(CASES["lstm"]), "saved-model", tmp_path)
    assert (tmp_path / "kept.txt").read_text() == "mine"


def test_a_page_needs_no_tensorflow(trained_dir: Path, tmp_path: Path) -> None:
    code = (
        "import sys, textgen; textgen.export_model(sys.argv[1], 'page', sys.argv[2]);"
        "print({'tensorflow', 'keras', 'fastapi'} & set(sys.modules))"
    )
    done = run_python("-c", code, trained_dir, tmp_path / "page.html")
    assert done.stdout == "set()\n", done.stderr


def test_a_bundle_has_each_module_once_and_after_what_it_needs(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
    (one / "a.js").write_text(
        'import { f as g } from "./b.js";\nimport { K } from "./c.js";\ng(K);\n'
    )
    (one / "b.js").write_text(
        'import { K } from "./c.js";\nexport async function f() { return K; }\n'
    )
    (other / "c.js").write_text("export const K = 1;\n")
    script = bundle("a.js", [one, other])
    assert script.count("const K = 1;") == 1
    assert script.index('modules["c.js"]') < script.index('modules["b.js"]')
    assert 'const { f: g } = modules["b.js"];' in script
    assert "return { f };" in script
    assert "export" not in script
    assert "import" not in script
    with pytest.raises(TextgenError, match=r"d\.js is missing"):
        bundle("d.js", [one, other])


@pytest.mark.parametrize("to", ["page", "onnx"])
def test_a_cell_that_a_form_lacks_is_refused(
    to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("textgen.export.page.CELLS", frozenset({"gru", "rnn"}))
    monkeypatch.delitem(OPERATORS, "lstm")
    with pytest.raises(TextgenError, match=r"`cell` lstm, only"):
        write(random_model(CASES["lstm"]), to, tmp_path / "model")


def test_a_tokenizer_that_the_page_lacks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("textgen.export.page.TOKENIZERS", frozenset({"word"}))
    with pytest.raises(TextgenError, match="`tokens` character, only word"):
        write(random_model(CASES["lstm"]), "page", tmp_path / "model.html")


def test_a_file_of_keras_has_its_ending(trained_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(TextgenError, match=r"a file of Keras ends in \.keras\. Received: model$"):
        textgen.export_model(trained_dir, "keras", tmp_path / "model")


def test_a_page_is_made_where_the_text_to_measure_on_is_damaged(
    trained_dir: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained_dir, tmp_path / "copy")
    (tmp_path / "copy" / "validate.txt").write_bytes(b"")
    made = textgen.export_model(tmp_path / "copy", "page")
    assert "what float16 costs was not measured: " in made.notes[-1]
    assert made.path.exists()


@pytest.mark.parametrize("name", ["input.txt", "model.h5"])
def test_an_export_never_takes_the_place_of_the_model(
    trained_dir: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(trained_dir, tmp_path / "copy")
    path = tmp_path / "copy" / name
    before = path.read_bytes()
    with pytest.raises(TextgenError, match=rf"{name} is what is read here, or belongs to the mod"):
        textgen.export_model(tmp_path / "copy", "page", path)
    assert path.read_bytes() == before
