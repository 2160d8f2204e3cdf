"""What a child process of the search does: it plans a training, and carries it out if told so.

    python -m textgen.search.trial

reads one line from standard input, an order in JSON, and ends when standard input is closed, so
that it never outlives its parent. What it has to tell goes to standard output, a line of JSON
each: `{"plan": ...}`, then `{"row": ..., "fraction": ...}` after every epoch, or `{"error": ...}`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textgen.settings.request import TrainRequest
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.text import known
from textgen.training.history import Row

if TYPE_CHECKING:
    from textgen.training.plan import Plan

HELD_OUT = 0.1
"""The share that is held out where there is neither held-out text nor a --validation-split."""

Tell = Callable[[dict[str, Any]], None]


def main() -> int:
    """Carry out the order on standard input. Returns the exit code."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what else is printed is not for the parent
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def tell(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=channel, flush=True)

    try:
        with console.verbosity(console.Verbosity(order["verbosity"])):
            _carry_out(order, tell)
    except TextgenError as error:
        tell({"error": str(error)})
        return 2
    return 0


def _end_with_parent() -> None:
    os.read(0, 1)  # not by sys.stdin, whose lock would be held when Python ends
    os._exit(1)


def _carry_out(order: dict[str, Any], tell: Tell) -> None:
    """Plan, and train where the order names a folder for it.

    The order has `data_dir`, `given` (flags of train.py by their field's name), `folder` (where
    the model goes, or None), `log` (a folder for TensorBoard, or None), `threads` and
    `verbosity`.
    """
    data_dir, given = Path(order["data_dir"]), dict(order["given"])
    if not order["folder"] and _lacks_validation(data_dir, given):
        given["validation_split"] = HELD_OUT
        console.say(
            f"{data_dir} has no validate.txt: holding out {HELD_OUT:.0%} of the text to compare"
            " the trials on (--validation-split takes another share)"
        )

    from textgen.model.backend import tf
    from textgen.training import live  # only now: they import TensorFlow
    from textgen.training.plan import make_plan
    from textgen.training.run import fit

    tf.config.threading.set_intra_op_parallelism_threads(order["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(order["threads"])
    plan = make_plan(TrainRequest(data_dir, given))
    if not order["folder"]:
        tell({"plan": _described(plan)})
        return
    log = live.TensorBoardLog(Path(order["log"])) if order["log"] else None

    def on_epoch(row: Row, fraction: float) -> None:
        if log:
            log.write_row(row)
        tell({"row": row, "fraction": fraction})

    fit(Path(order["folder"]), plan, on_epoch=on_epoch)


def _lacks_validation(data_dir: Path, given: dict[str, Any]) -> bool:
    """Whether nothing would be held out. Makes a known corpus; raises TextgenError without text."""
    share = given.get("validation_split", 0.0)
    return not share and known.find_or_make_texts(data_dir, 0.0).validation is None


def _described(plan: Plan) -> dict[str, Any]:
    """A plan as built-in values: its settings, and what is known of the text."""
    from textgen.training.plan import with_random_seed

    settings = plan._replace(training=with_random_seed(plan.training)).setup.settings
    return {
        "settings": {name: value for name, value in settings.items() if value is not None},
        "vocabulary_size": len(plan.corpus.tokenizer.vocabulary),
        "num_tokens": len(plan.corpus.training.ids),
        "texts": plan.corpus.hashes,
    }


if __name__ == "__main__":
    sys.exit(main())
