"""How many people a service can write for at once; prints the table.

    python -m benchmarks.service [--data-dir FOLDER] [--streams 64] [--length 4000]

The service runs as a process of its own, and this one is its client, on loopback. Without a folder
the model has the default size and random weights: that costs what a trained one costs.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from benchmarks.generation import characters, save
from benchmarks.machine import announce
from tests.services import Running, serving
from textgen.settings.definitions import ModelSettings

SHORT_REQUESTS, SHORT_LENGTH, AT_ONCE = 5000, 20, 16
WARM = 500
"""Requests after which memory is first looked at."""


class Answer(NamedTuple):
    """What came of a request."""

    first_piece: float
    """Seconds."""
    gaps: list[float]
    """Seconds between pieces."""
    tokens: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, help="folder with a model")
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--length", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    announce(__doc__)
    with ExitStack() as stack:
        folder = arguments.data_dir
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            save(folder, ModelSettings(), characters())
        service = stack.enter_context(serving(folder))
        asyncio.run(measure(service, arguments.streams, arguments.length, arguments.rounds))


async def measure(service: Running, streams: int, length: int, rounds: int) -> None:
    await stream(service, length)  # warms caches
    ratios, gaps = [], []
    for _ in range(rounds):
        alone = await rate(one_after_another(service, streams, length))
        answers, together = await rate_of(at_once(service, streams, length))
        gaps += [gap for answer in answers for gap in answer.gaps]
        ratios.append(together / alone)
        print(
            f"{streams} streams of {length:,}: one after another {alone:,.0f} tokens/s, at once"
            f" {together:,.0f} tokens/s: {ratios[-1]:.2f} x"
        )
    gaps.sort()
    print(f"median {statistics.median(ratios):.2f} x; {spread('between pieces', gaps)}")
    print(spread("first piece of a newcomer among the others", await newcomers(service, streams)))
    await short_requests(service)


def spread(name: str, seconds: list[float]) -> str:
    ranked = sorted(seconds)
    p50, p95 = (1000 * ranked[int(share * (len(ranked) - 1))] for share in (0.5, 0.95))
    return f"{name}: median {p50:.0f} ms, p95 {p95:.0f} ms, most {1000 * ranked[-1]:.0f} ms"


async def rate_of(
    work: Awaitable[list[Answer]],
) -> tuple[list[Answer], float]:
    begun = time.perf_counter()
    answers = await work
    return answers, sum(answer.tokens for answer in answers) / (time.perf_counter() - begun)


async def rate(work: Awaitable[list[Answer]]) -> float:
    return (await rate_of(work))[1]


async def one_after_another(service: Running, count: int, length: int) -> list[Answer]:
    return [await stream(service, length) for _ in range(count)]


async def at_once(service: Running, count: int, length: int) -> list[Answer]:
    return await asyncio.gather(*(stream(service, length) for _ in range(count)))


async def newcomers(service: Running, streams: int, count: int = 60) -> list[float]:
    """Seconds to the first piece of one more, while the others stream."""
    over = asyncio.Event()
    others = [asyncio.create_task(stream_until(service, over)) for _ in range(streams - 1)]
    await asyncio.sleep(1)
    found = [(await stream(service, 50)).first_piece for _ in range(count)]
    over.set()
    await asyncio.gather(*others)
    return found


async def stream_until(service: Running, over: asyncio.Event) -> None:
    while not over.is_set():
        await stream(service, 10_000, over.is_set)


async def stream(
    service: Running, length: int, given_up: Callable[[], bool] = lambda: False
) -> Answer:
    """Read one text as it is written, unless it is given up."""
    begun = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    body = json.dumps({"seed": "The ", "length": length, "stream": True}).encode()
    writer.write(
        b"POST /api/generate HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\n"
        + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    )  # fmt: skip
    times, tokens, name = [], 0, ""
    async for line in reader:
        if line.startswith(b"event: "):
            name = line[7:].strip().decode()
            times += [time.perf_counter()] if name == "piece" else []
        elif name == "done" and line.startswith(b"data: "):
            tokens = json.loads(line[6:])["tokens"]
        if given_up():
            break
    writer.close()
    if not given_up() and tokens != length:
        raise SystemExit(f"{tokens} tokens came, not {length}")
    gaps = [later - earlier for earlier, later in pairwise(times)]
    return Answer(times[0] - begun if times else 0.0, gaps, tokens)


async def short_requests(service: Running) -> None:
    """Many short requests: errors, time, and whether memory grows."""
    done, memory = 0, 0.0

    async def worker() -> None:
        nonlocal done, memory
        while done < SHORT_REQUESTS:
            done += 1
            await stream(service, SHORT_LENGTH)
            if done == WARM:
                memory = resident(service)

    begun = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    seconds, now = time.perf_counter() - begun, resident(service)
    print(
        f"{done:,} requests of {SHORT_LENGTH} tokens, {AT_ONCE} at a time: 0 errors,"
        f" {done / seconds:,.0f} a second; resident memory {memory:.1f} MB after {WARM}, {now:.1f}"
        f" MB at the end ({now / memory - 1:+.1%})"
    )


def resident(service: Running) -> float:
    """MB of memory that the service's process has."""
    for line in Path(f"/proc/{service.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("the service has ended")


if __name__ == "__main__":
    main()
