import json
import socket
import threading
from typing import Any

import pytest

from tests.loopback import free_port
from textgen.support.errors import TextgenError
from textgen.training.layout import (
    Layout,
    answers,
    checked,
    from_environment,
    from_flags,
    wait_for_peers,
)


def environment(cluster: Any, kind: str = "worker", index: Any = 0) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def test_tf_config_names_the_workers_and_this_one() -> None:
    layout = Layout(("a:1", "b:2"), 1)
    assert from_environment({"TF_CONFIG": layout.to_json()}) == layout
    assert not layout.is_chief
    assert layout.name(0) == "worker 0 (a:1)"


def test_a_chief_of_its_own_kind_is_worker_0() -> None:
    cluster = {"chief": ["a:1"], "worker": ["b:2", "c:3"], "evaluator": ["d:4"]}
    assert from_environment(environment(cluster, "chief")) == Layout(("a:1", "b:2", "c:3"), 0)
    assert from_environment(environment(cluster, "worker", "1")).index == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "which is not set. Set it, or give `workers`"),
        ({"TF_CONFIG": "{"}, "must be JSON like"),
        ({"TF_CONFIG": "[]"}, "must be JSON like"),
        ({"TF_CONFIG": '{"cluster": {"worker": ["a:1"]}}'}, "must be JSON like .*'task'"),
        (environment({"worker": "a:1"}), "must be JSON like .*a list of HOST:PORT"),
        (environment({"worker": ["a:1"], "ps": ["b:2"]}), "must name workers"),
        (environment({"worker": ["a:1"]}, "evaluator"), "must name workers"),
        (environment({"worker": ["a:1"]}, index=1), "task index 1 is not one of the 1"),
        (environment({"worker": ["a"]}), "an address is HOST:PORT. Received: 'a'"),
        (environment({"worker": ["a:99999"]}), "an address is HOST:PORT"),
        (environment({"worker": ["a:1", "a:1"]}), "names a:1 twice"),
    ],
)
def test_a_wrong_or_half_tf_config_is_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(TextgenError, match=message):
        from_environment(given)


def test_the_flags_ask_for_workers_or_for_this_process_alone() -> None:
    assert from_flags(None, None, False) is None
    assert from_flags("a:1,b:2", 1, False) == Layout(("a:1", "b:2"), 1)
    with pytest.raises(TextgenError, match="go together"):
        from_flags("a:1", None, False)
    with pytest.raises(TextgenError, match="`worker_index` is 0 to 1"):
        from_flags("a:1,b:2", 2, False)


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        layout = checked((f"127.0.0.1:{port}", "127.0.0.1:1"), 0, "--workers")
        with pytest.raises(TextgenError, match=f"port {port} of worker 0 .* cannot be used"):
            wait_for_peers(layout, seconds=0)


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
