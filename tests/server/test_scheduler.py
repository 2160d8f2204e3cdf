import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.networks import LETTERS, random_generator
from textgen.generation.batch import Batch
from textgen.generation.texts import Text
from textgen.server import ServerSettings
from textgen.server.scheduler import BusyError, Chunk, ClosingError, Job, Scheduler
from textgen.settings.definitions import SamplingSettings

GENERATOR = random_generator()
SECONDS = 30


class Reader:
    """Keeps what is written of a text."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.over = threading.Event()
        self.begun = threading.Event()

    def __call__(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)
        self.begun.set()
        if chunk.finished:
            self.over.set()

    @property
    def text(self) -> str:
        assert self.over.wait(SECONDS)
        return "".join(chunk.text for chunk in self.chunks)

    @property
    def reason(self) -> str | None:
        assert self.over.wait(SECONDS)
        return self.chunks[-1].finished


def job(
    length: int, random_seed: int = 1, seed: str = "a", seconds: float = SECONDS, **controls
) -> tuple[Job, Reader]:
    reader = Reader()
    settings = SamplingSettings(length=length, random_seed=random_seed, **controls)
    text = Text(seed, settings, GENERATOR.tokenizer)
    return Job(GENERATOR, text, reader, time.monotonic() + seconds), reader


@contextmanager
def scheduler(**limits) -> Iterator[Scheduler]:
    def deliver(chunks: list[tuple[Job, Chunk]]) -> None:
        for job, chunk in chunks:
            job.deliver(chunk)

    made = Scheduler(ServerSettings(**limits), deliver)
    yield made
    made.close(grace=0)
    made.join(SECONDS)


def test_a_text_is_the_same_alone_and_among_fifty() -> None:
    alone = GENERATOR.generate("a", 400, random_seed=7)
    with scheduler() as writer:
        readers = []
        for number in range(50):
            controls = [{}, {"top_k": 3}, {"temperature": (0.5, 2.0)}, {"ban": ("b",)}][number % 4]
            one, reader = job(300 + number, number, LETTERS[number % 9] * (number + 1), **controls)
            writer.submit(one)
            readers.append(reader)
            if number == 25:
                mine, reader_of_mine = job(400, 7)
                writer.submit(mine)
        assert reader_of_mine.text == alone
        for number, reader in enumerate(readers):
            assert len(reader.text) == 300 + number
            assert reader.reason == "length"


def test_a_long_prompt_is_read_in_parts_and_means_the_same() -> None:
    prompt = LETTERS[:9] * 200
    with scheduler() as writer:
        one, reader = job(30, 3, prompt)
        writer.submit(one)
        assert reader.text == GENERATOR.generate(prompt, 30, random_seed=3)


def test_while_a_long_prompt_is_read_others_go_on() -> None:
    with scheduler() as writer:
        first, early = job(10**6, seconds=10 * SECONDS)
        writer.submit(first)
        assert early.begun.wait(SECONDS)
        second, late = job(5, seed="abc" * 20_000, seconds=10 * SECONDS)
        writer.submit(second)
        before = first.made
        assert late.over.wait(10 * SECONDS)
        assert first.made > before + 100
        first.cancelled = True
        assert early.reason == "cancelled"


def test_whoever_is_over_the_limits_waits_or_is_refused() -> None:
    with scheduler(max_running=1, max_queue=1) as writer:
        first, early = job(10**6)
        second, late = job(5)
        writer.submit(first)
        assert early.begun.wait(SECONDS)
        writer.submit(second)
        with pytest.raises(BusyError):
            writer.submit(job(5)[0])
        assert (writer.running, writer.queued) == (1, 1)
        first.cancelled = True
        assert late.text == GENERATOR.generate("a", 5, random_seed=1)


def test_texts_end_when_their_time_is_over() -> None:
    with scheduler(max_running=1) as writer:
        first, slow = job(10**6, seconds=0.3)
        second, waiting = job(10, seconds=0.1)
        writer.submit(first)
        assert slow.begun.wait(SECONDS)
        writer.submit(second)
        assert waiting.reason == "queue"
        assert slow.reason == "seconds"
        assert slow.text == GENERATOR.generate("a", len(slow.text), random_seed=1)


def test_bans_that_leave_nothing_end_their_own_text_only() -> None:
    with scheduler() as writer:
        others = [job(300, number, ban=("b",)) for number in range(5)]
        impossible, reader = job(300, ban=tuple(LETTERS))
        for one, _ in [*others, (impossible, reader)]:
            writer.submit(one)
        assert reader.reason == "error"
        assert "leave no token" in impossible.problem
        for number, (_, other) in enumerate(others):
            expected = GENERATOR.generate("a", 300, random_seed=number, ban=["b"])
            assert other.text == expected


def test_a_closing_scheduler_lets_texts_finish_and_takes_no_more() -> None:
    with scheduler() as writer:
        short, done = job(50)
        writer.submit(short)
        writer.close(grace=SECONDS)
        with pytest.raises(ClosingError):
            writer.submit(job(5)[0])
        assert done.reason == "length"
    with scheduler() as writer:
        endless, ended = job(10**6)
        writer.submit(endless)
        assert ended.begun.wait(SECONDS)
        writer.close(grace=0)
        assert ended.reason == "shutdown"
        assert ended.text == GENERATOR.generate("a", len(ended.text), random_seed=1)


def test_a_stop_text_ends_a_text() -> None:
    with scheduler() as writer:
        one, reader = job(10**4, stop=("ab",))
        writer.submit(one)
        assert reader.reason == "stop"
        assert reader.text == GENERATOR.generate("a", 10**4, random_seed=1, stop=["ab"])


@pytest.mark.parametrize(("broken", "method"), [(Job, "read"), (Batch, "add"), (Batch, "advance")])
def test_after_an_error_of_ours_nobody_waits_and_the_next_are_served(
    broken: type, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scheduler() as writer:
        with monkeypatch.context() as patched:
            patched.setattr(broken, method, lambda *arguments: 1 / 0)
            one, reader = job(50)
            writer.submit(one)
            assert reader.reason == "broken"
        other, reader_of_other = job(50)
        writer.submit(other)
        assert reader_of_other.text == GENERATOR.generate("a", 50, random_seed=1)
