"""A small real text, a model trained on it once for all tests, and ways to run the scripts."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import settings

from textgen.commands import Main, run
from textgen.settings.definitions import ModelSettings, TokenizerSettings, TrainingSettings
from textgen.support import console

ROOT = Path(__file__).parent.parent

# A shell that starts the tests in the background has Ctrl-C ignored, and processes inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A thread for TensorFlow in each process, which is one of several at work. They are fewer to wake;
# and several would sum in any order, so that without XLA no two runs were equal bit for bit.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

# A machine with other work is slow now and then. Half of Hypothesis' own number of examples.
settings.register_profile("busy", deadline=None, max_examples=50)
settings.load_profile("busy")

VERSES = """\
FERRYMAN:
The river keeps no record of the rain,
And yet it carries all of it away.
Who asks the water when it comes again?
It has a different name on every day.

TRAVELLER:
I asked you for the crossing, not a song;
The evening falls, the other bank is dim.
How much for me? I can't be waiting long.

FERRYMAN:
A coin for you. The shadow there: for him,
Who has been walking at your heel since noon,
I'll take a word you never said aloud.

TRAVELLER:
Then take "perhaps" -- I said it to the moon,
And even she had gone behind a cloud.
"""
"""Written for these tests."""


TINY_MODEL = ModelSettings(embedding_size=8, rnn_size=16, num_layers=2)
TINY_TRAINING = TrainingSettings(
    batch_size=4,
    seq_length=20,
    seq_step=20,
    num_epochs=20,
    learning_rate=0.02,
    random_seed=1,
    batch_parts=1,
)


@pytest.fixture(scope="session")
def trained_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with both texts, after a short training of a character model.

    The processes of pytest-xdist share it: tests read it, and change copies.
    """
    own = tmp_path_factory.getbasetemp()
    home = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    folder, done = home / "verses", home / "verses.done"
    with FileLock(home / "verses.lock"):
        if not done.exists():
            write_texts(folder)
            with without_xla():
                train_on(folder, TINY_MODEL, TokenizerSettings(pristine_input=True), TINY_TRAINING)
            done.touch()
    return folder


def write_texts(folder: Path, text: str = VERSES * 4) -> Path:
    """A data directory with a training and a validation text."""
    folder.mkdir(exist_ok=True)
    (folder / "input.txt").write_text(text, encoding="utf-8")
    (folder / "validate.txt").write_text(VERSES[:300], encoding="utf-8")
    return folder


def train_on(
    folder: Path, model: ModelSettings, tokenizer: TokenizerSettings, settings: TrainingSettings
) -> dict[str, float]:
    """Train a model on the texts of a folder and keep it there; see `training.run.fit`."""
    from textgen.tokens.corpus import VocabularyRule, read_corpus
    from textgen.training.plan import Plan
    from textgen.training.run import fit

    corpus = read_corpus(folder, VocabularyRule(tokenizer), settings.validation_split)
    return fit(folder, Plan(corpus, model, settings))


@contextlib.contextmanager
def without_xla() -> Iterator[None]:
    """Training here and in processes begun meanwhile: the same steps, that nothing compiles.

    To compile them takes longer than a run of some hundred. Dropout draws other numbers than XLA's.
    """
    from textgen.model.devices import XLA_SWITCH

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(XLA_SWITCH, "0")
        yield


@pytest.fixture(autouse=True)
def as_in_a_command() -> Iterator[None]:
    """Notes are printed, and what to do next is a command."""
    with console.verbosity(console.Verbosity.USUAL), console.flags_for_settings():
        yield


@pytest.fixture
def as_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to do next is a call."""
    monkeypatch.setattr(console, "_flags", None)


@contextlib.contextmanager
def light_training() -> Iterator[None]:
    """`without_xla`, and without drawing, for tests of what happens between the steps."""
    from textgen.model.history import has_matplotlib

    with without_xla(), pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "matplotlib", None)
        has_matplotlib.cache_clear()
        yield
    has_matplotlib.cache_clear()


@pytest.fixture
def light() -> Iterator[None]:
    """`light_training` for one test."""
    with light_training():
        yield


@pytest.fixture
def ancestor() -> Iterator[Any]:
    """The classes of the ancestor, in modules of their names, while a test pickles objects."""
    modules = {"model": "MetaModel", "vectorizer": "Vectorizer"}
    for module, name in modules.items():
        sys.modules[module] = types.ModuleType(module)
        setattr(sys.modules[module], name, type(name, (), {"__module__": module}))
    yield types.SimpleNamespace(
        MetaModel=sys.modules["model"].MetaModel, Vectorizer=sys.modules["vectorizer"].Vectorizer
    )
    for module in modules:
        del sys.modules[module]


def run_python(*arguments: object, **options: object) -> "subprocess.CompletedProcess[str]":
    """Run Python from the project's root, as a user would, and return what it printed."""
    command = [sys.executable, *map(str, arguments)]
    settings: Any = {"cwd": ROOT, "encoding": "utf-8"} | options
    return subprocess.run(command, capture_output=True, timeout=240, **settings)


def run_here(main: Main, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """Call the `main` of a command in this process, and return what it printed.

    It costs no start of Python or TensorFlow; that a whole process does the same, some other test
    of each kind shows by `run_python`.
    """
    out, err = io.StringIO(), io.StringIO()
    argv = list(map(str, arguments))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(argv, main)
    return subprocess.CompletedProcess(argv, code, out.getvalue(), err.getvalue())
