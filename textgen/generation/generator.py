"""Seed -> text: one as it is made, many at once, or the next tokens to choose from."""

import collections
import itertools
import math
import reprlib
import secrets
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from textgen.generation import notebook
from textgen.generation.batch import BLOCK, Batch, Model, beam_search, last_ids
from textgen.generation.mixture import Mixture, common_tokenizer
from textgen.generation.novelty import STRIDE, TRIES, KnownTexts, document_of, ending_in_line
from textgen.generation.openings import Openings
from textgen.generation.sampling import Reals, next_probabilities
from textgen.generation.texts import Piece, Text
from textgen.model import checkpoint, history
from textgen.model.architecture import weights_per_layer
from textgen.model.network import Network
from textgen.settings.definitions import SamplingSettings
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.support.parallel import map_in_threads, single_threaded_blas
from textgen.tokens.tokenizer import Ids, Tokenizer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from textgen.generation.originality import Originality
    from textgen.generation.scoring import Score

LONGEST_PATH = 1000
"""Characters; a longer one is a text that somebody meant to train on."""

AT_ONCE = 256
"""Texts that are made at the same time; more would not be faster, but need more memory."""

DRAWING = ("force", "temperature", "top_k", "top_p", "min_p", "sample_mode")
"""Settings that beam search has no use for."""

SMALLEST_WORK = 25_000_000
"""Multiplications per step of a thread's samples for which another thread pays. With less, threads
wait for Python's lock more than they compute. 64 samples on two cores, with two threads and with
one: 128 x 2 166,000 and 216,000 tokens/s (AMD Zen 5), 256 x 2 53,000 and 32,000, 512 x 2 12,100 and
8,900 (AMD Zen 3)."""


class Prompt(NamedTuple):
    """A text to go on from, and how; see `Generator.write`.

    Example:
        >>> textgen.Prompt("The ", textgen.SamplingSettings(length=9)).seed
        'The '
    """

    seed: str
    settings: SamplingSettings


@dataclass(frozen=True)
class Sample:
    """A text and how it was made."""

    seed: str
    text: str
    tokens: int
    """How many tokens were made."""
    random_seed: int
    """The number that makes this text again, alone."""
    mean_log_probability: float | None
    """In nats per token, of the model before all filters; None unless scored."""
    settings: SamplingSettings
    label: str | None = None
    """Of the document, given or drawn."""
    pieces: tuple[tuple[str, float], ...] = field(default=(), repr=False)
    """Each token's share of the text and its log-probability, as `mean_log_probability`, where
    `Generator.sample` has written it."""

    def to_dict(self) -> dict[str, Any]:
        """Returns built-in values only, for JSON."""
        values = asdict(self)
        del values["pieces"]
        return values | {"config": values.pop("settings")}

    def __str__(self) -> str:
        return self.seed + self.text

    def _repr_html_(self) -> str:
        """The text as a notebook shows it: shaded by probability, where that is known."""
        return notebook.shaded(self.seed, self.pieces or [(self.text, math.nan)])

    @classmethod
    def of(cls, text: Text, written: str) -> "Sample":
        """Returns the record of a finished text."""
        number, total = len(text.ids), text.log_probability
        mean = total / number if number and not math.isnan(total) else None
        seed = text.settings.random_seed or 0
        return cls(text.seed, written, text.made, seed, mean, text.settings, text.label)


