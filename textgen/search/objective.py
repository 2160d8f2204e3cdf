"""One trial of a search: settings drawn, a child process that trains them, what came of it."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from optuna import TrialPruned
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial

from textgen.search import limits, space, study
from textgen.search.children import ChildError, Children, StoppedError
from textgen.search.limits import Limits
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.training.history import Row

TENTHS = 10
"""Where trials are measured in time, their losses are compared after each tenth of it."""
FAILURES = (TextgenError, ChildError)
"""What ends one trial, and not the search."""


class Results(NamedTuple):
    """What came of a trial, which keeps it as a dict, and a row of `trials.csv`."""

    validation_loss: float
    """Nats per token, in the best epoch."""
    training_loss: float
    epochs: float
    seconds_per_epoch: float
    parameters: int
    """The weights that were learned."""
    tokens_per_second: float
    """In training, the median of the epochs."""


@dataclass(frozen=True)
class Task:
    """What the trials of a search have in common."""

    data_dir: Path
    work: Path
    """The folder for their models, while they run."""
    logs: Path | None
    """The folder for TensorBoard's logs, one per trial."""
    space: space.Space
    base: dict[str, Any]
    """The settings of train.py for this text and time."""
    fixed: dict[str, Any]
    vocabulary_size: int
    limits: Limits
    threads: int
    wanted: int
    """Trials in all."""

    @property
    def steps(self) -> int:
        """The steps that losses are reported by: tenths of the time, or epochs."""
        return TENTHS if self.base.get("minutes") else int(self.base["num_epochs"])

    def step(self, row: Row, fraction: float) -> int:
        """The last step that an epoch ended, given how much of the trial is done."""
        return int(TENTHS * fraction) if self.base.get("minutes") else int(row["epoch"])


class Objective:
    """What Optuna calls for each trial; it may do so in several threads.

    Args:
        task: what all trials share.
        children: starts the processes.
    """

    def __init__(self, task: Task, children: Children) -> None:
        self.task, self.children = task, children
        self.lost = False
        """Whether a trial of this process was taken for dead: its machine slept for a while."""

    def __call__(self, trial: Trial) -> float | tuple[float, float]:
        """The validation loss in nats per token; with two objectives, also the tokens per second.

        Raises:
            TrialPruned: where the trial was stopped early, or not begun.
            FAILURES: if its settings cannot be trained, or the process that trained it failed.
            StoppedError: if the search was asked to stop.
        """
        try:
            results = self._results(trial)
        except FAILURES as error:
            trial.set_user_attr("failure", str(error))
            raise
        except (TrialPruned, StoppedError):
            raise
        except UpdateFinishedTrialError:
            self.lost = True
            raise
        except BaseException:
            self.children.stop()  # the storage is gone, or a second Ctrl-C: the others end too
            raise
        if _has_one_objective(trial):
            return results.validation_loss
        return results.validation_loss, results.tokens_per_second

    def _results(self, trial: Trial) -> Results:
        task = self.task
        if study.is_surplus(trial.study, trial.number, task.wanted):
            _leave_out(trial, "not needed: there are enough trials")
        settings = space.settled(task.base, space.suggest(task.space, trial), task.fixed)
        parameters = self._checked(trial, settings)
        trial.set_user_attr("settings", settings)
        console.detail(f"trial {trial.number}: {described(trial.params)}")
        return self._train(trial, settings, parameters)

    def _checked(self, trial: Trial, settings: Mapping[str, Any]) -> int:
        """The weights of a trial, which is left out if it cannot be, or needs more than it may."""
        try:
            needs = limits.needs(settings, self.task.vocabulary_size, self.task.limits)
        except TextgenError as error:
            _leave_out(trial, str(error))
        if too_much := {what: need for what, need in needs.items() if need.excess > 0}:
            trial.set_constraint("excess", sum(need.excess for need in too_much.values()))
            _leave_out(trial, "; ".join(f"{what}: {n.shown}" for what, n in too_much.items()))
        return int(needs["parameters"].amount)

    def _train(self, trial: Trial, settings: dict[str, Any], parameters: int) -> Results:
        """Train in a child process, and say after each epoch how it goes."""
        task, rows = self.task, list[Row]()
        folder = task.work / str(trial.number)
        order = {
            "data_dir": str(task.data_dir), "given": settings, "folder": str(folder),
            "log": str(task.logs / str(trial.number)) if task.logs else None,
            "threads": task.threads, "verbosity": console.Verbosity.QUIET,
        }  # fmt: skip
        reported = 0
        try:
            with closing(self.children.messages(order)) as messages:
                for message in messages:
                    rows.append(row := message["row"])
                    console.detail(f"trial {trial.number}: {_epoch_line(row)}")
                    step = task.step(row, message["fraction"])
                    if step > reported:
                        reported = step
                        self._report(trial, row["val_loss"], step)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if rows:
                trial.set_user_attr("results", summarized(rows, parameters)._asdict())
        if not rows:
            raise ChildError("it ended before its first epoch")
        return summarized(rows, parameters)

    def _report(self, trial: Trial, loss: float, step: int) -> None:
        """Tell Optuna the loss at a step, and end the trial if it is not worth going on."""
        if not _has_one_objective(trial):
            return
        trial.report(loss, step)
        if step < self.task.steps and trial.should_prune():
            raise TrialPruned


def _has_one_objective(trial: Trial) -> bool:
    """Whether trials may be stopped early, which Optuna does for one objective only."""
    return len(trial.study.directions) == 1


def _leave_out(trial: Trial, reason: str) -> NoReturn:
    trial.set_user_attr("left_out", reason)
    raise TrialPruned(reason)


def _epoch_line(row: Row) -> str:
    return f"epoch {row['epoch']:.0f}, loss {row['loss']:.3f}, validation {row['val_loss']:.3f}"


def summarized(rows: list[Row], parameters: int) -> Results:
    """What came of a trial, by the rows of its epochs, at least one.

    Args:
        rows: as in `history.csv`.
        parameters: the weights that were learned.
    """
    best, last = min(rows, key=lambda row: row["val_loss"]), rows[-1]
    return Results(
        validation_loss=best["val_loss"],
        training_loss=best["loss"],
        epochs=last["epoch"],
        seconds_per_epoch=round(last["seconds"] / last["epoch"], 3),
        parameters=parameters,
        tokens_per_second=statistics.median(row["tokens_per_second"] for row in rows),
    )


def described(settings: Mapping[str, Any]) -> str:
    """Settings by the names of their flags."""
    return ", ".join(f"{name.replace('_', '-')} {_short(settings[name])}" for name in settings)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
