"""Runs that are stopped, resumed, prolonged and rolled back, in this process.

Most without XLA, which takes seconds to compile.
"""

import contextlib
import csv
import math
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import TINY_MODEL, TINY_TRAINING, VERSES, light_training, write_texts
from textgen.model import checkpoint
from textgen.model.backend import keras
from textgen.settings.definitions import ModelSettings, TokenizerSettings, TrainingSettings
from textgen.support.errors import TextgenError
from textgen.tokens.corpus import VocabularyRule, read_corpus
from textgen.training import fit as fitting
from textgen.training import run, snapshots
from textgen.training.batches import Batches, training_batches
from textgen.training.fit import Plan
from textgen.training.validation import Validation

MODEL = replace(TINY_MODEL, num_layers=1, dropout=0.3)
CONFIG = replace(TINY_TRAINING, num_epochs=4, seq_step=10)
"""Two passes per epoch, so that an interruption may find a carried state."""


pytestmark = pytest.mark.xdist_group("run")


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest) -> Iterator[None]:
    """Without XLA, but where runs are compared bit for bit: there threads sum in any order."""
    with contextlib.nullcontext() if "uninterrupted" in request.fixturenames else light_training():
        yield


@pytest.fixture
def verses(tmp_path: Path) -> Path:
    return write_texts(tmp_path / "verses", VERSES * 3)


def fit(
    folder: Path,
    settings: TrainingSettings = CONFIG,
    resume: bool = False,
    model: ModelSettings = MODEL,
) -> dict[str, float]:
    corpus = read_corpus(folder, VocabularyRule(TokenizerSettings()), 0.0)
    return fitting.fit(folder, Plan(corpus, model, settings, resume))


class At(keras.callbacks.Callback):
    """Does something once, after a step."""

    def __init__(self, step: int, action: Callable[[keras.Model], None]) -> None:
        super().__init__()
        self.step, self.action, self.steps = step, action, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps += 1
        if self.steps == self.step:
            self.action(self.model)


def at(monkeypatch: pytest.MonkeyPatch, call: int, action: Callable[[keras.Model], None]) -> None:
    """Do `action` after that many calls of steps of the next run."""
    callbacks, callback = run.Run._callbacks, At(call, action)
    monkeypatch.setattr(run.Run, "_callbacks", lambda self: [*callbacks(self), callback])


def interrupt(model: keras.Model) -> None:
    signal.raise_signal(signal.SIGINT)


