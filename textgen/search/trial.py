"""A trial's child process, from both sides, and what a trial may take of the machine.

    python -m textgen.search.trial

reads one line from standard input, an order in JSON, and ends when standard input is closed, so
that it never outlives its parent. Its answers go to standard output, a line of JSON each:
`{"plan": ...}`, or `{"row": ..., "fraction": ...}` after every epoch, or `{"error": ...}`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from textgen.settings.definitions import ModelSettings, TrainingSettings
from textgen.settings.request import TrainRequest
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.text import known
from textgen.training import sizing
from textgen.training.batches import tokens_needed
from textgen.training.results import Row

HELD_OUT = 0.1
"""The share that is held out where there is neither held-out text nor a `validation_split`."""
COMMAND = (sys.executable, "-m", "textgen.search.trial")


class StoppedError(Exception):
    """The search was asked to stop."""


class ChildError(TextgenError):
    """A child process failed, for the reason in the message."""


def needs(settings: Mapping[str, Any], vocabulary_size: int) -> dict[str, float]:
    """Returns what a training takes of the machine and of the text, by name.

    `weights`; `GiB of memory`, as `sizing.memory_needed` estimates them; `tokens of text`, which
    fill a batch. Raises TextgenError if settings contradict each other.
    """
    model, training = ModelSettings.from_given(settings), TrainingSettings.from_given(settings)
    return {
        "weights": sum(sizing.weights_per_layer(model, vocabulary_size).values()),
        "GiB of memory": sizing.memory_needed(model, training, vocabulary_size) / 2**30,
        "tokens of text": tokens_needed(
            training.batch_size, training.seq_length, training.seq_step
        ),
    }


class Children:
    """The running child processes; from any thread, all of them can be ended at once.

    Args:
        command: what they run (default: `COMMAND`).
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self.command = command or COMMAND
        self.stopped = False
        self._running: set[subprocess.Popen[str]] = set()

    def stop(self) -> None:
        """Ends all children, and starts none any more."""
        self.stopped = True
        for process in list(self._running):
            process.kill()

    def messages(self, order: dict[str, Any], loud: bool = False) -> Generator[dict[str, Any]]:
        """Starts a child and yields its messages; where the caller ends listening, it is killed.

        Args:
            order: see `main`.
            loud: whether its standard error is shown.

        Raises:
            TextgenError: with the message of the child's own.
            ChildError: if it fails otherwise.
            StoppedError: if `stop` was called.
        """
        paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        with tempfile.TemporaryFile() as errors:
            # A session of its own: Ctrl-C in the terminal is for the parent alone.
            process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=None if loud else errors, encoding="utf-8", env=environment,
                start_new_session=True,
            )  # fmt: skip
            stdin, stdout = cast("tuple[IO[str], IO[str]]", (process.stdin, process.stdout))
            self._running.add(process)
            try:
                if not self.stopped:
                    with suppress(BrokenPipeError):  # it has ended already: see its exit code
                        print(json.dumps(order), file=stdin, flush=True)
                    yield from _parsed(stdout)
                    process.wait()
                if self.stopped:
                    raise StoppedError
                if process.returncode:
                    raise ChildError(_reason(process.returncode, errors))
            finally:
                process.kill()
                process.wait()
                self._running.discard(process)
                with suppress(BrokenPipeError):
                    stdin.close()
                stdout.close()


def _parsed(lines: IO[str]) -> Generator[dict[str, Any]]:
    for line in lines:
        if not line.endswith("\n"):  # the child was killed in the middle of it
            return
        message = json.loads(line)
        if "error" in message:
            raise TextgenError(message["error"])
        yield message


def _reason(code: int, errors: IO[bytes]) -> str:
    """Returns why a child failed: the signal that ended it, or the last line that it wrote."""
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (the system does so when memory runs out)" if name == "SIGKILL" else ""
        return f"killed by {name}{hint}"
    errors.seek(0)
    lines = errors.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {code}"


def main() -> int:
    """Carries out the order on standard input: plans, and trains if there is a folder for it.

    The order has `data_dir`, `given` (settings of a training), `folder` (where the model goes, or
    None), `log` (a folder for TensorBoard, or None), `threads`, `verbosity`, and may have `flags`
    (those that settings are printed as). Returns the exit code.
    """
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what else is printed is not for the parent
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=end_with_parent, daemon=True).start()

    def tell(**message: Any) -> None:
        print(json.dumps(message), file=channel, flush=True)

    try:
        level = console.Verbosity(order["verbosity"])
        with console.verbosity(level), console.flags_for_settings():
            console.add_flags(order.get("flags", {}))
            if order["folder"]:
                _train(order, tell)
            else:
                tell(plan=_plan(order))
    except TextgenError as error:
        tell(error=str(error))
        return 2
    return 0


def end_with_parent() -> None:
    """Ends this process when its standard input ends."""
    os.read(0, 1)  # not by sys.stdin, whose lock would be held when Python ends
    os._exit(1)


def _plan(order: dict[str, Any]) -> dict[str, Any]:
    """Returns a training's settings, and what is known of its text, as built-in values."""
    data_dir, given = Path(order["data_dir"]), dict(order["given"])
    share = given.get("validation_split", 0.0)
    if not share and known.find_or_make_texts(data_dir, 0.0).validation is None:
        given["validation_split"] = HELD_OUT
        console.say(
            f"{data_dir} has no validate.txt: holding out {HELD_OUT:.0%} of the text to compare"
            " the trials on (`validation_split` takes another share)"
        )
    from textgen.training.plan import make_plan, with_random_seed  # here: it imports TensorFlow

    plan = make_plan(TrainRequest(data_dir, given))
    settings = plan._replace(training=with_random_seed(plan.training)).setup.settings
    return {
        "settings": {name: value for name, value in settings.items() if value is not None},
        "vocabulary_size": len(plan.corpus.tokenizer.vocabulary),
        "num_tokens": len(plan.corpus.training.ids),
        "texts": plan.corpus.hashes,
    }


def _train(order: dict[str, Any], tell: Callable[..., None]) -> None:
    """Trains with the settings given, and tells the row of each epoch."""
    from textgen.model.backend import tf  # here: TensorFlow takes seconds to import
    from textgen.training.live import TensorBoardLog
    from textgen.training.plan import make_plan
    from textgen.training.run import fit

    tf.config.threading.set_intra_op_parallelism_threads(order["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(order["threads"])
    plan = make_plan(TrainRequest(Path(order["data_dir"]), order["given"]))
    log = TensorBoardLog(Path(order["log"])) if order["log"] else None

    def on_epoch(row: Row, fraction: float) -> None:
        if log:
            log.write_row(row)
        tell(row=row, fraction=fraction)

    fit(Path(order["folder"]), plan, on_epoch=on_epoch)


if __name__ == "__main__":
    sys.exit(main())
