"""train.py on several machines: they agree on what to train, and then train it together."""

from __future__ import annotations

import argparse
import json
from typing import Any

from textgen.settings.definitions import ModelSettings, TrainingSettings
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.tokens.corpus import VocabularyRule, read_corpus
from textgen.tokens.tokenizers import from_metadata, to_metadata
from textgen.training import fit, planning
from textgen.training.fit import Plan
from textgen.training.layout import Layout, wait_for_peers
from textgen.training.workers import Cluster, Workers

OWN = (
    "config", "data_dir", "distribute", "quiet", "serve", "verbose", "worker_index", "workers",
)  # fmt: skip
"""Flags that each machine may have its own of."""


def train(arguments: argparse.Namespace, layout: Layout) -> dict[str, float]:
    """Train with the other workers of `layout`; see `training.fit`.

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
            plan = agreed_plan(arguments, workers, layout)
            serves = arguments.serve is not None
            return fit.fit(arguments.data_dir, plan, cluster=workers, keep_samples=serves)


def agreed_plan(arguments: argparse.Namespace, cluster: Cluster, layout: Layout) -> Plan:
    """What the chief plans, with each worker's own copy of the text.

    Raises:
        TextgenError: on all workers, if flags or texts differ, or one has no usable text.
    """
    flags = {n: v for n, v in sorted(vars(arguments).items()) if n not in OWN}
    _refuse_difference(cluster.each(lambda: json.dumps(flags, default=str)), layout, "flag")
    plans: list[Plan] = []

    def make() -> str:
        plans.append(_of_chief(arguments, cluster))
        return json.dumps(_told(plans[0]))

    told = json.loads(cluster.by_chief(make))

    def read() -> str:
        if not plans:
            plans.append(_followed(arguments, told))
        return json.dumps(plans[0].corpus.hashes)

    _refuse_difference(cluster.each(read), layout, "text")
    return plans[0]


def _of_chief(arguments: argparse.Namespace, cluster: Cluster) -> Plan:
    plan = planning.plan(arguments)
    cluster.rows(plan.settings.batch_size)  # refuses what cannot be shared, before long work
    return plan._replace(settings=fit.with_random_seed(plan.settings))


def _told(plan: Plan) -> dict[str, Any]:
    """What the others need to follow the chief's plan, in built-in values."""
    return {
        "tokenizer": to_metadata(plan.corpus.tokenizer),
        "model": plan.model_config.to_dict(),
        "training": plan.settings.to_dict(),
        "resume": plan.resume,
    }


def _followed(arguments: argparse.Namespace, told: dict[str, Any]) -> Plan:
    """The chief's plan, with this machine's copy of the text."""
    tokenizer = from_metadata(told["tokenizer"])
    settings = TrainingSettings.from_dict(told["training"])
    rule = VocabularyRule(tokenizer.settings, tokenizer)
    corpus = read_corpus(arguments.data_dir, rule, settings.validation_split)
    return Plan(corpus, ModelSettings.from_dict(told["model"]), settings, told["resume"])


def _refuse_difference(answers: list[str], layout: Layout, kind: str) -> None:
    """Refuse workers that do not say the same, by name, as the chief does."""
    ours, *others = (json.loads(answer) for answer in answers)
    for index, theirs in enumerate(others, start=1):
        for name in sorted(ours | theirs):
            here, there = ours.get(name), theirs.get(name)
            if here == there:
                continue
            shown = "--" + name.replace("_", "-") if kind == "flag" else name
            raise TextgenError(
                f"the {kind} {shown} of {layout.name(index)} is not that of {layout.name(0)}:"
                f" {_short(there)}, not {_short(here)}. Make it the same on all workers"
            )


def _short(value: Any) -> str:
    """A value for people; of a content hash its beginning is enough."""
    return "none" if value is None else str(value)[:40]
