"""The child processes of a search: small ones made for the tests, and the real one that trains."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TINY_MODEL, TINY_TRAINING, VERSES
from tests.processes import beside
from textgen.search.trial import ChildError, Children, StoppedError, Tell, carry_out, needs
from textgen.settings.definitions import ModelSettings, TrainingSettings
from textgen.support import console
from textgen.support.errors import TextgenError

SETTINGS = (
    dataclasses.replace(TINY_MODEL, num_layers=1).to_dict()
    | dataclasses.replace(TINY_TRAINING, num_epochs=2).to_dict()
)


def order(folder: Path) -> dict[str, Any]:
    given = {name: value for name, value in SETTINGS.items() if value not in (None, False)}
    return {
        "data_dir": str(folder), "given": given, "folder": None, "log": None, "threads": 1,
        "verbosity": console.Verbosity.QUIET,
    }  # fmt: skip


def said(order: dict[str, Any]) -> list[dict[str, Any]]:
    """What a child would say of an order, which is carried out here."""
    messages: list[dict[str, Any]] = []
    carry_out(order, messages.append)
    return messages


def test_a_plan_and_a_training(light: None, tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_text(VERSES * 4)
    (plan,) = (message["plan"] for message in said(order(tmp_path)))
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
        said(order(tmp_path))


def heard(work: Callable[[dict[str, Any], Tell], object]) -> list[dict[str, Any]]:
    return list(Children(work).messages({"number": 7}))


def answer(order: dict[str, Any], tell: Tell) -> None:
    print("not for the parent")
    tell(order)
    tell({"two": 2})


def test_a_child_gets_its_order_and_says_things(capfd: pytest.CaptureFixture[str]) -> None:
    assert heard(answer) == [{"number": 7}, {"two": 2}]
    assert capfd.readouterr() == ("", "")


def refuse(order: dict[str, Any], tell: Tell) -> None:
    raise TextgenError("no text")


def run_out_of_memory(order: dict[str, Any], tell: Tell) -> None:
    tell({})
    raise MemoryError("too much")


def leave(order: dict[str, Any], tell: Tell) -> None:
    sys.exit(3)


def be_killed(order: dict[str, Any], tell: Tell) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def abort(order: dict[str, Any], tell: Tell) -> None:
    os.abort()


@pytest.mark.parametrize(
    ("work", "error", "reason"),
    [
        (refuse, TextgenError, "no text"),
        (run_out_of_memory, ChildError, "MemoryError: too much"),
        (leave, ChildError, "exit code 3"),
        (be_killed, ChildError, r"killed by SIGKILL .*memory runs out"),
        (abort, ChildError, "killed by SIGABRT"),
    ],
)
def test_why_a_child_failed_is_told(work: Any, error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        heard(work)


def never_end(order: dict[str, Any], tell: Tell) -> None:
    tell({"pid": os.getpid()})
    threading.Event().wait()


def is_running(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_child_that_is_not_listened_to_any_more_is_ended() -> None:
    with closing(Children(never_end).messages({})) as messages:
        number = next(messages)["pid"]
        assert is_running(number)
    assert not is_running(number)


def test_all_children_can_be_stopped_and_no_other_starts() -> None:
    several = Children(never_end)
    messages = several.messages({})
    next(messages)
    several.stop()
    with pytest.raises(StoppedError):
        next(messages)
    with pytest.raises(StoppedError):
        list(several.messages({}))


def test_ctrl_c_does_not_reach_a_child() -> None:
    with closing(Children(never_end).messages({})) as messages:
        number = next(messages)["pid"]
        mask = next(
            int(line.split()[1], 16)
            for line in Path(f"/proc/{number}/status").read_text().splitlines()
            if line.startswith("SigIgn")
        )
        assert mask >> (signal.SIGINT - 1) & 1


PARENT = """
from tests.search.test_trial import never_end
from textgen.search.trial import Children
for message in Children(never_end).messages({}):
    print(message['pid'], flush=True)
"""


def test_a_child_ends_with_its_parent_however_that_ends() -> None:
    with beside("-c", PARENT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        number = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while is_running(number) and not is_zombie(number):
        assert time.monotonic() < deadline, "the child lives on"


def is_zombie(number: int) -> bool:
    """Whether a process has ended, and only nobody has asked after it."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


SMALL = (
    ModelSettings(embedding_size=4, rnn_size=8, num_layers=1).to_dict()
    | TrainingSettings(batch_size=2, seq_length=5, seq_step=3).to_dict()
    | {"word_tokens": False}
)


def test_what_a_training_takes() -> None:
    needed = needs(SMALL, 10)
    embedding, lstm, logits = 10 * 4, 4 * 8 * (4 + 8 + 1), (8 + 1) * 10
    assert needed["weights"] == embedding + lstm + logits
    assert 0 < needed["GiB of memory"] < 0.001
    assert needed["tokens of text"] == 2 * 5 + 1 + 3, "a batch from the second offset"


def test_the_text_that_a_batch_needs_is_what_training_asks_for() -> None:
    import numpy as np

    from textgen.training.batches import cut_batches

    cut_batches(np.zeros(14, np.uint8), 2, 5, 3, None)
    with pytest.raises(TextgenError, match="needs at least 14 tokens"):
        cut_batches(np.zeros(13, np.uint8), 2, 5, 3, None)


def test_settings_that_contradict_each_other_are_told() -> None:
    with pytest.raises(TextgenError, match="`residual` needs"):
        needs(SMALL | {"residual": True}, 10)
