"""One process' work on a search: begun, joined or resumed; trials; results; the final model."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

import filelock
import optuna
from optuna.study import Study
from optuna.trial import TrialState

from textgen import console, ranking, recipes, sizing, space, study
from textgen.children import ChildError, Children, StoppedError
from textgen.errors import TextgenError
from textgen.files import explained, make_folder
from textgen.limits import Limits
from textgen.objective import FailedTrialError, Objective, Task
from textgen.parallel import cores
from textgen.reporter import Reporter
from textgen.request import TRIALS, Request
from textgen.workspace import locked, work_folder

OPTIONS = ("trials", "pruner", "max_parameters", "max_memory")
"""What a search is begun with, and may be given anew at any time."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run(arguments: argparse.Namespace) -> None:
    """Search, and train the final model if that was asked for.

    Raises:
        TextgenError: if there is no text, no storage, or nothing to search.
        KeyboardInterrupt: after Ctrl-C; what was found is kept.
    """
    recipes.find_texts(arguments.data_dir, 0.0)  # says at once where there is no text
    request = Request.of(arguments)
    if arguments.show_space:
        plan = _plan(arguments.data_dir, request.with_budget, Children())
        print(space.text(request.full_space(plan["settings"])), end="")
        return
    session = Session(arguments, request)
    with explained(session.work), session.alone():
        trial = session.search()
    if arguments.apply is not None:
        _train(arguments.data_dir, trial.user_attrs["settings"])


