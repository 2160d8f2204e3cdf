"""A process' work on a search: begun, joined or resumed; trials; results; the final model."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import filelock
import optuna
from optuna import TrialPruned
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from textgen.model.history import Row
from textgen.search import BEST, KEPT, SearchRequest, SearchSettings, space, study
from textgen.search.report import Reporter, Results, described
from textgen.search.trial import ChildError, Children, StoppedError, needs
from textgen.settings.definitions import AUTO_TOKENS, NAMED, TrainingSettings
from textgen.settings.request import TrainRequest
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.files import explained, locked, make_folder, work_folder
from textgen.support.parallel import StopSignals, cores
from textgen.text import known
from textgen.training import sizing


def run(request: SearchRequest, apply: int | None = None) -> None:
    """Searches, and trains the model of the data directory if that is asked for.

    Args:
        request: what to search.
        apply: the number of the trial whose settings the model gets, or `BEST`; None: no model.

    Raises:
        TextgenError: if there is no text, no storage, or nothing to search.
        KeyboardInterrupt: after Ctrl-C; what was found is kept.
    """
    data_dir = request.training.data_dir
    known.find_or_make_texts(data_dir, 0.0)  # says at once where there is no text
    session = Session(request)
    busy = locked(session.work, f"searching in {data_dir}")
    with explained(session.work), nullcontext() if session.shared else busy:
        trial = session.search(apply)
    if apply is not None:
        from textgen.training.plan import make_plan  # only now: TensorFlow takes seconds to import
        from textgen.training.run import fit

        console.heading("Training the final model")
        fit(data_dir, make_plan(TrainRequest(data_dir, trial.user_attrs["settings"])))


def space_text(request: SearchRequest) -> str:
    """Returns what would be searched, as a space file. Raises TextgenError."""
    data_dir, scope = request.training.data_dir, space.read_scope(request)
    known.find_or_make_texts(data_dir, 0.0)
    plan = make_plan(data_dir, scope.fixed_with_length, Children())
    return space.as_text(scope.full_space(plan["settings"]))


def _decided(fixed: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """Returns what is fixed with the tokens that were chosen, where they were to be chosen."""
    if fixed.get("tokens") != AUTO_TOKENS:
        return fixed
    chosen = {n: v for n, v in base.items() if n.endswith(NAMED) or n == "pristine_input"}
    return {name: value for name, value in fixed.items() if name != "tokens"} | chosen


def make_plan(data_dir: Path, fixed: dict[str, Any], children: Children) -> dict[str, Any]:
    """Returns what `train` would train with these settings; see `textgen.search.trial`."""
    order = {
        "data_dir": str(data_dir), "given": fixed, "folder": None, "log": None,
        "threads": cores(), "verbosity": console.current(), "flags": console.flags(),
    }  # fmt: skip
    try:
        with closing(children.messages(order, loud=True)) as messages:
            plan: dict[str, Any] = next(messages)["plan"]
            return plan
    except StoppedError:
        raise KeyboardInterrupt from None
    except ChildError as error:
        raise TextgenError(f"the plan for {data_dir} was not made ({error})") from error


@dataclass
class Objective:
    """The function that Optuna calls for each trial; it may do so in several threads."""

    data_dir: Path
    work: Path
    """The folder for the models of trials, while they run."""
    logs: Path | None
    """The folder for TensorBoard's logs, one per trial."""
    facts: dict[str, Any]
    """The facts of the study: `space`, `base`, `fixed`, `objective` ...; see `Session._facts`."""
    plan: dict[str, Any]
    """What a training in this folder would be; see `make_plan`."""
    settings: SearchSettings
    children: Children
    lost: bool = False
    """Whether a trial of this process was taken for dead: its machine slept for a while."""

    @property
    def threads(self) -> int:
        """Threads of each of the trials that run at once."""
        return max(1, cores() // self.settings.workers)

    def limits(self) -> dict[str, float]:
        """Returns the most that a trial may take, by the names of `needs`."""
        memory = sizing.physical_memory() / 2**30 / self.settings.workers
        return {
            "weights": self.settings.max_parameters or math.inf,
            "GiB of memory": self.settings.max_memory or memory,
            "tokens of text": self.plan["num_tokens"],
        }

    def __call__(self, trial: Trial) -> float | tuple[float, float]:
        """Returns the validation loss; with two objectives, also the tokens per second.

        Raises:
            TrialPruned: where the trial was stopped early, or not begun.
            TextgenError: if its settings cannot be trained, or the process that trained it failed.
            StoppedError: if the search was asked to stop.
        """
        try:
            results = self._train(trial, *self._settings(trial))
        except TextgenError as error:
            trial.set_user_attr("failure", str(error))
            raise
        except (TrialPruned, StoppedError):
            raise
        except UpdateFinishedTrialError:
            self.lost = True
            raise
        except BaseException:
            self.children.stop()  # the storage is gone, or a second Ctrl-C: the others end too
            raise
        if self.facts["objective"] == "loss":
            return results.validation_loss
        return results.validation_loss, results.tokens_per_second

    def _settings(self, trial: Trial) -> tuple[dict[str, Any], int]:
        """Returns the settings of a trial and its number of weights, or leaves it out."""
        if study.count(trial.study, before=trial.number) >= self.settings.trials:
            _leave_out(trial, "not needed: there are enough trials")  # another worker was as quick
        suggested = space.suggest(self.facts["space"], trial)
        settings = space.all_settings(self.facts["base"], suggested, self.facts["fixed"])
        try:
            needed = needs(settings, self.plan["vocabulary_size"])
        except TextgenError as error:
            _leave_out(trial, str(error))
        limits = self.limits()
        if beyond := [name for name, most in limits.items() if needed[name] > most]:
            excess = sum(needed[name] / limits[name] - 1 for name in beyond)
            trial.set_constraint("excess", excess)  # the sampler learns from it
            shown = (f"{needed[name]:,.6g} of {limits[name]:,.6g} {name}" for name in beyond)
            _leave_out(trial, "; ".join(shown))
        trial.set_user_attr("settings", settings)
        console.detail(f"trial {trial.number}: {described(trial.params)}")
        return settings, int(needed["weights"])

    def _train(self, trial: Trial, settings: dict[str, Any], parameters: int) -> Results:
        """Trains in a child process, and tells Optuna after each epoch how it goes."""
        rows, reported = list[Row](), 0
        steps = study.num_steps(self.facts["base"])
        folder = self.work / str(trial.number)
        order = {
            "data_dir": str(self.data_dir), "given": settings, "folder": str(folder),
            "log": str(self.logs / str(trial.number)) if self.logs else None,
            "threads": self.threads, "verbosity": console.Verbosity.QUIET,
        }  # fmt: skip
        try:
            with closing(self.children.messages(order)) as messages:
                for message in messages:
                    rows.append(row := message["row"])
                    console.detail(
                        f"trial {trial.number}: epoch {row['epoch']:g}, loss {row['loss']:.3f},"
                        f" validation {row['val_loss']:.3f}"
                    )
                    step = int(steps * message["fraction"] + 1e-9)  # 49 * (1 / 49) is less than 1
                    if step > reported and self.facts["objective"] == "loss":
                        reported = step
                        trial.report(row["val_loss"], step)
                        if step < steps and trial.should_prune():
                            raise TrialPruned
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if rows:
                tokens_per_step = settings["batch_size"] * settings["seq_length"]
                results = Results.of(rows, parameters, tokens_per_step)
                trial.set_user_attr("results", results._asdict())
        if not rows:
            raise ChildError("it ended before its first epoch")
        return results

    def remove_leftovers(self, found: Study) -> None:
        """Removes what trials left that were killed."""
        folders = list(self.work.glob("*"))  # first: others may begin
        running = found.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for folder in folders:
            if folder.name not in {str(trial.number) for trial in running}:
                shutil.rmtree(folder, ignore_errors=True)


def _leave_out(trial: Trial, reason: str) -> NoReturn:
    trial.set_user_attr("left_out", reason)
    raise TrialPruned(reason)


class Session:
    """The work of this process on a search."""

    def __init__(self, request: SearchRequest) -> None:
        self.scope, self.settings = space.read_scope(request), request.settings()
        self.request, self.data_dir = request, request.training.data_dir
        self.work = work_folder(self.data_dir) / "search"
        database = work_folder(self.data_dir) / "search.db"
        self.shared = self.settings.storage is not None
        self.url = self.settings.storage or study.sqlite_url(database)
        self.name = self.settings.study or self.data_dir.resolve().name or "search"
        results = self.data_dir / "search" / (self.settings.study or "")
        self.reporter, self.children = Reporter(self.data_dir, results), Children()

    def search(self, number: int | None = None) -> FrozenTrial:
        """Runs the trials that are missing; returns the best one, or that of a number."""
        make_folder(self.work)
        make_folder(self.reporter.folder)
        signals = StopSignals("ending the trials", self.children.stop)
        with study.explained(self.url), signals:
            storage = study.connect(self.url, self.shared)
            if number not in (None, BEST):
                study.refuse_no_trial(storage, self.name, number)
            facts, plan = self._facts(storage)
            self.settings = self.request.settings(_kept(facts))
            found = optuna.load_study(
                study_name=self.name,
                storage=storage,
                sampler=study.make_sampler(
                    None if self.shared else facts["base"]["random_seed"], self.settings.trials
                ),
                pruner=study.make_pruner(self.settings.pruner, study.num_steps(facts["base"])),
            )
            if not self.shared:
                study.fail_running(found)
            logs = self.work / "tensorboard" / self.name if facts["base"]["tensorboard"] else None
            objective = Objective(
                self.data_dir, self.work / "trials" / self.name, logs, facts, plan, self.settings,
                self.children,
            )  # fmt: skip
            objective.remove_leftovers(found)
            self._say_start(found, objective)
            self._optimize(found, objective)
            self.reporter.write(found)
            trial = self.reporter.choose(found, number)
            self.reporter.close(found, trial, study.shown(self.url))
        return trial

    def _facts(self, storage: RDBStorage) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns what the study is about, begun here if it is new; and the plan for it here."""
        facts = self._begun(storage)
        if facts and not (self.shared or self.settings.resume):
            raise TextgenError(
                f"{self.data_dir} has a search already. Add `resume` to go on with it, or `study`"
                " NAME for another one"
            )
        if not facts and self.settings.resume:
            console.say(f"no search yet in {self.data_dir}: starting from the beginning")
        fixed = facts["fixed"] if facts else self.scope.fixed_with_length
        with filelock.FileLock(self.work / "planning"):  # token files are made once a machine
            plan = make_plan(self.data_dir, fixed, self.children)
        if not facts:
            base = plan["settings"]
            facts = {
                "fixed": _decided(fixed, base) | {"validation_split": base["validation_split"]},
                "file": self.scope.space,
                "objective": self.settings.objective,
                "base": base,
                "space": self.scope.full_space(base),
                "texts": plan["texts"],
                **_kept(self.request.given),
            }
            if not study.begin(storage, self.name, facts, space.nearest(facts["space"], base)):
                facts = self._begun(storage) or facts
        if facts["texts"] != plan["texts"]:
            raise TextgenError(
                f"the text in {self.data_dir} is not that of the search {self.name}. Put the old"
                " one back, or begin another search with another name for `study`"
            )
        return facts, plan

    def _begun(self, storage: RDBStorage) -> dict[str, Any] | None:
        """Returns what the study is about, if there is one, and nothing else is asked for."""
        facts = study.read_facts(storage, self.name, self.shared)
        if facts is None:
            return None
        before = facts["fixed"] | {"space": facts["file"], "objective": facts["objective"]}
        now = self.scope.fixed | ({"space": self.scope.space} if self.scope.space else {})
        if now.get("tokens") == AUTO_TOKENS:
            del now["tokens"]  # which was decided when the search was begun
        if "objective" in self.request.given:
            now |= {"objective": self.settings.objective}
        for name, value in now.items():
            if name not in before or before[name] != value:
                begun = f"with {before[name]}" if name in before else "without it"
                raise TextgenError(
                    f"`{name}={value}` does not fit: the search was begun {begun}. Leave it out, or"
                    " begin another search with another name for `study`"
                )
        return facts

    def _say_start(self, found: Study, objective: Objective) -> None:
        facts = objective.facts
        console.heading(
            f"search {self.name}: {study.count(found)} of {self.settings.trials} trials are there"
        )
        each = TrainingSettings.from_given(facts["base"]).length
        console.say(
            f"each of {each}; {self.settings.workers} at once, {objective.threads} threads each;"
            " the first has the default settings"
        )
        if facts["objective"] == "loss,speed":
            console.say("no trial is stopped early: Optuna does so for one objective only")
        if objective.logs:
            console.say(f"to watch: tensorboard --logdir {objective.logs}")
        for name, entry in facts["space"].items():
            console.detail(f"  {name}: {entry}")

    def _optimize(self, found: Study, objective: Objective) -> None:
        """Runs trials until there are enough. Raises KeyboardInterrupt when asked to stop."""
        reporter, trials = self.reporter, self.settings.trials

        def ended(_: Study, trial: FrozenTrial) -> None:
            if study.state_of(trial) == "interrupted":
                study.try_again(found, trial)
            reporter.tell(found, trial)
            if study.count(found) >= trials or self.children.stopped or reporter.problem:
                found.stop()

        while (missing := trials - study.count(found)) > 0:
            try:
                found.optimize(
                    objective, n_trials=missing, n_jobs=min(missing, self.settings.workers),
                    catch=(TextgenError, StoppedError), callbacks=[ended],
                )  # fmt: skip
            except ValueError:  # Optuna's "Cannot tell a FAIL trial"
                if not objective.lost:
                    raise
                objective.lost = False
                console.warn("a trial was taken for dead meanwhile: another worker begins it again")
            if self.children.stopped:
                reporter.write(found)
                console.say(f"kept: {study.count(found)} trials. To go on, add `resume`")
                raise KeyboardInterrupt
            if reporter.problem:
                raise TextgenError(reporter.problem)


def _kept(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: settings[name] for name in KEPT if settings.get(name) is not None}
