"""The web application: its addresses, and what each answers."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent, format_sse_event
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Scope

from textgen.server import live
from textgen.server.limits import Guard, accepts_html, answer
from textgen.server.schemas import (
    Classic,
    Generate,
    Generated,
    Health,
    ModelList,
    ModelShown,
    Outcome,
    Problem,
    settings_schema,
)
from textgen.server.service import Served, Service
from textgen.server.writing import Writing, begin

STATIC = Path(__file__).parent / "static"
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": words,
        "content": {"application/json": {"schema": Problem.model_json_schema()}},
    }
    for status, words in {
        400: "not HTTP, or not JSON",
        401: "no key, or a wrong one",
        404: "no such model",
        408: "the request did not come to its end in time",
        422: "a value out of range, or over a limit",
        429: "too many requests are waiting: try again after Retry-After seconds",
        503: "closing, still without a model, or its turn did not come in time",
    }.items()
}
KEY: dict[int | str, dict[str, Any]] = {401: PROBLEMS[401]}
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The text; with `stream` as events `start`, `piece` ... and `done`, or"
        " `error`.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
DEFAULT_WORDS = {
    "Not Found": "there is nothing at this address",
    "Method Not Allowed": "not with this method",
}
"""Our words instead of the framework's own."""
MISTAKES = {
    "model_attributes_type": "send a JSON object, with the header Content-Type: application/json",
    "extra_forbidden": "there is no control of this name",
}
"""Our words instead of pydantic's own, by its name of the mistake."""
DOCUMENTATION = "/docs"
OLD_NAMES_SINCE = "@1795737600"
"""The day, 2026-11-27, since which `prompt` and `n` are old names, in the form of RFC 9745."""


def build_app(service: Service) -> ASGIApp:
    """Returns the application, with everything that surrounds it."""
    production = service.settings.production
    app = FastAPI(
        title="textgen",
        summary="Text from recurrent networks, as it is written.",
        version="1",
        lifespan=service.lifespan,
        docs_url=None,  # its pages come from other hosts, which the security policy forbids
        redoc_url=None,
        openapi_url=None if production else "/openapi.json",
    )
    _handle_problems(app, production)
    _add_generation(app, service)
    _add_information(app, service)
    _add_pages(app, production)
    return Guard(app, service)


def _handle_problems(app: FastAPI, production: bool) -> None:
    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        problem = DEFAULT_WORDS.get(error.detail, error.detail)
        return answer(HTTPException(error.status_code, problem, error.headers))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return answer(HTTPException(422, in_words(error.errors())))

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> Response:
        return answer(HTTPException(500, "internal error" if production else repr(error)))


def in_words(errors: Sequence[Any]) -> str:
    """Returns what pydantic found wrong, without what was sent: that may be long, or no JSON."""
    problems = []
    for error in errors:
        place = ".".join(str(part) for part in error["loc"][1:] if isinstance(part, str | int))
        problem = MISTAKES.get(error["type"], error["msg"][:200])
        problems.append(f"{place[:100]}: {problem}" if place else problem)
    return "; ".join(dict.fromkeys(problems[:5]))


def _add_information(app: FastAPI, service: Service) -> None:
    limits = service.settings
    schemas = settings_schema(limits.max_length)

    @app.get("/healthz", tags=["service"])
    async def health() -> Health:
        """Whether the service takes requests."""
        return Health(status="closing" if service.closing.is_set() else "ok")

    @app.get("/metrics", tags=["service"], response_class=PlainTextResponse, responses=KEY)
    async def metrics() -> Response:
        """Requests, tokens, queues and latencies, for Prometheus."""
        page = generate_latest(service.metrics.registry)
        return Response(page, media_type=CONTENT_TYPE_LATEST)

    @app.get("/api/models", tags=["writing"], responses=KEY)
    async def models() -> ModelList:
        """The models that can write; the first one is the default."""
        known = [
            ModelShown(
                name=name,
                ready=served.loaded is not None,
                watched=limits.watch,
                **(served.loaded.facts if served.loaded else {}),
            )
            for name, served in service.models.items()
        ]
        return ModelList(
            models=known,
            max_length=limits.max_length,
            max_seed_length=limits.max_seed_length,
            documentation=None if limits.production else DOCUMENTATION,
        )

    @app.get("/api/settings", tags=["writing"], responses=KEY)
    async def settings() -> dict[str, dict[str, Any]]:
        """A JSON Schema of each sampling setting; `group` is the heading that it stands under."""
        return schemas

    def watched(model: Annotated[str | None, Query(max_length=200)] = None) -> Served:
        served = service.find(model)
        if served is None or not limits.watch:
            raise HTTPException(404, "no training is watched here: the service needs `watch`")
        return served

    @app.get("/api/live", tags=["training"], response_class=EventSourceResponse, responses=PROBLEMS)
    async def live_view(
        served: Annotated[Served, Depends(watched)],
    ) -> AsyncIterator[ServerSentEvent]:
        """Events `training` of a watched folder: rows of history.csv, and the newest samples."""
        async for state in live.updates(served.folder, service.closing):
            yield ServerSentEvent(event="training", data=state)