class Session:
    """The work of this process on a search.

    Args:
        arguments: see `textgen.search`.
        request: what is to be searched.
    """

    def __init__(self, arguments: argparse.Namespace, request: Request) -> None:
        self.arguments, self.request = arguments, request
        self.data_dir: Path = arguments.data_dir
        self.shared = arguments.storage is not None
        self.name = arguments.study or self.data_dir.resolve().name or "search"
        self.work = work_folder(self.data_dir) / "search"
        self.url = arguments.storage or study.sqlite_url(work_folder(self.data_dir) / "search.db")
        self.results = self.data_dir / "search" / (arguments.study or "")
        self.children = Children()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let no other process search with the folder's own storage meanwhile."""
        with nullcontext() if self.shared else locked(self.work, f"searching in {self.data_dir}"):
            yield

    def search(self) -> optuna.trial.FrozenTrial:
        """Run what is missing of the trials; returns the best, or the one that was asked for."""
        make_folder(self.work)
        make_folder(self.results)
        storage = study.open_storage(self.url, self.shared)
        study.quieten_heartbeats()
        with study.explained(self.url), self._stoppable():
            facts, plan = self._facts(storage)
            task = self._task(facts, plan)
            found = study.join(
                storage, self.name, _pruner(self._option(facts, "pruner"), task.steps),
                None if self.shared else facts["base"]["random_seed"],
                max(3, min(10, task.wanted // 4)),
            )  # fmt: skip
            reporter = Reporter(self.data_dir, self.results, list(task.space), task.wanted)
            if not self.shared:
                study.fail_dead(found)
            self._clean(found)
            self._say_start(found, task, facts)
            self._optimize(found, task, reporter)
            reporter.write(found)
            trial = reporter.chosen(found, self.arguments.apply)
            reporter.close(found, trial, study.shown(self.url))
        return trial

    def _facts(self, storage: optuna.storages.RDBStorage) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the study is about, begun here if it is new; and this machine's plan for it."""
        facts = study.facts(storage, self.name, self.shared)
        if facts and not (self.shared or self.arguments.resume):
            raise TextgenError(
                f"{self.data_dir} has a search already. Add --resume to go on with it, or --study"
                " NAME for another one"
            )
        if not facts and self.arguments.resume:
            console.say(f"no search yet in {self.data_dir}: starting from the beginning")
        if facts:
            self.request.refuse_others(facts)
        plan = self._planned(facts["fixed"] if facts else self.request.with_budget)
        if not facts:
            facts = self._new_facts(plan)
            first = space.nearest(facts["space"], facts["base"])
            if not study.begin(storage, self.name, facts, first):
                facts = study.facts(storage, self.name, self.shared) or facts
                self.request.refuse_others(facts)
        if facts["texts"] != plan["texts"]:
            raise TextgenError(
                f"the text in {self.data_dir} is not that of the search {self.name}. Put the old"
                " one back, or begin another search with --study NAME"
            )
        return facts, plan

    def _planned(self, fixed: dict[str, Any]) -> dict[str, Any]:
        """What train.py would do; processes on this machine make the token files in turn."""
        with filelock.FileLock(self.work / "planning"):
            return _plan(self.data_dir, fixed, self.children)

    def _new_facts(self, plan: dict[str, Any]) -> dict[str, Any]:
        base = plan["settings"]
        fixed = self.request.with_budget
        if "validation_split" in base:
            fixed = fixed | {"validation_split": base["validation_split"]}
        return {
            "fixed": fixed,
            "file": self.request.file.space,
            "objective": self.request.objective or "loss",
            "base": base,
            "space": self.request.full_space(base),
            "texts": plan["texts"],
            **{name: getattr(self.arguments, name) for name in OPTIONS},
        }

    def _task(self, facts: dict[str, Any], plan: dict[str, Any]) -> Task:
        workers = self.arguments.workers
        memory = self._option(facts, "max_memory")
        limits = Limits(
            self._option(facts, "max_parameters") or float("inf"),
            memory * 2**30 if memory else sizing.physical_memory() / workers,
            plan["num_tokens"],
        )
        logs = self.work / "tensorboard" / self.name if facts["base"]["tensorboard"] else None
        return Task(
            self.data_dir, self.work / "trials" / self.name, logs, facts["space"], facts["base"],
            facts["fixed"], plan["vocabulary_size"], limits, max(1, cores() // workers),
            self._option(facts, "trials") or TRIALS,
        )  # fmt: skip

    def _option(self, facts: dict[str, Any], name: str) -> Any:
        """One of `OPTIONS`: what is given now, or what the search was begun with."""
        given = getattr(self.arguments, name)
        return facts[name] if given is None else given

    def _clean(self, found: Study) -> None:
        """Remove what trials left that were killed."""
        running = found.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        kept = {str(trial.number) for trial in running}
        for folder in (self.work / "trials" / self.name).glob("*"):
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def _say_start(self, found: Study, task: Task, facts: dict[str, Any]) -> None:
        done = study.counted(found)
        console.heading(f"search {self.name}: {done} of {task.wanted} trials are there")
        length = facts["base"].get("minutes")
        each = f"{length:g} minutes" if length else f"{facts['base']['num_epochs']} epochs"
        console.say(
            f"each of {each}; {self.arguments.workers} at once, {task.threads} threads each; the"
            " first has the settings of train.py"
        )
        if facts["objective"] == "loss,speed":
            console.say("no trial is stopped early: Optuna does so for one objective only")
        if task.logs:
            console.say(f"to watch: tensorboard --logdir {task.logs}")
        for name, entry in task.space.items():
            console.detail(f"  {name}: {entry}")

    def _optimize(self, found: Study, task: Task, reporter: Reporter) -> None:
        """Run trials until there are enough. Raises KeyboardInterrupt when asked to stop."""
        objective = Objective(task, self.children)

        def ended(_: Study, trial: optuna.trial.FrozenTrial) -> None:
            if ranking.state(trial) == "interrupted":
                study.try_again(found, trial)
            reporter.tell(found, trial)
            enough = study.counted(found) >= task.wanted
            if enough or self.children.stopped or reporter.problem:
                found.stop()

        while (missing := task.wanted - study.counted(found)) > 0:
            try:
                found.optimize(
                    objective, n_trials=missing, n_jobs=min(missing, self.arguments.workers),
                    catch=(FailedTrialError, StoppedError), callbacks=[ended],
                )  # fmt: skip
            except ValueError:  # Optuna's "Cannot tell a FAIL trial"
                if not objective.lost:
                    raise
                objective.lost = False
                console.warn("a trial was taken for dead meanwhile: another worker begins it again")
            if self.children.stopped:
                reporter.write(found)
                console.say(f"kept: {study.counted(found)} trials. To go on, add --resume")
                raise KeyboardInterrupt
            if reporter.problem:
                raise TextgenError(reporter.problem)

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        """The first Ctrl-C or SIGTERM ends the trials; the second stops at once."""

        def note(number: int, frame: FrameType | None) -> None:
            if self.children.stopped:
                raise KeyboardInterrupt
            os.write(2, b"\nending the trials; once more stops at once\n")
            self.children.stop()

        before = {number: signal.signal(number, note) for number in SIGNALS}
        try:
            yield
        except StoppedError:
            raise KeyboardInterrupt from None
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _plan(data_dir: Path, fixed: dict[str, Any], children: Children) -> dict[str, Any]:
    """What train.py would train with these settings; see `textgen.trial`."""
    order = {
        "data_dir": str(data_dir), "given": fixed, "folder": None, "log": None,
        "threads": cores(), "verbosity": console.current(),
    }  # fmt: skip
    try:
        with closing(children.messages(order, loud=True)) as messages:
            plan: dict[str, Any] = next(messages)["plan"]
            return plan
    except StopIteration:
        raise TextgenError(f"the plan for {data_dir} was not made: see above") from None
    except ChildError as error:
        raise TextgenError(f"the plan for {data_dir} was not made ({error})") from error


def _pruner(name: str | None, steps: int) -> optuna.pruners.BasePruner:
    """What stops trials early, but no trial in the first fifth of its steps."""
    if name == "none":
        return optuna.pruners.NopPruner()
    if name == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(max(1, steps // 5), reduction_factor=3)
    return optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=3 * steps // 10)


def _train(data_dir: Path, settings: dict[str, Any]) -> None:
    """Train the final model, as train.py does."""
    from textgen import planning, training  # only now: TensorFlow takes seconds to import

    console.heading("Training the final model")
    arguments = argparse.Namespace(data_dir=data_dir, resume=False, **settings)
    training.fit(data_dir, planning.plan(arguments))
