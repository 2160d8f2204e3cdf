"""What a `SamplingSettings` means for a tokenizer: texts become token ids."""

from collections import deque
from collections.abc import Sequence

from textgen.generation.sampling import Rules
from textgen.settings.definitions import SamplingSettings
from textgen.support.errors import TextgenError
from textgen.tokens.tokenizer import UNKNOWN_ID, Tokenizer


def rules_of(settings: SamplingSettings, tokenizer: Tokenizer) -> Rules:
    """The rules for drawing tokens.

    The unknown token is always banned; a text that would need it cannot appear anyway.

    Raises:
        TextgenError: if a banned text has no token.
    """
    temperature = settings.temperature if settings.sample_mode != "argmax" else 0.0
    banned = [_ids("--ban", text, tokenizer) for text in settings.ban]
    banned = [(UNKNOWN_ID,), *(ids for ids in banned if UNKNOWN_ID not in ids)]
    return Rules(
        temperatures=temperature if isinstance(temperature, tuple) else (temperature,),
        top_k=settings.top_k,
        top_p=settings.top_p,
        min_p=settings.min_p,
        repetition_penalty=settings.repetition_penalty,
        repetition_window=settings.repetition_window,
        banned=tuple(banned),
        drawn_after=boundaries(tokenizer) if settings.sample_mode == "spaces" else None,
    )


def boundaries(tokenizer: Tokenizer) -> frozenset[int]:
    """Returns the ids after which something new begins, see `Tokenizer.ends_phrase`."""
    tokens = enumerate(tokenizer.vocabulary)
    return frozenset(i for i, token in tokens if tokenizer.ends_phrase(token))


def _ids(flag: str, text: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    ids = tuple(tokenizer.encode(text).tolist())
    if not ids:
        raise TextgenError(f"{flag} {text!r} has no {tokenizer.unit} that a model could write")
    return ids


class Forced:
    """The texts that a stream must contain, and when their turn comes.

    With n texts and a length of L tokens, text number i is begun at the first end of a word after
    i L / (n + 1) tokens, or at the latest moment that leaves room for it and those after it.

    Args:
        texts: the texts, in order.
        length: tokens of the whole stream.
        tokenizer: what makes tokens of the texts.

    Raises:
        TextgenError: if a text has a token that the vocabulary lacks, or they do not fit in.
    """

    def __init__(self, texts: Sequence[str], length: int, tokenizer: Tokenizer) -> None:
        encoded = [_ids("--force", text, tokenizer) for text in texts]
        for text, ids in zip(texts, encoded, strict=True):
            if UNKNOWN_ID in ids:
                raise TextgenError(
                    f"--force {text!r} has a {tokenizer.unit} that the training text had not"
                )
        needed = sum(map(len, encoded))
        if texts and length < needed:
            raise TextgenError(
                f"--length must be at least {needed} to hold the forced texts. Received: {length}"
            )
        self._length, self._number = length, len(texts)
        self._waiting = deque(encoded)
        self._begun: deque[int] = deque()
        self._vocabulary, self._ends_word = tokenizer.vocabulary, tokenizer.ends_word

    def next(self, count: int, last: int) -> int | None:
        """The id that must be the next one, after `count` tokens of which `last` was the last."""
        if not self._begun and self._waiting and self._due(count, last):
            self._begun.extend(self._waiting.popleft())
        return self._begun.popleft() if self._begun else None

    def _due(self, count: int, last: int) -> bool:
        if count + sum(map(len, self._waiting)) >= self._length:
            return True
        number = self._number - len(self._waiting) + 1
        is_late = count * (self._number + 1) >= number * self._length
        return is_late and self._ends_word(self._vocabulary[last])
