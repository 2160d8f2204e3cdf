"""`textgen.train`: what the command does, from Python."""

import asyncio
import gc
import logging
import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import textgen
from tests.conftest import ROOT, VERSES, run_here, run_python
from textgen.commands.train import main
from textgen.model import checkpoint
from textgen.model.backend import keras
from textgen.support import console
from textgen.training.run import RunInterruptedError

TINY: dict[str, Any] = {
    "embedding_size": 8, "rnn_size": 16, "num_layers": 1, "batch_size": 4, "seq_length": 20,
    "seq_step": 20, "num_epochs": 2, "random_seed": 1, "batch_parts": 1,
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("light", "as_in_python")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "input.txt").write_text(VERSES)
    return tmp_path


def flags(settings: dict[str, Any]) -> list[str]:
    return [
        part
        for name, value in settings.items()
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]


def test_it_trains_the_very_model_that_the_command_trains(
    data_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("command")
    (other / "input.txt").write_text(VERSES)
    assert run_here(main, "--data-dir", other, *flags(TINY)).returncode == 0
    model = textgen.train(data_dir, **TINY)
    assert model.data_dir == data_dir
    of_command, of_call = checkpoint.load(other), checkpoint.load(data_dir)
    for path, array in of_command.weights.items():
        np.testing.assert_array_equal(array, of_call.weights[path])
    assert of_command.metadata.settings == of_call.metadata.settings
    assert model.generate("The ", 20, random_seed=1) == textgen.load(other).generate(
        "The ", 20, random_seed=1
    )


def test_a_text_of_no_folder_goes_with_its_model() -> None:
    model = textgen.train(text=VERSES, **TINY)
    folder = model.data_dir
    assert folder is not None
    assert (folder / "input.txt").read_text() == VERSES
    assert [row["epoch"] for row in model.history] == [1, 2]
    del model
    gc.collect()
    assert not folder.exists()


def test_a_text_is_kept_in_the_folder_that_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "mine"
    textgen.train(folder, text=VERSES.rstrip(), **TINY)
    assert (folder / "input.txt").read_text() == VERSES
    again = textgen.train(folder, text=VERSES, **TINY | {"num_epochs": 1})
    assert len(again.history) == 1


def test_another_text_is_refused_and_all_stays(data_dir: Path) -> None:
    with pytest.raises(textgen.TextgenError, match="has another text than `text`"):
        textgen.train(data_dir, text="Another one.", **TINY)
    assert {path.name for path in data_dir.iterdir()} == {"input.txt"}
    assert (data_dir / "input.txt").read_text() == VERSES


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"rnn_sise": 8}, "unknown setting 'rnn_sise'. Nearest: rnn_size"),
    ({"rnn_size": 0}, "`rnn_size` must be at least 1. Received: 0"),
    ({"rnn_size": "8"}, "`rnn_size` takes a value of type int. Received: '8'"),
    ({"dropout": 1.5}, "`dropout` must be below 1. Received: 1.5"),
    ({"minutes": -1}, "`minutes` must be above 0. Received: -1"),
    ({"cell": "lstn"}, "`cell` must be one of lstm, gru, rnn. Received: lstn"),
    ({"init_from": "nowhere"}, "no model in nowhere"),
    ({"resume": 1}, "`resume` is True or False. Received: 1"),
    ({"callbacks": keras.callbacks.Callback()}, "`callbacks` is a list of Keras callbacks."),
    ({"callbacks": [print]}, "Received one that is <built-in function print>"),
    ({"on_epoch": 3}, "`on_epoch` is a function"),
    ({"verbose": True}, "`verbose` is 0, 1 or 2. Received: True"),
    ({"verbose": 3}, "`verbose` is 0, 1 or 2. Received: 3"),
    ({"text": b"bytes"}, "`text` is the text itself, a str. Received: b'bytes'"),
    ({"text": ["one", "two"]}, "`text` is the text itself, a str. Received: ['one', 'two']"),
    ({"text": " \n"}, "`text` has nothing to learn. Received: ' \\n'"),
    ({"text": "too short"}, "needs at least"),
    ({"text": "a\ud800"}, "`text` has '\\ud800' at character 1, which is no text"),
    ({"text": "ab\0"}, "`text` has '\\x00' at character 2, which is no text"),
    ({"data_dir": VERSES}, "A text is given as `text`"),
    ({"data_dir": None}, "there is nothing to train on"),
    ({"data_dir": ""}, "a folder is given by its path. Received: ''"),
    ({"data_dir": 3}, "a folder is given by its path. Received: 3"),
    ({}, "does not exist: put the text to learn from in"),
]


