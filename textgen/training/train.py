"""`textgen.train`: all that the command does, as a call from Python."""

from __future__ import annotations

import contextlib
import re
import reprlib
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textgen.generation.generator import Generator, folder_of
from textgen.settings.request import TrainRequest
from textgen.support import console
from textgen.support.console import Verbosity
from textgen.support.errors import TextgenError
from textgen.support.files import exclusive
from textgen.text import sources

if TYPE_CHECKING:
    from textgen.model.backend import keras

PRINTED = {1: Verbosity.USUAL, 2: Verbosity.VERBOSE}
"""By `verbose`."""
NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""A zero byte, which no text has, and halves of characters, which UTF-8 does not write."""
_checking = threading.Lock()


def train(
    data_dir: str | Path | None = None,
    *,
    text: str | None = None,
    resume: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    on_epoch: Callable[[dict[str, float], float], object] | None = None,
    verbose: int = 1,
    **settings: Any,
) -> Generator:
    """Trains a model on the text of a data directory, and keeps it there.

    Ctrl-C, and the interrupt of a notebook, end the training well: what was learned is saved and
    returned, with a warning, and `resume=True` goes on.

    Args:
        data_dir: the folder of the text.
        text: the text itself. It is written to `input.txt` of `data_dir`; without one, to a
            temporary folder, which goes when the model that is returned does (`save` copies it).
        resume: go on with the run that was interrupted in `data_dir`, with its settings.
        callbacks: callbacks of Keras, called in their order after the run's own work, with the
            epoch's row of `history.csv` as `logs`.
        on_epoch: is called after each epoch with its row and the share of the run that is done.
        verbose: 1 prints what `train.py` does, 2 its details too; with 0 notes go to the logger
            `textgen` alone, of which Python by itself prints warnings.
        settings: any of `train.py`, by name: those of `TokenizerSettings`, `ModelSettings` and
            `TrainingSettings`, and `word_tokens` or `subword_tokens`.

    Returns:
        The best model, as `textgen.load(data_dir)` does.

    Raises:
        TextgenError: on a value that will not do, or a text that cannot be trained on.
        KeyboardInterrupt: if nothing was learned before.

    Example:
        >>> model = textgen.train(
        ...     text="the river keeps no record of the rain. " * 20, verbose=0,
        ...     rnn_size=8, batch_size=4, seq_length=20, num_epochs=1,
        ... )
        >>> len(model.generate("the ", length=9)), model.history[0]["epoch"]
        (9, 1)
    """
    _check(text, resume, callbacks, on_epoch, verbose)
    if data_dir is None and text is None:
        raise TextgenError(
            "there is nothing to train on: give a folder that has an input.txt, `data_dir`, or a"
            " `text`"
        )
    given = {n: str(v) if isinstance(v, Path) else v for n, v in settings.items()}
    with contextlib.ExitStack() as kept:
        if data_dir is None:
            folder = Path(kept.enter_context(_temporary_folder()))
        else:
            folder = folder_of(data_dir)
        request = TrainRequest(folder, given, resume)
        with console.verbosity(PRINTED[verbose]) if verbose else contextlib.nullcontext():
            _train(request, text, callbacks, on_epoch)
            if data_dir is None:
                console.say(f'{folder} goes with the model. To keep it: model.save("FOLDER")')
        model = Generator.load(folder)
        weakref.finalize(model, kept.pop_all().close)
    return model


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="textgen-", ignore_cleanup_errors=True)


def _train(
    request: TrainRequest,
    text: str | None,
    callbacks: Sequence[keras.callbacks.Callback],
    on_epoch: Callable[[dict[str, float], float], object] | None,
) -> None:
    from textgen.model.backend import keras  # only now: these import TensorFlow
    from textgen.training.plan import make_plan
    from textgen.training.run import RunInterruptedError, fit

    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise TextgenError(
                "`callbacks` is a list of Keras callbacks. Received one that is"
                f" {reprlib.repr(callback)}"
            )
    with _written(request.data_dir, text):
        try:
            fit(
                request.data_dir,
                make_plan(request),
                on_epoch=on_epoch or (lambda row, fraction: None),
                callbacks=callbacks,
            )
        except RunInterruptedError:
            console.warn("interrupted: the model is what was learned until now")


def _check(text: Any, resume: Any, callbacks: Any, on_epoch: Any, verbose: Any) -> None:
    """Raises TextgenError on a value that `train` does not take, but for those of settings."""
    if text is not None and not isinstance(text, str):
        raise TextgenError(
            f"`text` is the text itself, a str. Received: {reprlib.repr(text)}. Give a folder or a"
            " file's text, as by `Path(...).read_text()`"
        )
    if text is not None and not text.strip():
        raise TextgenError(f"`text` has nothing to learn. Received: {reprlib.repr(text)}")
    if text is not None and (found := NO_TEXT.search(text)):
        raise TextgenError(
            f"`text` has {found[0]!r} at character {found.start():,}, which is no text. Take such"
            " characters out"
        )
    if not isinstance(resume, bool):
        raise TextgenError(f"`resume` is True or False. Received: {reprlib.repr(resume)}")
    if not isinstance(callbacks, Sequence) or isinstance(callbacks, str):
        raise TextgenError(
            f"`callbacks` is a list of Keras callbacks. Received: {reprlib.repr(callbacks)}"
        )
    if on_epoch is not None and not callable(on_epoch):
        raise TextgenError(
            "`on_epoch` is a function of an epoch's row and the share that is done. Received:"
            f" {reprlib.repr(on_epoch)}"
        )
    if isinstance(verbose, bool) or verbose not in (0, *PRINTED):
        raise TextgenError(f"`verbose` is 0, 1 or 2. Received: {reprlib.repr(verbose)}")


@contextlib.contextmanager
def _written(data_dir: Path, text: str | None) -> Iterator[None]:
    """Keeps `text` as the text of a folder; if nothing is learned of it, the folder is as it was.

    Raises:
        TextgenError: if there is another text, or the disk does not take this one.
    """
    if text is None:
        yield
        return
    path = data_dir / "input.txt"
    with _checking:  # of two calls in one folder, one writes the text
        is_new, is_there = not data_dir.exists(), sources.find_source(data_dir, "input") is not None
        if is_there and not (path.is_file() and sources.is_text_of(path, text)):
            raise TextgenError(
                f"{data_dir} has another text than `text`. Leave `text` out to train on that, or"
                " give another `data_dir`"
            )
        if not is_there:
            sources.write_texts(data_dir, [text], None)
    try:
        yield
    except BaseException:
        if not is_there:
            _take_back(data_dir, is_new)
        raise


def _take_back(data_dir: Path, is_new: bool) -> None:
    """Removes a text that was written, unless something was learned of it, or is being learned."""
    with contextlib.suppress(TextgenError), exclusive(data_dir):
        if not (data_dir / "model.h5").exists():
            (data_dir / "input.txt").unlink(missing_ok=True)
            if is_new:
                shutil.rmtree(data_dir, ignore_errors=True)
