"""Says and writes what comes of a search while it goes on, and at its end."""

from __future__ import annotations

import shlex
import threading
from pathlib import Path

from optuna.study import Study
from optuna.trial import FrozenTrial

from textgen.search import plots, ranking
from textgen.search.objective import described
from textgen.search.request import BEST
from textgen.search.study import LOSS, SPEED, state
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import write_atomic

MOST_FAILURES = 5
"""In a row: then something else than the settings is wrong."""
MOST_LEFT_OUT = 30
"""In a row: then hardly any settings in the space may be trained."""


class Reporter:
    """Tells of each trial that ends, and keeps `trials.csv` and `best.yaml`.

    Args:
        data_dir: the data directory, as it was given.
        folder: where the results go.
        wanted: trials in all.
    """

    def __init__(self, data_dir: Path, folder: Path, wanted: int) -> None:
        self.data_dir, self.folder, self.wanted = data_dir, folder, wanted
        self.problem = ""
        """Why the search cannot go on, if it cannot."""
        self._lock = threading.Lock()
        self._in_a_row = {"failed": 0, "left out": 0}
        self._has_head = False

    def tell(self, study: Study, trial: FrozenTrial) -> None:
        """Show a trial that has ended, and write the results so far."""
        with self._lock:
            self._count(trial)
            if state(trial) == "left out":
                console.detail(ranking.line(trial))
                return
            if not self._has_head:
                console.say(ranking.heading(), "bright")
                self._has_head = True
            best = ranking.best(study)
            is_best = best is not None and best.number == trial.number
            console.say(ranking.line(trial), "green" if is_best else None)
            self.write(study)

    def _count(self, trial: FrozenTrial) -> None:
        for kind in self._in_a_row:
            self._in_a_row[kind] = self._in_a_row[kind] + 1 if kind == state(trial) else 0
        if self._in_a_row["failed"] >= MOST_FAILURES:
            self.problem = (
                f"{MOST_FAILURES} trials in a row failed, the last one so:"
                f" {ranking.reason(trial)}. Mend that, then go on with --resume"
            )
        if self._in_a_row["left out"] >= MOST_LEFT_OUT:
            self.problem = (
                f"{MOST_LEFT_OUT} settings in a row could not be trained, the last ones because of"
                f" {ranking.reason(trial)}. Raise the limit, or narrow the --space"
            )

    def write(self, study: Study) -> None:
        """Write `trials.csv`, and `best.yaml` if a trial is complete. Raises TextgenError."""
        text = ranking.csv_text(study)
        write_atomic(self.folder / "trials.csv", text.encode())
        if best := ranking.best(study):
            self._write_settings(best)

    def _write_settings(self, trial: FrozenTrial) -> None:
        text = ranking.settings_text(str(self.data_dir), trial)
        write_atomic(self.folder / "best.yaml", text.encode())

    def chosen(self, study: Study, number: int | None) -> FrozenTrial:
        """The best trial, or the complete one of a number, which `best.yaml` then has.

        Args:
            study: the trials.
            number: `BEST` stands for the best one too.

        Raises:
            TextgenError: if there is none.
        """
        complete = {trial.number: trial for trial in ranking.complete(study)}
        if not complete:
            raise TextgenError(
                f"none of the {self.wanted} trials is complete: see {self.folder / 'trials.csv'}"
            )
        if number in (None, BEST):
            return next(iter(complete.values()))
        if number not in complete:
            numbers = ", ".join(map(str, complete))
            raise TextgenError(f"--apply {number} is no complete trial. Choose from {numbers}")
        self._write_settings(complete[number])
        return complete[number]

    def close(self, study: Study, trial: FrozenTrial, address: str) -> None:
        """Say what was found, and draw it."""
        pictures = plots.write(self.folder, study)
        console.heading("The search is complete")
        if running := sum(state(trial) == "running" for trial in study.trials):
            console.say(f"but for {running} trials that other processes still run")
        console.say(f"trial {trial.number}: {_loss(trial)}", "green")
        console.say(f"  {described(trial.params)}")
        if first := ranking.defaults(study):
            console.say(f"settings of train.py (trial {first.number}): {_loss(first)}")
        front = ", ".join(map(str, sorted(ranking.front(study))))
        console.say(f"no trial is both better and faster than: {front} (--apply N takes one)")
        console.say(f"all trials:  {self.folder / 'trials.csv'}")
        if pictures:
            console.say(f"pictures:    {', '.join(map(str, pictures))}")
        best = shlex.quote(str(self.folder / "best.yaml"))
        console.say(f"to train it: python train.py --config {best}")
        console.say(f"to browse:   optuna-dashboard {address}")


def _loss(trial: FrozenTrial) -> str:
    loss, speed = (ranking.result(trial, name) for name in (LOSS, SPEED))
    return f"validation loss {loss:.4f}, {speed:,.0f} tokens/s in training"
