"""One text while it is written: how its tokens are drawn, what they spell, and where it ends."""

import functools
import re
import reprlib
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

from textgen.generation.sampling import BannedText, Rules, filters_of
from textgen.settings.definitions import SamplingSettings
from textgen.support.errors import TextgenError
from textgen.text.documents import Document
from textgen.tokens.tokenizer import CLOSING, END_ID, UNKNOWN_ID, Tokenizer
from textgen.treebank.words import is_abbreviation

MOST_BANS = 32
"""Sets of banned texts that are remembered: to prepare one takes some milliseconds."""


class Token(NamedTuple):
    """A token that was made, where alternatives were asked for."""

    text: str
    """The text that it added, possibly nothing yet."""
    log_probability: float
    """Given by the model, in nats, before all filters."""
    likeliest: list[tuple[int, float]]
    """The ids that were likeliest in its place, likeliest first, and theirs."""


class Piece(NamedTuple):
    """Some tokens of a text."""

    text: str
    """The text that they added, possibly nothing: a stop text or a word may not be certain yet."""
    log_probability: float
    """The sum over these tokens, in nats, before all filters; nan unless scored."""
    tokens: list[Token]
    """Each of them, where alternatives were asked for."""


class Text:
    """One text while it is written.

    It ends after `length` tokens, before the first stop text, or where a document ends.

    Args:
        seed: the text before; the unknown is read as unknown. With an empty one a document is
            begun, or a line.
        settings: how the text is written, and where it ends.
        tokenizer: the tokenizer of the model that will write it.
        scored: whether the probabilities of its tokens are wanted.
        alternatives: how many of the likeliest tokens to tell with each token; above 0, its
            tokens are scored too.
        first: ids that the text begins with.

    Attributes:
        prompt: the ids of the seed, (T,), T at least 1.
        typed: the end of the seed that they leave to the first tokens, see `openings`.
        rules: how its tokens are drawn.
        ids: the tokens so far.
        retyped: how many of them only spell what was typed, which are none of the length.
        finished: whether the text is complete; no more tokens may be taken.
        log_probability: the sum over all tokens, in nats, before all filters; nan unless scored.

    Raises:
        TextgenError: if the settings ask for what the tokenizer cannot write.
    """

    def __init__(
        self,
        seed: str,
        settings: SamplingSettings,
        tokenizer: Tokenizer,
        scored: bool = False,
        alternatives: int = 0,
        first: Sequence[int] = (),
    ) -> None:
        if not isinstance(seed, str):
            raise TextgenError(f"`seed` is the text before. Received: {reprlib.repr(seed)}")
        self.seed, self.settings = seed, settings
        self.scored, self.alternatives = scored or alternatives > 0, alternatives
        # What is given, or must not be met again, leaves the seed's last token as it is.
        whole = bool(first) or any(text in seed for text in settings.ban)
        self.prompt, self._decoder, self.typed = tokenizer.prompt(seed, settings.label, whole)
        self._tokenizer = tokenizer
        self._marks = frozenset(tokenizer.marks.values())
        self.rules = rules_of(settings, tokenizer)
        self.ids: list[int] = []
        self.retyped = 0
        self.finished = settings.length == 0
        self.log_probability = 0.0
        self._vocabulary = tokenizer.vocabulary
        before = 1 if self.typed else 0  # the token that goes on from what was typed
        self._forced = ForcedTokens(first, settings.force, settings.length, tokenizer, before)
        self._ending = Ending.of(settings)

    @property
    def may_end(self) -> bool:
        """Whether it may end before its length."""
        return self._ending.is_watching or bool(self._marks)

    @property
    def made(self) -> int:
        """How many tokens of its length there are."""
        return len(self.ids) - self.retyped

    @property
    def left(self) -> int:
        """How many tokens may come until its length is reached."""
        return self.settings.length - self.made

    @property
    def has_forced(self) -> bool:
        """Whether tokens to come may be forced, so that they are made one at a time."""
        return self._forced.may_come

    @property
    def _last(self) -> int:
        return self.ids[-1] if self.ids else int(self.prompt[-1])

    def openings(self) -> Sequence[tuple[int, ...]]:
        """The tokens that the text may begin with, one or more in a row, where any is `typed`.

        Of those that would write what is banned there are none, unless all would.
        """
        found = self._tokenizer.openings(self.typed)
        kept = [ids for ids in found if not self.rules.forbid(self.prompt, ids)]
        return kept or found

    def begin(self, ids: Sequence[int]) -> None:
        """Lets these be the first tokens, which begin with what was typed."""
        spelled, left = self._tokenizer.spelled_bytes() or (), len(self.typed)
        for token_id in ids:
            left -= len(spelled[token_id])
            self.retyped += left >= 0
        self._forced.begin(ids)

    def forced_id(self) -> int | None:
        """The id that must be the next one, or None: it is drawn."""
        return self._forced.next(self.made, self._last)

    def instead_of(self, token_id: int) -> int | None:
        """The id that must come instead of a drawn one, or None: the drawn one may come.

        A document does not end before the texts that it must contain, and where tokens begin with
        the space before a word, such a text comes in the place of a word.
        """
        is_end = token_id == END_ID and bool(self._marks)
        if token_id in self._marks and not is_end:
            return None
        return self._forced.next(self.made, self._last, token_id, at_once=is_end)

    def take(
        self,
        ids: list[int],
        log_probabilities: list[float],
        likeliest: Sequence[list[tuple[int, float]]] = (),
    ) -> Piece:
        """Takes tokens, up to the end of the text.

        Args:
            ids: the tokens, (S,).
            log_probabilities: theirs, (S,).
            likeliest: for each, where `alternatives` are wanted; see `Token.likeliest`.
        """
        self._forced.drop()
        if not self.alternatives:
            before = len(self.ids)
            text = self.push(ids)
            score = float(sum(log_probabilities[: len(self.ids) - before]))
            self.log_probability += score
            return Piece(text, score, [])
        tokens = []
        for token_id, score, others in zip(ids, log_probabilities, likeliest, strict=True):
            if not self.finished:
                tokens.append(Token(self.push([token_id]), score, others))
                self.log_probability += score
        text = "".join(token.text for token in tokens)
        return Piece(text, sum(token.log_probability for token in tokens), tokens)

    def push(self, ids: list[int]) -> str:
        """Takes tokens, up to the end of the text; returns the text that is certain now."""
        length = self.settings.length
        if length >= 0:
            ids = ids[: self.left]
        is_over = END_ID in ids if self._marks else False
        if is_over:
            ids = ids[: ids.index(END_ID)]
        if self._ending.is_watching:
            text = "".join(self._until_stop(ids))
        else:
            self.ids += ids
            text = self._spelled(ids)
        return text + self.end() if is_over or self.made == length else text

    def _spelled(self, ids: list[int]) -> str:
        """Returns the text that tokens add: of a label, none."""
        if self._marks:
            ids = [token_id for token_id in ids if token_id not in self._marks]
        return "".join(map(self._decoder.push, map(self._vocabulary.__getitem__, ids)))

    @property
    def label(self) -> str | None:
        """The label of the document, given or drawn; None where it has none."""
        drawn = [self._vocabulary[i] for i in self.ids[:1] if i in self._marks]
        return Document.parse(drawn[0]).label if drawn else self.settings.label

    def _until_stop(self, ids: list[int]) -> Iterator[str]:
        """The texts of the tokens, one by one, up to the one that completes a stop text."""
        for token_id in ids:
            if self.finished:
                return
            self.ids.append(token_id)
            yield self._ending.push(self._spelled([token_id]))
            self.finished = self._ending.reached

    def end(self) -> str:
        """Ends the text where it is; returns what was held back."""
        if self.finished:
            return ""
        self.finished = True
        return self._ending.held


