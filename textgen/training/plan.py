"""Plans a training: a new run, an interrupted one, or one that starts from a model."""

from __future__ import annotations

import dataclasses
import json
import math
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textgen.model import checkpoint
from textgen.model.architecture import Array
from textgen.model.backend import gpu_names
from textgen.model.checkpoint import Setup
from textgen.settings.definitions import (
    AUTO_TOKENS,
    DEFAULT_TOKENS,
    LENGTHS,
    ModelSettings,
    TokenizerSettings,
    TrainingSettings,
    as_meant_now,
    with_tokens,
)
from textgen.settings.fields import hashable
from textgen.settings.request import TrainRequest, amount, is_more
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.text import known
from textgen.text.documents import END, LINES, PARAGRAPHS
from textgen.tokens import TOKENIZERS, check_settings, tokenizer_class
from textgen.tokens.corpus import Corpus, VocabularyRule, read_corpus
from textgen.training import live, pretrained, sizing
from textgen.training.snapshots import Stored, stored_progress
from textgen.training.workers import SingleProcess

CHANGEABLE = frozenset([
    "num_epochs", "minutes", "patience", "save_every", "live_sample", "learning_rate",
    "print_every", "tensorboard", "device",
])  # fmt: skip
"""Settings that may be others when a run is resumed."""
DROPOUTS = frozenset(["dropout", "embedding_dropout", "recurrent_dropout"])
"""Settings that may be others when a model is trained further: its weights are as before."""


class Plan(NamedTuple):
    """A training that can be begun: its texts, all its settings, and what it starts from."""

    corpus: Corpus
    model: ModelSettings
    training: TrainingSettings
    """How to train. Without a `random_seed` one is drawn."""
    resume: bool = False
    """Go on with the run in the data directory, whose settings these are, but for its length."""
    weights: dict[str, Array] | None = None
    """Arrays that a new run starts from, by path as `keras_model.get_weights` gives them."""

    @property
    def setup(self) -> Setup:
        """The settings and the tokenizer together."""
        return Setup(self.model, self.corpus.tokenizer, self.training)


def make_plan(request: TrainRequest) -> Plan:
    """Returns what to train, and says what was chosen.

    `tokens` that are to be chosen are those of the run to resume, or of the model to start from.

    Raises:
        TextgenError: if settings contradict each other, the run to resume, or the model to start
            from; or if there is no usable text.
    """
    if request.given.get("tensorboard"):
        live.check_tensorboard()  # now, not after reading a long text
    meant = {n: v for n, v in request.given.items() if (n, v) != ("tokens", AUTO_TOKENS)}
    if request.resume:
        if progress := stored_progress(request.data_dir):
            return _resumed(dataclasses.replace(request, given=meant), progress)
        console.say(f"no interrupted run in {request.data_dir}: starting from the beginning")
    if request.given.get("init_from"):
        return _from_model(dataclasses.replace(request, given=meant))
    return _new(_with_chosen_tokens(request))


def with_random_seed(training: TrainingSettings) -> TrainingSettings:
    """Returns settings with a random seed: their own, or one drawn here."""
    if training.random_seed is not None:
        return training
    return dataclasses.replace(training, random_seed=secrets.randbits(32))


def agreed_plan(request: TrainRequest, workers: SingleProcess) -> Plan:
    """Returns the plan of the chief, with this worker's own copy of the text.

    Raises:
        TextgenError: on all workers, if settings or texts differ, or one has no usable text.
    """
    workers.refuse_difference(
        "the setting `{}`", lambda: dict(request.given) | {"resume": request.resume}
    )
    plans: list[Plan] = []

    def make() -> str:
        plan = make_plan(request)
        workers.rows(plan.training.batch_size)  # refuses what cannot be shared, before long work
        plans.append(plan._replace(training=with_random_seed(plan.training)))
        return json.dumps(plans[0].setup.to_dict() | {"resume": plans[0].resume})

    told = json.loads(workers.by_chief(make))

    def read() -> dict[str, str | None]:
        if not plans:
            setup = Setup.from_dict(told)
            corpus = read_known(request.data_dir, setup)
            plans.append(Plan(corpus, setup.model, setup.training, told["resume"]))
        return plans[0].corpus.hashes

    workers.refuse_difference("the text {}", read)
    return plans[0]


def _with_chosen_tokens(request: TrainRequest) -> TrainRequest:
    """Returns a request that says what a token is; where that is to be chosen, it is chosen here.

    Raises:
        TextgenError: if the text cannot be used.
    """
    tokenizer = request.settings(TokenizerSettings)
    if tokenizer.tokens != AUTO_TOKENS:
        return request
    training = request.settings(TrainingSettings)
    text = known.find_or_make_texts(
        request.data_dir, training.validation_split, tokenizer.documents
    ).training
    in_utf8 = sizing.bytes_per_character(next(iter(text.chunks()), ""))
    name, reason = sizing.choose_tokens(text.num_bytes / in_utf8, training.minutes, in_utf8)
    console.say(f"tokens: {name}s, because {reason}")
    unused = TOKENIZERS[name].unused
    given = {key: value for key, value in request.given.items() if key not in unused}
    given["tokens"] = name
    if name == DEFAULT_TOKENS:  # as subwords do, they keep the case
        given["pristine_input"] = not tokenizer.lowercase
    return dataclasses.replace(request, given=given)


