"""One request, from its settings to its text: as it is made, or whole."""

import asyncio
import math
import secrets
import time
from collections.abc import AsyncIterator
from typing import cast

from textgen.generation.generator import Generator
from textgen.generation.texts import Text, Token
from textgen.server.inbox import Inbox
from textgen.server.models import Served
from textgen.server.problems import RefusedError
from textgen.server.scheduler import BusyError, ClosingError, Delivery, Job
from textgen.server.schemas import FinishReason, Generate, Outcome, Start, TokenShown
from textgen.server.service import Service
from textgen.support.errors import TextgenError
from textgen.tokens.tokenizer import UNKNOWN_ID

RETRY_SECONDS = 2


class Writing:
    """A text that is being written for a client; made in the event loop.

    Args:
        text: what is asked for.
        generator: the model.
        served: whose scheduler writes.
        service: the limits, and what is counted.

    Attributes:
        outcome: how it ended, when it has.

    Raises:
        RefusedError: with the status that says why.
    """

    def __init__(self, text: Text, generator: Generator, served: Served, service: Service) -> None:
        self.start = Start(model=served.name, random_seed=text.settings.random_seed or 0)
        self.outcome: Outcome | None = None
        self._vocabulary = generator.tokenizer.vocabulary
        self._metrics, self._inbox = service.metrics, Inbox()
        deadline = time.monotonic() + service.settings.max_seconds
        self._job = Job(generator, text, self._inbox.put, deadline)
        try:
            served.scheduler.submit(self._job)
        except BusyError:
            problem = f"{service.settings.max_queue} requests are waiting already; try again soon"
            raise RefusedError(429, problem, RETRY_SECONDS) from None
        except ClosingError:
            raise RefusedError(503, "the service is closing", RETRY_SECONDS) from None

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """What is written, piece by piece.

        Raises:
            RefusedError: if the text cannot be written, or its turn has not come in time.
        """
        first = True
        try:
            async for delivery in self._inbox.deliveries():
                self._refuse(delivery)
                if first:
                    self._metrics.first_piece.observe(time.monotonic() - self._job.begun)
                    first = False
                if delivery.finished:
                    self.outcome = Outcome(
                        tokens=self._job.made,
                        finish_reason=cast(FinishReason, delivery.finished),
                        seconds=round(time.monotonic() - self._job.begun, 4),
                    )
                yield delivery
        finally:
            self.cancel()

    def _refuse(self, delivery: Delivery) -> None:
        if delivery.finished == "broken":
            raise RefusedError(500, "internal error")
        if delivery.finished == "error":
            raise RefusedError(422, self._job.problem)
        if delivery.finished == "queue" or (delivery.finished == "shutdown" and not self._job.made):
            raise RefusedError(503, "its turn did not come in time; try again", RETRY_SECONDS)

    def cancel(self) -> None:
        """Nobody wants the text any more, or it is finished."""
        self._job.cancelled = True

    def shown(self, tokens: list[Token]) -> list[TokenShown]:
        """Tokens as clients see them."""
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
    """The text that a request asks for. Raises RefusedError."""
    tokenizer = generator.tokenizer
    try:
        first: tuple[int, ...] = ()
        if request.first is not None:
            first = (tokenizer.token_id(request.first),)
            if first == (UNKNOWN_ID,):
                raise TextgenError(f"`first` is no {tokenizer.unit} that the model knows")
        settings = request.sampling(random_seed)
        alternatives = request.alternatives or 0
        return Text(request.prompt, settings, tokenizer, alternatives=alternatives, first=first)
    except TextgenError as error:
        raise RefusedError(422, str(error).replace("--", "")) from None  # names of flags


async def begin(request: Generate, service: Service) -> Writing:
    """Begin to write what is asked for. Raises RefusedError."""
    settings, models = service.settings, service.models
    served = models.find(request.model)
    if served is None:
        raise RefusedError(404, f"no such model; there are: {', '.join(models.by_name)}")
    if request.n > settings.max_length:
        raise RefusedError(422, f"n must be at most {settings.max_length}")
    if len(request.prompt) > settings.max_prompt:
        raise RefusedError(422, f"prompt must have at most {settings.max_prompt} characters")
    if served.loaded is None:
        raise RefusedError(
            503, f"{served.name} has no model yet: it is being trained", RETRY_SECONDS
        )
    seed = request.random_seed
    seed = secrets.randbits(32) if seed is None else seed
    generator = served.loaded.generator  # a newer one may come while the prompt is read
    # In a thread, because the words of a long prompt take many milliseconds to find.
    text = await asyncio.to_thread(text_of, request, seed, generator)
    return Writing(text, generator, served, service)
