"""Continuous batching: all requests of a model advance together, one matrix product per step.

One thread does all the work of a model. Requests join and leave between two turns, each of which
makes a few tokens of every text; long prompts are read in parts between turns, so that nobody
waits for somebody else's. What is written goes out in groups, because an event costs more than
a token.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from textgen.generation.batch import Batch, Stepper
from textgen.generation.generator import Generator
from textgen.generation.sampling import NoTokenLeftError
from textgen.generation.texts import Text, Token
from textgen.server import ServerSettings

TURN = 0.02
"""Seconds that a turn should take: how long a newcomer waits for the steps under way."""
READ_TURN = 0.01
"""Seconds of a turn that may go into reading prompts."""
GROUP = 0.03
"""Seconds between two pieces of a text; with the turn under way, at most 50 ms."""
CHUNK = 256
"""Tokens of a prompt that are read at once (about 4 ms)."""
MOST_STEPS = 64
"""Steps in a turn; what a text makes after its end is thrown away."""

log = logging.getLogger("textgen.serve")


class BusyError(Exception):
    """The queue is full."""


class ClosingError(Exception):
    """The service takes no more requests."""


class Chunk(NamedTuple):
    """The part of a text that was written since the last chunk."""

    text: str
    tokens: list[Token]
    """Each token, where alternatives were asked for."""
    finished: str | None
    """Why the text ended: length, stop, seconds, shutdown, cancelled, queue, error or broken."""


class Job:
    """A text that somebody asked for.

    Args:
        generator: the model, as it was when the request came.
        text: what is written.
        deliver: called with what was written, wherever the scheduler's `deliver` calls it.
        deadline: when to end at the latest, by `time.monotonic`.

    Attributes:
        cancelled: set it from any thread to end the text.
        problem: what went wrong, if something did.
    """

    def __init__(
        self,
        generator: Generator,
        text: Text,
        deliver: Callable[[Chunk], object],
        deadline: float,
    ) -> None:
        self.generator, self.text, self.deadline = generator, text, deadline
        self.deliver = deliver
        self.cancelled = False
        self.problem = ""
        self.begun = time.monotonic()
        self._pieces: list[str] = []
        self._tokens: list[Token] = []
        self._sent = 0.0
        self._stepper: Stepper | None = None
        self._read = 0

    @property
    def made(self) -> int:
        """Tokens so far."""
        return self.text.made

    def read(self) -> Stepper | None:
        """Read some more of the prompt; the stream that goes on from it when all is read."""
        ids = self.text.prompt[None, self._read : self._read + CHUNK]
        self._read += CHUNK
        if self._stepper is None:
            self._stepper = self.generator.network.stepper(ids)
        else:
            self._stepper.read(ids)
        return self._stepper if self._read >= len(self.text.prompt) else None

    def add(self, text: str, tokens: list[Token]) -> None:
        """Takes what a turn wrote, to go out with the next chunk."""
        self._pieces.append(text)
        self._tokens += tokens

    def chunk(self, now: float, finished: str | None = None) -> Chunk | None:
        """Returns what there is, if it is time for it to go out."""
        if finished is None and (now - self._sent < GROUP or not any(self._pieces)):
            return None
        chunk = Chunk("".join(self._pieces), self._tokens, finished)
        self._pieces, self._tokens, self._sent = [], [], now
        return chunk


class Scheduler:
    """The thread that writes all texts of one folder's model.

    When the model is replaced, texts that were begun go on with the old one beside the new.

    Args:
        settings: the limits.
        deliver: called from the scheduler's thread with the chunks of a turn, each with its job,
            all at once because waking another thread is dear.
        count: called with the number of tokens made, every turn.
    """

    def __init__(
        self,
        settings: ServerSettings,
        deliver: Callable[[list[tuple[Job, Chunk]]], object],
        count: Callable[[int], object] = lambda tokens: None,
    ) -> None:
        self._settings, self._deliver, self._count = settings, deliver, count
        self._chunks: list[tuple[Job, Chunk]] = []
        self._lock = threading.Condition()
        self._queue: deque[Job] = deque()
        self._reading: deque[Job] = deque()
        self._writing: dict[Text, Job] = {}
        self._batches: dict[Generator, Batch] = {}
        self._steps = 1
        self._closes: float | None = None
        self._thread = threading.Thread(target=self._run, name="textgen-scheduler", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """Requests that wait."""
        return len(self._queue)

    @property
    def running(self) -> int:
        """Requests whose prompt is read or whose text is written."""
        return len(self._reading) + len(self._writing)

    def submit(self, job: Job) -> None:
        """Let a text be written.

        Raises:
            BusyError: if as many wait as may.
            ClosingError: if the service ends.
        """
        with self._lock:
            if self._closes is not None:
                raise ClosingError
            room = self._settings.max_queue + self._settings.max_running - self.running
            if len(self._queue) >= room:
                raise BusyError
            self._queue.append(job)
            self._lock.notify()

    def close(self, grace: float) -> None:
        """Take no more; what is not finished in `grace` seconds ends where it is."""
        with self._lock:
            if self._closes is None:
                self._closes = time.monotonic() + grace
            self._lock.notify()

    def join(self, timeout: float) -> None:
        """Wait for the thread, after `close`."""
        self._thread.join(timeout)

    def _run(self) -> None:
        while self._wait():
            try:
                self._drop()
                self._admit()
                self._read()
                self._write()
            except Exception:
                log.exception("a turn failed")
                self._end_all("broken")
            if self._chunks:
                self._deliver(self._chunks)
                self._chunks = []

    def _end_all(self, reason: str) -> None:
        """After an error of ours: nobody waits for ever, and whoever comes next is served."""
        running = [*self._reading, *self._writing.values()]
        self._reading.clear()
        self._writing.clear()
        self._batches.clear()
        for job in running:
            self._send(job, time.monotonic(), reason)

    def _send(self, job: Job, now: float, finished: str | None = None) -> None:
        if chunk := job.chunk(now, finished):
            self._chunks.append((job, chunk))

    def _wait(self) -> bool:
        """Sleep while there is nothing to do; whether there is, and not the end."""
        with self._lock:
            while not (self._queue or self.running):
                if self._closes is not None:
                    return False
                self._lock.wait()
        return True

    def _drop(self) -> None:
        """End what was cancelled or takes too long."""
        now = time.monotonic()
        closed = self._closes is not None and now >= self._closes
        with self._lock:
            queued = list(self._queue)
        for job in [*queued, *self._reading, *self._writing.values()]:
            if job.cancelled:
                self._end(job, "cancelled")
            elif closed:
                self._end(job, "shutdown")
            elif now >= job.deadline:
                self._end(job, "queue" if job in queued else "seconds")

    def _end(self, job: Job, reason: str) -> None:
        """Let a job leave, wherever it is, and say why."""
        with self._lock:
            for place in (self._queue, self._reading):
                if job in place:
                    place.remove(job)
        if self._writing.pop(job.text, None):
            self._batches[job.generator].remove([job.text])
            job.add(job.text.end(), [])
        self._send(job, time.monotonic(), reason)

    def _admit(self) -> None:
        with self._lock:
            while self._queue and self.running < self._settings.max_running:
                self._reading.append(self._queue.popleft())

    def _read(self) -> None:
        """Read prompts in turn, part by part, for a while."""
        end = time.monotonic() + READ_TURN
        while self._reading and time.monotonic() < end:
            job = self._reading[0]
            stepper = job.read()
            if stepper is None:
                self._reading.rotate(-1)
                continue
            self._reading.popleft()
            if job.text.finished:
                self._send(job, time.monotonic(), "length")
                continue
            self._writing[job.text] = job
            batch = self._batches.setdefault(job.generator, Batch(job.generator.network))
            batch.add([job.text], stepper)

    def _write(self) -> None:
        """A turn of every batch."""
        for generator, batch in list(self._batches.items()):
            if batch.texts:
                self._advance(batch)
            else:
                del self._batches[generator]

    def _advance(self, batch: Batch) -> None:
        begun = time.monotonic()
        jobs = [self._writing[text] for text in batch.texts]
        before = [job.made for job in jobs]
        try:
            pieces = batch.advance(self._steps_of(jobs))
        except NoTokenLeftError as error:
            for row in error.rows:
                jobs[row].problem = str(error)
                self._end(jobs[row], "error")
            return
        now = time.monotonic()
        for text, piece in pieces:
            self._writing[text].add(piece.text, piece.tokens)
        made = [job.made - count for job, count in zip(jobs, before, strict=True)]
        self._count(sum(made))
        self._steps = _steps_for(max(made), now - begun)
        for job in jobs:
            finished = None
            if job.text.finished:
                del self._writing[job.text]
                finished = "length" if job.made == job.text.settings.length else "stop"
            self._send(job, now, finished)

    def _steps_of(self, jobs: list[Job]) -> int:
        """How many steps to make: one where the bans of a text may leave it no token.

        After such an error others must not have lost what the steps before it made.
        """
        if any(job.text.settings.ban for job in jobs):
            return 1
        return min(self._steps, max(job.text.left for job in jobs))


def _steps_for(steps: int, seconds: float) -> int:
    """How many steps fill a turn, when so many took so long; more only little by little."""
    wanted = int(steps * TURN / max(seconds, 1e-6))
    return max(1, min(wanted, 2 * steps, MOST_STEPS))
