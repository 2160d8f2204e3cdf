"""The web application: its addresses, and what each answers."""

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated, Any, cast

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Scope

from textgen.server import live
from textgen.server.events import SIGN_OF_LIFE, EventStream, event, until_gone
from textgen.server.guard import Guard, accepts_html
from textgen.server.problems import RefusedError, in_words
from textgen.server.scheduler import Delivery
from textgen.server.schemas import (
    Classic,
    Generate,
    Generated,
    Health,
    ModelList,
    ModelShown,
    Outcome,
    Problem,
)
from textgen.server.service import Service
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
EVENTS = {"text/event-stream": {"schema": {"type": "string"}}}
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The text; with `stream` as events `start`, `piece` ... and `done`, or"
        " `error`.",
        "content": EVENTS,
    }
}
TRAINING: dict[int | str, dict[str, Any]] = {
    200: {"description": "Events `training`.", "content": EVENTS}
}
DOCUMENTATION = "/docs"


def build_app(service: Service) -> ASGIApp:
    """The application, with everything that surrounds it."""
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
    _add_pages(app, service)
    return Guard(app, service.settings, service.metrics)


def _handle_problems(app: FastAPI, production: bool) -> None:
    async def refused(request: Request, error: Exception) -> Response:
        return cast(RefusedError, error).answer()

    async def invalid(request: Request, error: Exception) -> Response:
        return RefusedError(422, in_words(cast(RequestValidationError, error).errors())).answer()

    async def other(request: Request, error: Exception) -> Response:
        found = cast(HTTPException, error)
        words = {404: "there is nothing at this address", 405: "not with this method"}
        problem = words.get(found.status_code, found.detail)
        return RefusedError(found.status_code, problem, headers=found.headers).answer()

    async def broken(request: Request, error: Exception) -> Response:
        return RefusedError(500, "internal error" if production else repr(error)).answer()

    app.add_exception_handler(RefusedError, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, other)
    app.add_exception_handler(Exception, broken)


def _add_information(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", tags=["service"])
    async def health() -> Health:
        """Whether the service takes requests."""
        return Health(status="closing" if service.closing.is_set() else "ok")

    @app.get("/metrics", tags=["service"], response_class=PlainTextResponse, responses=KEY)
    async def metrics() -> Response:
        """Requests, tokens, queues and latencies, for Prometheus."""
        return Response(service.metrics.page(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/api/models", tags=["writing"], responses=KEY)
    async def models() -> ModelList:
        """What can write; the first one is the default."""
        settings = service.settings
        shown = [
            ModelShown(
                name=name,
                ready=served.loaded is not None,
                watched=settings.watch,
                **(served.loaded.facts if served.loaded else {}),
            )
            for name, served in service.models.by_name.items()
        ]
        return ModelList(
            models=shown,
            max_length=settings.max_length,
            max_prompt=settings.max_prompt,
            documentation=None if settings.production else DOCUMENTATION,
        )

    @app.get(
        "/api/live", tags=["training"], response_class=StreamingResponse,
        responses=PROBLEMS | TRAINING,
    )  # fmt: skip
    async def live_view(
        model: Annotated[str | None, Query(max_length=200)] = None,
    ) -> Response:
        """With --watch: events `training`, with the rows of history.csv and the newest samples."""
        served = service.models.find(model)
        if served is None or not service.settings.watch:
            raise RefusedError(404, "no training is watched here: start the service with --watch")
        return EventStream(_training_events(served.folder, service.closing))


async def _training_events(folder: Path, closing: asyncio.Event) -> AsyncGenerator[str, None]:
    async for state in live.updates(folder, closing):
        yield SIGN_OF_LIFE if state is None else event("training", state)


def _add_generation(app: FastAPI, service: Service) -> None:
    @app.post(
        "/api/generate", tags=["writing"], response_model=Generated, responses=PROBLEMS | STREAM
    )
    async def generate(request: Request, wanted: Generate) -> Response:
        """Write on from `prompt`."""
        note(request, service, wanted.prompt)
        writing = await begin(wanted, service)
        if wanted.stream:
            return EventStream(_text_events(writing))
        whole = await written(writing, request)
        return JSONResponse(whole.model_dump(exclude_none=True))

    @app.get("/", tags=["writing"], response_class=PlainTextResponse, responses=PROBLEMS)
    async def classic(request: Request, wanted: Annotated[Classic, Query()]) -> Response:
        """The classic form: the prompt and what is written, as text; for browsers, the page."""
        note(request, service, wanted.prime)
        writing = await begin(wanted.in_full(), service)
        return PlainTextResponse(wanted.prime + (await written(writing, request)).text)


def note(request: Request, service: Service, prompt: str) -> None:
    """What the log shall say of a request besides."""
    facts = {"prompt": prompt} if service.settings.log_prompts else {}
    request.scope["facts"] = {"prompt_length": len(prompt), **facts}


async def written(writing: Writing, request: Request) -> Generated:
    """The whole text; given up when the client goes away. Raises RefusedError."""
    gone = asyncio.create_task(until_gone(request.receive))
    whole = asyncio.create_task(_gathered(writing))
    try:
        await asyncio.wait({gone, whole}, return_when=asyncio.FIRST_COMPLETED)
        if not whole.done():
            raise RefusedError(499, "the client closed the connection")
        return whole.result()
    finally:
        gone.cancel()
        whole.cancel()
        writing.cancel()


async def _gathered(writing: Writing) -> Generated:
    pieces, tokens = [], []
    async for delivery in writing.deliveries():
        pieces.append(delivery.text)
        tokens += writing.shown(delivery.tokens)
    outcome = cast(Outcome, writing.outcome)
    return Generated(
        **writing.start.model_dump(),
        **outcome.model_dump(),
        text="".join(pieces),
        details=tokens or None,
    )


async def _text_events(writing: Writing) -> AsyncGenerator[str, None]:
    try:
        yield event("start", writing.start.model_dump())
        async for delivery in writing.deliveries():
            if delivery.text or delivery.tokens:
                yield event("piece", _piece(writing, delivery))
        yield event("done", cast(Outcome, writing.outcome).model_dump())
    except RefusedError as refused:
        yield event("error", {"error": refused.problem, "status": refused.status})
    finally:
        writing.cancel()


def _piece(writing: Writing, delivery: Delivery) -> dict[str, Any]:
    """The data of an event `piece`: its text, and its tokens where they were asked for."""
    tokens = [token.model_dump() for token in writing.shown(delivery.tokens)]
    return {"text": delivery.text} | ({"tokens": tokens} if tokens else {})


class PageRoute(Route):
    """A route for browsers only; programs that ask at the same address get text."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or not accepts_html(scope):
            return Match.NONE, {}
        return super().matches(scope)


class PageFiles(StaticFiles):
    """What the pages load; the pages themselves have addresses of their own, or none."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        return ("", None) if path.endswith(".html") else super().lookup_path(path)


def _add_pages(app: FastAPI, service: Service) -> None:
    async def page(request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def documentation(request: Request) -> Response:
        return FileResponse(STATIC / "docs.html")

    app.router.routes.insert(0, PageRoute("/", page))
    if not service.settings.production:
        app.router.routes.append(Route(DOCUMENTATION, documentation))
    app.mount("/static", PageFiles(directory=STATIC))