class Ending:
    """Finds where a text ends that comes in pieces.

    What may be the beginning of a text to end before is held back until the next pieces decide.

    Args:
        stop: texts to end before.
        gaps: ends of lines to end before too, but not before anything is written.
        stop_after: texts to end after.
        sentences: how many to end after.

    Attributes:
        is_watching: whether there is anything to end at.
        held: what is held back.
        reached: whether the end has come.
    """

    def __init__(
        self,
        stop: Sequence[str],
        gaps: Sequence[str] = (),
        stop_after: Sequence[str] = (),
        sentences: int | None = None,
    ) -> None:
        self._stop, self._gaps, self._stop_after = stop, gaps, stop_after
        self._held_for = [*stop, *gaps]
        self._sentences = Sentences(sentences) if sentences else None
        self.is_watching = bool(self._held_for or stop_after or sentences)
        self._longest = max(map(len, stop_after), default=1)
        self._before = ""  # the end of what is certain, where a text to end after may begin
        self._begun = False
        self.held = ""
        self.reached = False

    @classmethod
    def of(cls, settings: SamplingSettings) -> Self:
        """Returns the end that settings ask for."""
        gaps = ["\n"] * settings.until_line + ["\n\n"] * settings.until_paragraph
        return cls(settings.stop, gaps, settings.stop_after, settings.sentences)

    def push(self, new: str) -> str:
        """Takes a piece; returns what is certain now of the text that is held back and of it."""
        text = self.held + new
        ends = self._ends(text, new)
        if ends:
            self.reached = True
            return text[: min(ends)]
        certain = len(text) - max((_overlap(text, stop) for stop in self._held_for), default=0)
        self.held = text[certain:]
        self._before = (self._before + text[:certain])[-self._longest :]
        return text[:certain]

    def _ends(self, text: str, new: str) -> list[int]:
        """Returns the places in `text`, which ends with the piece that is new, where it may end."""
        start = 0 if self._begun else len(text) - len(text.lstrip("\n"))
        self._begun |= start < len(text)
        ends = [at for stop in self._stop if (at := text.find(stop)) >= 0]
        ends += [at for gap in self._gaps if (at := text.find(gap, start)) >= 0]
        whole, shift = self._before + text, len(self._before)
        for stop in self._stop_after:
            if (at := whole.find(stop, max(0, shift - len(stop) + 1))) >= 0:
                ends.append(at + len(stop) - shift)
        if self._sentences and (last := self._sentences.push(new)) is not None:
            ends.append(max(0, len(text) - len(new) + last))
        return ends