def _new(request: TrainRequest) -> Plan:
    tokenizer = request.settings(TokenizerSettings)
    check_settings(tokenizer)
    defaults = tokenizer_class(tokenizer).defaults
    training = request.settings(TrainingSettings, defaults)
    if tokenizer.documents in (LINES, PARAGRAPHS):
        _warn_of_marks(request.data_dir, tokenizer.documents)
    if training.word2vec:
        # Now, not after reading a long text.
        pretrained.check_vectors(Path(training.word2vec).expanduser())
    corpus = read_corpus(request.data_dir, VocabularyRule(tokenizer), training.validation_split)
    tokens = len(corpus.training.ids)
    if not training.minutes or sizing.SIZES & request.given.keys():
        training = _fitting(training, request, tokens)
        return _with_vectors(Plan(corpus, request.settings(ModelSettings, defaults), training))

    def settings(chosen: dict[str, Any]) -> tuple[ModelSettings, TrainingSettings]:
        training = request.settings(TrainingSettings, {**defaults, **chosen})
        chosen |= sizing.fitting_batch(training, tokens)
        training = request.settings(TrainingSettings, {**defaults, **chosen})
        return request.settings(ModelSettings, {**defaults, **chosen}), training

    def speed(chosen: dict[str, Any]) -> float:
        on_gpu = training.device != "cpu" and bool(gpu_names())
        size = len(corpus.tokenizer.vocabulary)
        return sizing.measure_speed(*settings(chosen), size, on_gpu, bool(tokenizer.documents))

    chosen, factor, per_second, reason = sizing.choose(
        training.minutes, tokens, corpus.tokenizer, speed
    )
    model, training = settings(chosen)
    if not tokenizer.documents:
        chosen |= sizing.longer_epochs(training, tokens, per_second)
        model, training = settings(chosen)
    values = model.to_dict() | training.to_dict()
    shown = " ".join(f"`{n}={values[n]}`" for n in chosen if n not in request.given)
    console.say(f"chosen for {console.counted(training.minutes or 0, 'minute')}: {shown}")
    console.say(f"because {reason}")
    in_utf8 = sizing.bytes_per_character("".join(corpus.training.line_starts))
    characters = corpus.training.num_characters
    console.say(sizing.compared(characters, training.minutes or 0, factor, in_utf8))
    return _with_vectors(Plan(corpus, model, training))


def _warn_of_marks(data_dir: Path, kind: str) -> None:
    """Warns where documents are told apart by marks, and another way was asked for."""
    text = known.find_or_make_texts(data_dir, 0.0, kind).training
    if END in next(iter(text.chunks()), ""):
        console.warn(
            f"the text has the mark {END}, and `documents` {kind} takes it for text. To part the"
            f" documents by it: `documents={END}`"
        )


def _fitting(training: TrainingSettings, request: TrainRequest, tokens: int) -> TrainingSettings:
    """Returns settings with a batch that a short text fills, and says so; what is given stays."""
    fitting = sizing.fitting_batch(training, tokens)
    smaller: dict[str, Any] = {
        name: value
        for name, value in fitting.items()
        if name not in request.given and value != getattr(training, name)
    }
    if smaller:
        shown = " ".join(f"`{name}={value}`" for name, value in smaller.items())
        console.say(f"the text is short, with {tokens:,} tokens: {shown}")
    return dataclasses.replace(training, **smaller)


def _with_vectors(plan: Plan) -> Plan:
    """Returns `plan` with the token vectors of `word2vec`, where they are asked for."""
    if not plan.training.word2vec:
        return plan
    training, vocabulary = with_random_seed(plan.training), plan.corpus.tokenizer.vocabulary
    path, size = Path(plan.training.word2vec).expanduser(), plan.model.embedding_size
    rows, found = pretrained.load_vectors(path, vocabulary, size, training.random_seed)
    console.say(
        f"{path} has vectors for {found:,} of the {len(vocabulary):,} tokens"
        f" ({found / len(vocabulary):.0%}); the others are drawn like them"
    )
    return plan._replace(training=training, weights={"embedding/embeddings": rows})


def _from_model(request: TrainRequest) -> Plan:
    """A new run that starts from the model in the folder `init_from`."""
    folder = Path(request.given["init_from"]).expanduser()
    origin, old_weights = checkpoint.load(folder)
    tokenizer = origin.tokenizer
    sizes = origin.model.to_dict() | {"tie_weights": origin.model.is_tied}
    fixed = tokenizer.settings.to_dict() | sizes
    _refuse_others(request.given, fixed, DROPOUTS, f"the model in {folder} has", "init_from")
    model = request.settings(ModelSettings, {**tokenizer.defaults, **sizes})
    training = with_random_seed(request.settings(TrainingSettings, tokenizer.defaults))
    rule = VocabularyRule(tokenizer.settings, tokenizer, grows=True)
    corpus = read_corpus(request.data_dir, rule, training.validation_split)
    training = _fitting(training, request, len(corpus.training.ids))
    if training.minutes:
        model, training = _further(request, corpus, model, training)
    added = len(corpus.tokenizer.vocabulary) - len(tokenizer.vocabulary)
    rng = np.random.default_rng(training.random_seed)
    weights = pretrained.with_new_tokens(old_weights, added, model, rng)
    console.say(f"starting from the model in {folder}; {added:,} new tokens")
    return Plan(corpus, model, training, weights=weights)


