"""The child process of the search, as its parent starts it; the real one, which trains."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TINY_MODEL, TINY_TRAINING, VERSES
from textgen.search.children import Children
from textgen.support.errors import TextgenError

SETTINGS = TINY_MODEL.to_dict() | dataclasses.replace(TINY_TRAINING, num_epochs=2).to_dict()


def order(folder: Path) -> dict[str, Any]:
    given = {name: value for name, value in SETTINGS.items() if value not in (None, False)}
    return {
        "data_dir": str(folder), "given": given, "folder": None, "log": None, "threads": 1,
        "verbosity": 0,
    }  # fmt: skip


def test_a_plan_and_a_training(tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_text(VERSES * 4)
    (plan,) = (message["plan"] for message in Children().messages(order(tmp_path)))
    settings = plan["settings"]
    assert settings["rnn_size"] == 16
    assert settings["validation_split"] == 0.1, "there is no validate.txt"
    assert plan["num_tokens"] == pytest.approx(0.9 * len(VERSES) * 4, rel=0.1)
    assert json.loads(json.dumps(plan)) == plan
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / ".textgen").glob("tokens/*")}

    model, log = tmp_path / "model", tmp_path / "log"
    more = {"given": settings, "folder": str(model), "log": str(log)}
    messages = list(Children().messages(order(tmp_path) | more))
    assert [message["row"]["epoch"] for message in messages] == [1, 2]
    assert [message["fraction"] for message in messages] == [0.5, 1.0]
    assert messages[1]["row"]["val_loss"] < messages[0]["row"]["val_loss"]
    assert {path.name for path in tmp_path.iterdir()} == {"input.txt", ".textgen", "model", "log"}
    assert (model / "model.h5").exists()
    assert list(log.glob("events.*")), "TensorBoard's log"
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / ".textgen").glob("tokens/*")}
    assert before == after, "the text is made token ids once for all trials"


def test_a_text_that_cannot_be_split_is_told(tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_text("ab")
    with pytest.raises(TextgenError, match="too short"):
        list(Children().messages(order(tmp_path)))
