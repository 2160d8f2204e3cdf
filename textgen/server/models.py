"""The models that are served: one per folder, read again when it has been trained on."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from textgen.generation.generator import Generator
from textgen.model import checkpoint
from textgen.server.scheduler import Parcel, Scheduler
from textgen.settings.server import ServerSettings
from textgen.support.errors import TextgenError
from textgen.support.files import stamp

SECONDS_BETWEEN_LOOKS = 0.5
SHOWN_STARTS = 20
"""Beginnings of lines that the page may suggest."""

log = logging.getLogger("textgen.serve")


class Loaded(NamedTuple):
    """A model in memory."""

    generator: Generator
    facts: dict[str, Any]
    """What is told of it."""
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
        """Read the model. Raises TextgenError if there is no intact one."""
        now = stamp(self._file)
        found = checkpoint.load(self.folder)
        self.loaded = Loaded(Generator.of(found), _facts(found.metadata), now)

    def refresh(self) -> bool:
        """Read the model if another one is there; whether it was. Keeps what it has otherwise."""
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
    model, results = metadata.model, metadata.results
    return {
        "unit": metadata.tokenizer.unit,
        "vocabulary_size": len(metadata.tokenizer.vocabulary),
        "cell": model.cell,
        "layers": [model.rnn_size] * model.num_layers,
        "results": {name: results[name] for name in RESULTS if name in results},
        "line_starts": metadata.line_starts[:SHOWN_STARTS],
    }


RESULTS = ("epoch", "step", "seconds", "loss", "val_loss")
"""What is told of how a model was trained."""


class Models:
    """All that is served, by name.

    Args:
        folders: the data directories; a model is called like its folder.
        settings: `watch` allows folders without a model.
        post: see `Scheduler`.
        count: called with a model's name and the number of tokens made.

    Raises:
        TextgenError: if there is no model in a folder.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        settings: ServerSettings,
        post: Callable[[list[Parcel]], object],
        count: Callable[[str, int], object],
    ) -> None:
        self.by_name: dict[str, Served] = {}
        for name, folder in named(folders).items():
            scheduler = Scheduler(settings, post, partial(count, name))
            self.by_name[name] = served = Served(name, folder, scheduler)
            if not settings.watch:
                served.load()
            else:
                served.refresh()

    def find(self, name: str | None) -> Served | None:
        """The model of that name; the first one without a name."""
        return self.by_name.get(next(iter(self.by_name)) if name is None else name)

    async def keep_fresh(self) -> None:
        """Look for newer models, for ever."""
        while True:
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
            for served in self.by_name.values():
                if await asyncio.to_thread(served.refresh):
                    log.info("model taken", extra={"model": served.name})

    def close(self, grace: float) -> None:
        """Take no more requests; running ones have `grace` seconds."""
        for served in self.by_name.values():
            served.scheduler.close(grace)


def named(folders: Sequence[Path]) -> dict[str, Path]:
    """A name for each folder: its own, with a number where several have one name.

    Example:
        >>> list(named([Path("data/twain"), Path("old/twain"), Path("data/shakespeare")]))
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
