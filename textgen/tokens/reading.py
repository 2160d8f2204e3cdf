"""A stream of text -> its tokens, piece by piece and in order, on all cores.

Where a piece begins, the spacing rule of words may be in any state, which only the pieces before
decide. A process that reads a piece guesses the state from the end of the piece before; where the
guess turns out to be wrong, the piece is read again. So the tokens are those of one core.
"""

from __future__ import annotations

import collections
import itertools
import multiprocessing
import signal
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

from textgen.settings.definitions import TokenizerSettings
from textgen.support.errors import TextgenError
from textgen.support.parallel import end_with_parent
from textgen.tokens.tokenizers import START, Piece, last_cut, read_piece
from textgen.treebank import State

SIZE = {False: 1 << 19, True: 1 << 22}
"""Characters in a piece, about; of words more, as each distinct word is counted once a piece."""
LEAST = 2
"""Pieces for which other processes are worth their start."""
WARM_UP = 1 << 15
"""Characters before a piece from which to guess the state of the spacing rule."""
Pieces = Iterator[tuple[str, Piece]]
"""The text and the tokens of each piece."""


def read(chunks: Iterable[str], settings: TokenizerSettings, cores: int, size: int = 0) -> Pieces:
    """Yield text and tokens of the pieces of a text.

    Args:
        chunks: the text, cut anywhere.
        settings: says what a token is.
        cores: processes to use, if the text is long and of words: reading characters costs less
            than to give them to another process.
        size: characters in a piece, about; 0 chooses.
    """
    texts = cut(chunks, settings, size or SIZE[settings.word_tokens])
    first = list(itertools.islice(texts, LEAST))
    together = itertools.chain(first, texts)
    if cores == 1 or len(first) < LEAST or not settings.word_tokens:
        return _alone(together, settings)
    return _side_by_side(together, settings, cores)


def cut(chunks: Iterable[str], settings: TokenizerSettings, size: int) -> Iterator[str]:
    """Cut a text anew, into pieces of `size` characters or more, where tokens allow it."""
    held: list[str] = []
    length, wanted = 0, size
    for chunk in chunks:
        held.append(chunk)
        length += len(chunk)
        if length < wanted:
            continue
        text = "".join(held)
        place = last_cut(text, settings)
        if place:
            yield text[:place]
        held, length = [text[place:]], len(text) - place
        wanted = max(size, 2 * length)  # what has no place to cut is not searched at every chunk
    if length:
        yield "".join(held)


def _alone(texts: Iterable[str], settings: TokenizerSettings) -> Pieces:
    state = START
    for text in texts:
        piece, state = read_piece(text, settings, state)
        yield text, piece


class _Reading(NamedTuple):
    """What a process makes of a piece."""

    piece: Piece
    begun: State
    ended: State


def _side_by_side(texts: Iterable[str], settings: TokenizerSettings, cores: int) -> Pieces:
    context = multiprocessing.get_context("spawn")  # TensorFlow's threads do not survive a fork
    state = START
    with ProcessPoolExecutor(cores, mp_context=context, initializer=_begin) as pool:
        try:
            for text, future in _submitted(pool, texts, settings, 2 * cores):
                reading = future.result()
                piece, ended = reading.piece, reading.ended
                if reading.begun != state:
                    piece, ended = read_piece(text, settings, state)
                state = ended
                yield text, piece
        except BrokenProcessPool as error:
            _forget_waiting(pool)
            raise TextgenError(
                "a process that helped to read the text has ended, perhaps for want of memory."
                " Try again, in a script below `if __name__ == '__main__':`"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _forget_waiting(pool: ProcessPoolExecutor) -> None:
    """Close the pipe with the pieces that no process will read, as newer Pythons do.

    Before, the pool waits for ever to write them (https://github.com/python/cpython/issues/94777).
    """
    if sys.version_info < (3, 11, 5):
        pool._call_queue._reader.close()  # type: ignore[attr-defined]


def _submitted(
    pool: ProcessPoolExecutor, texts: Iterable[str], settings: TokenizerSettings, ahead: int
) -> Iterator[tuple[str, Future[_Reading]]]:
    """Yield pieces in order; up to `ahead` more are being read meanwhile."""
    waiting: collections.deque[tuple[str, Future[_Reading]]] = collections.deque()
    before = ""
    for text in texts:
        waiting.append((text, pool.submit(_read_guessing, before, text, settings)))
        before = _recent(text)
        if len(waiting) > ahead:
            yield waiting.popleft()
    yield from waiting


def _recent(text: str) -> str:
    """The end of a text, from the start of a paragraph if one starts there, else of a line."""
    end = text[-WARM_UP:]
    paragraph = end.rfind("\n\n")
    return end[paragraph + 2 :] if paragraph >= 0 else end[end.find("\n") + 1 :]


def _read_guessing(before: str, text: str, settings: TokenizerSettings) -> _Reading:
    _, begun = read_piece(before, settings)
    piece, ended = read_piece(text, settings, begun)
    return _Reading(piece, begun, ended)


def _begin() -> None:
    """Let the parent process handle Ctrl-C, and end when it has ended, however it did."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
