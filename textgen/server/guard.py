"""What surrounds every request: limits of its size, security headers, the key, the log, the count.

Plain ASGI, so that an answer streams through untouched.
"""

import asyncio
import hmac
import logging
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from textgen.server.metrics import Metrics
from textgen.server.problems import RefusedError
from textgen.settings.server import HEADER_BYTES, ServerSettings

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
"""Of a prompt in JSON at most: two \\uXXXX."""
OTHER_BYTES = 200_000
"""Of a request, beside the prompt: its lists of texts."""
MOST_DRAINED = 20_000_000
"""Bytes too many that are thrown away, so that the client reads the answer."""
OPEN = ("/healthz", "/static/", "/docs", "/openapi.json")
"""What needs no key; nor does the page itself."""

log = logging.getLogger("textgen.serve")


class Guard:
    """Wraps the application; see the module's docstring.

    Args:
        app: the application.
        settings: the limits and the key.
        metrics: what is counted.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, metrics: Metrics) -> None:
        self._app, self._config, self._metrics = app, settings, metrics
        self._most_bytes = OTHER_BYTES + BYTES_PER_CHARACTER * settings.max_prompt

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

        try:
            self._check(scope)
            body = await self._body(scope, receive)
        except RefusedError as refused:
            await refused.answer()(scope, receive, send_on)
        else:
            await self._app(scope, _replayed(body, receive), send_on)
        finally:
            self._record(scope, status, time.monotonic() - begun)

    def _check(self, scope: Scope) -> None:
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        if size > HEADER_BYTES:
            raise RefusedError(431, f"the headers have more than {HEADER_BYTES} bytes")
        if self._config.api_key is not None and _needs_key(scope):
            _check_key(scope, self._config.api_key)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The body of the request, whole."""
        parts, size, more = [], 0, True
        try:
            async with asyncio.timeout(self._config.idle_seconds):
                while more and size <= MOST_DRAINED:
                    message = await receive()
                    part, more = message.get("body", b""), message.get("more_body", False)
                    size += len(part)
                    if size <= self._most_bytes:
                        parts.append(part)
        except TimeoutError:
            raise RefusedError(408, "the request did not come to its end in time") from None
        if size > self._most_bytes:
            raise RefusedError(422, f"the request must have at most {self._most_bytes} bytes")
        return b"".join(parts)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.requests.labels(_method(scope), route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        client = scope.get("client") or ("",)
        facts = {
            "method": _method(scope), "path": scope["path"][:200], "status": status,
            "seconds": round(seconds, 4), "client": client[0],
        }  # fmt: skip
        log.info("request", extra=facts | scope.get("facts", {}))


def _method(scope: Scope) -> str:
    known = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    return scope["method"] if scope["method"] in known else "other"


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Gives the body that was read already, then whatever comes after it."""
    waiting = [body]

    async def receive_on() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return receive_on


def _needs_key(scope: Scope) -> bool:
    if scope["path"] == "/":
        return not accepts_html(scope)
    return not scope["path"].startswith(OPEN)


def accepts_html(scope: Scope) -> bool:
    """Whether a browser asks, and not a program."""
    return "text/html" in Headers(scope=scope).get("accept", "")


def _check_key(scope: Scope, key: str) -> None:
    given = Headers(scope=scope).get("authorization", "").removeprefix("Bearer ")
    if not hmac.compare_digest(given.encode("latin-1"), key.encode()):
        raise RefusedError(
            401, "this service asks for a key: Authorization: Bearer KEY",
            headers={"WWW-Authenticate": "Bearer"},
        )  # fmt: skip