class Generator:
    """Writes text with a trained model.

    Calls share no state that changes, so one generator serves any number of threads.

    Args:
        network: the trained network, or a mixture of several.
        tokenizer: the tokenizer it was trained with.
        line_starts: beginnings of lines to choose a seed from.
        data_dir: the folder of the model; None where it is of no single one.
    """

    def __init__(
        self,
        network: Model,
        tokenizer: Tokenizer,
        line_starts: tuple[str, ...] = (),
        data_dir: Path | None = None,
    ) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self.line_starts = line_starts
        self.data_dir = data_dir

    @classmethod
    def load(cls, directory: str | Path) -> "Generator":
        """Reads the model in `directory`.

        Raises:
            TextgenError: if there is no intact model.
        """
        folder = folder_of(directory)
        return cls.of(checkpoint.load(folder), folder)

    @classmethod
    def of(cls, saved: checkpoint.Checkpoint, data_dir: Path | None = None) -> "Generator":
        """Builds the model that was read. Raises TextgenError if its weights are unfit."""
        metadata = saved.metadata
        network = Network(metadata.model, saved.weights)
        return cls(network, metadata.tokenizer, tuple(metadata.line_starts), data_dir)

    @classmethod
    def from_keras(cls, model: Any, tokenizer: Tokenizer) -> "Generator":
        """Takes the weights that a Keras model has now; later training does not change them.

        Args:
            model: what `textgen.build_model` returns, or `keras.models.load_model` of a
                `model.h5`.
            tokenizer: the tokenizer of the ids that it was trained on.

        Raises:
            TextgenError: if the model has other layers, or another vocabulary.

        Example:
            >>> tokenizer = textgen.load(folder).tokenizer
            >>> settings = textgen.ModelSettings(rnn_size=8)
            >>> model = textgen.build_model(settings, len(tokenizer.vocabulary), batch_size=4)
            >>> len(textgen.Generator.from_keras(model, tokenizer).generate("The ", length=9))
            9
        """
        from textgen.model.keras_model import read_model  # only here: it imports TensorFlow

        return cls(Network(*read_model(model, len(tokenizer.vocabulary))), tokenizer)

    @classmethod
    def mix(
        cls, generators: Sequence["Generator"], weights: Sequence[float] | None = None
    ) -> "Generator":
        """Makes one of several models; see `textgen.generation.mixture.Mixture`.

        Args:
            generators: at least one.
            weights: a number above 0 per model blends them; without, they take turns.

        Raises:
            TextgenError: if the models or the weights do not fit together.

        Example:
            >>> one, other = textgen.load(folder), textgen.load(folder)
            >>> len(textgen.Generator.mix([one, other], [0.7, 0.3]).generate("The ", length=9))
            9
        """
        if not generators or not all(isinstance(one, Generator) for one in generators):
            raise TextgenError(
                "models are mixed from a list of at least one. Received:"
                f" {reprlib.repr(generators)}"
            )
        parts = [generator.tokenizer for generator in generators]
        tokenizer = common_tokenizer(parts)
        networks = [generator.network for generator in generators]
        starts = [start for generator in generators for start in generator.line_starts]
        return cls(Mixture(networks, parts, tokenizer, weights), tokenizer, tuple(starts))

    @property
    def labels(self) -> list[str]:
        """The labels that `label` may be: those of the documents that it was trained on."""
        return self.tokenizer.labels

    @property
    def history(self) -> list[dict[str, float]]:
        """What `history.csv` in the model's folder holds: a dict per epoch.

        Example:
            >>> rows = textgen.load(folder).history
            >>> rows[0]["epoch"], rows[-1]["loss"] < rows[0]["loss"]
            (1, True)
        """
        return history.read(self.data_dir) if self.data_dir else []

    def plot_history(self) -> "Figure":
        """Returns a figure of matplotlib's: losses, learning rate and update ratios by epoch.

        Raises:
            TextgenError: if the folder has no history, or matplotlib is not installed.
        """
        figure = history.picture(self.history, self.tokenizer)
        notebook.show_figures()
        return figure

    def save(self, directory: str | Path) -> None:
        """Copies the model, with its history, to another folder, which is made if missing.

        Raises:
            TextgenError: if there is a model already, or the disk does not take this one.

        Example:
            >>> textgen.load(folder).save(folder / "copy")
            >>> textgen.load(folder / "copy").history == textgen.load(folder).history
            True
        """
        if self.data_dir is None:
            raise TextgenError(
                "this model is in no folder that could be copied: it is a mixture, or one of Keras,"
                " which `textgen.save` saves"
            )
        folder = folder_of(directory)
        if any((folder / name).exists() for name in checkpoint.PAIR):
            raise TextgenError(f"{folder} has a model already. Give another folder")
        metadata = checkpoint.load(self.data_dir).metadata
        checkpoint.save(folder, metadata, partial(shutil.copyfile, self.data_dir / "model.h5"))
        history.copy(self.data_dir, folder)

    def __repr__(self) -> str:
        facts = "; ".join(f"{name} {fact}" for name, fact in self._facts().items())
        return f"<textgen.Generator: {facts}>"

    def _repr_html_(self) -> str:
        """What a notebook shows of the model."""
        return notebook.table("textgen.Generator", self._facts())

    def _facts(self) -> dict[str, str]:
        """Returns what people want to know of a model, by name."""
        vocabulary = f"{len(self.tokenizer.vocabulary):,} {self.tokenizer.unit}s"
        facts = {"vocabulary": vocabulary}
        if isinstance(self.network, Network):
            settings = self.network.settings
            weights = sum(weights_per_layer(settings, len(self.tokenizer.vocabulary)).values())
            layers = f"{settings.num_layers} x {settings.cell} of {settings.rnn_size}"
            facts = {"layers": layers, **facts, "weights": f"{weights:,}"}
        if self.data_dir is not None:
            facts["folder"] = str(self.data_dir)
        if best := history.best_of(self.history):
            facts["loss"] = f"{history.loss_text(best, self.tokenizer)}, epoch {best['epoch']:g}"
        return facts

    def generate(
        self,
        seed: str = "",
        length: int = SamplingSettings.length,
        temperature: float | tuple[float, ...] = SamplingSettings.temperature,
        random_seed: int | None = None,
        **settings: Any,
    ) -> str:
        """Writes `length` tokens that go on from `seed`.

        Args:
            seed: the text before; characters or words that the vocabulary lacks are read as
                unknown. With an empty seed the text starts like a new line.
            length: tokens (characters, subwords or words) to make.
            temperature: see `SamplingSettings`.
            random_seed: the same number gives the same text.
            settings: further settings of `SamplingSettings`.

        Returns:
            The new text, without the seed.

        Raises:
            TextgenError: on a value out of range.

        Example:
            >>> model = textgen.load(folder)
            >>> len(model.generate("The ", length=20, temperature=0.8, random_seed=1))
            20
            >>> model.generate("The ", length=20, temperature=0, ban=["e"]).count("e")
            0
        """
        sampling = _sampling(settings, length, temperature, random_seed)
        _refuse_no_text("seed", seed)
        for sample in self.samples(1, seed, sampling):
            return sample.text
        raise TextgenError(
            f"nothing new was written in {TRIES} tries. Give a higher `temperature` or another"
            " `seed`"
        )

    def stream(
        self,
        seed: str = "",
        length: int = SamplingSettings.length,
        temperature: float | tuple[float, ...] = SamplingSettings.temperature,
        random_seed: int | None = None,
        **settings: Any,
    ) -> Iterator[str]:
        """Yields the text of `generate`, in pieces, as it is made; with length -1 for ever.

        Example:
            >>> model = textgen.load(folder)
            >>> pieces = list(model.stream("The ", length=20, random_seed=1))
            >>> "".join(pieces) == model.generate("The ", length=20, random_seed=1)
            True
        """
        pieces = self.pieces(seed, _sampling(settings, length, temperature, random_seed))
        return (piece.text for piece in pieces if piece.text)

    def sample(
        self,
        seed: str = "",
        length: int = SamplingSettings.length,
        temperature: float | tuple[float, ...] = SamplingSettings.temperature,
        random_seed: int | None = None,
        **settings: Any,
    ) -> Sample:
        """Writes the text of `generate` and tells the probability of each token.

        A notebook shows it shaded from red, improbable, to green.

        Example:
            >>> sample = textgen.load(folder).sample("The ", length=20, random_seed=1)
            >>> sample.text == textgen.load(folder).generate("The ", length=20, random_seed=1)
            True
            >>> len(sample.pieces), sample.mean_log_probability < 0
            (20, True)
        """
        sampling = _with_random_seed(_sampling(settings, length, temperature, random_seed))
        _refuse_endless(sampling)
        if sampling.new:
            raise TextgenError(
                "`new` is for `generate` and `samples`, which write again what is not. Leave it out"
            )
        text = Text(seed, sampling, self.tokenizer, scored=True)
        written = [(piece.text, piece.log_probability) for piece in self._written(text)]
        sample = Sample.of(text, "".join(part for part, _ in written))
        return replace(sample, pieces=tuple(written))

    def pieces(
        self, seed: str, settings: SamplingSettings, scored: bool = False
    ) -> Iterator[Piece]:
        """Yields each token's addition to the text.

        Args:
            seed: the text before.
            settings: how it is written.
            scored: whether to compute each token's probability.

        Raises:
            TextgenError: on settings that do not go together.
        """
        if settings.new:
            samples = self.write([Prompt(seed, settings)], scored)
            return (
                Piece(sample.text, math.nan if mean is None else mean * sample.tokens, [])
                for sample in samples
                for mean in [sample.mean_log_probability]
            )
        return self._written(Text(seed, settings, self.tokenizer, scored))

    def _written(self, text: Text) -> Iterator[Piece]:
        if text.settings.beam_size is not None:
            return iter([self._search(text)])
        batch = Batch(self.network)
        batch.add([text])
        return self._pieces(batch)

    def _pieces(self, batch: Batch) -> Iterator[Piece]:
        while batch.texts:
            ((_, piece),) = batch.advance()
            yield piece

    def samples(
        self,
        count: int,
        seed: str | Sequence[str] = "",
        settings: SamplingSettings | None = None,
        scored: bool = False,
        progress: Callable[[int], object] = lambda tokens: None,
        **more: Any,
    ) -> Iterator[Sample]:
        """Yields `count` texts that go on from a seed, or from each of several, written together.

        The random seed of each text is one above that of the text before, and each text is what
        that number gives alone.

        Args:
            count: how many.
            seed: the text before all of them, or a list of such texts.
            settings: how they are written.
            scored: whether to compute the mean log-probabilities.
            progress: called with the number of tokens made since the last call, from any thread.
            more: settings by name, instead of or besides `settings`.

        Raises:
            TextgenError: if a text would never end, or on settings that do not go together.

        Example:
            >>> one, other = textgen.load(folder).samples(2, "The ", length=20, random_seed=7)
            >>> one.random_seed, other.random_seed, len(one.text)
            (7, 8, 20)
            >>> samples = textgen.load(folder).samples(1, ["The ", "He "], length=20)
            >>> [sample.seed for sample in samples]
            ['The ', 'He ']
        """
        if not (settings is None or isinstance(settings, SamplingSettings)):
            raise TextgenError(
                f"`settings` are textgen.SamplingSettings. Received: {reprlib.repr(settings)}"
            )
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise TextgenError(f"`count` is how many texts. Received: {reprlib.repr(count)}")
        settings = SamplingSettings.from_dict((settings.to_dict() if settings else {}) | more)
        _refuse_endless(settings)
        if settings.beam_size is not None and count > 1:
            raise TextgenError("`beam_size` finds one text. Ask for one, or leave it out")
        first = _with_random_seed(settings).random_seed or 0
        seeds = [seed] if isinstance(seed, str) or not isinstance(seed, Sequence) else seed
        each = itertools.chain.from_iterable(itertools.repeat(one, count) for one in seeds)
        prompts = (
            Prompt(one, replace(settings, random_seed=first + number))
            for number, one in enumerate(each)
        )
        return self.write(prompts, scored, progress)

    def write(
        self,
        prompts: Iterable["Prompt"],
        scored: bool = False,
        progress: Callable[[int], object] = lambda tokens: None,
    ) -> Iterator[Sample]:
        """Yields a text for each prompt, in their order; many are written at once.

        What is to be `new` is written anew, up to `TRIES` times, and left out if it never is.

        Args:
            prompts: seeds, each with the settings to go on by.
            scored: whether to compute the mean log-probabilities.
            progress: called with the number of tokens made since the last call, from any thread.

        Raises:
            TextgenError: if a text would never end, on settings that do not go together, or if
                something is to be new and the training text is not at hand.

        Example:
            >>> prompts = [
            ...     textgen.Prompt("The ", textgen.SamplingSettings(length=9)),
            ...     textgen.Prompt("He ", textgen.SamplingSettings(length=5, temperature=0.5)),
            ... ]
            >>> [len(sample.text) for sample in textgen.load(folder).write(prompts)]
            [9, 5]
        """
        known: KnownTexts | None = None
        failed = total = 0
        waiting = iter(prompts)
        while together := list(islice(waiting, AT_ONCE)):
            for prompt in together:
                _refuse_endless(prompt.settings)
            total += len(together)
            if any(prompt.settings.new for prompt in together):
                known = known or KnownTexts.of_training(
                    self.data_dir, self.tokenizer.settings.documents
                )
                found = self._new(together, known, scored, progress)
            else:
                found = dict(enumerate(self._written_together(together, scored, progress)))
            failed += len(together) - len(found)
            yield from (found[number] for number in sorted(found))
        if failed:
            console.warn(
                f"{failed:,} of {total:,} texts are left out: they were not new in {TRIES} tries"
                " each. A higher `temperature`, or another `seed`, gives more"
            )

    def _new(
        self,
        prompts: Sequence["Prompt"],
        known: KnownTexts,
        scored: bool,
        progress: Callable[[int], object],
    ) -> dict[int, Sample]:
        """Returns what was written for each prompt, by its place, if it is new or need not be."""
        found: dict[int, Sample] = {}
        documents = self.tokenizer.settings.documents
        waiting = {
            place: Prompt(seed, ending_in_line(_with_random_seed(settings), documents))
            for place, (seed, settings) in enumerate(prompts)
        }
        for _ in range(TRIES):
            samples = self._written_together(list(waiting.values()), scored, progress)
            for place, sample in zip(list(waiting), samples, strict=True):
                text = document_of(sample.seed, sample.text, documents)
                if not sample.settings.new or known.meets(text):
                    found[place] = sample
                    del waiting[place]
                else:
                    settings = waiting[place].settings
                    later = (settings.random_seed or 0) + STRIDE
                    again = replace(settings, random_seed=later)
                    waiting[place] = waiting[place]._replace(settings=again)
            if not waiting:
                break
        return found

    def _written_together(
        self,
        prompts: Sequence["Prompt"],
        scored: bool,
        progress: Callable[[int], object],
    ) -> list[Sample]:
        """Returns a sample for each prompt."""
        texts = [
            Text(seed, _with_random_seed(settings), self.tokenizer, scored)
            for seed, settings in prompts
        ]
        written: dict[Text, str] = {}
        for text in texts:
            if text.settings.beam_size is not None:
                written[text] = self._search(text).text
        drawn = [text for text in texts if text not in written]
        if drawn:
            share = math.ceil(SMALLEST_WORK / self.network.multiplications)
            with single_threaded_blas():
                parts = map_in_threads(partial(self._write, progress), drawn, share)
            written |= dict(zip(drawn, parts, strict=True))
        return [Sample.of(text, written[text]) for text in texts]

    def _write(
        self,
        progress: Callable[[int], object],
        together: Sequence[Text],
        given_up: threading.Event,
    ) -> list[str]:
        """Finishes texts; returns what was written for each."""
        pieces: dict[Text, list[str]] = {text: [] for text in together}
        batch = Batch(self.network)
        for _, alike in itertools.groupby(together, key=lambda text: text.prompt.tobytes()):
            batch.add(list(alike))
        while batch.texts and not given_up.is_set():
            made = sum(text.made for text in together)
            left = min(text.left for text in batch.texts)
            steps = min(BLOCK, left)
            for text, piece in batch.advance(steps):
                pieces[text].append(piece.text)
            progress(sum(text.made for text in together) - made)
        return ["".join(pieces[text]) for text in together]

    def _search(self, text: Text) -> Piece:
        """Returns the text that beam search finds, as one piece."""
        settings = text.settings
        _refuse_endless(settings)
        for name in DRAWING:
            if getattr(settings, name) != getattr(SamplingSettings, name):
                raise TextgenError(
                    f"`beam_size` draws nothing, so that `{name}` has no use. Leave one of them out"
                )
        if settings.length == 0:
            return Piece("", 0.0, [])

        opening: list[int] = []
        if text.typed:
            stepper = self.network.stepper(text.prompt[np.newaxis])
            opening = list(Openings.of(text, stepper).draw(text))
            text.begin(opening)

        def is_over(ids: list[int]) -> bool:
            if not text.may_end:
                return False
            trial = Text(text.seed, replace(settings, length=-1), self.tokenizer)
            trial.push(opening + ids)
            return trial.finished

        prompt = np.concatenate([text.prompt, opening]).astype(np.int32)
        length = max(1, settings.length + text.retyped - len(opening))
        found = beam_search(
            self.network, prompt, text.rules, length, settings.beam_size or 1, is_over
        )
        ids = opening + found.ids
        return text.take(ids, [found.score] * len(ids))

    def score(self, text: str | Iterable[str], pieces: bool = True) -> "Score":
        """Tells how well the model knows a text: how probable it finds each token.

        The text is read as one stream from an empty state, and its first token is only read. A
        model of documents reads each document by itself, and its end is scored too; a label at its
        beginning is given. Characters or words that the vocabulary lacks are scored as the unknown
        token, and counted.

        A notebook shows the text shaded from red, improbable, to green.

        Args:
            text: the text, or the pieces, cut anywhere, of one that is larger than memory.
            pieces: whether to keep the text and the log-probability of each token, of the first
                100,000.

        Returns:
            Nats per token, nats and bits per character, perplexity, and what they are made of.

        Raises:
            TextgenError: if there is no token to score.

        Example:
            >>> score = textgen.load(folder).score("The river keeps no record")
            >>> score.tokens, score.unknown, round(score.perplexity) < 20
            (24, 0, True)
            >>> score.pieces[1][0], score.pieces[1][1] < 0
            ('h', True)
        """
        from textgen.generation import scoring  # here, for the start of `sample.py`

        return scoring.score(self.network, self.tokenizer, _chunks(text), pieces)

    def scores(self, texts: Iterable[str], pieces: bool = False) -> "Iterator[Score]":
        """Yields the score of each of many texts; they are read side by side, so that it is fast.

        Each is read by itself: as a document where the model was trained on documents, else as
        text that begins a line, so that its first token is scored too.

        Args:
            texts: the texts, each with at least one token.
            pieces: whether to keep the text and the log-probability of each token.

        Raises:
            TextgenError: if a text has no token to score.

        Example:
            >>> lines = ["And yet it carries all of it away.", "Xq zzv!"]
            >>> known, strange = textgen.load(folder).scores(lines)
            >>> known.nats_per_token < strange.nats_per_token
            True
        """
        if isinstance(texts, str):
            raise TextgenError(
                f"`texts` is a list of texts. Received: {reprlib.repr(texts)}. Give `score` one"
            )
        from textgen.generation import scoring  # here, for the start of `sample.py`

        return scoring.scores(self.network, self.tokenizer, texts, pieces)

    def next_tokens(
        self, seed: str, count: int = 10, settings: SamplingSettings | None = None
    ) -> list[tuple[str, float]]:
        """Returns the `count` likeliest tokens to follow `seed`, with their probabilities.

        They are the probabilities that the next token is drawn with: after the filters.

        Example:
            >>> likeliest, second = textgen.load(folder).next_tokens("The rive", 2)
            >>> likeliest[1] >= second[1]
            True
        """
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise TextgenError(f"`count` is how many tokens. Received: {reprlib.repr(count)}")
        text = Text(seed, settings or SamplingSettings(), self.tokenizer)
        if text.typed:
            return self._next_pieces(text)[:count]
        probabilities = self._next_probabilities(text, text.prompt)  # (V,)
        ids = np.argsort(-probabilities, kind="stable")[:count]
        ids = ids[probabilities[ids] > 0]
        return [(self.tokenizer.text_of(i), float(probabilities[i])) for i in ids.tolist()]

    def _next_probabilities(self, text: Text, ids: Ids) -> Reals:
        """Returns what the next token of a text is drawn with after ids (T,): (V,)."""
        prompt = ids[np.newaxis]  # (1, T)
        logits = self.network.stepper(prompt).logits  # (1, V)
        recent = last_ids(prompt, text.rules.memory)  # (1, M)
        probabilities: Reals = next_probabilities(logits, text.rules, recent)[0]
        return probabilities

    def _next_pieces(self, text: Text) -> list[tuple[str, float]]:
        """Returns what may follow a seed that ends within a word, the likeliest first."""
        openings = Openings.of(text, self.network.stepper(text.prompt[np.newaxis]))
        typed = len(text.typed.decode("utf-8", "surrogatepass"))
        found: dict[str, float] = collections.defaultdict(float)
        shares = openings.probabilities(text).tolist()
        for ids, share in zip(openings.ways, shares, strict=True):
            piece = self.tokenizer.decode_text(np.array(ids))[typed:]
            if piece:
                found[piece] += share
            elif share > 0:  # the seed ends where a token does
                after = self._next_probabilities(text, np.concatenate([text.prompt, ids]))
                for i in np.flatnonzero(after > 0).tolist():
                    found[self.tokenizer.text_of(i)] += share * float(after[i])
        return sorted(found.items(), key=lambda one: -one[1])

    def originality(
        self,
        texts: str | Sequence[str],
        training_text: str | Path | None = None,
        most: int = 10,
    ) -> "Originality":
        """Tells how much of texts is copied from what the model was trained on.

        Copied is what stands in a run of at least 30 characters (8 words, for models of words) in
        the training text too. As much held-out text, if there is some, is looked at besides: what
        it has is chance.

        Args:
            texts: one text, or several, such as samples.
            training_text: a file, or the data directory that has the text, if it is not in the
                folder of the model.
            most: passages to list.

        Returns:
            The figures, the longest passages, and where they are.

        Raises:
            TextgenError: if there is no text, or the training text is not at hand.

        Example:
            >>> model = textgen.load(folder)
            >>> found = model.originality("He said: The river keeps no record of the rain!")
            >>> found.passages[0].text, found.passages[0].line
            ('The river keeps no record of the rain', 2)
            >>> 0 < found.share < 1, found.held_out.characters
            (True, 47)
        """
        from textgen.generation.originality import of_model  # here, for the start of `sample.py`

        return of_model(texts, self.tokenizer, self.data_dir, training_text, most)