@pytest.mark.parametrize(
    ("wrong", "message"), WRONG, ids=[next(iter(w), "nothing") for w, _ in WRONG]
)
def test_what_is_wrong_is_said_in_one_line_and_leaves_nothing(
    tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    folder = tmp_path / "new"
    with pytest.raises(ValueError) as raised:  # noqa: PT011  (TextgenError is one)
        textgen.train(**{"data_dir": folder, **TINY, **wrong})
    assert isinstance(raised.value, textgen.TextgenError)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


class Order(keras.callbacks.Callback):
    def __init__(self, told: list[str], name: str, folder: Path) -> None:
        super().__init__()
        self.told, self.name, self.folder = told, name, folder

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        written = (self.folder / "history.csv").read_text().count("\n") - 1
        self.told.append(f"{self.name} {epoch} {logs['step']:g} {written}")


def test_callbacks_come_in_their_order_after_our_work(data_dir: Path) -> None:
    told: list[str] = []
    textgen.train(
        data_dir,
        callbacks=[Order(told, "a", data_dir), Order(told, "b", data_dir)],
        on_epoch=lambda row, share: told.append(f"row {row['epoch']} {share:g}"),
        **TINY,
    )
    assert told == ["row 1 0.5", "a 0 6 1", "b 0 6 1", "row 2 1", "a 1 12 2", "b 1 12 2"]


def test_stock_callbacks_of_keras_work(data_dir: Path) -> None:
    stop = keras.callbacks.EarlyStopping(monitor="loss", min_delta=100.0, patience=1)
    model = textgen.train(data_dir, callbacks=[stop], **TINY | {"num_epochs": 9})
    assert len(model.history) == 2


def test_a_checkpoint_of_keras_can_be_opened(data_dir: Path) -> None:
    """Its file is named by the epoch, which Keras adds to the logs itself."""
    kept = keras.callbacks.ModelCheckpoint(str(data_dir / "{epoch}-{loss:.1f}.h5"))
    textgen.train(data_dir, callbacks=[kept], **TINY)
    assert sorted(path.name[:2] for path in data_dir.glob("?-*.h5")) == ["1-", "2-"]


def test_a_path_is_taken_where_a_setting_is_one(data_dir: Path) -> None:
    textgen.train(data_dir, **TINY)
    sizes = ("embedding_size", "rnn_size", "num_layers")
    more = {name: value for name, value in TINY.items() if name not in sizes}
    model = textgen.train(data_dir / "other", text=VERSES, init_from=data_dir, **more)
    assert len(model.history) == 2


def test_two_calls_in_one_new_folder_do_each_other_no_harm(tmp_path: Path) -> None:
    done: list[object] = []
    started = threading.Barrier(2)

    def call() -> None:
        started.wait()
        try:
            done.append(textgen.train(tmp_path / "new", text=VERSES, **TINY | {"num_epochs": 20}))
        except textgen.TextgenError as error:
            done.append(str(error))

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [text for text in done if isinstance(text, str)]
    assert len(refused) <= 1, refused
    assert all("training in" in text for text in refused)
    assert (tmp_path / "new" / "input.txt").read_text() == VERSES
    assert textgen.load(tmp_path / "new").history[-1]["epoch"] == 20


class Interrupts(keras.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_returns_what_was_learned_and_the_run_goes_on(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = textgen.train(data_dir, callbacks=[Interrupts()], **TINY | {"seq_length": 5})
    said = capsys.readouterr().err
    assert "warning: interrupted: the model is what was learned until now" in said
    assert f"To go on: textgen.train('{data_dir}', resume=True)" in said
    assert len(model.generate("The ", 9)) == 9
    assert model.history == []
    model = textgen.train(data_dir, resume=True)
    assert [row["epoch"] for row in model.history] == [1, 2]


class InterruptsAtOnce(keras.callbacks.Callback):
    def on_train_begin(self, logs: Any = None) -> None:
        os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_before_the_first_step_goes_through(data_dir: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        textgen.train(data_dir, callbacks=[InterruptsAtOnce()], **TINY)
    assert len(textgen.train(data_dir, resume=True).history) == 2


def test_an_interrupt_before_anything_was_learned_goes_through(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("textgen.training.plan.make_plan", interrupted)
    with pytest.raises(KeyboardInterrupt) as raised:
        textgen.train(data_dir, **TINY)
    assert not isinstance(raised.value, RunInterruptedError)


def test_it_works_in_a_thread(data_dir: Path) -> None:
    models: list[textgen.Generator] = []
    thread = threading.Thread(target=lambda: models.append(textgen.train(data_dir, **TINY)))
    thread.start()
    thread.join()
    assert len(models[0].history) == 2


def test_it_works_in_a_running_event_loop(data_dir: Path) -> None:
    async def cell() -> textgen.Generator:
        return textgen.train(data_dir, **TINY)

    assert len(asyncio.run(cell()).history) == 2


def test_hints_are_python(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    textgen.train(data_dir, **TINY)
    said = capsys.readouterr().err
    assert f"more text:  textgen.load('{data_dir}').generate()" in said
    assert f"go on:      textgen.train('{data_dir}', resume=True, num_epochs='+2')" in said
    assert "--" not in said


SILENT = """
import logging, sys
records = []
class Kept(logging.Handler):
    def emit(self, record): records.append(record.getMessage())
logging.getLogger("textgen").addHandler(Kept())
logging.getLogger("textgen").setLevel(logging.INFO)
import textgen
model = textgen.train(text=sys.argv[1], verbose=0, live_sample=True, num_epochs=1, rnn_size=8,
                      batch_size=4, seq_length=20)
assert any(record.startswith("epoch 1") for record in records), records
assert "The run is complete" in records and not any("\\n" in record for record in records), records
"""


def test_a_silent_call_prints_nothing_and_the_logger_gets_the_notes() -> None:
    done = run_python("-c", SILENT, VERSES)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


SPAWNED = """
import multiprocessing, sys, textgen
def work(folder):
    text = open(sys.argv[1]).read()
    textgen.train(folder, text=text, num_epochs=1, rnn_size=8, batch_size=4, seq_length=20)
if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=work, args=(sys.argv[2],))
    child.start(); child.join(); sys.exit(child.exitcode)
"""


def test_it_works_in_a_process_that_is_spawned(data_dir: Path) -> None:
    script = data_dir / "script.py"
    script.write_text(SPAWNED)
    folder = data_dir / "own"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = run_python(script, data_dir / "input.txt", folder, env=environment)
    assert done.returncode == 0, done.stderr
    assert len(textgen.load(folder).history) == 1


MEMORY = """
import gc, os, sys, textgen
text, sizes = sys.argv[1], []
for number in range(10):
    textgen.train(text=text, verbose=0, num_epochs=1, rnn_size=16, batch_size=4, seq_length=20)
    gc.collect()
    with open("/proc/self/statm") as file:
        sizes.append(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6)
print(sizes[2], max(sizes[3:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="tells memory as Linux does")
def test_trainings_one_after_another_leave_no_memory_behind() -> None:
    done = run_python("-c", MEMORY, VERSES)
    third, most = map(float, done.stdout.split())
    assert most < 1.05 * third


@pytest.mark.parametrize("backend", ["numpy", "no_such_module"])
def test_another_backend_of_keras_is_left_alone_and_named(backend: str) -> None:
    program = f"import textgen; textgen.train(text={VERSES!r}, num_epochs=1)"
    done = run_python("-c", program, env=os.environ | {"KERAS_BACKEND": backend})
    last = done.stderr.strip().splitlines()[-1]
    assert "training needs TensorFlow. Set KERAS_BACKEND=tensorflow" in last
    assert backend in last


def test_importing_textgen_leaves_the_environment_as_it_is() -> None:
    program = "import os, textgen; print(os.environ.get('KERAS_BACKEND'))"
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    assert run_python("-c", program, env=environment).stdout == "None\n"
    assert run_python("-c", program, env=environment | {"KERAS_BACKEND": "jax"}).stdout == "jax\n"


def test_overlapping_blocks_of_threads_end_in_any_order() -> None:
    first, second = (console.verbosity(console.Verbosity.VERBOSE) for _ in range(2))
    before = logging.getLogger("textgen").level
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert console.current() is console.Verbosity.VERBOSE
    second.__exit__(None, None, None)
    assert logging.getLogger("textgen").level == before
