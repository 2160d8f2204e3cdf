"""The results of a search: a table as trials end, `trials.csv`, `best.yaml`, pictures."""

from __future__ import annotations

import csv
import io
import math
import statistics
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import yaml
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from textgen.model.history import BITS, NATS, Row
from textgen.search import BEST
from textgen.search.study import DEFAULTS, LOSS, SPEED, STATES, TITLES, new_study, state_of
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import write_atomic

MOST_IN_A_ROW = {"failed": 5, "left out": 30}
"""Then something else than the settings is wrong, or hardly any in the space can be trained."""
LEAST_FOR_IMPORTANCE = 4
"""Complete trials, below which nothing can be said of what matters."""
TABLE = "{:>5}  {:<11}{:>9}{:>10}{:>9}{:>7}{:>9}{:>12}{:>10}  {}"
"""A line on the terminal, 80 columns and the settings."""
SHOWN = {
    "validation_loss": "{:.4f}", BITS: "{:.4f}", "training_loss": "{:.4f}", "epochs": "{:.0f}",
    "seconds_per_epoch": "{:.1f}", "parameters": "{:,}", "tokens_per_second": "{:,.0f}",
}  # fmt: skip
"""The results in it."""


class Results(NamedTuple):
    """The results of a trial, which keeps them as a dict; a part of a row of `trials.csv`."""

    validation_loss: float
    """Nats per token, in the best epoch."""
    training_loss: float
    epochs: float
    seconds_per_epoch: float
    parameters: int
    """The weights that were learned."""
    tokens_per_second: float
    """In training, the median of the epochs; of the whole trial where that was hardly compiled."""
    nats_per_character: float
    """The validation loss by the characters of the text: comparable to searches on other tokens."""
    bits_per_character: float

    @classmethod
    def of(cls, rows: Sequence[Row], parameters: int, tokens_per_step: int) -> Results:
        """Returns the results by the rows of `history.csv`, at least one."""
        best, last = min(rows, key=lambda row: row["val_loss"]), rows[-1]
        measured = [row["tokens_per_second"] for row in rows if row["tokens_per_second"]]
        whole = round(last["step"] * tokens_per_step / last["seconds"])
        return cls(
            validation_loss=best["val_loss"],
            training_loss=best["loss"],
            epochs=last["epoch"],
            seconds_per_epoch=round(last["seconds"] / last["epoch"], 3),
            parameters=parameters,
            tokens_per_second=statistics.median(measured or [whole]),
            nats_per_character=best[NATS],
            bits_per_character=best[BITS],
        )


COLUMNS = ("rank", "trial", *Results._fields, "state", "pareto_front")
"""Of `trials.csv`; the settings that were searched follow, and why a trial failed."""


def described(settings: Mapping[str, Any]) -> str:
    """Returns settings by the names of their flags."""
    short = {n: f"{v:.3g}" if isinstance(v, float) else str(v) for n, v in settings.items()}
    return ", ".join(f"{name.replace('_', '-')} {value}" for name, value in short.items())


def result(trial: FrozenTrial, name: str) -> float:
    """Returns one of `Results`; infinity where a trial has none."""
    return float(trial.user_attrs.get("results", {}).get(name, math.inf))


def ranked(study: Study) -> list[FrozenTrial]:
    """Returns the trials that were begun: complete ones by their loss, then as in `STATES`."""
    begun = (t for t in study.get_trials(deepcopy=False) if t.state != TrialState.WAITING)
    return sorted(begun, key=lambda t: (STATES.index(state_of(t)), result(t, LOSS), t.number))


def complete(study: Study) -> list[FrozenTrial]:
    """Returns the complete trials, the best first."""
    return [trial for trial in ranked(study) if state_of(trial) == "complete"]


def judged_by(study: Study, names: Sequence[str]) -> Study:
    """Returns the same trials, by their numbers, in a study that judges them by some results."""
    twin = new_study(names)
    for trial in study.get_trials(deepcopy=False):
        is_complete = trial.state == TrialState.COMPLETE
        twin.add_trial(
            optuna.trial.create_trial(
                state=TrialState.COMPLETE if is_complete else TrialState.FAIL,
                values=[result(trial, name) for name in names] if is_complete else None,
                params=trial.params,
                distributions=trial.distributions,
            )
        )
    return twin


