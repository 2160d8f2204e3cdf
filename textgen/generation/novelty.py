"""What has been written before: the documents, or lines, of a training text, and new ones."""

import functools
import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from textgen.settings.definitions import SamplingSettings
from textgen.support.errors import TextgenError
from textgen.support.files import LATEST, PREVIOUS
from textgen.text.documents import LINES, Document, read_documents

if TYPE_CHECKING:
    from textgen.text.splitting import Stream

TRIES = 100
"""How often a text that is to be new is written, at most."""
STRIDE = 1 << 20
"""Between the random seeds of two tries, so that they are those of no other text."""
Digests = npt.NDArray[np.uint64]


class KnownTexts:
    """Texts that have been met, whatever their case and the white space around them.

    They are told apart by 64 bits of BLAKE2, so that a list of a million takes 8 MB.

    Args:
        digests: of texts to begin with, ascending, see `digests_of`.
    """

    def __init__(self, digests: Digests) -> None:
        self._listed = digests
        self._added = set[int]()

    @classmethod
    def of_training(cls, data_dir: Path | None, documents: str | None) -> "KnownTexts":
        """Returns the texts that a model was trained on, those held out of them too.

        Args:
            data_dir: the folder of the model; None for a mixture.
            documents: the kind of its documents; None for lines.

        Raises:
            TextgenError: if the training text is not at hand.
        """
        from textgen.text.sources import find_source  # here, for the start of `sample.py`
        from textgen.text.splitting import find_texts

        if data_dir is None:
            raise TextgenError(
                "`new` needs the training text, and this model is in no folder that could have it."
                " Leave it out"
            )
        folder = text_folder(data_dir)
        if find_source(folder, "input") is None:
            raise TextgenError(
                f"`new` needs the text that the model was trained on, and {folder} has no"
                " input.txt. Copy it there, or leave `new` out"
            )
        text = find_texts(folder, 0.0, documents).training
        return cls(_training_digests(text, documents, str(text.origin())))

    def meets(self, text: str) -> bool:
        """Returns whether a text is new, and not blank; from then on it is known."""
        digest = _digest(text)
        place = np.searchsorted(self._listed, np.uint64(digest))
        listed = place < len(self._listed) and int(self._listed[place]) == digest
        if listed or digest in self._added or not text.strip():
            return False
        self._added.add(digest)
        return True


def text_folder(folder: Path) -> Path:
    """Returns where the training text of a model is: in its folder, or above that.

    Above are those of the latest model, and of the one before.
    """
    from textgen.text.sources import find_source  # here, for the start of `sample.py`

    is_beside = folder.name in (LATEST, PREVIOUS) and find_source(folder, "input") is None
    return folder.parent if is_beside else folder


def ending_in_line(settings: SamplingSettings, documents: str | None) -> SamplingSettings:
    """Returns settings for a text that, if it is to be new and is no document, is one line."""
    if settings.new and not documents:
        return replace(settings, stop=(*settings.stop, "\n"))
    return settings


def document_of(seed: str, text: str, documents: str | None) -> str:
    """Returns the whole document, or line, of a seed and the text that goes on from it."""
    whole = seed + text
    return whole if documents else whole.split("\n")[-1]


@functools.lru_cache(maxsize=2)
def _training_digests(text: "Stream", documents: str | None, stamp: str) -> Digests:
    """`digests_of` the documents of a text; read again only when its `stamp` is another."""
    found = read_documents(text.chunks(), documents or LINES)
    return digests_of(Document.parse(each).text if documents else each for each in found)


def digests_of(texts: Iterable[str]) -> Digests:
    """Returns numbers that tell texts apart, (N,), ascending."""
    return np.unique(np.fromiter(map(_digest, texts), np.uint64))


def _digest(text: str) -> int:
    data = text.strip().casefold().encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest())