class Sentences:
    """Finds where a number of sentences ends in a text that comes in pieces.

    A sentence ends as `ends_sentence` tells of a word, where white space comes next, but not with
    the period of an abbreviation.

    Args:
        count: how many sentences.
    """

    def __init__(self, count: int) -> None:
        self._left = count
        self._sentence = ""

    def push(self, new: str) -> int | None:
        """Takes a piece; returns the place in it where the last sentence ends, if that is known.

        The place may be below 0: then the sentence has ended before the piece.
        """
        self._sentence += new
        at = 0
        while found := SENTENCE_END.search(self._sentence, at):
            at = found.end()
            body = self._sentence[: found.start()]
            if not body.strip() or (found[0][0] == "." and _is_abbreviated(body)):
                continue
            self._left -= 1
            if self._left == 0:
                end = found.start() if found[0] == "\n" else at
                return len(new) - len(self._sentence) + end
            self._sentence, at = self._sentence[at:], 0
        return None


SENTENCE_END = re.compile(
    rf"\n|[.!?\u2026]+[{re.escape(CLOSING)}]*(?=\s)|[\u3002\uff01\uff1f]+[\u300d\u300f{re.escape(CLOSING)}]*(?=.)"
)
"""The end of a sentence, and the next character seen; those of Chinese and Japanese (the fullwidth
ones) need no white space after them."""


