"""Holds what requests share: models, the trainings in their folders, limits and counters."""

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from textgen.generation.generator import Generator
from textgen.model import checkpoint, history
from textgen.server import ServerSettings
from textgen.server.limits import Connections
from textgen.server.scheduler import Chunk, Job, Scheduler
from textgen.support.errors import TextgenError
from textgen.support.files import stamp
from textgen.training.live import read_samples, sample_file

SECONDS_BETWEEN_LOOKS = 0.5
"""At a folder, for a newer model or a later epoch."""
MOST_ROWS = 2000
"""Epochs of a training that are shown."""
SHOWN_LABELS = 100
SHOWN_STARTS = 20
"""Beginnings of lines that the page may suggest."""
SHOWN_RESULTS = (
    "epoch", "step", "seconds", "loss", "val_loss", "nats_per_character", "bits_per_character",
)  # fmt: skip
"""Results of its training that are told of a model."""
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
"""Bounds of the histograms."""

log = logging.getLogger("textgen.serve")


class Metrics:
    """The counters of one service, for Prometheus; services in one process do not share them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "textgen_requests", "Requests answered.", ["method", "route", "status"],
            registry=self.registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "textgen_request_seconds", "Seconds from a request to the end of its answer.",
            ["route"], buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.first_piece = Histogram(
            "textgen_first_piece_seconds", "Seconds from a request to the first piece of its text.",
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.tokens = Counter("textgen_tokens", "Tokens made.", ["model"], registry=self.registry)
        self._running = Gauge(
            "textgen_running", "Requests that are being written.", ["model"], registry=self.registry
        )
        self._queued = Gauge(
            "textgen_queued", "Requests that wait.", ["model"], registry=self.registry
        )

    def watch(self, model: str, scheduler: Scheduler) -> None:
        """Shows how much a scheduler has to do."""
        self._running.labels(model).set_function(lambda: scheduler.running)
        self._queued.labels(model).set_function(lambda: scheduler.queued)


class Loaded(NamedTuple):
    """A model in memory."""

    generator: Generator
    facts: dict[str, Any]
    """The facts that are told of it."""
    stamp: tuple[int, ...]
    """Of the file it was read from."""


class Served:
    """A folder, its model if there is one yet, and the thread that writes with it.

    Args:
        name: what clients call it.
        folder: where the model is.
        scheduler: writes.
    """

    def __init__(self, name: str, folder: Path, scheduler: Scheduler) -> None:
        self.name, self.folder, self.scheduler = name, folder, scheduler
        self.loaded: Loaded | None = None
        self._file = folder / "model.h5"
        self._refused: tuple[int, ...] = ()

    def load(self) -> None:
        """Reads the model. Raises TextgenError if there is no intact one."""
        now = stamp(self._file)
        found = checkpoint.load(self.folder)
        self.loaded = Loaded(Generator.of(found, self.folder), _facts(found.metadata), now)

    def refresh(self) -> bool:
        """Reads the model if another one is there; whether it was. Keeps what it has otherwise."""
        now = stamp(self._file)
        if not now or now == self._refused or (self.loaded and now == self.loaded.stamp):
            return False
        try:
            self.load()
        except (TextgenError, MemoryError) as error:
            self._refused = now
            log.warning("model not taken", extra={"model": self.name, "problem": str(error)})
            return False
        return True


def _facts(metadata: checkpoint.Metadata) -> dict[str, Any]:
    model, results, tokenizer = metadata.model, metadata.results, metadata.tokenizer
    begins = [] if tokenizer.settings.documents else metadata.line_starts
    return {
        "unit": tokenizer.unit,
        "vocabulary_size": len(tokenizer.vocabulary),
        "cell": model.cell,
        "layers": [model.rnn_size] * model.num_layers,
        "results": {name: results[name] for name in SHOWN_RESULTS if name in results},
        "line_starts": begins[:SHOWN_STARTS],
        "labels": tokenizer.labels[:SHOWN_LABELS],
    }


class Service:
    """A service, from its start to its end.

    Args:
        folders: the data directories; a model is called like its folder.
        settings: the limits; `watch` allows folders without a model.

    Attributes:
        models: what is served, by name.
        closing: set when the end has come.

    Raises:
        TextgenError: if there is no model in a folder.
    """

    def __init__(self, folders: Sequence[Path], settings: ServerSettings) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.connections = Connections(settings)
        self.closing = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.models: dict[str, Served] = {}
        for name, folder in names_of(folders).items():
            count = self.metrics.tokens.labels(name).inc
            scheduler = Scheduler(settings, partial(self.call_soon, _deliver), count)
            self.metrics.watch(name, scheduler)
            self.models[name] = served = Served(name, folder, scheduler)
            if settings.watch:
                served.refresh()
            else:
                served.load()

    def find(self, name: str | None) -> Served | None:
        """Returns the model of that name; the first one without a name."""
        return self.models.get(next(iter(self.models)) if name is None else name)

    def call_soon(self, function: Callable[..., object], *arguments: Any) -> None:
        """Calls a function in the event loop, from any thread; not at all where there is none."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # closed
                self._loop.call_soon_threadsafe(function, *arguments)

    def close(self) -> None:
        """Takes no more requests, and lets the running ones end; in the event loop's thread."""
        self.closing.set()
        for served in self.models.values():
            served.scheduler.close(self.settings.grace_seconds)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Keeps the models fresh while the application runs."""
        self._loop = asyncio.get_running_loop()
        fresh = asyncio.create_task(self._keep_fresh())
        yield
        fresh.cancel()
        self.close()

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
            for served in self.models.values():
                if await asyncio.to_thread(served.refresh):
                    log.info("model taken", extra={"model": served.name})


def _deliver(chunks: Sequence[tuple[Job, Chunk]]) -> None:
    for job, chunk in chunks:
        job.deliver(chunk)


def names_of(folders: Sequence[Path]) -> dict[str, Path]:
    """Returns each folder by its name, with a number where several have one name.

    Example:
        >>> list(names_of([Path("data/twain"), Path("old/twain"), Path("data/shakespeare")]))
        ['twain', 'twain-2', 'shakespeare']
    """
    names: dict[str, Path] = {}
    for folder in folders:
        name = base = folder.resolve().name or "model"
        number = 1
        while name in names:
            number += 1
            name = f"{base}-{number}"
        names[name] = folder
    return names


def rows(data_dir: Path) -> list[dict[str, float]]:
    """Returns the epochs in history.csv; what is no number is left out."""
    table = history.read(data_dir)[-MOST_ROWS:]
    return [{n: v for n, v in row.items() if math.isfinite(v)} for row in table]


async def training_updates(data_dir: Path, closing: asyncio.Event) -> AsyncIterator[dict[str, Any]]:
    """Yields what is to be shown, now and whenever it changes.

    Args:
        data_dir: the folder of the run.
        closing: ends it.
    """
    shown = None
    while not closing.is_set():
        stamps = await asyncio.to_thread(_stamps, data_dir)
        if stamps != shown:
            shown = stamps
            yield await asyncio.to_thread(_state, data_dir)
        try:
            await asyncio.wait_for(closing.wait(), SECONDS_BETWEEN_LOOKS)
        except TimeoutError:
            continue


def _stamps(data_dir: Path) -> list[tuple[int, ...]]:
    return [stamp(data_dir / "history.csv"), stamp(sample_file(data_dir))]


def _state(data_dir: Path) -> dict[str, Any]:
    return {"rows": rows(data_dir), "samples": read_samples(data_dir)}
