"""Flags from a file, as train.py reads them."""

from pathlib import Path

import pytest

from tests.conftest import TINY_TRAINING, run_here
from textgen.commands import train
from textgen.commands.flags import given_settings
from textgen.model import checkpoint
from textgen.settings.definitions import ModelSettings, TokenizerSettings, TrainingSettings
from textgen.support.errors import TextgenError
from textgen.tokens.words import WordTokenizer


def parsed(path: Path, *flags: str):
    return train.parse(["--config", str(path), *flags])[1]


def settings_of(kind, arguments, defaults=None):
    return kind.from_given(given_settings(arguments, kind), defaults or {})


def written(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text)
    return path


def test_a_file_gives_flags_and_the_command_line_wins(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "rnn-size: 9\nnum_layers: 3\nlearning_rate: 1e-3\nlive_sample: true\ndata-dir: x\n"
        "quiet: true\nminutes: null\ndropout: 0.5\n",
    )
    arguments = parsed(path, "--dropout", "0.1")
    model = settings_of(ModelSettings, arguments)
    assert (model.rnn_size, model.num_layers, model.dropout) == (9, 3, 0.1)
    training = settings_of(TrainingSettings, arguments)
    assert (training.learning_rate, training.live_sample, training.minutes) == (0.001, True, None)
    assert (arguments.data_dir, arguments.quiet, arguments.resume) == (Path("x"), True, False)


def test_a_flag_that_says_no_or_zero_wins_too(tmp_path: Path) -> None:
    path = written(tmp_path, "word_tokens: true\ntie_weights: true\ndropout: 0.5\nserve: 1\n")
    arguments = parsed(path, "--no-tie-weights", "--dropout", "0", "--serve", "0")
    model = settings_of(ModelSettings, arguments, WordTokenizer.defaults)
    assert (model.tie_weights, model.dropout, arguments.serve) == (False, 0.0, 0)


@pytest.mark.parametrize(
    ("flags", "minutes", "epochs"),
    [((), 5, 7), (("--num-epochs", "3"), None, 3), (("--minutes", "2"), 2, None)],
)
def test_the_length_of_the_run_is_what_the_command_line_says(
    tmp_path: Path, flags: tuple[str, ...], minutes: float | None, epochs: int
) -> None:
    arguments = parsed(written(tmp_path, "minutes: 5\nnum_epochs: 7\n"), *flags)
    training = settings_of(TrainingSettings, arguments)
    assert (training.minutes, training.num_epochs) == (minutes, epochs)


def test_a_value_is_read_as_on_the_command_line(tmp_path: Path) -> None:
    arguments = parsed(written(tmp_path, "data-dir: 2024\nworkers: 5\nserve: 8081\n"))
    assert (arguments.data_dir, arguments.workers, arguments.serve) == (Path("2024"), "5", 8081)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rnn-sise: 3", "cannot have the name 'rnn-sise'. Nearest: rnn-size"),
        ("lstm_size: 3", "cannot have the name 'lstm_size'. Nearest: rnn-size"),
        ("config: other.yaml", "cannot have the name 'config'. Nearest: min-count"),
        ("rnn-size: big", "run.yaml: rnn-size must be a whole number. Received: 'big'"),
        ("rnn-size: 1.5", "rnn-size must be a whole number. Received: '1.5'"),
        ("rnn-size: true", "rnn-size must be a whole number. Received: 'True'"),
        ("optimizer: [sgd]", "`optimizer` must be one of adamw"),
        ("serve: [1]", "serve must be a whole number. Received: '[1]'"),
        ("worker-index: 0.5", "worker-index must be a whole number. Received: '0.5'"),
        ("learning_rate: fast", "learning_rate must be a number. Received: 'fast'"),
        ("quiet: 3", "quiet is true or false. Received: 3"),
        ("- 1", "must hold lines like rnn-size: 256"),
        ("a: 1\nb: [", "run.yaml cannot be read as YAML in line 2: expected the node content"),
        ("a: 2020-13-45", "run.yaml cannot be read as YAML: month must be in 1..12. It must hold"),
        ("x: !!python/object/apply:os.getcwd []", "cannot be read as YAML in line 1: could not"),
        ("\0", "run.yaml cannot be read as YAML: it is no text. Give `config` a file with lines"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TextgenError) as error:
        parsed(written(tmp_path, text))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "reason"), [("no.yaml", "No such file or directory"), (".", "Is a directory")]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, reason: str) -> None:
    path = tmp_path / name
    result = run_here(train.main, "--config", path)
    assert (result.returncode, result.stdout) == (2, "")
    wanted = f"error: {path} cannot be read ({reason}): give --config the path of a YAML file\n"
    assert result.stderr == wanted


@pytest.mark.parametrize("name", ["model.yaml", "latest/model.yaml"])
def test_a_runs_own_record_has_all_its_settings_and_its_folder(
    trained_dir: Path, name: str
) -> None:
    arguments, metadata = parsed(trained_dir / name), checkpoint.load(trained_dir).metadata
    assert arguments.data_dir == trained_dir
    assert settings_of(ModelSettings, arguments) == metadata.model
    assert settings_of(TrainingSettings, arguments) == metadata.training == TINY_TRAINING
    assert settings_of(TokenizerSettings, arguments) == metadata.tokenizer.settings


def test_of_an_old_record_minutes_alone_count(tmp_path: Path) -> None:
    """Textgen wrote both lengths, and `num_epochs` was its default."""
    old = written(tmp_path, "model_id: x\ntraining: {minutes: 2.0, num_epochs: 50}\n")
    assert settings_of(TrainingSettings, parsed(old)).num_epochs is None
    own = written(tmp_path, "minutes: 2.0\nnum-epochs: 50\n")
    assert settings_of(TrainingSettings, parsed(own)).num_epochs == 50


@pytest.mark.parametrize("text", ["input.txt", "input.txt.gz", "input/one.txt"])
def test_the_record_of_the_latest_model_means_the_folder_with_the_text(
    tmp_path: Path, text: str
) -> None:
    latest = tmp_path / "latest"
    latest.mkdir()
    (tmp_path / text).parent.mkdir(exist_ok=True)
    (tmp_path / text).touch()
    assert parsed(written(latest, "model_id: x\n")).data_dir == tmp_path


def test_a_run_is_repeated(light: None, trained_dir: Path, tmp_path: Path) -> None:
    for name in ("input.txt", "validate.txt", "model.yaml"):
        (tmp_path / name).write_bytes((trained_dir / name).read_bytes())
    result = run_here(train.main, "--config", tmp_path / "model.yaml", "--quiet")
    assert (result.returncode, result.stderr) == (0, "")
    first, second = checkpoint.load(trained_dir), checkpoint.load(tmp_path)
    for path, array in first.weights.items():
        assert (array == second.weights[path]).all(), path
