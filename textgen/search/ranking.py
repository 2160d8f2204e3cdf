"""What came of a search, for people: `trials.csv`, a table as trials end, `best.yaml`."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

import optuna
import yaml
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from textgen.search.objective import Results, described
from textgen.search.study import DEFAULTS, LOSS, SPEED, STATES, created, state

COLUMNS = ("rank", "trial", *Results._fields, "state", "pareto_front")
"""Of `trials.csv`; the settings that were searched follow, and why a trial failed."""
TABLE = "{:>5}  {:<11}{:>9}{:>9}{:>7}{:>9}{:>12}{:>10}  {}"
"""A line on the terminal, 70 columns and the settings."""
INTERRUPTED = "interrupted; its settings are tried again"


def ranked(study: Study) -> list[FrozenTrial]:
    """The trials that were begun: complete ones by their loss, then the rest as in `STATES`."""
    begun = (t for t in study.get_trials(deepcopy=False) if t.state != TrialState.WAITING)
    return sorted(begun, key=lambda t: (STATES.index(state(t)), result(t, LOSS), t.number))


def complete(study: Study) -> list[FrozenTrial]:
    """The complete trials, the best first."""
    return [trial for trial in ranked(study) if state(trial) == "complete"]


def best(study: Study) -> FrozenTrial | None:
    """The complete trial of the lowest validation loss, if any is complete."""
    return next(iter(complete(study)), None)


def defaults(study: Study) -> FrozenTrial | None:
    """The complete trial of the settings of train.py, if there is one."""
    return next((trial for trial in complete(study) if DEFAULTS in trial.user_attrs), None)


def result(trial: FrozenTrial, name: str) -> float:
    """One of `Results`; infinity where a trial has none."""
    return float(trial.user_attrs.get("results", {}).get(name, math.inf))


def reason(trial: FrozenTrial) -> str:
    """Why a trial has no result."""
    attributes = trial.user_attrs
    return str(attributes.get("failure") or attributes.get("left_out") or "")


def judged_by(study: Study, names: Sequence[str]) -> Study:
    """The same trials, by their numbers, in a study that judges them by other results."""
    twin = created(names)
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


def csv_text(study: Study) -> str:
    """`trials.csv`."""
    text, on_front = io.StringIO(), front(study)
    names = dict.fromkeys(
        name for trial in study.get_trials(deepcopy=False) for name in trial.params
    )
    writer = csv.DictWriter(text, [*COLUMNS, *names, "reason"], restval="", lineterminator="\n")
    writer.writeheader()
    for rank, trial in enumerate(ranked(study), start=1):
        writer.writerow(
            {
                "rank": rank if state(trial) == "complete" else "",
                "trial": trial.number,
                "state": state(trial),
                "pareto_front": "yes" if trial.number in on_front else "",
                "reason": reason(trial),
                **trial.user_attrs.get("results", {}),
                **trial.params,
            }
        )
    return text.getvalue()


def heading() -> str:
    """The head of the table on the terminal."""
    return TABLE.format(
        "trial", "state", "val loss", "loss", "epochs", "s/epoch", "parameters", "tokens/s",
        "settings",
    )  # fmt: skip


def line(trial: FrozenTrial) -> str:
    """A line of the table: a trial that has ended."""
    why = reason(trial) or (INTERRUPTED if state(trial) == "interrupted" else "")
    told = why or described(trial.params)
    if "results" not in trial.user_attrs:
        return TABLE.format(trial.number, state(trial), *[""] * 6, told)
    results = Results(**trial.user_attrs["results"])
    return TABLE.format(
        trial.number, state(trial), f"{results.validation_loss:.4f}",
        f"{results.training_loss:.4f}", f"{results.epochs:.0f}",
        f"{results.seconds_per_epoch:.1f}", f"{results.parameters:,}",
        f"{results.tokens_per_second:,.0f}", told,
    )  # fmt: skip


def settings_text(data_dir: str, trial: FrozenTrial) -> str:
    """`best.yaml`: the settings of a trial, for `train.py --config`."""
    settings = trial.user_attrs["settings"]
    shown = {name.replace("_", "-"): value for name, value in settings.items()}
    head = f"# Trial {trial.number}: validation loss {result(trial, LOSS):.4f} nats per token.\n"
    head += "# To train it: python train.py --config THIS_FILE\n"
    return head + yaml.safe_dump({"data-dir": data_dir} | shown, sort_keys=False)
