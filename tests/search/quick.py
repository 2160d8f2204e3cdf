"""`python -m textgen search` as it is, but for its child processes, which only pretend to train.

    python -m tests.search.quick [flags of search]

They need no TensorFlow and end at once, and no pictures are drawn; all else is the real thing. The
loss is best for a learning rate of 0.01, and the speed is 10^5 tokens/s per unit. Environment
variables:

- `RAN`: a file to which each child adds a line: the number of its trial;
- `HANG`: the trial of this number says its first epoch and then does no more, until there is a
  file of the name `GO`;
- `CRASH`: the trial of this number ends with a traceback, or with the signal `SIGNAL`;
- `HEARTBEAT`, `GRACE`: seconds, those of `textgen.search.study`;
- `REAL`: the children are the real ones;
- `MEMORY`: a file to which the parent adds its resident memory in bytes after each trial.
"""

import hashlib
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from textgen.search.trial import Tell
from textgen.settings.request import TRAIN_SETTINGS


def plan(order: dict[str, Any]) -> dict[str, Any]:
    parts = [kind.from_given(order["given"]) for kind in TRAIN_SETTINGS]
    settings = {n: v for part in parts for n, v in part.to_dict().items() if v is not None}
    text = (Path(order["data_dir"]) / "input.txt").read_bytes()
    return {
        "settings": {"random_seed": 1} | settings,
        "vocabulary_size": 65,
        "num_tokens": 100_000,
        "texts": {"input.txt": hashlib.sha256(text).hexdigest()},
    }


def row(settings: dict[str, Any], epoch: int) -> dict[str, float]:
    """Tokens have four characters."""
    loss = 1 + abs(math.log10(settings["learning_rate"] / 0.01)) + 0.5**epoch
    speed = 1e5 / settings["rnn_size"]
    return {
        "epoch": epoch, "step": 10 * epoch, "seconds": 0.5 * epoch, "loss": loss - 0.1,
        "val_loss": loss, "tokens_per_second": speed, "nats_per_character": loss / 4,
        "bits_per_character": loss / 4 / math.log(2),
    }  # fmt: skip


def wait() -> None:
    while not Path(os.environ.get("GO", "/nonexistent")).exists():
        time.sleep(0.05)


def child(order: dict[str, Any], tell: Tell) -> None:
    if not order["folder"]:
        tell({"plan": plan(order)})
        return
    number = Path(order["folder"]).name
    if "RAN" in os.environ:
        with Path(os.environ["RAN"]).open("a") as file:
            file.write(f"{number} {order['threads']}\n")
    epochs = order["given"]["num_epochs"]
    for epoch in range(1, epochs + 1):
        tell({"row": row(order["given"], epoch), "fraction": epoch / epochs})
        if os.environ.get("HANG") == number:
            wait()
        if os.environ.get("CRASH") == number and "SIGNAL" in os.environ:
            os.kill(os.getpid(), int(os.environ["SIGNAL"]))
        if os.environ.get("CRASH") in (number, "all"):
            raise MemoryError("no room for the model")


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def parent() -> int:
    from textgen.commands import run, search
    from textgen.search import report, study, trial

    def tell(self: report.Reporter, *arguments: Any) -> None:
        usual(self, *arguments)
        with Path(os.environ["MEMORY"]).open("a") as file:
            file.write(f"{resident()}\n")

    usual = report.Reporter.tell
    if "MEMORY" in os.environ:
        report.Reporter.tell = tell  # type: ignore[method-assign]
    report.draw = lambda *arguments: []  # they take seconds to import what draws them
    for name in ("HEARTBEAT", "GRACE"):
        setattr(study, name, int(os.environ.get(name, getattr(study, name))))
    if "REAL" not in os.environ:
        trial.carry_out = child
    return run(sys.argv[1:], search.main)


if __name__ == "__main__":
    sys.exit(parent())
