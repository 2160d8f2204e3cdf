"""The memory of a search: an Optuna study in a database, which survives all its processes.

Optuna's storage is the only thing that workers share: it hands out trials, so that none is run
twice, and knows by heartbeats which of them died.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from textgen.support.errors import TextgenError

SECONDS_TO_BEGIN = 20
"""For another process to say what the study is about that it has made."""
MOST_TRIES = 3
"""How often settings are tried whose trial is interrupted every time."""
FACTS = "textgen"
"""The study's attribute that says what is searched, on which text."""
DEFAULTS = "defaults"
"""The attribute of the first trial, and of those that try it again: the settings of train.py."""
LOSS, SPEED = "validation_loss", "tokens_per_second"
OBJECTIVES = {"loss": (LOSS,), "loss,speed": (LOSS, SPEED)}
"""The results that are judged, by `--objective`."""
DIRECTIONS: dict[str, Literal["minimize", "maximize"]] = {LOSS: "minimize", SPEED: "maximize"}
TITLES = {LOSS: "validation loss, nats per token", SPEED: "tokens per second, in training"}
STATES = ("complete", "pruned", "running", "failed", "interrupted", "left out", "waiting")
"""What may become of a trial; results list them in this order."""
COUNTED = frozenset(["complete", "pruned", "running", "failed"])
"""Those of the trials that were asked for: not of those that are tried again, or not trained."""

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=ExperimentalWarning)


def facts(storage: RDBStorage, name: str, shared: bool) -> dict[str, Any] | None:
    """What is searched in the study `name`, or None where there is no such study.

    The process that makes a study says so a moment later. In a shared storage that is waited
    for; in one's own it was killed in between, and the study is begun anew.

    Raises:
        TextgenError: if it is a study of something else.
    """
    if name not in optuna.get_all_study_names(storage):
        return None
    study = optuna.load_study(study_name=name, storage=storage)
    deadline = time.monotonic() + SECONDS_TO_BEGIN
    while time.monotonic() < deadline:
        if found := study.user_attrs.get(FACTS):
            return dict(found)
        if not shared:
            optuna.delete_study(study_name=name, storage=storage)
            return None
        time.sleep(0.1)
    raise TextgenError(
        f"the study {name} was not begun by textgen, or its beginning was cut short. Choose"
        " another --study NAME"
    )


def created(results: Sequence[str], **options: Any) -> Study:
    """A new study that judges its trials by some of their results: `LOSS`, `SPEED`, or both."""
    study = optuna.create_study(directions=[DIRECTIONS[name] for name in results], **options)
    study.set_metric_names([TITLES[name] for name in results])
    return study


def begin(
    storage: RDBStorage, name: str, about: Mapping[str, Any], first: Mapping[str, Any]
) -> bool:
    """Make a study; False where another process did so just before.

    Args:
        storage: where.
        name: of the study.
        about: its facts; `objective` is one of `OBJECTIVES`.
        first: the settings of its first trial.
    """
    try:
        study = created(OBJECTIVES[about["objective"]], storage=storage, study_name=name)
    except DuplicatedStudyError:
        return False
    study.enqueue_trial(dict(first), user_attrs={DEFAULTS: True})
    study.set_user_attr(FACTS, dict(about))
    return True


def sampler(random_seed: int | None, wanted: int) -> optuna.samplers.BaseSampler:
    """What draws settings: at random at first, then by what is known of the trials before.

    Args:
        random_seed: None where several processes must not draw the same.
        wanted: trials in all.
    """
    return optuna.samplers.TPESampler(
        seed=random_seed, n_startup_trials=max(3, min(10, wanted // 4))
    )


def pruner(name: str | None, steps: int) -> optuna.pruners.BasePruner:
    """What stops trials early, but no trial in the first fifth of its steps.

    Args:
        name: that of `--pruner`, or None for the usual one.
        steps: of a whole trial.
    """
    if name == "none":
        return optuna.pruners.NopPruner()
    if name == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(max(1, steps // 5), reduction_factor=3)
    return optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=3 * steps // 10)


def state(trial: FrozenTrial) -> str:
    """What became of a trial: one of `STATES`."""
    if trial.state == TrialState.FAIL:
        return "failed" if "failure" in trial.user_attrs else "interrupted"
    return "left out" if "left_out" in trial.user_attrs else trial.state.name.lower()


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial is one of those that were asked for."""
    return state(trial) in COUNTED


def counted(study: Study) -> int:
    """The trials that were begun of those that were asked for."""
    return sum(map(counts, study.get_trials(deepcopy=False)))


def is_surplus(study: Study, number: int, wanted: int) -> bool:
    """Whether trial `number` was begun when there were enough: another worker was as quick."""
    earlier = (t for t in study.get_trials(deepcopy=False) if t.number < number)
    return sum(map(counts, earlier)) >= wanted


def fail_dead(study: Study) -> None:
    """Mark the running trials of a study, on which nobody works, as failed."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        try_again(study, trial)


def try_again(study: Study, trial: FrozenTrial) -> None:
    """Let the settings of a trial that was interrupted be the next ones that are tried."""
    tries = trial.user_attrs.get("tries", 1)
    if trial.params and tries < MOST_TRIES:
        kept = {DEFAULTS: True} if DEFAULTS in trial.user_attrs else {}
        study.enqueue_trial(trial.params, user_attrs=kept | {"tries": tries + 1})
