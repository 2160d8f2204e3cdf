import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.loopback import free_port
from textgen.support.errors import TextgenError
from textgen.training.workers import (
    Layout,
    SingleProcess,
    answers,
    gpu_for,
    layout_of,
    layout_of_environment,
    wait_for_peers,
)


def environment(cluster: Any, kind: str = "worker", index: Any = 0) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def test_tf_config_names_the_workers_and_this_one() -> None:
    layout = Layout(("a:1", "b:2"), 1)
    assert layout_of_environment({"TF_CONFIG": layout.to_json()}) == layout
    assert layout.name(0) == "worker 0 (a:1)"


def test_a_chief_of_its_own_kind_is_worker_0() -> None:
    cluster = {"chief": ["a:1"], "worker": ["b:2", "c:3"], "evaluator": ["d:4"]}
    assert layout_of_environment(environment(cluster, "chief")) == Layout(("a:1", "b:2", "c:3"), 0)
    assert layout_of_environment(environment(cluster, "worker", "1")).index == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "which is not set. Set it, or give `workers`"),
        ({"TF_CONFIG": "{"}, "must be JSON like"),
        ({"TF_CONFIG": "[]"}, "must be JSON like"),
        ({"TF_CONFIG": '{"cluster": {"worker": ["a:1"]}}'}, "must be JSON like .*'task'"),
        (environment({"worker": "a:1"}), "must be JSON like .*must be a list"),
        (environment({"worker": ["a:1", 2]}), "must be JSON like .*Task address 2"),
        (environment({"worker": ["a:1"], "ps": ["b:2"]}), "must be JSON like .*no place for ps"),
        (environment({"worker": ["a:1"]}, "evaluator"), "must be JSON like .*'evaluator'"),
        (environment({"worker": ["a:1"]}, index=1), "`worker_index` is 0 to 0 for 1 workers"),
        (environment({"worker": ["a"]}), "a HOST:PORT of its own. Received: a"),
        (environment({"worker": ["a:1", "a:1"]}), "a HOST:PORT of its own. Received: a:1, a:1"),
    ],
)
def test_a_wrong_or_half_tf_config_is_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(TextgenError, match=message):
        layout_of_environment(given)


def test_the_flags_ask_for_workers_or_for_this_process_alone() -> None:
    assert layout_of(None, None, False) is None
    assert layout_of("a:1,b:2", 1, False) == Layout(("a:1", "b:2"), 1)
    with pytest.raises(TextgenError, match="go together"):
        layout_of("a:1", None, False)
    with pytest.raises(TextgenError, match="`worker_index` is 0 to 1"):
        layout_of("a:1,b:2", 2, False)


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        layout = Layout((f"127.0.0.1:{port}", "127.0.0.1:1"), 0)
        with pytest.raises(TextgenError, match=f"port {port} of worker 0 .* cannot be used"):
            wait_for_peers(layout, seconds=0)


def test_a_number_that_is_no_port_is_named() -> None:
    with pytest.raises(TextgenError, match=r"port 99999 of worker 0 .* cannot be used"):
        wait_for_peers(Layout(("127.0.0.1:99999", "127.0.0.1:1"), 0), seconds=0)
    assert not answers("127.0.0.1:99999")


def test_a_peer_that_does_not_answer_is_named() -> None:
    layout = Layout((f"127.0.0.1:{free_port()}", f"127.0.0.1:{(other := free_port())}"), 0)
    with pytest.raises(TextgenError, match=rf"no answer from worker 1 \(127.0.0.1:{other}\) in 0"):
        wait_for_peers(layout, seconds=0)


def test_what_can_be_no_host_does_not_answer() -> None:
    assert not answers("a..b:2222")


def test_peers_find_each_other_in_any_order() -> None:
    workers = tuple(f"127.0.0.1:{free_port()}" for _ in range(2))
    with socket.create_server(("127.0.0.1", int(workers[1].rpartition(":")[2]))):
        thread = threading.Thread(target=wait_for_peers, args=(Layout(workers, 0), 20))
        thread.start()
        thread.join(20)
        assert not thread.is_alive()


