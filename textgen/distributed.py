"""train.py on several machines: they agree on what to train, and then train it together."""

from __future__ import annotations

import argparse
import json
from typing import Any

from textgen import console, planning, training
from textgen.cluster import Cluster, Workers
from textgen.config import ModelConfig, TrainingConfig
from textgen.errors import TextgenError
from textgen.layout import Layout, wait_for_peers
from textgen.planning import Plan
from textgen.tokenization import Corpus, VocabularyRule
from textgen.tokenizers import from_metadata, to_metadata

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
            return training.fit(arguments.data_dir, *plan, cluster=workers, keep_samples=serves)


def agreed_plan(arguments: argparse.Namespace, cluster: Cluster, layout: Layout) -> Plan:
    """What the chief plans, with each worker's own copy of the text.

    Raises:
        TextgenError: on all workers, if flags or texts differ, or one has no usable text.
    """
    flags = {n: v for n, v in sorted(vars(arguments).items()) if n not in OWN}
    _refuse_difference(cluster.each(lambda: json.dumps(flags, default=str)), layout, "flag")
    plans: list[Plan] = []

    def make() -> str:
        plan = planning.plan(arguments)
        config = training.with_random_seed(plan.config)
        cluster_rows(config)
        plans.append(plan._replace(config=config))
        tokenizer = to_metadata(plan.corpus.tokenizer)
        about = {"tokenizer": tokenizer, "model": plan.model_config.to_dict()}
        return json.dumps(about | {"training": config.to_dict(), "resume": plan.resume})

    def cluster_rows(config: TrainingConfig) -> None:
        cluster.rows(config.batch_size)  # refuses what cannot be shared, before long work

    about = json.loads(cluster.by_chief(make))

    def read() -> str:
        if not plans:
            plans.append(_followed(arguments, about))
        return json.dumps(plans[0].corpus.hashes)

    _refuse_difference(cluster.each(read), layout, "text")
    return plans[0]


def _followed(arguments: argparse.Namespace, about: dict[str, Any]) -> Plan:
    """The plan that the chief tells of."""
    tokenizer = from_metadata(about["tokenizer"])
    config = TrainingConfig.from_dict(about["training"])
    rule = VocabularyRule(tokenizer.config, tokenizer)
    corpus: Corpus = training.read_corpus(arguments.data_dir, rule, config.validation_split)
    return Plan(corpus, ModelConfig.from_dict(about["model"]), config, about["resume"])


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
