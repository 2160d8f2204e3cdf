"""Runs from their start to their end: what they leave; stopped, resumed, prolonged, rolled back.

All without XLA, which takes seconds to compile. That compiled runs, too, are resumed bit for bit,
`tests.training.test_never_lose_work` shows.
"""

import contextlib
import csv
import itertools
import math
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import textgen
from tests.conftest import (
    TINY_MODEL,
    TINY_TRAINING,
    VERSES,
    light_training,
    train_on,
    write_texts,
)
from textgen.model import checkpoint, recurrent
from textgen.model.backend import keras, tf
from textgen.model.devices import GPU_SWITCH, XLA_SWITCH
from textgen.model.recurrent import LAYERS, CellLayers
from textgen.settings.definitions import ModelSettings, TokenizerSettings, TrainingSettings
from textgen.support.errors import TextgenError
from textgen.tokens.corpus import VocabularyRule, read_corpus
from textgen.training import run as running
from textgen.training import snapshots
from textgen.training.batches import Batches, cut_batches
from textgen.training.plan import Plan
from textgen.training.step import Validation

MODEL = replace(TINY_MODEL, num_layers=1, dropout=0.3)
CONFIG = replace(TINY_TRAINING, num_epochs=4, seq_step=10)
"""Two passes per epoch, so that an interruption may find a carried state."""


pytestmark = [pytest.mark.xdist_group("run"), pytest.mark.usefixtures("light")]


@pytest.fixture
def verses(tmp_path: Path) -> Path:
    return write_texts(tmp_path / "verses", VERSES * 3)


def fit(
    folder: Path,
    settings: TrainingSettings = CONFIG,
    resume: bool = False,
    callbacks: tuple[keras.callbacks.Callback, ...] = (),
) -> dict[str, float]:
    corpus = read_corpus(folder, VocabularyRule(TokenizerSettings()), 0.0)
    return running.fit(folder, Plan(corpus, MODEL, settings, resume), callbacks=callbacks)


class After(keras.callbacks.Callback):
    """Does something once, after so many calls of steps."""

    def __init__(self, call: int, action: Callable[[keras.Model], None]) -> None:
        super().__init__()
        self.call, self.action, self.calls = call, action, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.calls += 1
        if self.calls == self.call:
            self.action(self.model)


def interrupt(model: keras.Model) -> None:
    signal.raise_signal(signal.SIGINT)


