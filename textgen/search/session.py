"""One process' work on a search: begun, joined or resumed; trials; results; the final model."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

import filelock
import optuna
from optuna.study import Study
from optuna.trial import TrialState

from textgen.search import space, storage, study
from textgen.search.children import ChildError, Children, StoppedError
from textgen.search.limits import Limits
from textgen.search.objective import FAILURES, Objective, Task
from textgen.search.reporter import Reporter
from textgen.search.request import TRIALS, Request
from textgen.settings.request import TrainRequest
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import explained, make_folder
from textgen.support.parallel import cores
from textgen.support.workspace import locked, work_folder
from textgen.text import known
from textgen.training import sizing

OPTIONS = ("trials", "pruner", "max_parameters", "max_memory")
"""What a search is begun with, and may be given anew at any time."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run(arguments: argparse.Namespace) -> None:
    """Search, and train the final model if that was asked for.

    Raises:
        TextgenError: if there is no text, no storage, or nothing to search.
        KeyboardInterrupt: after Ctrl-C; what was found is kept.
    """
    known.find_or_make_texts(arguments.data_dir, 0.0)  # says at once where there is no text
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
        arguments: see `textgen.commands.search`.
        request: what is to be searched.
    """

    def __init__(self, arguments: argparse.Namespace, request: Request) -> None:
        self.arguments, self.request = arguments, request
        self.data_dir: Path = arguments.data_dir
        self.shared = arguments.storage is not None
        self.name = arguments.study or self.data_dir.resolve().name or "search"
        self.work = work_folder(self.data_dir) / "search"
        self.url = arguments.storage or storage.sqlite_url(work_folder(self.data_dir) / "search.db")
        self.results = self.data_dir / "search" / (arguments.study or "")
        self.options = {name: getattr(arguments, name) for name in OPTIONS}
        self.children = Children()

    def alone(self) -> AbstractContextManager[None]:
        """Let no other process search with the folder's own storage meanwhile."""
        return nullcontext() if self.shared else locked(self.work, f"searching in {self.data_dir}")

    def search(self) -> optuna.trial.FrozenTrial:
        """Run what is missing of the trials; returns the best, or the one that was asked for."""
        make_folder(self.work)
        make_folder(self.results)
        database = storage.connect(self.url, study.try_again if self.shared else None)
        storage.quieten_heartbeats()
        with storage.explained(self.url), self._stoppable():
            facts, plan = self._facts(database)
            task = self._task(facts, plan)
            random_seed = None if self.shared else facts["base"]["random_seed"]
            found = optuna.load_study(
                study_name=self.name,
                storage=database,
                sampler=study.sampler(random_seed, task.wanted),
                pruner=study.pruner(facts["pruner"], task.steps),
            )
            reporter = Reporter(self.data_dir, self.results, task.wanted)
            if not self.shared:
                study.fail_dead(found)
            self._clean(found)
            self._say_start(found, task, facts)
            self._optimize(found, task, reporter)
            reporter.write(found)
            trial = reporter.chosen(found, self.arguments.apply)
            reporter.close(found, trial, storage.shown(self.url))
        return trial

    def _facts(self, database: optuna.storages.RDBStorage) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the study is about, begun here if it is new; and this machine's plan for it."""
        facts = study.facts(database, self.name, self.shared)
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
            if not study.begin(database, self.name, facts, first):
                facts = study.facts(database, self.name, self.shared) or facts
                self.request.refuse_others(facts)
        if facts["texts"] != plan["texts"]:
            raise TextgenError(
                f"the text in {self.data_dir} is not that of the search {self.name}. Put the old"
                " one back, or begin another search with --study NAME"
            )
        return facts | {n: v for n, v in self.options.items() if v is not None}, plan

    def _planned(self, fixed: dict[str, Any]) -> dict[str, Any]:
        """What train.py would do; processes on this machine make the token files in turn."""
        with filelock.FileLock(self.work / "planning"):
            return _plan(self.data_dir, fixed, self.children)

    def _new_facts(self, plan: dict[str, Any]) -> dict[str, Any]:
        """What a new study is about, as it is kept with it: built-in values only."""
        base = plan["settings"]
        return {
            "fixed": self.request.with_budget | {"validation_split": base["validation_split"]},
            "file": self.request.file.space,
            "objective": self.request.objective or "loss",
            "base": base,
            "space": self.request.full_space(base),
            "texts": plan["texts"],
            **self.options,
        }

    def _task(self, facts: dict[str, Any], plan: dict[str, Any]) -> Task:
        workers, memory = self.arguments.workers, facts["max_memory"]
        return Task(
            data_dir=self.data_dir,
            work=self.work / "trials" / self.name,
            logs=self.work / "tensorboard" / self.name if facts["base"]["tensorboard"] else None,
            space=facts["space"],
            base=facts["base"],
            fixed=facts["fixed"],
            vocabulary_size=plan["vocabulary_size"],
            limits=Limits(
                facts["max_parameters"] or float("inf"),
                memory * 2**30 if memory else sizing.physical_memory() / workers,
                plan["num_tokens"],
            ),
            threads=max(1, cores() // workers),
            wanted=facts["trials"] or TRIALS,
        )

    def _clean(self, found: Study) -> None:
        """Remove what trials left that were killed."""
        folders = list((self.work / "trials" / self.name).glob("*"))  # first: others may begin
        running = found.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        kept = {str(trial.number) for trial in running}
        for folder in folders:
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def _say_start(self, found: Study, task: Task, facts: dict[str, Any]) -> None:
        done = study.counted(found)
        console.heading(f"search {self.name}: {done} of {task.wanted} trials are there")
        minutes, epochs = facts["base"].get("minutes"), facts["base"]["num_epochs"]
        each = console.counted(minutes or epochs, "minute" if minutes else "epoch")
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
            if study.state(trial) == "interrupted":
                study.try_again(found, trial)
            reporter.tell(found, trial)
            enough = study.counted(found) >= task.wanted
            if enough or self.children.stopped or reporter.problem:
                found.stop()

        while (missing := task.wanted - study.counted(found)) > 0:
            try:
                found.optimize(
                    objective, n_trials=missing, n_jobs=min(missing, self.arguments.workers),
                    catch=(*FAILURES, StoppedError), callbacks=[ended],
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
    """What train.py would train with these settings; see `textgen.search.trial`."""
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


def _train(data_dir: Path, settings: dict[str, Any]) -> None:
    """Train the final model, as train.py does."""
    from textgen.training.plan import make_plan  # only now: TensorFlow takes seconds to import
    from textgen.training.run import fit

    console.heading("Training the final model")
    fit(data_dir, make_plan(TrainRequest(data_dir, settings)))
