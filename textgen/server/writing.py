"""One request, from its settings to its text: as it is made, or whole."""

import asyncio
import math
import secrets
import time
from collections.abc import AsyncIterator
from typing import cast

from starlette.exceptions import HTTPException

from textgen.generation.generator import Generator
from textgen.generation.texts import Text, Token
from textgen.server.scheduler import BusyError, Chunk, ClosingError, Job
from textgen.server.schemas import FinishReason, Generate, Generated, Outcome, Start, TokenShown
from textgen.server.service import Served, Service
from textgen.support.errors import TextgenError
from textgen.tokens.tokenizer import UNKNOWN_ID

RETRY = {"Retry-After": "2"}
"""Seconds after which to try again, where that may help."""


class Writing:
    """A text that is being written for a client; made in the event loop.

    Args:
        text: what is asked for.
        generator: the model.
        served: whose scheduler writes.
        service: the limits, and what is counted.

    Attributes:
        start: what is known before the first token.
        outcome: how it ended, when it has.

    Raises:
        HTTPException: with the status that says why it is not begun.
    """

    def __init__(self, text: Text, generator: Generator, served: Served, service: Service) -> None:
        self.start = Start(model=served.name, random_seed=text.settings.random_seed or 0)
        self.outcome: Outcome | None = None
        self._vocabulary = generator.tokenizer.vocabulary
        self._first_piece = service.metrics.first_piece
        self._chunks: asyncio.Queue[Chunk] = asyncio.Queue()  # holds no more than the text
        deadline = time.monotonic() + service.settings.max_seconds
        self._job = Job(generator, text, self._chunks.put_nowait, deadline)
        try:
            served.scheduler.submit(self._job)
        except BusyError:
            problem = f"{service.settings.max_queue} requests are waiting already; try again soon"
            raise HTTPException(429, problem, RETRY) from None
        except ClosingError:
            raise HTTPException(503, "the service is closing", RETRY) from None

    async def chunks(self) -> AsyncIterator[Chunk]:
        """Yields what is written, until the text is finished.

        Raises:
            HTTPException: if the text cannot be written, or its turn has not come in time.
        """
        chunk = await self._next()
        self._refuse(chunk)
        self._first_piece.observe(time.monotonic() - self._job.begun)
        while not chunk.finished:
            yield chunk
            chunk = await self._next()
            self._refuse(chunk)
        self.outcome = Outcome(
            tokens=self._job.made,
            finish_reason=cast(FinishReason, chunk.finished),
            seconds=round(time.monotonic() - self._job.begun, 4),
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
                    (self._vocabulary[token_id], _probability(score))
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
        settings = request.sampling(random_seed)
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
        raise HTTPException(422, f"`length` must be at most {settings.max_length}")
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
    text = await asyncio.to_thread(text_of, request, random_seed, generator)
    return Writing(text, generator, served, service)
