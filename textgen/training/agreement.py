"""Trains on several machines: they agree on what to train, and then train it together."""

from __future__ import annotations

import json
from typing import Any

from textgen.model.checkpoint import Setup
from textgen.settings.request import TrainRequest
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.training.history import Row
from textgen.training.layout import Layout, wait_for_peers
from textgen.training.plan import Plan, make_plan, read_known, with_random_seed
from textgen.training.run import fit
from textgen.training.workers import SingleProcess, Workers


def train(request: TrainRequest, layout: Layout, keep_samples: bool = False) -> Row:
    """Trains with the other workers of `layout`; see `run.fit`.

    Raises:
        TextgenError: on all workers, where they do not fit together or one of them cannot go on.
        WorkerLostError: when another worker has gone.
    """
    if layout.is_chief:
        console.say(f"waiting for the {len(layout.workers) - 1} other worker(s) ...")
    wait_for_peers(layout)
    workers = Workers(layout)
    with console.verbosity(console.Verbosity.SILENT if layout.index else console.current()):
        console.say(f"{workers.count} workers train together")
        with workers.explained():
            plan = agreed_plan(request, workers, layout)
            return fit(request.data_dir, plan, workers=workers, keep_samples=keep_samples)


def agreed_plan(request: TrainRequest, workers: SingleProcess, layout: Layout) -> Plan:
    """Returns the chief's plan, with this worker's own copy of the text.

    Raises:
        TextgenError: on all workers, if settings or texts differ, or one has no usable text.
    """
    asked = dict(request.given) | {"resume": request.resume}
    answers = workers.each(lambda: json.dumps(asked, default=str))
    _refuse_difference(answers, layout, "the setting `{}`")
    plans: list[Plan] = []

    def make() -> str:
        plan = make_plan(request)
        workers.rows(plan.training.batch_size)  # refuses what cannot be shared, before long work
        plans.append(plan._replace(training=with_random_seed(plan.training)))
        return json.dumps(plans[0].setup.to_dict() | {"resume": plans[0].resume})

    told = json.loads(workers.by_chief(make))

    def read() -> str:
        if not plans:
            plans.append(_followed(request, told))
        return json.dumps(plans[0].corpus.hashes)

    _refuse_difference(workers.each(read), layout, "the text {}")
    return plans[0]


def _followed(request: TrainRequest, told: dict[str, Any]) -> Plan:
    """The chief's plan, with this machine's copy of the text."""
    setup = Setup.from_dict(told)
    corpus = read_known(request.data_dir, setup)
    return Plan(corpus, setup.model, setup.training, told["resume"])


def _refuse_difference(answers: list[str], layout: Layout, what: str) -> None:
    """Refuses workers that do not say the same, by name, as the chief does."""
    ours, *others = (json.loads(answer) for answer in answers)
    for index, theirs in enumerate(others, start=1):
        for name in sorted(ours | theirs):
            here, there = ours.get(name), theirs.get(name)
            if here != there:
                raise TextgenError(
                    f"{what.format(name)} of {layout.name(index)} is not that of {layout.name(0)}:"
                    f" {_short(there)}, not {_short(here)}. Make it the same on all workers"
                )


def _short(value: Any) -> str:
    """A value for people; of a content hash its beginning is enough."""
    return "none" if value is None else str(value)[:40]