def _is_abbreviated(text: str) -> bool:
    """Whether the last word of a text is one whose period ends no sentence."""
    return is_abbreviation(re.sub(r"^[^\w]+", "", text.split()[-1]))


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` are the beginning of `stop`, but not all of it.

    Example:
        >>> _overlap("What? T", "The end")
        1
    """
    sizes = range(min(len(text), len(stop) - 1), 0, -1)
    return next((size for size in sizes if text.endswith(stop[:size])), 0)


class ForcedTokens:
    """The tokens of a text that are not drawn: those it begins with, and texts it must contain.

    With n texts and a length of L tokens, text number i is begun at the first end of a word after
    i L / (n + 1) tokens, or at the latest moment that leaves room for it and those after it.

    Args:
        first: ids that the text begins with.
        texts: the texts that it must contain, in order.
        length: tokens of the whole text.
        tokenizer: makes tokens of the texts.
        before: how many of the tokens must come before the first text.

    Raises:
        TextgenError: if a text has a token that the vocabulary lacks, or they do not fit in.
    """

    def __init__(
        self,
        first: Sequence[int],
        texts: Sequence[str],
        length: int,
        tokenizer: Tokenizer,
        before: int = 0,
    ) -> None:
        for text in texts:
            if UNKNOWN_ID in _ids("force", text, tokenizer):
                raise TextgenError(
                    f"`force` {text!r} has a {tokenizer.unit} that the training text had not:"
                    f" {', '.join(map(repr, tokenizer.unknown(text)))}. Force a text without it"
                )
        self._tokenizer, self._length, self._number = tokenizer, length, len(texts)
        self._waiting = deque(Waiting.of(text, tokenizer) for text in texts)
        self._begun = deque(first)
        if texts and length < (needed := self._needed + before):
            raise TextgenError(
                f"`length` must be at least {needed} to hold the forced texts. Received: {length}"
            )

    @property
    def _needed(self) -> int:
        return sum(text.most for text in self._waiting)

    @property
    def may_come(self) -> bool:
        """Whether there are texts, or ids that the text begins with and has not got yet."""
        return self._number > 0 or len(self._begun) > 0

    def begin(self, ids: Sequence[int]) -> None:
        """Lets these be the next tokens."""
        self._begun.extend(ids)

    def next(
        self, count: int, last: int, drawn: int | None = None, at_once: bool = False
    ) -> int | None:
        """The id that must be the next one, after `count` tokens of which `last` was the last.

        None: it is drawn, or what was drawn may come. The answer is the same until `drop` says that
        the token has been made. With `at_once` the next text is begun in any case, if one is left.
        """
        if not self._begun and self._waiting and (at_once or self._due(count, last, drawn)):
            text = self._waiting.popleft().text
            self._begun.extend(self._tokenizer.inserted(text, self._tokenizer.vocabulary[last]))
        return self._begun[0] if self._begun else None

    def drop(self) -> None:
        """Goes on to the token after the one that `next` told, if it told one."""
        if self._begun:
            self._begun.popleft()

    def _due(self, count: int, last: int, drawn: int | None) -> bool:
        if count + self._needed >= self._length:
            return True
        number = self._number - len(self._waiting) + 1
        is_late = count * (self._number + 1) >= number * self._length
        tokens = self._tokenizer.vocabulary
        between = self._tokenizer.ends_word(tokens[last])
        if drawn is not None:
            between = between or self._tokenizer.begins_word(tokens[drawn])
        return is_late and between


class Waiting(NamedTuple):
    """A text that is to be forced, and the most tokens that it may have."""

    text: str
    most: int

    @classmethod
    def of(cls, text: str, tokenizer: Tokenizer) -> "Waiting":
        """Returns the record of a text."""
        return cls(text, max(len(tokenizer.inserted(text, before)) for before in ("", "\n")))


def rules_of(settings: SamplingSettings, tokenizer: Tokenizer) -> Rules:
    """The rules that `settings` ask for, in the token ids of `tokenizer`.

    The unknown token is always banned; a text that would need it cannot appear anyway.

    Raises:
        TextgenError: if a banned text has no token.
    """
    temperature = settings.temperature if settings.sample_mode != "argmax" else 0.0
    ban = [_ids("ban", text, tokenizer) for text in settings.ban]
    if banned_texts := _banned_texts(settings.ban, tokenizer):
        ban = []
    if settings.label is not None:  # one is enough
        ban += [(i,) for i in tokenizer.marks.values() if i != END_ID]
    return Rules(
        temperature=temperature if isinstance(temperature, tuple) else (temperature,),
        filters=filters_of(settings),
        repetition_penalty=settings.repetition_penalty,
        repetition_window=settings.repetition_window,
        ban=((UNKNOWN_ID,), *(ids for ids in ban if UNKNOWN_ID not in ids)),
        banned_texts=banned_texts,
        boundaries=boundaries(tokenizer) if settings.sample_mode == "spaces" else None,
    )


@functools.lru_cache(MOST_BANS)
def _banned_texts(texts: tuple[str, ...], tokenizer: Tokenizer) -> tuple[BannedText, ...]:
    """Returns what keeps texts from coming in any cut; empty where each has only one."""
    spelled = tokenizer.spelled_bytes() if texts else None
    if spelled is None:
        return ()
    folded = (tokenizer.folded(text, tokenizer.settings) for text in texts)
    return tuple(BannedText(text.encode("utf-8", "surrogatepass"), spelled) for text in folded)


def _ids(name: str, text: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    """The ids of a text of the setting `name`. Raises TextgenError if it has none."""
    ids = tuple(tokenizer.encode(text).tolist())
    if not ids:
        raise TextgenError(f"`{name}` {text!r} has no {tokenizer.unit} that a model could write")
    return ids


def boundaries(tokenizer: Tokenizer) -> frozenset[int]:
    """Returns the ids after which something new begins, see `Tokenizer.ends_phrase`."""
    tokens = enumerate(tokenizer.vocabulary)
    return frozenset(i for i, token in tokens if tokenizer.ends_phrase(token))
