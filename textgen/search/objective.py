"""One trial of a search: settings drawn, a child process that trains them, what came of it."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna import TrialPruned
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial

from textgen import console
from textgen.errors import TextgenError
from textgen.history import Row
from textgen.search import limits, space, study
from textgen.search.children import ChildError, Children, StoppedError
from textgen.search.limits import Limits

TENTHS = 10
"""Where trials are measured in time, their losses are compared after each tenth of it."""


class FailedTrialError(Exception):
    """A trial failed, for the reason in the message."""


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
            FailedTrialError: if the process that trained it failed.
            StoppedError: if the search was asked to stop.
        """
        try:
            return self._run(trial)
        except (TextgenError, ChildError) as error:
            trial.set_user_attr("failure", str(error))
            raise FailedTrialError(str(error)) from error
        except (TrialPruned, StoppedError):
            raise
        except UpdateFinishedTrialError:
            self.lost = True
            raise
        except BaseException:
            self.children.stop()  # the storage is gone, or a second Ctrl-C: the others end too
            raise

    def _run(self, trial: Trial) -> float | tuple[float, float]:
        task = self.task
        if study.is_surplus(trial.study, trial.number, task.wanted):
            _leave_out(trial, "not needed: there are enough trials")
        settings = space.settled(task.base, space.suggest(task.space, trial), task.fixed)
        trial.set_user_attr("settings", settings)
        self._check(trial, settings)
        console.detail(f"trial {trial.number}: {described(settings, task.space)}")
        results = self._train(trial, settings)
        if _has_one_objective(trial):
            return results["validation_loss"]
        return results["validation_loss"], results["tokens_per_second"]

    def _check(self, trial: Trial, settings: Mapping[str, Any]) -> None:
        """Leave a trial out that cannot be, or needs more than it may have."""
        try:
            needs = limits.needs(settings, self.task.vocabulary_size, self.task.limits)
        except TextgenError as error:
            _leave_out(trial, str(error))
        for need in needs:
            trial.set_constraint(need.what, need.excess)
        if too_much := [f"{need.what}: {need.shown}" for need in needs if need.excess > 0]:
            _leave_out(trial, "; ".join(too_much))

    def _train(self, trial: Trial, settings: dict[str, Any]) -> dict[str, float]:
        """Train in a child process, and say after each epoch how it goes."""
        task, rows = self.task, list[Row]()
        folder = task.work / str(trial.number)
        order = {
            "data_dir": str(task.data_dir), "given": settings, "folder": str(folder),
            "log": str(task.logs / str(trial.number)) if task.logs else None,
            "threads": task.threads, "verbosity": console.Verbosity.QUIET,
        }  # fmt: skip
        size = limits.parameters(settings, task.vocabulary_size)
        reported = 0
        try:
            with closing(self.children.messages(order)) as messages:
                for message in messages:
                    rows.append(row := message["row"])
                    console.detail(f"trial {trial.number}: {_epoch_line(row)}")
                    step = task.step(row, message["fraction"])
                    if _has_one_objective(trial) and step > reported:
                        reported = step
                        self._report(trial, row["val_loss"], step)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if rows:
                trial.set_user_attr("results", summarized(rows, size))
        if not rows:
            raise ChildError("it ended before its first epoch")
        return summarized(rows, size)

    def _report(self, trial: Trial, loss: float, step: int) -> None:
        """Tell Optuna the loss at a step, and end the trial if it is not worth going on."""
        trial.report(loss, step)
        if step < self.task.steps and trial.should_prune():
            raise TrialPruned


def _has_one_objective(trial: Trial) -> bool:
    """Whether trials may be stopped early, which Optuna does for one objective only."""
    return len(trial.study.directions) == 1


def _leave_out(trial: Trial, reason: str) -> None:
    trial.set_user_attr("left_out", reason)
    raise TrialPruned(reason)


def _epoch_line(row: Row) -> str:
    return f"epoch {row['epoch']:.0f}, loss {row['loss']:.3f}, validation {row['val_loss']:.3f}"


def summarized(rows: list[Row], size: int) -> dict[str, float]:
    """What came of a trial, by the rows of its epochs, at least one.

    Args:
        rows: as in `history.csv`.
        size: the weights that were learned.
    """
    best, last = min(rows, key=lambda row: row["val_loss"]), rows[-1]
    return {
        "validation_loss": best["val_loss"],
        "training_loss": best["loss"],
        "epochs": last["epoch"],
        "seconds_per_epoch": round(last["seconds"] / last["epoch"], 3),
        "parameters": size,
        "tokens_per_second": statistics.median(row["tokens_per_second"] for row in rows),
    }


def described(settings: Mapping[str, Any], names: Iterable[str]) -> str:
    """Some of the settings, by the names of their flags."""
    return ", ".join(f"{name.replace('_', '-')} {_short(settings[name])}" for name in names)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
