"""The hyperparameter search: many short trainings, each with other settings.

Optuna keeps the trials, draws their settings and stops the poor ones; every trial is a process of
its own that trains as `train` does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textgen.settings.fields import Settings, setting
from textgen.settings.request import TrainRequest
from textgen.support.errors import TextgenError

BEST = -1
"""Stands for the best trial where another could be named by its number."""
MINUTES = 2.0
"""For each trial, where neither `minutes` nor `num_epochs` is given."""
UNUSED = frozenset(
    ["init_from", "word2vec", "freeze_embeddings", "live_sample", "save_every", "print_every"]
)
"""Settings of a training that a search has no use for."""
KEPT = ("trials", "pruner", "max_parameters", "max_memory")
"""Settings that a search goes on with when it is resumed, unless given anew."""


@dataclass(frozen=True)
class SearchSettings(Settings):
    """How many trials there are, what they try, when they are stopped, where they are kept."""

    trials: int = setting(
        20, "trials in all, failed ones included and interrupted ones not", minimum=1,
        group="the trials",
    )  # fmt: skip
    workers: int = setting(1, "trials at once on this machine, which share its cores", minimum=1)
    space: str | None = setting(
        None,
        "YAML file of what is tried, with lines like `dropout: {float: [0, 0.5]}`; the kinds are"
        " choice, int, float and log",
        metavar="FILE",
    )
    objective: str = setting(
        "loss",
        "loss: the lowest validation loss; loss,speed: also the most tokens per second in training,"
        " by a Pareto front",
        choices=("loss", "loss,speed"),
    )
    pruner: str = setting(
        "median",
        "which trials are stopped early: those worse than the median at the same time, by"
        " successive halving, or none",
        choices=("median", "halving", "none"),
    )
    max_parameters: int | None = setting(None, "try no model of more weights", minimum=1)
    max_memory: float | None = setting(
        None,
        "try nothing that is estimated to take more memory for training (default: the machine's,"
        " shared by `workers`)",
        above=0, metavar="GIB",
    )  # fmt: skip
    storage: str | None = setting(
        None,
        "database of the trials, in Optuna's form, such as postgresql://HOST/NAME: the same command"
        " on other machines joins in (default: FOLDER/.textgen/search.db)",
        metavar="URL", group="the search as a whole",
    )  # fmt: skip
    study: str | None = setting(
        None, "name of the search in the storage (default: the folder's)", metavar="NAME"
    )
    resume: bool = setting(False, "go on with the search in FOLDER, with its settings")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.study and (self.study in (".", "..") or Path(self.study).name != self.study):
            raise TextgenError(f"`study` must be a name without slashes. Received: {self.study}")


@dataclass(frozen=True)
class SearchRequest:
    """Asks for a search: the settings that were given, and nothing else.

    Attributes:
        training: the data directory, and the settings that all trials share.
        given: fields of `SearchSettings`.

    Raises:
        TextgenError: if a value is out of range, or two contradict each other.
    """

    training: TrainRequest
    given: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = self.settings()
        if settings.objective == "loss,speed" and self.given.get("pruner", "none") != "none":
            raise TextgenError(
                f"`pruner` {settings.pruner} contradicts `objective` loss,speed: Optuna stops"
                " trials early for one objective only. Leave one of them out"
            )

    def settings(self, before: Mapping[str, Any] | None = None) -> SearchSettings:
        """Returns what is given, else what was given `before`, else the defaults."""
        return SearchSettings.from_given(self.given, before or {})
