"""Opens mutated pairs in a process of its own, so that a crash or a hang is seen from outside.

    python -m tests.fuzz.worker FOLDER ORIGINAL START END

writes a line per pair to standard output: number, kind, "loaded" or "refused" or what else was
raised, seconds. After MAX_SECONDS with one pair the system kills the process.
"""

import contextlib
import encodings.ascii  # noqa: F401  (h5py decodes with it; loading it later would look like a touch)
import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.fuzz.mutations import Pair, mutated
from textgen import treebank
from textgen.commands import convert
from textgen.generation.generator import Generator
from textgen.model import checkpoint
from textgen.support.errors import TextgenError
from textgen.support.parallel import single_threaded_blas

MAX_SECONDS = 2.0
MAX_BYTES = 500 * 10**6
"""Of address space, beyond what the process has when it begins."""

TOUCHING = {
    "compile", "ctypes", "exec", "import", "os", "pickle", "pty", "shutil", "socket", "subprocess",
}  # fmt: skip
"""What the names of audit events begin with that loading has no reason for."""

touched: list[str] = []
watching = False
PAIR = ("model.pkl", "model.h5")


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: note whatever else than reading the pair is done while it is loaded."""
    if not watching:
        return
    if event == "open":
        path, _, flags = arguments
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes or Path(str(path)).name not in PAIR:
            touched.append(f"open {path}")
    elif event.split(".")[0] in TOUCHING:
        touched.append(event)


@contextlib.contextmanager
def watched() -> Iterator[None]:
    global watching
    signal.setitimer(signal.ITIMER_REAL, MAX_SECONDS)
    watching = True
    try:
        yield
    finally:
        watching = False
        signal.setitimer(signal.ITIMER_REAL, 0)


def sample(folder: Path) -> None:
    """Write a few tokens with the model in `folder`."""
    Generator.load(folder).generate("a", length=3, random_seed=1)


def opened(folder: Path, use: Callable[[Path], object]) -> str:
    """What comes of it when the pair in `folder` is used."""
    touched.clear()
    result = "loaded"
    with watched():
        try:
            use(folder)
        except TextgenError as error:
            message = str(error)
            result = "refused" if "\n" not in message and len(message) < 1000 else "bad message"
        except BaseException as error:
            result = f"{type(error).__name__}: {error}"[:200].replace("\n", " ")
    return f"touched {touched}" if touched else result


def main() -> None:
    folder, original = Path(sys.argv[1]), Path(sys.argv[2])
    pair: Pair = {name: (original / name).read_bytes() for name in ("model.pkl", "model.h5")}
    use = convert.read if checkpoint.is_keras_text_generation(pair["model.pkl"]) else sample
    treebank.tokenize("a")  # imports what a model of words needs before anyone watches
    use(original)
    warnings.simplefilter("ignore", RuntimeWarning)  # of huge weights; to show one reads source
    os.chdir(folder)
    limit = memory("VmSize") + MAX_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.addaudithook(watch)
    with single_threaded_blas():  # looks up the matrix library, which inner blocks then need not
        open_all(pair, folder, range(int(sys.argv[3]), int(sys.argv[4])), use)
    print("peak", memory("VmPeak") - limit + MAX_BYTES, memory("VmHWM"), sep="\t")


def open_all(pair: Pair, folder: Path, numbers: range, use: Callable[[Path], object]) -> None:
    """Open every mutated pair and print what came of it."""
    for number in numbers:
        kind, changed = mutated(pair, number, folder / "scratch.h5")
        for name, data in changed.items():
            (folder / name).write_bytes(data)
        print(number, kind, "", sep="\t", end="", flush=True)
        start = time.perf_counter()
        result = opened(folder, use)
        print(result, f"{time.perf_counter() - start:.4f}", sep="\t", flush=True)


def memory(field: str) -> int:
    """A size in bytes from /proc/self/status."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
