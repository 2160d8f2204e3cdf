"""Hostile clients, on real sockets: each gets its status, and the service goes on."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services import Running, serving

pytestmark = pytest.mark.xdist_group("limits")

CONNECTIONS = 30
IDLE_SECONDS = 1
FLAGS = (
    "--max-connections", str(CONNECTIONS), "--idle-seconds", str(IDLE_SECONDS),
    "--max-length", "1000000", "--max-running", "4", "--max-queue", "1", "--api-key", "sesame",
)  # fmt: skip
KEY = {"Authorization": "Bearer sesame"}
HEAD = "POST /api/generate HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sesame\r\n"


@pytest.fixture(scope="module")
def service(trained_dir: Path) -> Iterator[Running]:
    with serving(trained_dir, flags=FLAGS) as running:
        yield running


@pytest.fixture(autouse=True)
def alive(service: Running) -> Iterator[None]:
    """Whatever a test did, the service still writes, nothing runs on, and no error was logged."""
    yield
    until(lambda: metric(service, "textgen_running") == 0)
    assert service.ask("/api/generate", {"length": 5}, KEY)[0] == 200
    assert not [line for line in service.log if "traceback" in line]


def until(done, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


def metric(service: Running, name: str) -> float:
    lines = service.ask("/metrics", headers=KEY)[2].splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name + "{"))


def connected(service: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=20)


def post(**body) -> bytes:
    content = json.dumps(body).encode()
    return (
        f"{HEAD}Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode()
        + content
    )


def rest_of(connection: socket.socket) -> bytes:
    """Everything until the service closes the connection."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("size", [1_000_000, 5_000_000])
def test_a_seed_of_megabytes(service: Running, size: int) -> None:
    status, _, content = service.ask("/api/generate", {"seed": "a" * size}, KEY)
    assert status == 422
    assert "at most" in json.loads(content)["error"]


def test_a_client_that_disconnects_frees_its_place_within_a_second(service: Running) -> None:
    for stream in (True, False):
        with connected(service) as connection:
            connection.sendall(post(length=1_000_000, stream=stream))
            until(lambda: metric(service, "textgen_running") == 1)
        begun = time.monotonic()
        until(lambda: metric(service, "textgen_running") == 0)
        assert time.monotonic() - begun < 1


def test_a_slow_reader_holds_nobody_and_is_let_go(service: Running) -> None:
    with connected(service) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(post(length=1_000_000, stream=True, alternatives=20))
        status, _, content = service.ask("/api/generate", {"length": 300}, KEY)
        assert (status, json.loads(content)["tokens"]) == (200, 300)
        until(lambda: metric(service, "textgen_running") == 0, seconds=60)


@pytest.mark.parametrize("wanted", [{"length": 20_000}, {"length": 1_000_000, "stream": True}])
def test_who_takes_nothing_is_let_go_whole_answer_or_stream(service: Running, wanted) -> None:
    """Even one who goes on sending: once they had their answer, or asked for more, they stayed."""
    with socket.socket() as connection:
        connection.settimeout(20)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", service.port))
        connection.sendall(post(alternatives=20, **wanted))
        until(lambda: is_cut(connection), seconds=60)


def is_cut(connection: socket.socket) -> bool:
    """Whether the service has aborted a connection, to which something more is sent."""
    try:
        connection.send(b"G")
    except ConnectionError:
        return True
    return False


def test_more_requests_than_may_wait_are_told_to_come_back(service: Running) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            connection = stack.enter_context(connected(service))
            connection.sendall(post(length=1_000_000, stream=True))
        until(lambda: metric(service, "textgen_queued") == 1)
        status, headers, content = service.ask("/api/generate", {"length": 5}, KEY)
        assert status == 429
        assert headers["retry-after"] == "2"
        assert "try again" in json.loads(content)["error"]


def test_idle_connections_make_room(service: Running) -> None:
    """Here three times the limit; a test below opens 10,000."""
    with contextlib.ExitStack() as stack:
        for _ in range(3 * CONNECTIONS):
            stack.enter_context(connected(service))
        assert service.ask("/healthz")[0] == 200


def test_where_all_connections_work_one_more_is_refused(service: Running) -> None:
    with contextlib.ExitStack() as stack:
        busy = [stack.enter_context(connected(service)) for _ in range(CONNECTIONS)]
        for connection in busy:
            connection.sendall(
                (HEAD + "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n").encode()
            )
        for connection in busy:  # a body that is waited for, and does not come
            assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        with connected(service) as one_more:
            answer = rest_of(one_more)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after" in answer
        for connection in busy:
            assert connection.recv(20).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\nHost: a\r\nX: "])
def test_a_request_that_comes_letter_by_letter_is_not_waited_for(
    service: Running, sent: bytes
) -> None:
    begun = time.monotonic()
    with connected(service) as connection:
        connection.sendall(sent)
        answer = rest_of(connection)
    assert answer == b"" if not sent else answer.startswith(b"HTTP/1.1 408 ")
    assert IDLE_SECONDS / 2 < time.monotonic() - begun < 5 * IDLE_SECONDS + 5


def test_floods_of_headers(service: Running) -> None:
    many = "".join(f"X-{number}: {'a' * 20}\r\n" for number in range(1000))
    for flood in (HEAD + many + "\r\n", HEAD + "X: " + "a" * 200_000):
        with connected(service) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(flood.encode())
            assert connection.recv(13) in (b"HTTP/1.1 431 ", b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "nonsense",
    [b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
     HEAD.encode() + b"Content-Length: -5\r\n\r\n",
     HEAD.encode() + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
     HEAD.encode() + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"],
)  # fmt: skip
def test_what_is_no_http(service: Running, nonsense: bytes) -> None:
    with connected(service) as connection:
        connection.sendall(nonsense)
        answer = rest_of(connection)
    assert answer == b"" or answer.split()[1] in (b"400", b"401", b"408", b"422")


def test_ten_thousand_idle_connections(service: Running) -> None:
    import resource

    most = min(10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most + 200, most + 200))
    with contextlib.ExitStack() as stack:
        for number in range(most):
            stack.enter_context(connected(service))
            if number % 1000 == 999:
                assert service.ask("/healthz")[0] == 200
        assert service.ask("/api/generate", {"length": 5}, KEY)[0] == 200


def test_the_log_has_no_seed(service: Running) -> None:
    service.ask("/api/generate", {"seed": "perhaps-a-secret", "length": 5}, KEY)
    service.ask("/?prime=perhaps-a-secret&n=5", headers=KEY)
    until(lambda: sum('"path": "/"' in line for line in service.log) >= 1)
    lines = [json.loads(line) for line in service.log if line.startswith("{")]
    assert {"time", "level", "method", "path", "status", "seconds"} <= lines[-1].keys()
    assert "perhaps-a-secret" not in "".join(service.log)
