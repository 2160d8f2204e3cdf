"""The web application: its addresses, what each answers, and a text as it is made for a client."""

import asyncio
import itertools
import json
import math
import os
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent, format_sse_event
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, Histogram, generate_latest
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Scope

from textgen.generation.generator import Generator
from textgen.generation.novelty import STRIDE, TRIES, KnownTexts, document_of, ending_in_line
from textgen.generation.texts import Text, Token
from textgen.server.limits import Guard, accepts_html, answer
from textgen.server.scheduler import BusyError, Chunk, ClosingError, Job
from textgen.server.schemas import (
    Classic,
    FinishReason,
    Generate,
    Generated,
    Health,
    ModelList,
    ModelShown,
    Outcome,
    Problem,
    Start,
    TokenShown,
    settings_schema,
)
from textgen.server.service import Served, Service, training_updates
from textgen.settings.fields import RELATIONS, nearest
from textgen.support.errors import TextgenError
from textgen.tokens.tokenizer import UNKNOWN_ID

RETRY = {"Retry-After": "2"}
"""Seconds after which to try again, where that may help."""
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
NO_OBJECT = "send a JSON object, with the header Content-Type: application/json"
EMPTY = frozenset(["too_short", "string_too_short"])
"""Pydantic's names for what must not be empty, but is."""
ENCODE = json.JSONEncoder(separators=(",", ":")).encode
"""Made once: `json.dumps` makes an encoder for every event."""
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
        return answer(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return answer(HTTPException(422, in_words(error.errors())))

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> Response:
        return answer(HTTPException(500, "internal error" if production else repr(error)))


def in_words(errors: Sequence[Any]) -> str:
    """Returns what pydantic found wrong, as settings say it, one problem of each.

    What was sent is shown where it is a number: all else may be long, or no JSON.
    """
    found: dict[object, Any] = {}
    # Where one of several types would do, a value out of range is of the right one.
    for error in sorted(errors, key=lambda error: error["type"].endswith("_type")):
        found.setdefault(error["loc"][1] if len(error["loc"]) > 1 else None, error)
    return "; ".join(_problem(str(name)[:100], error) for name, error in list(found.items())[:5])


def _problem(name: str, error: Any) -> str:
    kind, facts, value = error["type"], error.get("ctx", {}), error.get("input")
    if kind == "model_attributes_type":
        return NO_OBJECT
    if kind == "json_invalid":
        return f"this is no JSON ({facts['error']}, at character {name}): {NO_OBJECT}"
    if kind == "two_names":
        return str(error["msg"])
    if kind == "extra_forbidden":
        meant = nearest(name, Generate.model_fields)
        return f"`{name}` is no setting here" + (f". Nearest: {meant}" if meant else "")
    bounds = [f"{RELATIONS[bound]} {facts[bound]:.16g}" for bound in facts if bound in RELATIONS]
    wanted = f"must be {bounds[0]}" if bounds else error["msg"].replace("Input should", "must")
    words = "must not be empty" if kind in EMPTY else wanted[:200]
    return f"`{name}` {words}" + (f". Received: {value}" if isinstance(value, int | float) else "")


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
        async for state in training_updates(served.folder, service.closing):
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


class Writing:
    """A text that is being written for a client; made in the event loop.

    What is to be new is written again until it is, and then goes out at once.

    Args:
        texts: what is asked for: begun with another random seed each time.
        generator: the model.
        served: whose scheduler writes.
        service: the limits, and what is counted.
        known: the texts that it must be none of.

    Attributes:
        start: what is known before the first token.
        outcome: how it ended, when it has.

    Raises:
        HTTPException: with the status that says why it is not begun.
    """

    def __init__(
        self,
        texts: Iterator[Text],
        generator: Generator,
        served: Served,
        service: Service,
        known: KnownTexts | None = None,
    ) -> None:
        text = next(texts)
        self.start = Start(model=served.name, random_seed=text.settings.random_seed or 0)
        self.outcome: Outcome | None = None
        self._text_of = generator.tokenizer.text_of
        self._first_piece: Histogram | None = service.metrics.first_piece
        self._chunks: asyncio.Queue[Chunk] = asyncio.Queue()  # holds no more than the text
        self._texts, self._generator, self._known = texts, generator, known
        self._served, self._service = served, service
        self._begun = time.monotonic()
        self._deadline = time.monotonic() + service.settings.max_seconds
        self._job = self._submitted(text)

    def _submitted(self, text: Text) -> Job:
        service = self._service
        job = Job(self._generator, text, self._chunks.put_nowait, self._deadline)
        try:
            self._served.scheduler.submit(job)
        except BusyError:
            problem = f"{service.settings.max_queue} requests are waiting already; try again soon"
            raise HTTPException(429, problem, RETRY) from None
        except ClosingError:
            raise HTTPException(503, "the service is closing", RETRY) from None
        return job

    async def chunks(self) -> AsyncIterator[Chunk]:
        """Yields what is written, until the text is finished.

        Raises:
            HTTPException: if the text cannot be written, its turn has not come in time, or nothing
                new came of it.
        """
        if self._known is None:
            async for chunk in self._written():
                self._observe_first()
                yield chunk
        else:
            chunk = await self._new(self._known)
            self._observe_first()
            yield chunk

    def _observe_first(self) -> None:
        """Counts how long the first piece took."""
        if self._first_piece:
            self._first_piece.observe(time.monotonic() - self._begun)
        self._first_piece = None

    async def _new(self, known: KnownTexts) -> Chunk:
        """Returns the first text that is new, whole."""
        documents = self._generator.tokenizer.settings.documents
        for tries in itertools.count(1):
            parts = [chunk async for chunk in self._written()]
            whole = "".join(part.text for part in parts)
            if known.meets(document_of(self._job.text.seed, whole, documents)):
                return Chunk(whole, [t for part in parts for t in part.tokens], parts[-1].finished)
            if tries == TRIES or time.monotonic() > self._deadline:
                break
            self._job = self._submitted(next(self._texts))
        problem = f"nothing new was written in {tries} tries: a higher `temperature` gives more"
        raise HTTPException(422, problem)

    async def _written(self) -> AsyncIterator[Chunk]:
        """Yields what the job writes."""
        chunk = await self._next()
        self._refuse(chunk)
        while not chunk.finished:
            yield chunk
            chunk = await self._next()
            self._refuse(chunk)
        self.outcome = Outcome(
            tokens=self._job.made,
            finish_reason=cast(FinishReason, chunk.finished),
            seconds=round(time.monotonic() - self._begun, 4),
        )
        yield chunk

    async def _next(self) -> Chunk:
        """Returns all that has come, as one: a slow reader gets larger chunks, not more of them."""
        chunk = await self._chunks.get()
        while not self._chunks.empty():
            more = self._chunks.get_nowait()
            chunk = Chunk(chunk.text + more.text, chunk.tokens + more.tokens, more.finished)
        return chunk

    def _refuse(self, chunk: Chunk) -> None:
        if chunk.finished == "broken":
            raise HTTPException(500, "internal error")
        if chunk.finished == "error":
            raise HTTPException(422, self._job.problem)
        if chunk.finished == "queue" or (chunk.finished == "shutdown" and not self._job.made):
            raise HTTPException(503, "its turn did not come in time; try again", RETRY)

    async def whole(self) -> Generated:
        """Returns the whole text. Raises HTTPException, see `chunks`."""
        pieces, tokens = [], []
        async for chunk in self.chunks():
            pieces.append(chunk.text)
            tokens += self.shown(chunk.tokens)
        return Generated(
            **self.start.model_dump(),
            **cast(Outcome, self.outcome).model_dump(),
            text="".join(pieces),
            details=tokens or None,
        )

    async def cancel(self) -> None:
        """Ends the text where it is, because nobody wants it any more."""
        self._job.cancelled = True

    def shown(self, tokens: list[Token]) -> list[TokenShown]:
        """Returns tokens as clients see them."""
        return [
            TokenShown(
                text=token.text,
                probability=_probability(token.log_probability),
                alternatives=[
                    (self._text_of(token_id), _probability(score))
                    for token_id, score in token.likeliest
                    if token_id != UNKNOWN_ID
                ],
            )
            for token in tokens
        ]


def _probability(log_probability: float) -> float:
    return round(math.exp(log_probability), 5)


def text_of(request: Generate, random_seed: int, generator: Generator) -> Text:
    """Returns the text that a request asks for, not begun. Raises HTTPException."""
    tokenizer = generator.tokenizer
    try:
        first: tuple[int, ...] = ()
        if request.first is not None:
            first = (tokenizer.token_id(request.first),)
            if first == (UNKNOWN_ID,):
                raise TextgenError(f"`first` is no {tokenizer.unit} that the model knows")
        settings = ending_in_line(request.sampling(random_seed), tokenizer.settings.documents)
        alternatives = request.alternatives or 0
        return Text(request.seed, settings, tokenizer, alternatives=alternatives, first=first)
    except TextgenError as error:
        raise HTTPException(422, str(error)) from None


async def begin(request: Generate, service: Service) -> Writing:
    """Begins to write what is asked for. Raises HTTPException."""
    settings = service.settings
    served = service.find(request.model)
    if served is None:
        raise HTTPException(404, f"no such model; there are: {', '.join(service.models)}")
    if request.length > settings.max_length:
        most = settings.max_length
        raise HTTPException(422, f"`length` must be at most {most}. Received: {request.length}")
    if len(request.seed) > settings.max_seed_length:
        most = settings.max_seed_length
        raise HTTPException(422, f"`seed` must have at most {most} characters")
    if served.loaded is None:
        raise HTTPException(503, f"{served.name} has no model yet: it is being trained", RETRY)
    random_seed = request.random_seed
    if random_seed is None:
        random_seed = secrets.randbits(32)
    generator = served.loaded.generator  # a newer one may come while the seed is read
    # In a thread, because the words of a long seed take many milliseconds to find.
    first = await asyncio.to_thread(text_of, request, random_seed, generator)
    seeds = itertools.count(random_seed + STRIDE, STRIDE)
    others = (text_of(request, number, generator) for number in seeds)
    known = await asyncio.to_thread(known_of, generator) if request.new else None
    return Writing(itertools.chain([first], others), generator, served, service, known)


def known_of(generator: Generator) -> KnownTexts:
    """Returns the texts that a new one must be none of. Raises HTTPException."""
    try:
        documents = generator.tokenizer.settings.documents
        return KnownTexts.of_training(generator.data_dir, documents)
    except TextgenError:  # which names a folder of this machine
        problem = "`new` needs the training text, which this service does not have"
        raise HTTPException(422, problem) from None


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
    return format_sse_event(event=name, data_str=ENCODE(data))


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
