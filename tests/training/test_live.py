"""TensorBoard itself shows the run: started here, and asked through its HTTP interface."""

import importlib.util
import json
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TINY_MODEL, TINY_TRAINING, VERSES, train_on
from textgen.model.backend import tf
from textgen.settings.definitions import TokenizerSettings
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.training import live
from textgen.training.live import TensorBoardLog

TRIES = 300


def fetched(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=60) as answer:
        return answer.read()


def loaded(address: str) -> Any:
    """JSON from `address`, asked for until TensorBoard has read its files."""
    for _ in range(TRIES):
        if answer := json.loads(fetched(address)):
            return answer
    raise AssertionError(f"nothing at {address}")


def test_tensorboard_shows_the_run(
    light: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "input.txt").write_text(VERSES * 2, encoding="utf-8")
    settings = replace(TINY_TRAINING, num_epochs=2, tensorboard=True, print_every=1)
    train_on(tmp_path, replace(TINY_MODEL, num_layers=1), TokenizerSettings(), settings)
    shown, said = capsys.readouterr()
    assert shown == "", "samples are printed with --live-sample only"
    assert f"tensorboard --logdir {live.tensorboard_folder(tmp_path)}" in said
    assert "step 1  loss" in said, "--print-every"

    from tensorboard import program

    board = program.TensorBoard()
    board.configure(logdir=str(live.tensorboard_folder(tmp_path)), port=0, load_fast="false")
    address = board.launch()
    assert b"<title>TensorBoard</title>" in fetched(address)
    tags = loaded(f"{address}data/plugin/scalars/tags")
    assert {"loss/loss", "learning_rate", "gradient_norm", "update_ratio/lstm_1"} <= set(tags["1"])
    query = "data/plugin/scalars/scalars?run=1&tag=loss%2Floss"
    points = json.loads(fetched(address + query))
    steps = [step for _, step, _ in points]
    assert steps == sorted(steps)
    assert points[0][2] == pytest.approx(3.5, abs=1), "the loss of a model that knows nothing"
    texts = loaded(f"{address}data/plugin/text/tags")
    assert set(texts["1"]) == {f"diversity {t}" for t in (0.2, 0.5, 1.0, 1.2)}


def test_each_run_has_its_own_folder_and_a_resumed_one_keeps_it(tmp_path: Path) -> None:
    (live.tensorboard_folder(tmp_path) / "1-renamed").mkdir(parents=True)
    for resumed in (False, False, True):
        TensorBoardLog.open(tmp_path, resumed)
    assert {path.name for path in live.tensorboard_folder(tmp_path).iterdir()} == {
        "1",
        "1-renamed",
        "2",
    }


def test_tensorboard_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TextgenError, match=r"`tensorboard` needs TensorBoard\. Install it: pip"):
        live.check_tensorboard()


def test_live_samples_show_four_temperatures(
    light: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "input.txt").write_text(VERSES * 2)
    settings = replace(TINY_TRAINING, num_epochs=1, live_sample=True)
    train_on(tmp_path, TINY_MODEL, TokenizerSettings(), settings)
    shown, said = capsys.readouterr()
    assert len(shown) > 4 * 200
    for temperature in (0.2, 0.5, 1.0, 1.2):
        assert f"epoch 1, diversity {temperature}" in said
    with console.verbosity(console.Verbosity.QUIET):
        train_on(tmp_path, TINY_MODEL, TokenizerSettings(), settings)
    assert capsys.readouterr() == ("", "")


def test_a_full_disk_is_told_in_words_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorFlow says it with the name of a function, as it does where memory runs out."""
    log = TensorBoardLog(tmp_path)

    def flush() -> None:
        raise tf.errors.ResourceExhaustedError(
            None, None, "{{function_node __wrapped__Flush}} x.v2; No space left on device"
        )

    monkeypatch.setattr(log._writer, "flush", flush)
    with pytest.raises(TextgenError, match=rf"cannot write {tmp_path} \(No space left on device\)"):
        log.write_row({"step": 1, "loss": 2.0})
