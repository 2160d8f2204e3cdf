"""From the scheduler's thread to the event loop: what was written, for whoever reads it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from textgen.server.scheduler import Delivery, Parcel


class Inbox:
    """The deliveries of one text.

    Its reader may be slow: what comes meanwhile becomes one delivery, so no more is kept than
    the text. Made and used in the event loop.
    """

    def __init__(self) -> None:
        self._waiting: list[Delivery] = []
        self._arrived = asyncio.Event()

    def put(self, delivery: Delivery) -> None:
        """Take a delivery."""
        self._waiting.append(delivery)
        self._arrived.set()

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """Whatever has come, until the text is finished."""
        finished = None
        while finished is None:
            await self._arrived.wait()
            self._arrived.clear()
            waiting, self._waiting = self._waiting, []
            text = "".join(delivery.text for delivery in waiting)
            tokens = [token for delivery in waiting for token in delivery.tokens]
            finished = waiting[-1].finished
            yield Delivery(text, tokens, finished)


class Post:
    """Brings parcels into an event loop, from any thread.

    Attributes:
        loop: set when there is one; before that, and after it has closed, they are thrown away.
    """

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None

    def __call__(self, parcels: Sequence[Parcel]) -> None:
        if self.loop is not None:
            with contextlib.suppress(RuntimeError):  # closed
                self.loop.call_soon_threadsafe(_open, parcels)


def _open(parcels: Sequence[Parcel]) -> None:
    for parcel in parcels:
        parcel()