def _chunks(text: str | Iterable[str]) -> Iterable[str]:
    """Returns the pieces of a text. Raises TextgenError on what has none."""
    if isinstance(text, str):
        return [text]
    if isinstance(text, bytes) or not isinstance(text, Iterable):
        raise TextgenError(f"`text` is the text to score. Received: {reprlib.repr(text)}")
    return text


def _sampling(
    settings: dict[str, Any],
    length: int,
    temperature: float | tuple[float, ...],
    random_seed: int | None,
) -> SamplingSettings:
    named = {"length": length, "temperature": temperature, "random_seed": random_seed}
    return SamplingSettings.from_dict(named | settings)


def _with_random_seed(settings: SamplingSettings) -> SamplingSettings:
    if settings.random_seed is not None:
        return settings
    return replace(settings, random_seed=secrets.randbits(32))


def folder_of(directory: str | Path) -> Path:
    """Returns the path of a folder. Raises TextgenError on what is no path."""
    if not isinstance(directory, str | Path) or not str(directory):
        raise TextgenError(f"a folder is given by its path. Received: {reprlib.repr(directory)}")
    if "\n" in str(directory) or len(str(directory)) > LONGEST_PATH:
        raise TextgenError(
            f"a folder is given by its path. Received: {reprlib.repr(directory)}. A text is given"
            " as `text`: textgen.train(text=...)"
        )
    return Path(directory).expanduser()


def _refuse_no_text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise TextgenError(f"`{name}` is a text. Received: {reprlib.repr(value)}")


def _refuse_endless(settings: SamplingSettings) -> None:
    if settings.length < 0:
        raise TextgenError(
            f"`length={settings.length}` has no end, and the text is needed whole here. Give a"
            " `length` of 0 or more"
        )