def pareto_front(study: Study) -> list[int]:
    """Returns the numbers of the trials that no other beats in loss and in speed."""
    return sorted(trial.number for trial in judged_by(study, (LOSS, SPEED)).best_trials)


def csv_text(study: Study) -> str:
    """Returns `trials.csv`."""
    text, front = io.StringIO(), pareto_front(study)
    searched = dict.fromkeys(name for t in study.get_trials(deepcopy=False) for name in t.params)
    writer = csv.DictWriter(text, [*COLUMNS, *searched, "reason"], lineterminator="\n")
    writer.writeheader()
    for rank, trial in enumerate(ranked(study), start=1):
        row = {
            "rank": rank if state_of(trial) == "complete" else "",
            "trial": trial.number,
            "state": state_of(trial),
            "pareto_front": "yes" if trial.number in front else "",
            "reason": reason(trial),
        }
        writer.writerow(row | trial.user_attrs.get("results", {}) | trial.params)
    return text.getvalue()


def reason(trial: FrozenTrial) -> str:
    """Returns why a trial has no result."""
    return str(trial.user_attrs.get("failure") or trial.user_attrs.get("left_out") or "")


def heading() -> str:
    """Returns the head of the table on the terminal."""
    return TABLE.format(
        "trial", "state", "val loss", "bits/char", "loss", "epochs", "s/epoch", "parameters",
        "tokens/s", "settings",
    )  # fmt: skip


def line(trial: FrozenTrial) -> str:
    """Returns a line of the table: a trial that has ended."""
    text = reason(trial) or described(trial.params)
    if state_of(trial) == "interrupted":
        text = "its settings are tried again"
    cells = [""] * len(SHOWN)
    if found := trial.user_attrs.get("results"):
        cells = [form.format(found[name]) for name, form in SHOWN.items()]
    return TABLE.format(trial.number, state_of(trial), *cells, text)


