"""What came of a search, for people: `trials.csv`, a table as trials end, `best.yaml`."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import optuna
import yaml
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from textgen.search.objective import described
from textgen.search.study import DEFAULTS

RESULTS = (
    "validation_loss", "training_loss", "epochs", "seconds_per_epoch", "parameters",
    "tokens_per_second",
)  # fmt: skip
COLUMNS = ("rank", "trial", *RESULTS, "state", "pareto_front")
"""Of `trials.csv`; the settings that were searched follow, and why a trial failed."""
LOSS, SPEED = "validation_loss", "tokens_per_second"
TABLE = "{:>5}  {:<11}{:>9}{:>9}{:>7}{:>9}{:>12}{:>10}  {}"
"""A line on the terminal, 70 columns and the settings."""
INTERRUPTED = "interrupted; its settings are tried again"


def state(trial: FrozenTrial) -> str:
    """What became of a trial, in a word."""
    if trial.state == TrialState.FAIL and "failure" not in trial.user_attrs:
        return "interrupted"
    if "left_out" in trial.user_attrs:
        return "left out"
    return {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}.get(
        trial.state.name, "running"
    )


def reason(trial: FrozenTrial) -> str:
    """Why a trial has no result."""
    attributes = trial.user_attrs
    return str(attributes.get("failure") or attributes.get("left_out") or "")


def ranked(study: Study) -> list[FrozenTrial]:
    """The trials that were begun: complete ones by their loss, then the pruned, then the rest."""
    order = ["complete", "pruned", "running", "failed", "interrupted", "left out"]
    begun = (t for t in study.get_trials(deepcopy=False) if t.state != TrialState.WAITING)
    return sorted(begun, key=lambda t: (order.index(state(t)), result(t, LOSS), t.number))


def result(trial: FrozenTrial, name: str) -> float:
    """One of `RESULTS`; infinity where a trial has none."""
    return float(trial.user_attrs.get("results", {}).get(name, math.inf))


def best(study: Study) -> FrozenTrial | None:
    """The complete trial of the lowest validation loss, if any is complete."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return min(complete, key=lambda trial: result(trial, LOSS), default=None)


OBJECTIVES: dict[str, tuple[Literal["minimize", "maximize"], str]] = {
    LOSS: ("minimize", "validation loss, nats per token"),
    SPEED: ("maximize", "tokens per second, in training"),
}


def defaults(study: Study) -> FrozenTrial | None:
    """The complete trial of the settings of train.py, if there is one."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return next((trial for trial in complete if DEFAULTS in trial.user_attrs), None)


def judged_by(study: Study, names: Sequence[str]) -> Study:
    """The same trials, by their numbers, as those of a study of other objectives.

    Args:
        study: the trials.
        names: of `OBJECTIVES`.
    """
    twin = optuna.create_study(directions=[OBJECTIVES[name][0] for name in names])
    twin.set_metric_names([OBJECTIVES[name][1] for name in names])
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


def front(study: Study) -> set[int]:
    """The numbers of the trials that no other beats in loss and in speed."""
    return {trial.number for trial in judged_by(study, (LOSS, SPEED)).best_trials}


def csv_text(study: Study, names: Iterable[str]) -> str:
    """`trials.csv`.

    Args:
        study: the trials.
        names: of the settings that are searched.
    """
    text, on_front, names = io.StringIO(), front(study), list(names)
    writer = csv.DictWriter(text, [*COLUMNS, *names, "reason"], lineterminator="\n")
    writer.writeheader()
    for rank, trial in enumerate(ranked(study), start=1):
        settings = trial.user_attrs.get("settings", {})
        results = trial.user_attrs.get("results", {})
        writer.writerow(
            {
                "rank": rank if state(trial) == "complete" else "",
                "trial": trial.number,
                "state": state(trial),
                "pareto_front": "yes" if trial.number in on_front else "",
                "reason": reason(trial),
                **{name: results.get(name, "") for name in RESULTS},
                **{name: settings.get(name, "") for name in names},
            }
        )
    return text.getvalue()


def heading() -> str:
    """The head of the table on the terminal."""
    return TABLE.format(
        "trial", "state", "val loss", "loss", "epochs", "s/epoch", "parameters", "tokens/s",
        "settings",
    )  # fmt: skip


def line(trial: FrozenTrial, names: Iterable[str]) -> str:
    """A line of the table: a trial that has ended."""
    results, settings = trial.user_attrs.get("results"), trial.user_attrs.get("settings", {})
    why = reason(trial) or (INTERRUPTED if state(trial) == "interrupted" else "")
    told = why or described(settings, [name for name in names if name in settings])
    if not results:
        return TABLE.format(trial.number, state(trial), *[""] * 6, told)
    return TABLE.format(
        trial.number, state(trial), f"{results[LOSS]:.4f}", f"{results['training_loss']:.4f}",
        f"{results['epochs']:.0f}", f"{results['seconds_per_epoch']:.1f}",
        f"{results['parameters']:,}", f"{results[SPEED]:,.0f}", told,
    )  # fmt: skip


def settings_text(data_dir: str, trial: FrozenTrial) -> str:
    """`best.yaml`: the settings of a trial, for `train.py --config`."""
    settings: Mapping[str, Any] = trial.user_attrs["settings"]
    shown = {name.replace("_", "-"): value for name, value in settings.items()}
    head = f"# Trial {trial.number}: validation loss {result(trial, LOSS):.4f} nats per token.\n"
    head += "# To train it: python train.py --config THIS_FILE\n"
    return head + yaml.safe_dump({"data-dir": data_dir} | shown, sort_keys=False)
