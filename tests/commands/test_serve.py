"""The command and `train.py --serve` as users run them."""

import importlib.util
import json
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from tests.commands.test_scripts import SMALL
from tests.conftest import VERSES, run_python
from tests.loopback import free_port
from tests.processes import beside
from tests.services import Running, serving
from textgen.commands import serve
from textgen.commands.flags import ArgumentParser, add_settings, given_settings
from textgen.model import checkpoint
from textgen.model.devices import XLA_SWITCH
from textgen.server import ServerSettings, check_installed
from textgen.server.run import listening
from textgen.support.errors import TextgenError


@pytest.mark.xdist_group("page")  # whose tests ask the same service
def test_it_listens_on_this_machine_only(running: Running) -> None:
    assert running.address.startswith("http://127.0.0.1:")


LIMITS = ("--max-length", "1000000", "--grace-seconds", "1")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_streams_finish(trained_dir: Path, number: signal.Signals) -> None:
    with serving(trained_dir, flags=LIMITS, measured=False) as service:
        for length, reason in ((3_000, "length"), (1_000_000, "shutdown")):
            content = json.dumps({"length": length, "stream": True}).encode()
            request = urllib.request.Request(
                service.address + "/api/generate", content, {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                answer.readline()
                if reason == "shutdown":
                    service.process.send_signal(number)
                last = answer.read().decode().rstrip().split("\n\n")[-1]
            assert last.startswith("event: done")
            assert f'"finish_reason":"{reason}"' in last
        assert service.process.wait(timeout=30) == 130
    assert "Traceback" not in service.said()


def test_no_model_and_a_port_in_use_are_said_in_a_line(tmp_path: Path, trained_dir: Path) -> None:
    done = run_python("-m", "textgen", "serve", "--port", "0", "--data-dir", tmp_path)
    assert done.returncode == 2
    assert "no model in" in done.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_python("-m", "textgen", "serve", "--port", port, "--data-dir", trained_dir)
    assert done.returncode == 2
    assert f"port {port}" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("host", ["a..b", "192.0.2.1"])
def test_an_address_that_is_none_of_ours_is_named(host: str) -> None:
    with pytest.raises(TextgenError, match=rf"cannot listen on {host} port 0 \(.*another `host`"):
        listening(ServerSettings(host=host, port=0))


def test_what_is_missing_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name != "uvicorn" else object()
    )
    with pytest.raises(TextgenError, match=r"pip install fastapi prometheus-client$"):
        check_installed()


def test_the_key_comes_from_the_environment_and_seeds_are_logged_where_that_is_asked_for(
    trained_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(serve.KEY_VARIABLE, "sesame")
    key = {"Authorization": "Bearer sesame"}
    with serving(trained_dir, flags=("--log-seeds",)) as service:
        assert service.ask("/api/models")[0] == 401
        assert service.ask("/api/models", headers=key)[0] == 200
        service.ask("/api/generate", {"seed": "The river", "length": 5}, key)
    assert '"seed": "The river"' in service.said()


def test_flags_that_have_new_names_still_work() -> None:
    parser = ArgumentParser()
    add_settings(parser, ServerSettings)
    given = given_settings(parser.read(["--max-prompt", "7", "--log-prompts"]), ServerSettings)
    assert given == {"max_seed_length": 7, "log_seeds": True}


def test_a_training_shows_itself_and_ctrl_c_keeps_its_model(tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_text(VERSES * 3, encoding="utf-8")
    port = free_port()
    flags = ("--data-dir", tmp_path, "--minutes", 3, "--serve", port, *SMALL)
    with beside("train.py", *flags, environment={XLA_SWITCH: 0}, stderr=subprocess.PIPE) as process:
        state = first_epoch(f"http://127.0.0.1:{port}/api/live")
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert said.splitlines()[-1] == "interrupted"
    assert "Traceback" not in said
    assert checkpoint.load(tmp_path).metadata.results["epoch"] >= 1
    assert state["rows"][0]["epoch"] == 1
    assert state["samples"][0]["title"].startswith("epoch ")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port)).close()


def first_epoch(address: str) -> dict:
    """What the live view shows when an epoch has ended."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=60) as answer:
                for line in answer:
                    if line.startswith(b"data: ") and (state := json.loads(line[6:]))["samples"]:
                        return state
        except OSError:
            time.sleep(0.1)
    raise AssertionError("no epoch was shown")