def _add_generation(app: FastAPI, service: Service) -> None:
    @app.post(
        "/api/generate", tags=["writing"], response_model=Generated, responses=PROBLEMS | STREAM
    )
    async def generate(request: Request, asked: Generate) -> Response:
        """Write on from `seed`."""
        note(request, service, asked.seed)
        writing = await begin(asked, service)
        headers = {"Deprecation": OLD_NAMES_SINCE} if asked.old_names else {}
        if asked.stream:
            end = BackgroundTask(writing.cancel)  # also where the client is gone
            headers["X-Accel-Buffering"] = "no"
            return EventSourceResponse(_events(writing), headers=headers, background=end)
        whole = await unless_gone(writing, request)
        return JSONResponse(whole.model_dump(exclude_none=True), headers=headers)

    @app.get("/", tags=["writing"], response_class=PlainTextResponse, responses=PROBLEMS)
    async def classic(request: Request, asked: Annotated[Classic, Query()]) -> Response:
        """The classic form: the seed and what is written, as text; for browsers, the page."""
        note(request, service, asked.prime)
        writing = await begin(asked.in_full(), service)
        return PlainTextResponse(asked.prime + (await unless_gone(writing, request)).text)


def note(request: Request, service: Service, seed: str) -> None:
    """Tells the log more of a request."""
    facts = {"seed": seed} if service.settings.log_seeds else {}
    request.scope["facts"] = {"seed_length": len(seed), **facts}


async def unless_gone(writing: Writing, request: Request) -> Generated:
    """Returns the whole text; ends it when the client goes away. Raises HTTPException."""
    gone = asyncio.create_task(_until_gone(request))
    whole = asyncio.create_task(writing.whole())
    try:
        await asyncio.wait({gone, whole}, return_when=asyncio.FIRST_COMPLETED)
        if not whole.done():
            raise HTTPException(499, "the client closed the connection")
        return whole.result()
    finally:
        gone.cancel()
        whole.cancel()
        await writing.cancel()


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _events(writing: Writing) -> AsyncIterator[bytes]:
    try:
        yield _event("start", writing.start.model_dump())
        async for chunk in writing.chunks():
            tokens = [token.model_dump() for token in writing.shown(chunk.tokens)]
            if chunk.text or tokens:
                yield _event("piece", {"text": chunk.text} | ({"tokens": tokens} if tokens else {}))
        yield _event("done", cast(Outcome, writing.outcome).model_dump())
    except HTTPException as refused:
        yield _event("error", {"error": refused.detail, "status": refused.status_code})


def _event(name: str, data: Any) -> bytes:
    return format_sse_event(event=name, data_str=json.dumps(data, separators=(",", ":")))


class PageRoute(Route):
    """A route for browsers only; programs that ask at the same address get text."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or not accepts_html(scope):
            return Match.NONE, {}
        return super().matches(scope)


class PageFiles(StaticFiles):
    """The files that pages load; the pages themselves have addresses of their own, or none."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        return ("", None) if path.endswith(".html") else super().lookup_path(path)


def _add_pages(app: FastAPI, production: bool) -> None:
    async def page(request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def documentation(request: Request) -> Response:
        return FileResponse(STATIC / "docs.html")

    app.router.routes.insert(0, PageRoute("/", page))
    if not production:
        app.router.routes.append(Route(DOCUMENTATION, documentation))
    app.mount("/static", PageFiles(directory=STATIC))
