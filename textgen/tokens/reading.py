"""A stream of text -> its parts, piece by piece and in order, on all cores.

Where a piece begins, the spacing rule of words may be in any state, which only the pieces before
decide. A process that splits a piece guesses the state from the end of the piece before; where the
guess turns out to be wrong, the piece is split again. So the parts are those of one core.
"""

from __future__ import annotations

import collections
import itertools
import multiprocessing
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from textgen.settings.definitions import TokenizerSettings
from textgen.support.errors import TextgenError
from textgen.support.parallel import follow_parent, without_garbage_collection
from textgen.text import documents
from textgen.tokens import tokenizer_class
from textgen.tokens.tokenizer import Parts, State, Tokenizer

LEAST = 2
"""Pieces for which other processes are worth their start."""
WARM_UP = 1 << 15
"""Characters before a piece from which to guess the state in which it is to be split."""
Pieces = Iterator[tuple[str, Parts]]
"""The text and the parts of each piece."""


def read(chunks: Iterable[str], settings: TokenizerSettings, cores: int, size: int = 0) -> Pieces:
    """Yields text and parts of the pieces of a text.

    Args:
        chunks: the text, cut anywhere.
        settings: says what a token is.
        cores: processes to use, if the text is long and splitting it costs more than to give it
            to another process.
        size: characters in a piece, about; 0: as many as suit the tokenizer.
    """
    kind = tokenizer_class(settings)
    texts = _cut(chunks, kind, settings, size or kind.piece_size)
    first = list(itertools.islice(texts, LEAST))
    together = itertools.chain(first, texts)
    if cores == 1 or len(first) < LEAST or not kind.parallel:
        return _read_alone(together, kind, settings)
    return _read_in_processes(together, kind, settings, cores)


def _cut(
    chunks: Iterable[str], kind: type[Tokenizer], settings: TokenizerSettings, size: int
) -> Iterator[str]:
    """Yields a text, cut anew into pieces of `size` characters or more, where tokens allow it."""
    held: list[str] = []
    length, needed = 0, size
    for chunk in chunks:
        held.append(chunk)
        length += len(chunk)
        if length < needed:
            continue
        text = "".join(held)
        if settings.documents:
            place = documents.last_cut(text, settings.documents)
        else:
            place = kind.last_cut(text, settings)
        if place:
            yield text[:place]
        held, length = [text[place:]], len(text) - place
        needed = max(size, 2 * length)  # what has no place to cut is not searched at every chunk
    if length:
        yield "".join(held)


def _read_alone(texts: Iterable[str], kind: type[Tokenizer], settings: TokenizerSettings) -> Pieces:
    state = kind.start
    for text in texts:
        parts, state = _split(text, kind, settings, state)
        yield text, parts


_Guess = tuple[Parts, State, State]
"""A piece as a process has split it, and the states in which it did so, before and after."""


def _read_in_processes(
    texts: Iterable[str], kind: type[Tokenizer], settings: TokenizerSettings, cores: int
) -> Pieces:
    context = multiprocessing.get_context("spawn")  # TensorFlow's threads do not survive a fork
    state = kind.start
    with ProcessPoolExecutor(cores, mp_context=context, initializer=follow_parent) as pool:
        try:
            for text, future in _submitted(pool, texts, kind, settings, 2 * cores):
                parts, begun, ended = future.result()
                if begun != state:
                    parts, ended = _split(text, kind, settings, state)
                state = ended
                yield text, parts
        except BrokenProcessPool as error:
            _close_queue(pool)
            raise TextgenError(
                "a process that helped to read the text has ended, perhaps for want of memory."
                " Try again, in a script below `if __name__ == '__main__':`"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _close_queue(pool: ProcessPoolExecutor) -> None:
    """Closes the pipe with the pieces that no process will read, as newer Pythons do.

    Before, the pool waits for ever to write them (https://github.com/python/cpython/issues/94777).
    """
    if sys.version_info < (3, 11, 5):
        pool._call_queue._reader.close()  # type: ignore[attr-defined]


def _submitted(
    pool: ProcessPoolExecutor,
    texts: Iterable[str],
    kind: type[Tokenizer],
    settings: TokenizerSettings,
    ahead: int,
) -> Iterator[tuple[str, Future[_Guess]]]:
    """Yields pieces in order; up to `ahead` more are being split meanwhile."""
    waiting: collections.deque[tuple[str, Future[_Guess]]] = collections.deque()
    before = ""
    for text in texts:
        waiting.append((text, pool.submit(_split_guessing, before, text, kind, settings)))
        before = _recent(text)
        if len(waiting) > ahead:
            yield waiting.popleft()
    yield from waiting


def _recent(text: str) -> str:
    """Returns the end of a text, from the start of a paragraph if one is there, else of a line."""
    end = text[-WARM_UP:]
    paragraph = end.rfind("\n\n")
    return end[paragraph + 2 :] if paragraph >= 0 else end[end.find("\n") + 1 :]


def _split_guessing(
    before: str, text: str, kind: type[Tokenizer], settings: TokenizerSettings
) -> _Guess:
    _, begun = _split(before, kind, settings, kind.start)
    parts, ended = _split(text, kind, settings, begun)
    return parts, begun, ended


def _split(
    text: str, kind: type[Tokenizer], settings: TokenizerSettings, state: State
) -> tuple[Parts, State]:
    with without_garbage_collection():  # all new words are kept: an eighth of the time
        if settings.documents:  # each is split as if it stood alone
            texts = documents.split_documents(text, settings.documents)
            return kind.split_documents(texts, settings), state
        return kind.split(text, settings, state)