class Second(SingleProcess):
    """Worker 1 of 2, whose peer is told by the test."""

    count, index = 2, 1

    def __init__(self, peer: str = "+") -> None:
        self.peer = peer

    def texts(self, text: str) -> list[str]:
        return [self.peer, text]


def test_a_process_alone_agrees_with_itself() -> None:
    alone = SingleProcess()
    assert alone.is_chief
    assert alone.rows(5) == slice(0, 5)
    assert alone.any(True)
    assert not alone.any(False)
    assert alone.seconds(2.5) == 2.5
    assert alone.by_chief(lambda: "done") == "done"
    np.testing.assert_array_equal(alone.from_chief(np.arange(3)), np.arange(3))
    np.testing.assert_array_equal(alone.joined(np.eye(2)), np.eye(2))
    assert alone.texts("où") == ["où"]


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
        ("+", fail, "^no text"),
    ):
        refuse: Callable[[], str] = work
        with pytest.raises(TextgenError, match=message):
            Second(peer).each(refuse)


def test_others_leave_the_chiefs_work_to_the_chief() -> None:
    def fail() -> str:
        raise AssertionError

    assert Second("+plan").by_chief(fail) == "plan"


def test_another_setting_or_text_of_a_worker_is_refused_by_name() -> None:
    workers = Second('+{"clip_norm": 1.0, "minutes": 2}')
    for same in ({"minutes": 2, "clip_norm": 1.0}, {"clip_norm": 1, "minutes": 2}):
        workers.refuse_difference("the setting `{}`", lambda same=same: same)
    with pytest.raises(TextgenError, match=r"`clip_norm` of worker 1 .* worker 0: 2.0, not 1"):
        workers.refuse_difference("the setting `{}`", lambda: {"clip_norm": 2.0, "minutes": 2})
    with pytest.raises(TextgenError, match=r"the text input\.txt of worker 1 .*: 4567, not 0123"):
        Second('+{"input.txt": "0123"}').refuse_difference(
            "the text {}", lambda: {"input.txt": "4567"}
        )


HOSTS = ("one:1", "one:2", "two:1", "one:3")


@pytest.mark.parametrize(("index", "gpu"), [(0, "a"), (1, "b"), (2, "a"), (3, "c")])
def test_each_worker_on_a_machine_takes_another_gpu(index: int, gpu: str) -> None:
    assert gpu_for(Layout(HOSTS, index), ["a", "b", "c"], "auto") == gpu
    assert gpu_for(Layout(HOSTS, index), ["a", "b", "c"], "cpu") is None


def test_workers_on_machines_without_a_gpu_take_the_processor() -> None:
    assert gpu_for(Layout(HOSTS, 0), [], "auto") is None


@pytest.mark.parametrize(
    ("gpus", "device", "message"),
    [
        (["a", "b"], "auto", "one has 2 GPUs for 3 workers, and each takes one.*`device` cpu"),
        ([], "gpu", "one has 0 GPUs for 3 workers"),
    ],
)
def test_more_workers_than_gpus_are_refused(gpus: list[str], device: str, message: str) -> None:
    with pytest.raises(TextgenError, match=message):
        gpu_for(Layout(HOSTS, 0), gpus, device)


def test_a_gpu_that_is_shown_to_one_worker_alone_is_its_own() -> None:
    """As by Ray and Slurm."""
    for index in range(len(HOSTS)):
        assert gpu_for(Layout(HOSTS, index), ["a"], "auto", {"CUDA_VISIBLE_DEVICES": "7"}) == "a"


def test_two_names_of_a_machine_are_one_machine() -> None:
    names = ("localhost:1", "127.0.0.1:2")
    assert [gpu_for(Layout(names, index), ["a", "b"], "auto") for index in (0, 1)] == ["a", "b"]


def test_gpus_that_no_worker_takes_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_for(Layout(HOSTS, 2), ["a", "b"], "auto") == "a"
    assert "two has 2 GPUs and 1 worker(s)" in capsys.readouterr().err
