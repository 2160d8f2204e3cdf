"""Connections that are bounded in number, and in the time they may do nothing.

uvicorn alone lets a client open any number of connections, send its request byte by byte, and
leave the answer unread, for ever.
"""

import asyncio
import functools
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from textgen.settings.server import ServerSettings

FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\ncontent-length: 0\r\n"
    b"connection: close\r\n\r\n"
)
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
LEAST_TAKEN = 2**15
"""Bytes of an answer that must be taken in the time a connection may be idle."""


class _Timer:
    """Calls `then` so many seconds after its start, unless it is stopped before."""

    def __init__(self, seconds: float, then: Callable[[], None]) -> None:
        self._seconds, self._then = seconds, then
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self.stop()
        self._handle = asyncio.get_running_loop().call_later(self._seconds, self._then)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()


class BoundedProtocol(H11Protocol):
    """A connection.

    It is idle while no request is under way on it. When there are too many, the one that has been
    idle for longest makes room.
    """

    def __init__(self, server_config: ServerSettings, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._limits = server_config
        self._idle_since = self.loop.time()
        self._until_request = _Timer(server_config.idle_seconds, self._give_up)
        self._until_taken = _Timer(server_config.idle_seconds, self._end_unless_taken)
        self._untaken = 0
        self._sent_anything = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.max_connections and not self._make_room():
            transport.write(FULL)
            transport.close()
            return
        self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._until_request.stop()
        self._until_taken.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._sent_anything = True
        super().data_received(data)
        if not self._is_idle:
            self._until_request.stop()

    def on_response_complete(self) -> None:
        self._sent_anything = False
        self._wait_for_request()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        if not self.transport.is_closing():  # else the rest has to be taken too
            self._until_taken.stop()
        super().resume_writing()

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _make_room(self) -> bool:
        others = [other for other in self.connections if other is not self and other._is_idle]  # type: ignore[union-attr]
        if not others:
            return False
        longest = min(others, key=lambda other: other._idle_since)  # type: ignore[union-attr]
        self.connections.discard(longest)
        longest.transport.abort()
        return True

    def _wait_for_request(self) -> None:
        self._idle_since = self.loop.time()
        self._until_request.start()

    def _wait_for_reader(self) -> None:
        self._untaken = self.transport.get_write_buffer_size()
        self._until_taken.start()

    def _end_unless_taken(self) -> None:
        """The client has more of the answer to take than may be kept for it."""
        if self._untaken - self.transport.get_write_buffer_size() < LEAST_TAKEN:
            self.transport.abort()
        else:
            self._wait_for_reader()

    def _give_up(self) -> None:
        """No whole head of a request has come."""
        if self._is_idle and not self.transport.is_closing():
            if self._sent_anything:
                self.transport.write(TOO_SLOW)
            self.transport.close()


def bounded(settings: ServerSettings) -> Any:
    """What uvicorn makes connections with."""
    return functools.partial(BoundedProtocol, settings)
