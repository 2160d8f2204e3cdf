"""Bounds what clients may cost: connections and their time, sizes of requests, who may ask.

uvicorn alone lets a client open any number of connections, send its request byte by byte, and
leave the answer unread, for ever. All of this uses the public interfaces of asyncio and ASGI only.
"""

import asyncio
import contextlib
import hmac
import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from textgen.server import HEADER_BYTES, ServerSettings

if TYPE_CHECKING:
    from textgen.server.service import Service

FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\ncontent-length: 0\r\n"
    b"connection: close\r\n\r\n"
)
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
LEAST_TAKEN = 2**15
"""Bytes of an answer that must be taken in the time a connection may be idle."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
BYTES_PER_CHARACTER = 12
"""Of a seed in JSON at most: two \\uXXXX."""
OTHER_BYTES = 200_000
"""Of a request, beside the seed: its lists of texts."""
MOST_DRAINED = 20_000_000
"""Bytes too many that are thrown away, so that the client reads the answer."""
OPEN = ("/healthz", "/static/", "/docs", "/openapi.json")
"""Addresses that need no key; nor does the page itself."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

log = logging.getLogger("textgen.serve")


class Connections:
    """The open connections of a service.

    When there are too many, the one that has been idle for longest makes room.

    Args:
        settings: how many, and how long they may do nothing.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.idle_seconds, self._most = settings.idle_seconds, settings.max_connections
        self._open: dict[Any, Connection] = {}

    def protocol(self, **options: Any) -> "Connection":
        """Returns what answers on a new connection; called by uvicorn, with its own options."""
        return Connection(self, H11Protocol(**options))

    def add(self, connection: "Connection") -> bool:
        """Takes one more, if there is room or can be made."""
        if len(self._open) >= self._most:
            longest = next((other for other in self._open.values() if other.idle), None)
            if longest is None:
                return False
            self.remove(longest)
            longest.transport.abort()
        self._open[connection.client] = connection
        return True

    def remove(self, connection: "Connection") -> None:
        """Forgets a connection that is closed."""
        if self._open.get(connection.client) is connection:
            del self._open[connection.client]

    @contextlib.contextmanager
    def busy(self, scope: Scope) -> Iterator[None]:
        """While a request is answered, its connection is not idle."""
        connection = self._open.get(tuple(scope.get("client") or ()))
        if connection is None:
            yield
            return
        connection.requests += 1
        try:
            yield
        finally:
            connection.end_request()
            if self._open.get(connection.client) is connection:  # now the last one to be idle
                self._open[connection.client] = self._open.pop(connection.client)


class Connection(asyncio.Protocol):
    """Passes what comes on to uvicorn's protocol, and ends clients that are too slow.

    It looks at its client whenever the time is over that one may be idle, and ends one for whom
    nothing has changed since the look before.

    Args:
        connections: all of them.
        protocol: speaks HTTP.
    """

    transport: asyncio.Transport

    def __init__(self, connections: Connections, protocol: asyncio.Protocol) -> None:
        self._all, self._protocol = connections, protocol
        self.requests = 0
        self._has_begun = False  # to send a request, since the last answer
        self._is_paused = False
        self._untaken = 0  # bytes of the answer at the last look, if no more came since
        self._was_idle = True

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return not self.requests

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.client = tuple((transport.get_extra_info("peername") or (self,))[:2])
        self._protocol.connection_made(transport)
        if not self._all.add(self):
            self.transport.write(FULL)
            self.transport.close()
        self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._all.remove(self)
        self._protocol.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._has_begun = True
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        self._is_paused, self._untaken = True, 0
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._is_paused = False
        self._protocol.resume_writing()

    def end_request(self) -> None:
        """Lets the client take the rest of its answer and send another request, in its time."""
        self.requests -= 1
        self._has_begun = self._was_idle = False
        self._untaken = 0

    def _look_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._all.idle_seconds, self._look)

    def _look(self) -> None:
        """Ends a client that has taken nothing, or sent no whole head of a request, in its time."""
        before, untaken = self._untaken, self.transport.get_write_buffer_size()
        if (self.idle or self._is_paused) and untaken and 0 < before < untaken + LEAST_TAKEN:
            self.transport.abort()
            return
        if self.idle and self._was_idle and not untaken and not self.transport.is_closing():
            if self._has_begun:
                self.transport.write(TOO_SLOW)
            self.transport.close()
        self._untaken, self._was_idle = untaken, self.idle
        self._look_later()


class Guard:
    """Wraps the application: sizes, security headers, the key, the log, the count.

    Plain ASGI, so that an answer streams through untouched.

    Args:
        app: the application.
        service: its limits, connections and counters.
    """

    def __init__(self, app: ASGIApp, service: "Service") -> None:
        self._app, self._service, self._settings = app, service, service.settings
        self._most_bytes = OTHER_BYTES + BYTES_PER_CHARACTER * self._settings.max_seed_length

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.monotonic(), 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status, headers = message["status"], MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        with self._service.connections.busy(scope):
            try:
                self._check(scope)
                body = await self._body(receive)
            except HTTPException as refused:
                await answer(refused)(scope, receive, send_on)
            else:
                await self._app(scope, _replayed(body, receive), send_on)
            finally:
                self._record(scope, status, time.monotonic() - begun)

    def _check(self, scope: Scope) -> None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEADER_BYTES:
            raise HTTPException(431, f"the headers have more than {HEADER_BYTES} bytes")
        if self._settings.api_key is None or _is_open(scope):
            return
        given = Headers(scope=scope).get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode("latin-1"), self._settings.api_key.encode()):
            problem = "this service asks for a key: Authorization: Bearer KEY"
            raise HTTPException(401, problem, {"WWW-Authenticate": "Bearer"})

    async def _body(self, receive: Receive) -> bytes:
        """Returns the body of the request, whole."""
        parts, size, more = [], 0, True
        try:
            async with asyncio.timeout(self._settings.idle_seconds):
                while more and size <= MOST_DRAINED:
                    message = await receive()
                    part, more = message.get("body", b""), message.get("more_body", False)
                    size += len(part)
                    if size <= self._most_bytes:
                        parts.append(part)
        except TimeoutError:
            raise HTTPException(408, "the request did not come to its end in time") from None
        if size > self._most_bytes:
            raise HTTPException(422, f"the request must have at most {self._most_bytes} bytes")
        return b"".join(parts)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._service.metrics.requests.labels(method, route, str(status)).inc()
        self._service.metrics.seconds.labels(route).observe(seconds)
        client = scope.get("client") or ("",)
        facts = {
            "method": method, "path": scope["path"][:200], "status": status,
            "seconds": round(seconds, 4), "client": client[0],
        }  # fmt: skip
        log.info("request", extra=facts | scope.get("facts", {}))


def answer(problem: HTTPException) -> JSONResponse:
    """Returns the answer to a request that is not served: what is wrong, in words."""
    return JSONResponse({"error": problem.detail}, problem.status_code, problem.headers)


def accepts_html(scope: Scope) -> bool:
    """Whether a browser asks, and not a program."""
    return "text/html" in Headers(scope=scope).get("accept", "")


def _is_open(scope: Scope) -> bool:
    """Whether nobody needs a key for this address."""
    if scope["path"] == "/":
        return accepts_html(scope)
    return bool(scope["path"].startswith(OPEN))


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Gives the body that was read already, then whatever comes after it."""
    waiting = [body]

    async def receive_on() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return receive_on