class Reporter:
    """Tells of each trial that ends, and keeps `trials.csv` and `best.yaml`.

    Args:
        data_dir: the data directory, as it was given.
        folder: where the results go.

    Attributes:
        problem: why the search cannot go on, if it cannot.
    """

    def __init__(self, data_dir: Path, folder: Path) -> None:
        self.data_dir, self.folder = data_dir, folder
        self.problem = ""
        self._lock = threading.Lock()
        self._state, self._in_a_row = "", 0
        self._has_head = False

    def tell(self, study: Study, trial: FrozenTrial) -> None:
        """Shows a trial that has ended, and writes the results so far."""
        with self._lock:
            state = state_of(trial)
            self._in_a_row = self._in_a_row + 1 if state == self._state else 1
            self._state = state
            if self._in_a_row >= MOST_IN_A_ROW.get(state, math.inf):
                self.problem = (
                    f"{self._in_a_row} trials in a row {state}, the last one so: {reason(trial)}."
                    " Mend that, raise the limit or narrow the `space`, then go on with `resume`"
                )
            if state == "left out":
                console.detail(line(trial))
                return
            if not self._has_head:
                console.say(heading(), "bright")
                self._has_head = True
            is_best = [best.number for best in complete(study)[:1]] == [trial.number]
            console.say(line(trial), "green" if is_best else None)
            self.write(study)

    def write(self, study: Study) -> None:
        """Writes `trials.csv`, and `best.yaml` if a trial is complete. Raises TextgenError."""
        write_atomic(self.folder / "trials.csv", csv_text(study).encode())
        for best in complete(study)[:1]:
            self._write_settings(best)

    def _write_settings(self, trial: FrozenTrial) -> None:
        settings = {"data_dir": str(self.data_dir)} | trial.user_attrs["settings"]
        shown = {name.replace("_", "-"): value for name, value in settings.items()}
        head = f"# Trial {trial.number}: validation loss {_loss_text(trial)}.\n"
        head += f"# To train it: {console.command_line('train', config='THIS_FILE')}\n"
        text = head + yaml.safe_dump(shown, sort_keys=False)
        write_atomic(self.folder / "best.yaml", text.encode())

    def choose(self, study: Study, number: int | None) -> FrozenTrial:
        """Returns the best trial, or the complete one of a number, which `best.yaml` then has.

        Args:
            study: the trials.
            number: `BEST` stands for the best one too.

        Raises:
            TextgenError: if there is none.
        """
        found = {trial.number: trial for trial in complete(study)}
        if not found:
            raise TextgenError(f"no trial is complete: see {self.folder / 'trials.csv'}")
        if number in (None, BEST):
            return next(iter(found.values()))
        if number not in found:
            numbers = ", ".join(map(str, found))
            raise TextgenError(f"`apply` {number} is no complete trial. Choose from {numbers}")
        self._write_settings(found[number])
        return found[number]

    def close(self, study: Study, trial: FrozenTrial, address: str) -> None:
        """Says what was found, and draws it."""
        pictures = draw(self.folder, study)
        console.heading("The search is complete")
        if running := sum(state_of(trial) == "running" for trial in study.trials):
            console.say(f"but for {running} trials that other processes still run")
        console.say(f"trial {trial.number}: {_loss_and_speed(trial)}", "green")
        console.say(f"  {described(trial.params)}")
        for first in [t for t in complete(study) if DEFAULTS in t.user_attrs][:1]:
            console.say(f"default settings (trial {first.number}): {_loss_and_speed(first)}")
        front = ", ".join(map(str, pareto_front(study)))
        console.say(f"no trial is both better and faster than: {front} (`apply` N takes one)")
        console.say(f"all trials:  {self.folder / 'trials.csv'}")
        if pictures:
            console.say(f"pictures:    {', '.join(map(str, pictures))}")
        best = self.folder / "best.yaml"
        console.say(f"to train it: {console.command_line('train', config=best)}")
        console.say(f"to browse:   optuna-dashboard {address}")


def _loss_text(trial: FrozenTrial) -> str:
    loss, nats, bits = (result(trial, name) for name in (LOSS, NATS, BITS))
    text = f"{loss:.4f} nats per token"
    if not math.isfinite(bits):  # a trial of before this was measured
        return text
    both = "" if f"{nats:.4f}" == f"{loss:.4f}" else f"{nats:.4f} nats, "
    return f"{text} ({both}{bits:.4f} bits per character)"


def _loss_and_speed(trial: FrozenTrial) -> str:
    speed = result(trial, SPEED)
    return f"validation loss {_loss_text(trial)}, {speed:,.0f} tokens/s in training"


def draw(folder: Path, study: Study) -> list[Path]:
    """Draws `history`, `pareto` and `importance` of a study into `folder`; returns the files."""
    by_loss, by_both = judged_by(study, (LOSS,)), judged_by(study, (LOSS, SPEED))
    losses = [trial.value for trial in by_loss.trials if trial.value is not None]
    if not losses:
        return []
    import matplotlib  # here, because it takes half a second

    matplotlib.use("agg")
    from matplotlib import pyplot
    from optuna.visualization import matplotlib as plots

    pictures: dict[str, Any] = {
        "history": plots.plot_optimization_history(by_loss, target_name=TITLES[LOSS]),
        "pareto": plots.plot_pareto_front(by_both),
    }
    if len(losses) >= LEAST_FOR_IMPORTANCE and len(set(losses)) > 1:
        pictures["importance"] = plots.plot_param_importances(by_loss)
    for name, axes in pictures.items():
        content = io.BytesIO()
        axes.figure.set_size_inches(9, 6)
        axes.figure.savefig(content, format="png", dpi=110, bbox_inches="tight")
        pyplot.close(axes.figure)
        write_atomic(folder / f"{name}.png", content.getvalue())
    return [folder / f"{name}.png" for name in pictures]