def interrupted(monkeypatch: pytest.MonkeyPatch, folder: Path, call: int, **options: Any) -> None:
    with monkeypatch.context() as patch:
        at(patch, call, interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(folder, **options)


def same_weights(one: Path, other: Path) -> None:
    first, second = checkpoint.load(one).weights, checkpoint.load(other).weights
    for path, array in first.items():
        np.testing.assert_array_equal(array, second[path], err_msg=path)


def history(folder: Path) -> list[dict[str, str]]:
    """Without the columns that depend on the machine's speed."""
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [
        {k: v for k, v in row.items() if k not in ("seconds", "tokens_per_second")} for row in rows
    ]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_texts(tmp_path_factory.mktemp("uninterrupted") / "verses", VERSES * 3)
    fit(folder)
    return folder


def test_a_resumed_run_ends_bit_for_bit_like_an_uninterrupted_one(
    verses: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the middle of a pass, of an epoch, and at the end of an epoch."""
    calls = calls_per_epoch(verses)
    assert calls >= 4
    interrupted(monkeypatch, verses, 1)
    interrupted(monkeypatch, verses, calls, resume=True)
    interrupted(monkeypatch, verses, calls - 1, resume=True)
    fit(verses, resume=True)
    same_weights(verses, uninterrupted)
    same_weights(verses / "latest", uninterrupted / "latest")
    assert history(verses) == history(uninterrupted)


def test_epochs_of_so_many_steps_change_nothing_but_when_models_are_saved(
    verses: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights are those of epochs over the whole text: what is read goes on, and so does the
    recurrent state, also over a validation in the middle of a pass, an interruption and the end
    of the text."""
    whole = len(history(uninterrupted))
    steps = int(history(uninterrupted)[0]["step"])
    per_epoch = steps // 2
    settings = replace(CONFIG, steps_per_epoch=per_epoch, num_epochs=2 * whole)
    passes = [batches_of(verses, epoch).batches_per_pass for epoch in (per_epoch, None)]
    assert passes[0] == passes[1]
    interrupted(monkeypatch, verses, 1, settings=settings)
    interrupted(monkeypatch, verses, 2, settings=settings, resume=True)
    fit(verses, settings, resume=True)
    assert [int(row["step"]) for row in history(verses)] == [
        per_epoch * number for number in range(1, 2 * whole + 1)
    ]
    same_weights(verses / "latest", uninterrupted / "latest")


def calls_per_epoch(folder: Path) -> int:
    batches = batches_of(folder, None)
    return batches.epoch // batches.steps_at_once


def batches_of(folder: Path, steps_per_epoch: int | None) -> Batches:
    corpus = read_corpus(folder, VocabularyRule(TokenizerSettings()), 0.0)
    sizes = CONFIG.batch_size, CONFIG.seq_length, CONFIG.seq_step
    return training_batches(corpus.training.ids, *sizes, steps_per_epoch)


def test_an_interruption_in_the_first_epoch_keeps_a_model_and_says_how_to_go_on(
    verses: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(monkeypatch, verses, 2)
    assert f"python train.py --data-dir {verses} --resume" in capsys.readouterr().err
    assert checkpoint.load(verses).metadata.results["epoch"] == 0
    assert checkpoint.load(verses / "latest").weights.keys()


def test_a_second_signal_stops_at_once(verses: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def twice(model: keras.Model) -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)

    at(monkeypatch, 2, twice)
    with pytest.raises(KeyboardInterrupt):
        fit(verses)
    assert not (verses / "latest").exists()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_complete_run_is_prolonged_by_more_epochs(
    verses: Path, uninterrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(uninterrupted, verses, dirs_exist_ok=True)
    fit(verses, resume=True)
    assert "nothing is left to do after 4 epochs. To prolong" in capsys.readouterr().err
    same_weights(verses / "latest", uninterrupted / "latest")
    fit(verses, replace(CONFIG, num_epochs=6), resume=True)
    assert [row["epoch"] for row in history(verses)] == list("123456")


def test_minutes_that_are_used_up_end_a_resumed_run(
    verses: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(monkeypatch, verses, 2, settings=replace(CONFIG, minutes=60.0))
    clock = snapshots.stored_progress(verses).clock
    fit(verses, replace(CONFIG, minutes=clock["seconds"] / 60), resume=True)
    assert [row["step"] for row in history(verses)] == [str(clock["step"] + 1)]


def test_patience_ends_a_run_that_stopped_improving(
    verses: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([3.0, 2.0, 2.5, 2.2, 1.0])
    monkeypatch.setattr(Validation, "loss", lambda self: next(losses))
    best = fit(verses, replace(CONFIG, num_epochs=9, patience=2, random_seed=None))
    assert best["val_loss"] == 2.0
    assert [row["val_loss"] for row in history(verses)] == ["3.0", "2.0", "2.5", "2.2"]
    drawn = checkpoint.load(verses).metadata.training.random_seed
    assert isinstance(drawn, int), "the random seed that was drawn is not recorded"


def poison(model: keras.Model) -> None:
    for variable in model.trainable_variables:
        variable.assign(np.full(variable.shape, math.nan))


def test_a_diverged_run_goes_back_once_with_half_the_learning_rate(
    verses: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at(monkeypatch, 6, poison)
    fit(verses, replace(CONFIG, save_every=5, num_epochs=3))
    said = capsys.readouterr().err
    assert "back to step" in said
    assert "with half the learning rate" in said
    assert [row["epoch"] for row in history(verses)] == list("123")
    progress = snapshots.stored_progress(verses)
    assert progress.rate_factor == 0.5


def test_an_interruption_after_a_divergence_writes_no_spoilt_model(
    verses: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def poison_and_interrupt(model: keras.Model) -> None:
        poison(model)
        interrupt(model)

    at(monkeypatch, 2, poison_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(verses)
    assert "saved at step 0. To go on:" in capsys.readouterr().err
    for folder in (verses, verses / "latest"):
        for path, array in checkpoint.load(folder).weights.items():
            assert np.isfinite(array).all(), path


def test_a_loss_that_is_no_number_stops_the_run(verses: Path) -> None:
    with pytest.raises(
        TextgenError, match=r"training diverged at step .*--learning-rate below 1e\+38"
    ):
        fit(verses, replace(CONFIG, learning_rate=1e38))
    fit(verses, replace(CONFIG, learning_rate=0.01), resume=True)
    assert checkpoint.load(verses).metadata.results["epoch"] > 0, "a lower rate mends it"


def test_the_work_folder_is_safe_to_delete_and_hidden_from_git(uninterrupted: Path) -> None:
    assert (uninterrupted / ".textgen" / ".gitignore").read_text() == "*\n"
    assert snapshots.stored_progress(uninterrupted / "latest") is None
