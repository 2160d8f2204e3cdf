"""Every setting of textgen, defined once: default, allowed range, help text.

The command-line flags, the metadata saved with a model and `model.yaml` are all made from the
fields of these frozen dataclasses. `--rnn-size` is `ModelSettings.rnn_size`, and so on.
"""

import reprlib
import types
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from textgen.settings.fields import Settings, setting
from textgen.support import console
from textgen.support.errors import TextgenError

DEFAULT_FOLDER = Path("data/tinyshakespeare")
"""The data directory of commands that are given none; its corpus is fetched when needed."""
MAX_VOCABULARY = 300_000
"""Tokens; more make a network too slow for this project, and `model.pkl` too large to read back."""

BYTES = 256
"""Different bytes; each is a token of a vocabulary of subwords."""

DEFAULT_TOKENS, AUTO_TOKENS = "character", "auto"
NAMED = "_tokens"
"""The ending after the name of a tokenizer in a setting that asks for it: `word_tokens`."""


@dataclass(frozen=True)
class TokenizerSettings(Settings):
    """How text becomes tokens, and which of them the vocabulary keeps.

    Example:
        >>> TokenizerSettings("word", min_count=2).lowercase
        False
        >>> TokenizerSettings.from_dict({"word_tokens": True}).tokens
        'word'
    """

    tokens: str = setting(
        DEFAULT_TOKENS,
        "what a token is: character, word, subword, or auto: characters or subwords, whichever"
        " suit the text and the time better",
        metavar="KIND", group="how text becomes tokens",
    )  # fmt: skip
    documents: str | None = setting(
        None,
        "the text is many texts, and each is learned as one of its own: lines, paragraphs (with"
        " blank lines between them), files (of a folder input/), or what stands between marks such"
        " as '<|endoftext|>'",
        metavar="lines|paragraphs|files|MARK",
    )
    pristine_input: bool = setting(
        False,
        "take the text as it is, which subwords do anyway: characters keep their case, words are"
        " what stands between white space (implies --pristine-output)",
    )
    pristine_output: bool = setting(
        False, "join generated words with single spaces instead of setting them like prose"
    )
    lowercase: bool = setting(
        False, "lower the case of words too (characters are lowered unless --pristine-input)"
    )
    max_vocab: int = setting(
        50_000,
        "most characters or words in the vocabulary, commonest first",
        minimum=2, maximum=MAX_VOCABULARY,
    )  # fmt: skip
    vocab_size: int | None = setting(
        None,
        "tokens of a vocabulary of subwords, with 256 for bytes (default: by the text's length)",
        minimum=BYTES + 2, maximum=MAX_VOCABULARY,
    )  # fmt: skip
    min_count: int | None = setting(
        None,
        "times a character or word has to stand in the training text to be in the vocabulary"
        " (default: 1, or 2 for more than 50,000 words)",
        minimum=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.documents is not None and not self.documents.strip():
            raise TextgenError(
                "`documents` is lines, paragraphs, files, or the mark between texts. Received:"
                f" {self.documents!r}"
            )
        if self.lowercase and self.pristine_input:
            raise TextgenError(
                "`lowercase` contradicts `pristine_input`, which keeps the text as it is. Leave"
                " one of them out"
            )

    def to_dict(self) -> dict[str, Any]:
        """See `Settings.to_dict`; `tokens` is written as `NAME_tokens`, see `with_tokens`."""
        values = super().to_dict()
        name = values.pop("tokens")
        flag = {"word_tokens": False} if name == DEFAULT_TOKENS else {name + NAMED: True}
        return flag | values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        return super().from_dict(with_tokens(values) if isinstance(values, Mapping) else values)

    @classmethod
    def from_given(
        cls, given: Mapping[str, Any], defaults: Mapping[str, Any] = types.MappingProxyType({})
    ) -> Self:
        return super().from_given(with_tokens(given), defaults)


def with_tokens(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings with `tokens: NAME` in place of `NAME_tokens: True`.

    That is how people and files say which tokenizer is meant: `--word-tokens`, `word_tokens=True`,
    `word-tokens: true`. False says that it is not that one.

    Raises:
        TextgenError: if several are meant, or `NAME_tokens` is neither true nor false.
    """
    flags = {name: value for name, value in values.items() if str(name).endswith(NAMED)}
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise TextgenError(
                f"`{name}` takes a value of type bool. Received: {reprlib.repr(value)}"
            )
    others = {name: value for name, value in values.items() if name not in flags}
    meant = [name.removesuffix(NAMED) for name, value in flags.items() if value]
    meant += [others["tokens"]] if "tokens" in others else []
    if len(set(map(str, meant))) > 1:
        raise TextgenError(
            f"the tokens of a model are of one kind. Received: {', '.join(map(str, meant))}"
        )
    return others | {"tokens": meant[0] if meant else DEFAULT_TOKENS} if flags else others


CELL_NAMES = ("lstm", "gru", "rnn")
"""The cells of `textgen.model.architecture`."""
OPTIMIZERS = {
    "adamw": {},
    "adam": {"weight_decay": 0.0},
    "rmsprop": {"learning_rate": 0.005, "weight_decay": 0.0},
    "sgd": {"learning_rate": 2.0, "weight_decay": 0.0},
    "adagrad": {"learning_rate": 0.06, "weight_decay": 0.0},
    "adadelta": {"learning_rate": 20.0, "weight_decay": 0.0},
}
"""Settings that `optimizer` brings along, unless they are given: a rate that suits the optimizer.

One epoch of 400,000 characters of tinyshakespeare, 128 x 2: adamw 2.24 nats, sgd 2.15, adadelta
2.16, rmsprop 2.31. In 250 steps, on held-out text: adagrad 2.61 with 0.02, 2.18 with 0.06, 2.24
with 0.2; adamw 2.38, adadelta 2.40.
"""
EPOCHS = 50
"""The length of a run that is given none."""
LENGTHS = frozenset(["num_epochs", "minutes"])
"""The settings that say how long a run is: the first limit that it comes to ends it."""
DEVICES = ("auto", "cpu", "gpu")
DTYPES = ("float32", "mixed_bfloat16")
SCHEDULES = ("cosine", "constant", "exponential", "plateau")
DECAY_RATES = {"exponential": 0.97, "plateau": 0.5}
"""The `decay_rate` where it is not set; 0.97 per epoch is that of char-rnn."""


@dataclass(frozen=True)
class ModelSettings(Settings):
    """The shape of the network.

    Defaults of word models: see `TrainingSettings`.

    Example:
        >>> ModelSettings(rnn_size=256, cell="gru").num_layers
        2
        >>> ModelSettings(rnn_size=0)
        Traceback (most recent call last):
        textgen.support.errors.TextgenError: `rnn_size` must be at least 1. Received: 0
    """

    embedding_size: int = setting(
        64, "numbers per token vector (D); 0: each token is one-hot, with no vectors to learn",
        minimum=0,
        group="the model",
    )  # fmt: skip
    rnn_size: int = setting(128, "units per recurrent layer (H)", minimum=1)
    num_layers: int = setting(2, "recurrent layers", minimum=1, maximum=100)
    dropout: float = setting(
        0.0,
        "share of each layer's outputs dropped while training, the same ones at all steps of a"
        " sequence; raise it when the validation loss stops falling",
        minimum=0, below=1,
    )  # fmt: skip
    embedding_dropout: float = setting(
        0.0,
        "share of the numbers of token vectors dropped while training, likewise",
        minimum=0, below=1,
    )  # fmt: skip
    tie_weights: bool = setting(
        False,
        "use the token vectors for the output too, which makes --embedding-size that of --rnn-size:"
        " on Twain's words 8 epochs gave 4.01 nats, without 4.05 (2 epochs 4.39, without 4.34)",
    )
    cell: str = setting("lstm", "the kind of recurrent layer", choices=CELL_NAMES)
    recurrent_dropout: float = setting(
        0.0,
        "share of what a layer remembers from step to step that is dropped while training; slow,"
        " because such layers are Keras' own",
        minimum=0, below=1,
    )  # fmt: skip
    residual: bool = setting(
        False,
        "add what a layer reads to what it gives; for deep models: 4 x 128 on 400,000 characters of"
        " tinyshakespeare came to 1.89 nats in 2 epochs, without to 2.25",
    )
    layer_norm: bool = setting(
        False, "normalize what each layer gives; for deep models: likewise 1.85 instead of 2.25"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.residual and self.num_layers == 1:
            raise TextgenError(
                "`residual` needs a second layer, which reads a layer. Received: `num_layers` 1"
            )

    @classmethod
    def from_given(
        cls, given: Mapping[str, Any], defaults: Mapping[str, Any] = types.MappingProxyType({})
    ) -> Self:
        """See `Settings.from_given`; what is tied is equally wide, or is not tied.

        Raises:
            TextgenError: if it is to be tied, but not to be equally wide.
        """
        settings = super().from_given(given, defaults)
        if settings.tie_weights == settings.is_tied:
            return settings
        if "embedding_size" not in given:
            return replace(settings, embedding_size=settings.rnn_size)
        if given.get("tie_weights"):
            size = settings.embedding_size
            raise TextgenError(
                f"`tie_weights` needs token vectors as wide as the layers: `embedding_size={size}`"
                f" is not `rnn_size={settings.rnn_size}`. Leave `embedding_size` out"
            )
        return replace(settings, tie_weights=False)

    @property
    def is_tied(self) -> bool:
        """Whether embedding and output share their weights (Press & Wolf 2017)."""
        return self.tie_weights and self.embedding_size == self.rnn_size


@dataclass(frozen=True)
class TrainingSettings(Settings):
    """How a model is trained.

    The defaults come from measurements, which the README lists under "Why these settings".

    Example:
        >>> TrainingSettings.from_given({"minutes": 5}, {"seq_length": 35}).seq_length
        35
    """

    batch_size: int = setting(
        32, "rows that are read side by side (B)", minimum=1,
        group="the text in batches",
    )  # fmt: skip
    seq_length: int = setting(50, "tokens between two updates (T)", minimum=1)
    seq_step: int = setting(
        25,
        "offset between two passes over the text: an epoch makes one pass from each of the"
        " tokens 0, step, 2 x step, ... below --seq-length",
        minimum=1,
    )
    num_epochs: int | None = setting(
        None,
        "epochs; each reads the text as often as --seq-step goes into --seq-length, or makes"
        f" --steps-per-epoch steps (default: {EPOCHS}, or with --minutes any number). With --resume"
        " of the whole run, or as +5 so many more",
        minimum=1, group="the length of the run",
    )  # fmt: skip
    steps_per_epoch: int | None = setting(
        None,
        "steps in an epoch, after which models are saved, measured and sampled (default: those of"
        " going through the whole text)",
        minimum=1,
    )
    minutes: float | None = setting(
        None,
        "train for this wall time, at most --num-epochs if they are given too, and choose the model"
        " and how it is trained for it, unless a size is given. With --resume that of the whole"
        " run, or as +5 so many more",
        above=0,
    )  # fmt: skip
    patience: int | None = setting(None, "stop after so many epochs without improvement", minimum=1)
    save_every: int | None = setting(
        None, "steps between two savings of the full training state, beside one per minute",
        minimum=1,
    )  # fmt: skip
    learning_rate: float = setting(
        0.008,
        "peak learning rate; with --optimizer rmsprop 0.005, sgd 2 (for --cell rnn give 1),"
        " adagrad 0.06, adadelta 20",
        above=0, group="how the model learns",
    )  # fmt: skip
    weight_decay: float = setting(
        0.05,
        "every update shrinks the weights by this share of the learning rate, which keeps a model"
        " from learning the text by heart; 0 with any"
        " --optimizer but adamw",
        minimum=0,
    )
    optimizer: str = setting(
        "adamw", "how gradients become updates; sgd has momentum 0.9", choices=tuple(OPTIMIZERS)
    )
    schedule: str | None = setting(
        None,
        "what becomes of the learning rate (default: cosine to zero, or with --decay-rate"
        " exponential, once per epoch); plateau lowers it after two epochs without improvement",
        choices=SCHEDULES,
    )
    decay_rate: float | None = setting(
        None,
        "what the learning rate is multiplied by, each epoch (exponential: 0.97) or on a plateau"
        " (0.5)",
        above=0, maximum=1,
    )  # fmt: skip
    warmup_steps: int = setting(
        100, "steps, at most a tenth of the run, in which the learning rate rises", minimum=0
    )
    clip_norm: float = setting(
        1.0, "largest norm of all gradients together; larger ones are scaled to it; 0: off",
        minimum=0,
    )  # fmt: skip
    clip_value: float = setting(
        0.0, "largest size of each number in a gradient, cut before --clip-norm; 0: off", minimum=0
    )
    l1: float = setting(
        0.0, "penalty on the sum of the sizes of all weights but biases, in nats", minimum=0
    )
    l2: float = setting(
        0.0, "penalty on the sum of the squares of all weights but biases, in nats", minimum=0
    )
    label_smoothing: float = setting(
        0.0,
        "share of the aim that is spread over the whole vocabulary; the losses that are shown are"
        " without it",
        minimum=0, below=1,
    )  # fmt: skip
    device: str = setting(
        "auto",
        "what computes: cpu, gpu, or auto, which takes a GPU where there is one and the model is"
        " large enough for it to pay",
        choices=DEVICES, group="how it is computed",
    )  # fmt: skip
    dtype: str = setting(
        "float32",
        "precision of the products of matrices while training; mixed_bfloat16 may be faster on a"
        " GPU; weights, logits and losses are float32 in any case",
        choices=DTYPES,
    )
    deterministic: bool = setting(
        False,
        "give the same result bit for bit on a GPU too, where that costs speed; on a processor it"
        " always is",
    )
    batch_parts: int | None = setting(
        None,
        "parts of each batch that a processor's cores compute side by side; measured at the start"
        " of a run and recorded if not given. The result is the same but for rounding",
        minimum=1,
    )
    init_from: str | None = setting(
        None,
        "start from the model in another folder: its sizes, vocabulary and weights",
        metavar="FOLDER", group="what the run starts from",
    )  # fmt: skip
    word2vec: str | None = setting(
        None,
        "start with the token vectors in a file of word2vec, GloVe or gensim (needs gensim); the"
        " others are drawn like them; nothing in it is run, though gensim's own format is a pickle",
        metavar="FILE",
    )
    freeze_embeddings: bool = setting(
        False, "leave the token vectors of --word2vec or --init-from as they are"
    )
    random_seed: int | None = setting(
        None,
        "number that makes a run repeatable; drawn and recorded if not given",
        minimum=0,
        maximum=2**32 - 1,
    )
    validation_split: float = setting(
        0.0, "share of the text held out, where there is no validate.txt", minimum=0, below=1,
        group="what is measured and shown",
    )  # fmt: skip
    live_sample: bool = setting(
        False, "print samples at diversities 0.2, 0.5, 1.0 and 1.2 after every epoch"
    )
    print_every: int | None = setting(
        None, "steps between two lines about the training, for logs", minimum=1
    )
    tensorboard: bool = setting(
        False, "write logs for TensorBoard (which it needs): figures per epoch, and samples as text"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.word2vec and self.init_from:
            raise TextgenError(
                f"`word2vec` {self.word2vec} contradicts `init_from` {self.init_from}, whose model"
                " has token vectors. Leave one of them out"
            )
        if self.freeze_embeddings and not (self.word2vec or self.init_from):
            raise TextgenError(
                "`freeze_embeddings` would leave the token vectors random. Add `word2vec` FILE, or"
                " `init_from` FOLDER"
            )
        if self.decay_rate is not None and self.schedule in ("cosine", "constant"):
            raise TextgenError(
                f"`decay_rate` {self.decay_rate} has no place in `schedule` {self.schedule}. Leave"
                " one of them out, or choose exponential or plateau"
            )

    @classmethod
    def implied_by(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what an optimizer that was asked for sets besides."""
        optimizer = given.get("optimizer")
        return dict(OPTIMIZERS.get(optimizer, {})) if isinstance(optimizer, str) else {}

    @property
    def most_epochs(self) -> int | None:
        """The epochs after which the run ends; None where `minutes` alone say when."""
        return self.num_epochs or (None if self.minutes else EPOCHS)

    @property
    def length(self) -> str:
        """How long the run is, for people: `2 minutes`, `3 epochs`, `2 minutes or 3 epochs`."""
        limits = ((self.minutes, "minute"), (self.most_epochs, "epoch"))
        return " or ".join(console.counted(limit, unit) for limit, unit in limits if limit)

    @property
    def schedule_used(self) -> str:
        """The schedule, one of `SCHEDULES`."""
        return self.schedule or ("cosine" if self.decay_rate is None else "exponential")


@dataclass(frozen=True)
class SamplingSettings(Settings):
    """How a text is written: how each next token is drawn, and where the text ends.

    The logits go through, in this order (the order and the meanings of Hugging Face
    transformers' logits processors): repetition penalty, bans, temperature, top-k, top-p, min-p.

    Example:
        >>> SamplingSettings(temperature=0.5, stop=("THE END",)).length
        1000
    """

    length: int = setting(
        1000,
        "characters, subwords or words to make after the seed; -1: until Ctrl-C; a document may end"
        " before",
        minimum=-1,
        group="what is written",
    )  # fmt: skip
    label: str | None = setting(
        None, "write a document with this label, one of those that the training documents had"
    )
    stop: tuple[str, ...] = setting((), "end before this text")
    stop_after: tuple[str, ...] = setting((), "end after this text, which is kept")
    sentences: int | None = setting(
        None, "end after so many whole sentences; the period of Mr. ends none", minimum=1
    )
    until_line: bool = setting(False, "end with the line: before the next line end")
    until_paragraph: bool = setting(False, "end with the paragraph: before the next blank line")
    new: bool = setting(
        False,
        "write only documents, or without documents lines, that stand neither in the training text"
        " nor among those written before, whatever their case",
    )
    ban: tuple[str, ...] = setting(
        (), "a text that must not appear (of characters and subwords also within words)"
    )
    force: tuple[str, ...] = setting(
        (), "a text that must appear; several are spread over the length"
    )
    temperature: float | tuple[float, ...] = setting(
        1.0,
        "temperature: lower is safer, higher wilder, 0 always the likeliest token; 0.2,0.8 takes"
        " turns from token to token",
        minimum=0, flags=("--diversity", "--temperature"), group="how each token is drawn",
    )  # fmt: skip
    top_k: int | None = setting(None, "draw among the K likeliest tokens only", minimum=1)
    top_p: float | None = setting(
        None,
        "draw among the likeliest tokens that together have this probability",
        above=0,
        maximum=1,
    )
    min_p: float | None = setting(
        None,
        "draw among tokens at least this probable, as a share of the likeliest one's probability",
        minimum=0,
        maximum=1,
    )
    repetition_penalty: float = setting(
        1.0,
        "above 1: tokens of the last `repetition_window` become less likely; try 1.2",
        above=0,
    )
    repetition_window: int = setting(
        64, "how many tokens the penalty looks back, seed included", minimum=1
    )
    sample_mode: str = setting(
        "sample",
        "sample: draw; argmax: always the likeliest token; spaces: draw after a space only (words"
        " and subwords: after a sentence), so that words hold together",
        choices=("sample", "argmax", "spaces"),
    )
    beam_size: int | None = setting(
        None, "search for the likeliest text, keeping N candidates, instead of drawing", minimum=1
    )
    random_seed: int | None = setting(None, "number that makes the text repeatable", minimum=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for ban in self.ban:
            if texts := [text for text in self.force if ban in text]:
                raise TextgenError(
                    f"`ban` {ban!r} contradicts `force` {texts[0]!r}, which has it. Leave one of"
                    " them out"
                )


def as_meant_now(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a run's record says of its training, as it is said today.

    Before batches had parts, `minutes` alone counted where both lengths were recorded.
    """
    if "batch_parts" in record:
        return dict(record)
    one_length = {"num_epochs": None} if record.get("minutes") else {}
    return {**record, "batch_parts": 1, **one_length}


@dataclass(frozen=True)
class CorpusSettings(Settings):
    """How text files become a data directory."""

    unwrap: bool = setting(False, "make each hard-wrapped paragraph one line", group="text files")
    errors: str = setting(
        "repair",
        "what to do about UTF-8 in which some places are not: read those as cp1252 and leave out"
        " zero bytes, or be strict and stop",
        choices=("repair", "strict"),
    )  # fmt: skip
    recursive: bool = setting(False, "read the text files, or tables, in folders and theirs")
    strip_gutenberg: bool = setting(False, "drop Project Gutenberg's header and licence")
    dedupe: str | None = setting(
        None, "leave out lines, or paragraphs, that were there before",
        choices=("lines", "paragraphs"),
    )  # fmt: skip
    shuffle_documents: str | None = setting(
        None,
        "put the documents in random order; they end at lines that are LINE, such as"
        " '<|endoftext|>' (without LINE: at blank lines)",
        metavar="LINE", alone="\n",
    )  # fmt: skip
    documents: str | None = setting(
        None,
        "the text is many texts, which are held out whole: lines, paragraphs (with blank lines"
        " between them), files, or what stands between marks such as '<|endoftext|>'",
        metavar="lines|paragraphs|files|MARK", group="many texts, lists and tables",
    )  # fmt: skip
    column: str | None = setting(
        None,
        "the column of a CSV or TSV file, or the field of JSON lines, that has the texts; by name,"
        " or where there is no header by number from 1 on",
        flags=("--column", "--field"),
    )
    template: str | None = setting(
        None, r"make each text of several columns, such as '{title}\n{text}'"
    )
    label: str | None = setting(
        None,
        "the column of labels: each text begins with its own, by which samples can be asked for",
        metavar="COLUMN",
    )
    random_seed: int = setting(0, "another number gives another order of the documents", minimum=0)
    validation_split: float = setting(
        0.1, "the share held out for validate.txt; 0 for none", metavar="SHARE", minimum=0, below=1
    )

    @property
    def is_for_tables(self) -> bool:
        """Whether texts are made of the rows of tables."""
        return self.column is not None or self.template is not None or self.label is not None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.documents or self.is_for_tables):
            return
        if self.shuffle_documents:
            raise TextgenError(
                "`shuffle_documents` has no use with `documents` or a table: training reads them in"
                " another random order in each pass. Leave it out"
            )
        if self.is_for_tables:
            names = ("unwrap", "strip_gutenberg", "documents")
            given = [name for name in names if getattr(self, name)]
            if given:
                raise TextgenError(
                    f"`{given[0]}` is for text files, and here the texts are rows of a table. Leave"
                    " it out"
                )