def _further(
    request: TrainRequest, corpus: Corpus, model: ModelSettings, training: TrainingSettings
) -> tuple[ModelSettings, TrainingSettings]:
    """Returns settings with what is chosen for the minutes that a model is trained further."""
    tokenizer, tokens = corpus.tokenizer, len(corpus.training.ids)
    on_gpu = training.device != "cpu" and bool(gpu_names())
    documents = bool(tokenizer.settings.documents)
    speed = sizing.measure_speed(model, training, len(tokenizer.vocabulary), on_gpu, documents)
    minutes = training.minutes or 0
    chosen = sizing.choose_further(minutes, tokens, tokenizer, speed)
    if not documents:
        chosen |= sizing.longer_epochs(training, tokens, speed)
    chosen = {name: value for name, value in chosen.items() if name not in request.given}
    shown = " ".join(f"`{name}={value}`" for name, value in chosen.items())
    if shown:
        readings = f"{60 * minutes * speed / tokens:.1f}"
        console.say(f"chosen for {readings} readings of the text: {shown}")
    dropout = {name: value for name, value in chosen.items() if name in DROPOUTS}
    others = {name: value for name, value in chosen.items() if name not in DROPOUTS}
    return dataclasses.replace(model, **dropout), dataclasses.replace(training, **others)


def _resumed(request: TrainRequest, progress: Stored) -> Plan:
    """The run as it was begun, but for what may change; a length that is given replaces its own."""
    run = progress.run | {"training": as_meant_now(progress.run["training"])}
    setup = Setup.from_dict(run)
    fixed = setup.tokenizer.settings.to_dict() | run["model"] | setup.training.to_dict()
    _refuse_others(request.given, fixed, CHANGEABLE, "the interrupted run has", "resume")
    changes = {name: request.given[name] for name in CHANGEABLE & request.given.keys()}
    if LENGTHS & changes.keys():
        changes = dict.fromkeys(LENGTHS) | changes | _prolonged(changes, progress)
    training = TrainingSettings.from_dict(run["training"] | changes)
    corpus = read_known(request.data_dir, setup)
    for name, value in corpus.hashes.items():
        if value != run["texts"][name]:
            raise TextgenError(
                f"{request.data_dir / name} is not what it was when the interrupted run began."
                " Put the old text back, or start a new run without `resume`"
            )
    return Plan(corpus, setup.model, training, resume=True)


def _prolonged(given: Mapping[str, Any], progress: Stored) -> dict[str, float]:
    """Returns the lengths that come on top of what a run has had, as those of the whole run."""
    more = {name: amount(given[name]) for name in LENGTHS & given.keys() if is_more(given[name])}
    whole = dict[str, float]()
    if "minutes" in more:
        whole["minutes"] = round((progress.clock["seconds"] or 0) / 60 + more["minutes"], 3)
    if "num_epochs" in more:
        had = progress.history[-1]["epoch"] if progress.history else 0
        whole["num_epochs"] = math.ceil(had) + more["num_epochs"]
    return whole


def read_known(data_dir: Path, setup: Setup) -> Corpus:
    """Returns the texts of `data_dir` as a run reads them whose settings are known."""
    rule = VocabularyRule(setup.tokenizer.settings, setup.tokenizer)
    return read_corpus(data_dir, rule, setup.training.validation_split)


def _refuse_others(
    given: Mapping[str, Any], fixed: Mapping[str, Any], free: frozenset[str], who: str, by: str
) -> None:
    """Refuses settings that differ from those that are `fixed`, except those that are `free`.

    Args:
        given: the settings that were given.
        fixed: those of the run or the model, all of them.
        free: names that may differ.
        who: what they are fixed by, for the message.
        by: the setting that asked for that.
    """
    fixed = with_tokens(fixed)
    for name, value in given.items():
        [(setting, meant)] = with_tokens({name: value}).items()  # `tokens` for `word_tokens`
        if setting in fixed.keys() - free and hashable(meant) != hashable(fixed[setting]):
            raise TextgenError(
                f"`{name}={value}` does not fit: {who} {_told(setting, fixed[setting])}. Leave"
                f" `{name}` out, or start a new run without `{by}`"
            )


def _told(setting: str, value: Any) -> str:
    """Returns the value of a setting for people."""
    if setting == "tokens":
        return f"{TOKENIZERS[value].unit}s"
    words = {None: f"`{setting}` by default", False: f"no `{setting}`", True: f"`{setting}`"}
    return words[value] if value is None or isinstance(value, bool) else str(value)
