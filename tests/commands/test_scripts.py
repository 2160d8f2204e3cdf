"""Both scripts as a user runs them: real files and, but for mistakes, real processes."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

import textgen
from tests.conftest import VERSES, run_here, run_python
from tests.processes import beside
from textgen.commands import sample, train
from textgen.settings.definitions import ModelSettings, TokenizerSettings
from textgen.tokens import build_tokenizer

SMALL = (
    "--embedding-size", "8", "--rnn-size", "16", "--num-layers", "1", "--batch-size", "4",
    "--seq-length", "20", "--seq-step", "20", "--random-seed", "1",
)  # fmt: skip


def error_of(result: "subprocess.CompletedProcess[str]") -> str:
    """The one line that a user's mistake prints."""
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("error: ")
    return result.stderr.strip()


def test_words_from_training_to_a_file(tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_text(VERSES * 3, encoding="utf-8")
    trained = run_python(
        "train.py", "--data-dir", tmp_path, "--word-tokens", "--num-epochs", "2",
        "--validation-split", "0.2", "--live-sample", *SMALL,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    assert "epoch 2/2" in trained.stderr
    assert "perplexity" in trained.stderr
    noise = [line for line in trained.stderr.splitlines() if "oneDNN" in line or "WARNING" in line]
    assert noise == []
    flags = ("--length", "30", "--random-seed", "2", "--data-dir")
    latest = run_here(sample.main, *flags, tmp_path / "latest")
    flags = (*flags, tmp_path)
    printed, again = run_python("sample.py", *flags), run_here(sample.main, *flags)
    for result in (latest, printed):
        assert result.returncode == 0, result.stderr
        assert len(result.stdout.split()) > 15
    assert printed.stdout == again.stdout, "a random seed repeats the text"
    written = run_here(sample.main, *flags, "--output", tmp_path / "out.txt")
    assert written.stdout == ""
    assert (tmp_path / "out.txt").read_text(encoding="utf-8") == printed.stdout


def test_samples_begin_with_the_seed(trained_dir: Path) -> None:
    result = run_python(
        "sample.py", "--data-dir", trained_dir, "--seed", "The river", "--length", "50"
    )
    assert result.stdout.startswith("The river")
    assert len(result.stdout) == len("The river") + 50 + 1
    assert result.stderr == ""


def test_unknown_characters_in_the_seed_are_named(trained_dir: Path) -> None:
    flags = ("--data-dir", trained_dir, "--seed", "The né", "--length", "5")
    result = run_here(sample.main, *flags)
    assert result.returncode == 0
    assert "characters that the training text had not: 'é'" in result.stderr


def test_sampling_never_imports_tensorflow(trained_dir: Path) -> None:
    code = (
        "import sys; from textgen.commands import sample;"
        "sample.main(['--data-dir', sys.argv[1]]);"
        "print({'tensorflow', 'keras', 'nltk'} & set(sys.modules), file=sys.stderr)"
    )
    assert run_python("-c", code, trained_dir).stderr == "set()\n"


def test_a_reader_that_goes_away_is_no_error(trained_dir: Path) -> None:
    command = ("sample.py", "--data-dir", trained_dir, "--length", 100_000)
    with beside(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nothing.txt", b"", "input.txt"),
        ("input.txt", b"", "input.txt"),
        ("input.txt", b"a", "has 1 distinct character"),
        ("input.txt", b"\x00\x01\x02" * 3000, "input.txt"),
        ("input.txt", b"caf\xe9 " * 3000, "not UTF-8"),
        ("input.txt", b"a" * 3000, "has 1 distinct character"),
    ],
)
def test_texts_that_cannot_be_used(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert message in error_of(run_here(train.main, "--data-dir", tmp_path))
    left = {path.name for path in tmp_path.iterdir()} - {".textgen"}  # the lock, the token ids
    assert left == {name}, "files were left behind"


@pytest.mark.parametrize(
    "flags",
    [
        ["--rnn-size", "0"], ["--num-layers", "-1"], ["--batch-size", "x"], ["--minutes", "0"],
        ["--dropout", "1"], ["--nonsense"], ["--serve", "99999"],
    ],
)  # fmt: skip
def test_flags_out_of_range_are_named_before_anything_is_done(flags: list[str]) -> None:
    assert flags[0] in error_of(run_here(train.main, *flags))


def test_a_mistake_ends_a_process_in_one_line(tmp_path: Path) -> None:
    assert "--rnn-size" in error_of(run_python("train.py", "--rnn-size", "0"))
    assert "no model in" in error_of(run_python("sample.py", "--data-dir", tmp_path))


@pytest.mark.parametrize(
    "command", [["train.py"], ["sample.py"], ["-m", "textgen", "convert", "x"]]
)
def test_a_machine_without_the_requirements_is_told_how_to_get_them(command: list[str]) -> None:
    error = error_of(run_python("-S", *command))  # without the folder of installed packages
    assert error.endswith(" is not installed. Run: pip install -r requirements.txt")


def test_folders_without_a_model(tmp_path: Path) -> None:
    assert "no model in" in error_of(run_here(sample.main, "--data-dir", tmp_path))
    (tmp_path / "model.pkl").write_bytes(b"")
    assert "model.h5 is missing" in error_of(run_here(sample.main, "--data-dir", tmp_path))


def test_output_to_a_folder_that_does_not_exist(trained_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "no" / "such.txt"
    result = run_here(sample.main, "--data-dir", trained_dir, "--output", path)
    assert str(path) in error_of(result)


@pytest.fixture
def storks(tmp_path: Path) -> Path:
    """A folder whose model writes letters that few encodings have."""
    tokenizer = build_tokenizer("żółw我 ", TokenizerSettings(pristine_input=True))
    model = textgen.build_model(ModelSettings(rnn_size=8), len(tokenizer.vocabulary), 1)
    textgen.save(model, tokenizer, tmp_path)
    return tmp_path


def in_ascii(**more: str) -> dict[str, str]:
    """The environment of a system that knows no other letters."""
    kept = {name: value for name, value in os.environ.items() if name[:3] not in ("LC_", "LAN")}
    return {**kept, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", **more}


def test_a_pipe_gets_utf8_whatever_the_system(storks: Path) -> None:
    command = ("sample.py", "--data-dir", storks, "--seed", "w", "--length", "40")
    expected = run_python(*command, "--random-seed", "1").stdout
    done = run_python(*command, "--random-seed", "1", env=in_ascii())
    assert done.stdout == expected
    assert "我" in done.stdout
    assert done.stderr == ""


def test_what_an_encoding_that_was_asked_for_lacks_is_told(storks: Path) -> None:
    command = ("sample.py", "--data-dir", storks, "--seed", "w", "--length", "40")
    done = run_python(*command, env=in_ascii(PYTHONIOENCODING="latin-1"), encoding="latin-1")
    assert done.returncode == 0
    assert "?" in done.stdout
    assert "ó" in done.stdout
    assert "standard output is " in done.stderr
    assert "which cannot show" in done.stderr
    assert "Set PYTHONIOENCODING=utf-8" in done.stderr


ADVISED = re.compile(r"python (train|sample)\.py (.*)")


@pytest.mark.parametrize(
    "flags", [("4", "--validation-split", "0.2"), ("3", "--word-tokens")], ids=["held-out", "words"]
)
def test_what_a_run_advises_can_be_pasted(light: None, tmp_path: Path, flags: tuple[str]) -> None:
    """Each command that a run prints, one after another."""
    folder = tmp_path / "my verses"
    folder.mkdir()
    (folder / "input.txt").write_text(VERSES * 3, encoding="utf-8")
    run = run_here(train.main, "--data-dir", folder, *SMALL, "--num-epochs", *flags)
    assert run.returncode == 0, run.stderr
    advised = ADVISED.findall(run.stderr)
    assert len(advised) >= 3, run.stderr
    for script, words in advised:
        main = {"train": train.main, "sample": sample.main}[script]
        done = run_here(main, *shlex.split(words))
        assert done.returncode == 0, f"{script} {words}: {done.stderr}"
        assert "nothing is left" not in done.stderr
