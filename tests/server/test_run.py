import json
import socket
import urllib.request
from pathlib import Path

import pytest

from tests.loopback import free_port
from textgen.server.run import beside
from textgen.support.errors import TextgenError


def test_it_serves_meanwhile_and_no_longer(trained_dir: Path) -> None:
    port = free_port()
    with beside(trained_dir, port):
        address = f"http://127.0.0.1:{port}/api/models"
        with urllib.request.urlopen(address, timeout=60) as answer:
            (model,) = json.load(answer)["models"]
    assert (model["name"], model["watched"]) == (trained_dir.name, True)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_port_in_use_is_told_before_anything_runs(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(TextgenError, match=rf"port {port} \(Address already in use\)\."),
            beside(tmp_path, port),
        ):
            raise AssertionError("this port is in use")
