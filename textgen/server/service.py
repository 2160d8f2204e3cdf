"""What all requests share: the models, the settings and the counters of one service."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from fastapi import FastAPI

from textgen.server.inbox import Post
from textgen.server.metrics import Metrics
from textgen.server.models import Models
from textgen.settings.server import ServerSettings


class Service:
    """A service, from its start to its end.

    Args:
        folders: the data directories.
        settings: the limits.

    Raises:
        TextgenError: if there is no model in a folder.
    """

    def __init__(self, folders: Sequence[Path], settings: ServerSettings) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.post = Post()
        self.models = Models(folders, settings, self.post, self.metrics.count_tokens)
        self.metrics.watch(self.models)
        self.closing = asyncio.Event()

    def close(self) -> None:
        """Take no more requests, and let the running ones end; from the event loop's thread."""
        self.closing.set()
        self.models.close(self.settings.grace_seconds)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """While the application runs."""
        self.post.loop = asyncio.get_running_loop()
        fresh = asyncio.create_task(self.models.keep_fresh())
        yield
        fresh.cancel()
        self.close()
