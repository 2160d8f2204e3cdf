"""What `benchmarks/gpu.py` does with processes that crash or hang, and with its time."""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.gpu import PLAIN, SMALL, Child, Session, measure, ratios_to_peer

ANSWERS = """
import json, os, sys
print('{"it is": "a test"}', flush=True)
for line in sys.stdin:
    do = json.loads(line)["do"]
    print("before", do, file=sys.stderr, flush=True)
    if do == "crash":
        os.abort()
    if do == "hang":
        sys.stdin.read()
    if do == "speed":
        print('{"rate": 100, "loss": 2.5, "first": 0.1}', flush=True)
    else:
        print('{"error": "refused"}' if do == "fail" else '{"rate": 2}', flush=True)
"""


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    file = tmp_path / "text.txt"
    file.write_text("text")
    session = Session(argparse.Namespace(file=file, device="cpu", budget=60, seconds=0.1))
    yield session
    session.stop()


def child(name: str = "one") -> Child:
    return Child(name, [sys.executable, "-c", ANSWERS], dict(os.environ))


def test_jobs_are_done_side_by_side(session: Session) -> None:
    one, two = child(), child("two")
    session.children |= {"one": one, "two": two}
    assert (
        session.do("both", "torch", (one, {"do": "it"}), (two, {"do": "it"})) == [{"rate": 2}] * 2
    )
    assert one.facts == {"it is": "a test"}
    assert not session.misses


def test_a_crash_costs_its_own_job(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    session.children["one"] = one = child()
    [crashed] = session.do("first", "torch", (one, {"do": "crash"}))
    assert crashed["died"]
    assert session.do("second", "torch", (one, {"do": "it"})) == [{"rate": 2}]
    assert session.misses == ["first: failed (one): the process ended (exit code -6)"]
    assert "before crash" in capsys.readouterr().out


def test_what_hangs_is_ended(session: Session) -> None:
    session.children["one"] = one = child()
    session.do("first", "torch", (one, {"do": "it"}))
    session.do("second", "torch", (one, {"do": "hang"}), limit=0.2)
    assert session.misses == ["second: failed (one): no answer in time (exit code -9)"]
    assert not one.is_alive


def test_an_error_is_told_and_the_process_goes_on(session: Session) -> None:
    session.children["one"] = one = child()
    session.do("first", "torch", (one, {"do": "fail"}))
    assert session.misses == ["first: failed (one): refused"]
    assert one.is_alive


def test_what_does_not_fit_is_left_out(session: Session) -> None:
    session.end = time.monotonic() + 30
    session.took["speed"] = [10, 70]  # 40 s in the mean
    assert session.do("slow", "speed", (child(), {"do": "it"})) == []
    assert session.misses == ["slow: left out: no time"]


def test_losses_apart_fall_short(session: Session) -> None:
    session.judge_losses("near", 1.0, 1.015)
    session.judge_losses("far", 1.0, 1.03)
    session.judge_losses("lost", 1.0, float("nan"))
    assert [miss.split(":")[0] for miss in session.misses] == ["far", "lost"]


def test_a_way_is_compared_with_training_as_it_is(session: Session) -> None:
    session.children["speeds"] = child()
    session.rates[SMALL[0], "PyTorch, TF32"] = 80
    assert measure(session, PLAIN, SMALL[0])
    assert measure(session, PLAIN._replace(title="other"), SMALL[0])
    assert ratios_to_peer(session, "other") == [1.25]
    session.losses[SMALL[1], PLAIN.title] = 2.6
    assert measure(session, PLAIN._replace(title="other"), SMALL[1])
    assert session.misses == [
        "other, 24 x 1, 4 x 10: losses 2.5000 and 2.6000 are more than 0.02 apart"
    ]
