from collections.abc import Callable

import numpy as np
import pytest

from textgen.support.errors import TextgenError
from textgen.training.workers import SingleProcess


class Second(SingleProcess):
    """Worker 1 of 2, whose peer is told by the test."""

    count, index = 2, 1

    def __init__(self, peer: str = "+") -> None:
        self.peer = peer

    def texts(self, text: str) -> list[str]:
        return [self.peer, text]

    def _told(self, index: int, message: str) -> str:
        return f"worker {index}: {message}"


def test_a_process_alone_agrees_with_itself() -> None:
    alone = SingleProcess()
    assert alone.is_chief
    assert alone.rows(5) == slice(0, 5)
    assert alone.any(True)
    assert not alone.any(False)
    assert alone.seconds(2.5) == 2.5
    assert alone.by_chief(lambda: "done") == "done"
    np.testing.assert_array_equal(alone.from_chief(np.arange(3)), np.arange(3))


def test_rows_follow_one_another_and_must_come_out_even() -> None:
    assert Second().rows(8) == slice(4, 8)
    with pytest.raises(TextgenError, match="`batch_size` 9 cannot be shared by 2 workers"):
        Second().rows(9)


def test_what_one_worker_refuses_is_refused_on_all_and_by_name() -> None:
    def fail() -> str:
        raise TextgenError("no text")

    assert Second("+there").each(lambda: "here") == ["there", "here"]
    for peer, work, message in (
        ("-no text", str, "worker 0: no text"),
        ("+", fail, "worker 1: no text"),
    ):
        refuse: Callable[[], str] = work
        with pytest.raises(TextgenError, match=message):
            Second(peer).each(refuse)


def test_others_leave_the_chiefs_work_to_the_chief() -> None:
    def fail() -> str:
        raise AssertionError

    assert Second("+plan").by_chief(fail) == "plan"