def interrupted(folder: Path, call: int, **options: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(folder, callbacks=(After(call, interrupt),), **options)


def same_weights(one: Path, other: Path) -> None:
    first, second = checkpoint.load(one).weights, checkpoint.load(other).weights
    for path, array in first.items():
        np.testing.assert_array_equal(array, second[path], err_msg=path)


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


def history(folder: Path) -> list[dict[str, str]]:
    """Without the columns that depend on the machine's speed."""
    unlike = ("seconds", "tokens_per_second")
    return [{k: v for k, v in row.items() if k not in unlike} for row in table(folder)]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_texts(tmp_path_factory.mktemp("uninterrupted") / "verses", VERSES * 3)
    with light_training():
        fit(folder)
    return folder


def test_a_resumed_run_ends_bit_for_bit_like_an_uninterrupted_one(
    verses: Path, uninterrupted: Path
) -> None:
    """Stopped in the middle of a pass, and at the end of an epoch."""
    calls = calls_per_epoch(verses)
    assert calls >= 4
    interrupted(verses, 1)
    interrupted(verses, calls - 1, resume=True)
    fit(verses, resume=True)
    same_weights(verses, uninterrupted)
    same_weights(verses / "latest", uninterrupted / "latest")
    assert history(verses) == history(uninterrupted)


def test_epochs_of_so_many_steps_change_nothing_but_when_models_are_saved(
    verses: Path, uninterrupted: Path
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
    interrupted(verses, 3, settings=settings)
    fit(verses, settings, resume=True)
    assert [int(row["step"]) for row in history(verses)] == [
        per_epoch * number for number in range(1, 2 * whole + 1)
    ]
    same_weights(verses / "latest", uninterrupted / "latest")


def calls_per_epoch(folder: Path) -> int:
    batches = batches_of(folder, None)
    return batches.steps_per_epoch // batches.steps_at_once


def batches_of(folder: Path, steps_per_epoch: int | None) -> Batches:
    corpus = read_corpus(folder, VocabularyRule(TokenizerSettings()), 0.0)
    sizes = CONFIG.batch_size, CONFIG.seq_length, CONFIG.seq_step
    return cut_batches(corpus.training.ids, *sizes, steps_per_epoch)


def test_an_interruption_in_the_first_epoch_keeps_a_model_and_says_how_to_go_on(
    verses: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(verses, 2)
    assert f"python train.py --data-dir {verses} --resume" in capsys.readouterr().err
    assert checkpoint.load(verses).metadata.results["epoch"] == 0
    assert checkpoint.load(verses / "latest").weights.keys()


def test_a_second_signal_stops_at_once(verses: Path) -> None:
    def twice(model: keras.Model) -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        fit(verses, callbacks=(After(2, twice),))
    assert not (verses / "latest").exists()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_complete_run_is_prolonged_by_more_epochs(
    verses: Path, uninterrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(uninterrupted, verses, dirs_exist_ok=True)
    for limits in ({}, {"num_epochs": 3}, {"minutes": 1e-5, "num_epochs": 9}, {"patience": 9}):
        fit(verses, replace(CONFIG, **limits), resume=True)
        assert "nothing is left to do after 4 epochs and" in capsys.readouterr().err
        same_weights(verses / "latest", uninterrupted / "latest")
        assert history(verses) == history(uninterrupted)
    fit(verses, replace(CONFIG, num_epochs=6), resume=True)
    assert [row["epoch"] for row in history(verses)] == list("123456")


def test_fewer_epochs_than_an_interrupted_run_has_had_leave_it_as_it_is(
    verses: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(verses, calls_per_epoch(verses) + 1)
    rows = history(verses)
    fit(verses, replace(CONFIG, num_epochs=1), resume=True)
    assert "nothing is left to do after 1 epoch and" in capsys.readouterr().err
    assert len(rows) == 1
    assert history(verses) == rows
    assert not snapshots.stored_progress(verses).complete, "it can go on as it was begun"


def test_minutes_that_are_used_up_end_the_first_epoch_of_a_resumed_run(verses: Path) -> None:
    """So that it is known how good the model is; the epoch is a share of one."""
    interrupted(verses, 2, settings=replace(CONFIG, minutes=60.0))
    clock = snapshots.stored_progress(verses).clock
    fit(verses, replace(CONFIG, minutes=clock["seconds"] / 60), resume=True)
    (row,) = history(verses)
    assert row["step"] == str(clock["step"] + 1)
    assert 0 < float(row["epoch"]) < 1


def test_minutes_that_are_used_up_leave_a_run_as_it_is(
    verses: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(verses, calls_per_epoch(verses) + 1, settings=replace(CONFIG, minutes=60.0))
    rows = history(verses)
    fit(verses, replace(CONFIG, minutes=1e-5, num_epochs=None), resume=True)
    said = capsys.readouterr().err
    assert "nothing is left to do after 1 epoch and" in said
    assert "best: epoch 1 of 1" in said
    assert history(verses) == rows
    fit(verses, replace(CONFIG, minutes=60.0), resume=True)
    assert [row["epoch"] for row in history(verses)] == list("1234"), "each epoch has one row"


def test_the_epochs_end_a_run_that_has_minutes_too(verses: Path) -> None:
    fit(verses, replace(CONFIG, minutes=60.0, num_epochs=2))
    rows = table(verses)
    assert [row["epoch"] for row in rows] == list("12")
    assert float(rows[-1]["learning_rate"]) < 0.2 * CONFIG.learning_rate, "the schedule too"


def test_a_model_before_that_was_better_is_named_at_the_end(
    verses: Path, uninterrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(uninterrupted, verses, dirs_exist_ok=True)
    before = checkpoint.load(verses).metadata.results["val_loss"]
    worse = fit(verses, replace(CONFIG, num_epochs=1))["val_loss"]
    said = capsys.readouterr().err
    assert f"is better (validation loss {before:.3f}, this one {worse:.3f}). To use it:" in said
    assert f"python sample.py --data-dir {verses / 'previous'}\n" in said


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
    verses: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = replace(CONFIG, save_every=5, num_epochs=2)
    fit(verses, settings, callbacks=(After(6, poison),))
    said = capsys.readouterr().err
    assert "back to step" in said
    assert "with half the learning rate" in said
    assert [row["epoch"] for row in history(verses)] == list("12")
    progress = snapshots.stored_progress(verses)
    assert progress.rate_factor == 0.5


def test_an_interruption_after_a_divergence_writes_no_spoilt_model(
    verses: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def poison_and_interrupt(model: keras.Model) -> None:
        poison(model)
        interrupt(model)

    with pytest.raises(KeyboardInterrupt):
        fit(verses, callbacks=(After(2, poison_and_interrupt),))
    assert "saved at step 0. To go on:" in capsys.readouterr().err
    for folder in (verses, verses / "latest"):
        for path, array in checkpoint.load(folder).weights.items():
            assert np.isfinite(array).all(), path


def test_a_loss_that_is_no_number_stops_the_run(verses: Path) -> None:
    with pytest.raises(
        TextgenError, match=r"training diverged at step .*`learning_rate` below 1e\+38"
    ):
        fit(verses, replace(CONFIG, learning_rate=1e38))
    fit(verses, replace(CONFIG, learning_rate=0.01), resume=True)
    assert checkpoint.load(verses).metadata.results["epoch"] > 0, "a lower rate mends it"


def test_the_work_folder_is_safe_to_delete_and_hidden_from_git(uninterrupted: Path) -> None:
    assert (uninterrupted / ".textgen" / ".gitignore").read_text() == "*\n"
    assert snapshots.stored_progress(uninterrupted / "latest") is None


def test_a_loss_far_above_that_of_knowing_nothing_is_divergence(
    verses: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a number, of which ten times the logarithm of the vocabulary's size is the most."""
    size = len(read_corpus(verses, VocabularyRule(TokenizerSettings()), 0.0).tokenizer.vocabulary)
    limit = 10 * math.log(size)
    monkeypatch.setattr(Validation, "loss", lambda self: 0.99 * limit)
    assert fit(verses, replace(CONFIG, num_epochs=1))["val_loss"] == 0.99 * limit
    monkeypatch.setattr(Validation, "loss", lambda self: 1.01 * limit)
    with pytest.raises(TextgenError, match=rf"diverged at step .* \(loss {1.01 * limit:.3g}\)"):
        fit(verses, replace(CONFIG, num_epochs=1))


class Noted(keras.callbacks.Callback):
    """Notes how it is called, and stops the run after the first epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.calls.append("train")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.calls.append(f"epoch {epoch}")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.calls.append(f"step {batch + 1} {', '.join(logs)}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.calls.append(f"end of {epoch}, step {logs['step']:.0f}")
        self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        self.calls.append("end")


def test_callbacks_of_keras_are_called_as_in_its_fit_and_may_stop_the_run(verses: Path) -> None:
    noted, batches = Noted(), batches_of(verses, None)
    fit(verses, callbacks=(noted,))
    steps = range(batches.steps_at_once, batches.steps_per_epoch + 1, batches.steps_at_once)
    assert noted.calls == [
        "train",
        "epoch 0",
        *(f"step {step} loss" for step in steps),
        f"end of 0, step {batches.steps_per_epoch}",
        "end",
    ]
    assert len(history(verses)) == 1


def test_the_loss_falls_and_the_best_epoch_is_kept(trained_dir: Path) -> None:
    rows = table(trained_dir)
    assert [int(row["epoch"]) for row in rows] == list(range(1, 21))
    losses = [float(row["val_loss"]) for row in rows]
    assert losses[-1] < losses[0] < math.log(40)
    best = checkpoint.load(trained_dir).metadata.results
    assert best["val_loss"] == pytest.approx(min(losses))
    assert checkpoint.load(trained_dir / "latest").metadata.results["epoch"] == 20


def test_history_has_the_documented_columns(trained_dir: Path) -> None:
    assert list(table(trained_dir)[0]) == [
        "epoch", "step", "seconds", "loss", "val_loss", "learning_rate", "tokens_per_second",
        "bits_per_character", "gradient_norm", "update_ratio_embedding", "update_ratio_lstm_1",
        "update_ratio_lstm_2", "update_ratio_logits", "nats_per_character",
    ]  # fmt: skip
    assert (trained_dir / "history.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", ["character", "word"])
@pytest.mark.parametrize("held_out", [True, False])
def test_every_epoch_tells_its_loss_by_the_characters_of_the_text(
    tmp_path: Path, kind: str, held_out: bool
) -> None:
    folder = write_texts(tmp_path, VERSES * 3)
    if not held_out:
        (folder / "validate.txt").unlink()
    settings = TokenizerSettings(kind)
    train_on(folder, MODEL, settings, replace(CONFIG, num_epochs=2))
    text, column = (VERSES[:300], "val_loss") if held_out else (VERSES * 3, "loss")
    tokens = len(checkpoint.load(folder).metadata.tokenizer.encode(text))
    assert (tokens == len(text)) == (kind == "character")
    rows = table(folder)
    assert len(rows) == 2
    for row in rows:
        nats = float(row[column]) * tokens / len(text)
        assert float(row["nats_per_character"]) == pytest.approx(nats)
        assert float(row["bits_per_character"]) == pytest.approx(nats / math.log(2))
        assert ("perplexity" in row) == (kind == "word")
        if kind == "word":
            assert float(row["perplexity"]) == pytest.approx(math.exp(float(row[column])))
    results = checkpoint.load(folder / "latest").metadata.results
    assert results["nats_per_character"] == float(rows[-1]["nats_per_character"])


def test_a_run_of_before_losses_were_told_by_character_goes_on(
    verses: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bits = {"bits_per_character": 4.0}
    monkeypatch.setattr(running, "measures", lambda *arguments: bits)
    fit(verses, replace(CONFIG, num_epochs=1))
    monkeypatch.undo()
    fit(verses, replace(CONFIG, num_epochs=2), resume=True)
    old, new = table(verses)
    assert (old["bits_per_character"], old["nats_per_character"]) == ("4.0", "")
    assert new["nats_per_character"] == new["val_loss"]
    nats = float(new["val_loss"])
    assert (
        f"best: epoch 2 of 2, {nats:.3f} nats, {nats / math.log(2):.3f} bits per character"
    ) in capsys.readouterr().err


def test_minutes_end_the_run_and_the_schedule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that goes on by a twentieth of a second each time it is read."""
    ticks = itertools.count()
    monkeypatch.setattr("textgen.training.schedule.time.perf_counter", lambda: next(ticks) / 20)
    (tmp_path / "input.txt").write_text(VERSES * 2)
    settings = replace(TINY_TRAINING, minutes=0.1, num_epochs=None)
    best = train_on(tmp_path, MODEL, TokenizerSettings(), settings)
    assert "val_loss" not in best, "nothing is held out unless asked for"
    last = table(tmp_path)[-1]
    assert float(last["learning_rate"]) < 0.02 * TINY_TRAINING.learning_rate
    assert best["epoch"] > 1


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Runs choose a GPU, which the processor plays; returns what they ask of it."""
    asked: list[Any] = []

    def on_device(on_gpu: bool) -> contextlib.AbstractContextManager[object]:
        asked.append(on_gpu)
        return contextlib.nullcontext()

    monkeypatch.setattr(running.sizing, "choose_device", lambda *arguments: True)
    monkeypatch.setattr(running, "on_device", on_device)
    exactly = running.tf.config.experimental
    monkeypatch.setattr(exactly, "enable_op_determinism", lambda: asked.append("deterministic"))
    return asked


class LikeCudnn(keras.layers.LSTM):
    """A layer that XLA cannot compile, as those of cuDNN: it computes with text."""

    def call(self, sequences: Any, initial_state: Any = None, **options: Any) -> Any:
        length = tf.strings.length(tf.strings.as_string(sequences[0, 0, 0]))
        sequences += 0 * tf.cast(length, tf.float32)
        return super().call(sequences, initial_state, **options)


def test_a_layer_that_xla_cannot_compile_trains_and_is_validated_on_a_gpu(
    tmp_path: Path, card: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LAYERS, "lstm", CellLayers(recurrent.LSTM, LikeCudnn))
    monkeypatch.setenv(XLA_SWITCH, "1")
    monkeypatch.setenv(GPU_SWITCH, "cudnn")
    folder = write_texts(tmp_path / "verses", VERSES * 3)
    settings = replace(CONFIG, num_epochs=1, deterministic=True)
    assert fit(folder, settings)["val_loss"] > 0
    assert card == ["deterministic", True]
    monkeypatch.delenv(GPU_SWITCH)
    model = replace(MODEL, recurrent_dropout=0.1)  # for which the same layer is compiled
    corpus = read_corpus(folder, VocabularyRule(TokenizerSettings()), 0.0)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?i)unsupported"):
        running.fit(folder, Plan(corpus, model, settings))


def test_a_run_goes_on_with_more_steps_in_a_call_and_with_fewer(
    tmp_path: Path, card: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As between a processor and a GPU that takes more steps at once; epochs end as ever."""
    folder = write_texts(tmp_path / "verses", VERSES * 3)
    batches = batches_of(folder, None)
    more = batches.with_more_at_once().steps_at_once
    assert batches.steps_at_once < more < batches.steps_per_epoch
    interrupted(folder, 1)
    monkeypatch.setenv(GPU_SWITCH, "more-steps")
    interrupted(folder, 3, resume=True)
    monkeypatch.delenv(GPU_SWITCH)
    fit(folder, resume=True)
    epochs = [int(row["step"]) for row in history(folder)]
    assert epochs == [batches.steps_per_epoch * (epoch + 1) for epoch in range(CONFIG.num_epochs)]


def test_a_share_of_the_text_is_held_out(tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_text(VERSES * 6)
    settings = replace(TINY_TRAINING, num_epochs=1, validation_split=0.2)
    assert "val_loss" in train_on(tmp_path, MODEL, TokenizerSettings(), settings)


def test_tiny_texts_are_refused_with_the_numbers(tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_text("Too short to learn from.\n")
    with pytest.raises(TextgenError, match=r"needs at least 1,626 tokens; .* has 25"):
        train_on(tmp_path, ModelSettings(), TokenizerSettings(), TrainingSettings())


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_run_over_documents_resumes_bit_for_bit_and_tells_their_number(
    cell: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = VERSES.split()
    names = [f"<|{'long' if len(word) > 4 else 'short'}|>{word}" for word in words * 3]
    settings = replace(CONFIG, num_epochs=2, validation_split=0.1)
    tokenizer = TokenizerSettings(documents="lines")

    def train(name: str, **options: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "input.txt").write_text("\n".join(names))
        corpus = read_corpus(folder, VocabularyRule(tokenizer), settings.validation_split)
        resume = options.pop("resume", False)
        running.fit(folder, Plan(corpus, replace(MODEL, cell=cell), settings, resume), **options)
        return folder

    whole = train("whole")
    assert "documents: " in capfd.readouterr().err
    with pytest.raises(KeyboardInterrupt):
        train("parts", callbacks=(After(2, interrupt),))
    same_weights(train("parts", resume=True), whole)
    model = textgen.load(whole)
    assert sorted(model.labels) == ["long", "short"]
    for sample in model.samples(20, length=60, random_seed=1):
        assert "\n" not in sample.text
        assert "<|" not in sample.text


def test_a_mark_that_does_not_stand_in_the_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_text(VERSES)
    with pytest.raises(TextgenError, match="`documents` '@@' does not part the text"):
        train_on(tmp_path, MODEL, TokenizerSettings(documents="@@"), CONFIG)
