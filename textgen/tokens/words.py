"""Words as tokens."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from textgen import treebank
from textgen.settings.definitions import TokenizerSettings
from textgen.support.errors import TextgenError
from textgen.tokens.tokenizer import (
    END_NUMBER,
    UNKNOWN_ID,
    Beginning,
    Choice,
    Decoder,
    Ids,
    Joiner,
    Parts,
    Size,
    State,
    Tokenizer,
    ends_sentence,
    numbered,
    numbered_parts,
)

MANY_WORDS = 50_000
"""In more words than these, a word that comes once is left to the unknown token.

The unknown token has to be met in training to mean something, and words met once are not learned.
"""
SPACES = " \t"
NEWLINE_OR_WORD = re.compile(r"\n|\S+")
FEW_READINGS = 10
"""Of a text, up to which small steps and output weights of their own learn more."""
OFTEN = Size(0.0, 256, 1, 0.003, 12_000)
OFTEN_SETTINGS: dict[str, Any] = {"dropout": 0.5}
SELDOM = Size(0.0, 288, 1, 0.004, 9_500)
SELDOM_SETTINGS: dict[str, Any] = {
    "cell": "gru", "tie_weights": False, "dropout": 0.3, "embedding_dropout": 0.1,
    "batch_size": 8, "seq_length": 28, "seq_step": 14,
}  # fmt: skip


class WordTokenizer(Tokenizer):
    r"""Penn Treebank words and punctuation; a newline is a token of its own.

    Words keep their case unless `lowercase`. With `pristine_input` the tokens are newlines and
    what stands between white space, and with `pristine_output` tokens are joined by single
    spaces. The unknown token is `<unk>`, as in the Penn Treebank corpus; a literal `<unk>` in a
    pristine text means the same.

    Example:
        >>> from textgen.tokens import build_tokenizer
        >>> tokenizer = build_tokenizer("I do.\nI don't.", TokenizerSettings("word"))
        >>> tokenizer.vocabulary
        ['<unk>', '.', 'I', 'do', '\n', "n't"]
        >>> tokenizer.decode(tokenizer.encode("I don't do."))
        "I don't do."
    """

    name = "word"
    help = "model words instead of characters"
    unit = "word"
    unknown_token = "<unk>"
    defaults = types.MappingProxyType({
        "embedding_size": 256, "rnn_size": 256, "num_layers": 1, "tie_weights": True,
        "dropout": 0.5, "embedding_dropout": 0.3,
        "batch_size": 16, "seq_length": 35, "learning_rate": 0.003,
    })  # fmt: skip
    usual_length = 4.3
    live_length = 50
    least_copied = (8, "word")

    start = treebank.PARAGRAPH
    piece_size = 1 << 22  # more than of characters, as each distinct word is counted once a piece
    parallel = True

    @classmethod
    def split(cls, text: str, settings: TokenizerSettings, state: State) -> tuple[Parts, State]:
        if settings.pristine_input:
            places, kinds = numbered(NEWLINE_OR_WORD.findall(text))
        else:
            numbers, kinds, state = treebank.number_from(text, state)
            places = np.array(numbers, np.int32)
        return numbered_parts(places, lambda i: cls.folded(kinds[i], settings)), state

    @classmethod
    def number_documents(
        cls, texts: Sequence[str], settings: TokenizerSettings
    ) -> tuple[npt.NDArray[np.int64], Callable[[int], str]]:
        if settings.pristine_input:
            return super().number_documents(texts, settings)
        numbers, kinds = treebank.number_texts(texts, END_NUMBER)
        return np.array(numbers, np.int64), lambda i: cls.folded(kinds[i], settings)

    @classmethod
    def folded(cls, text: str, settings: TokenizerSettings) -> str:
        return text.lower() if settings.lowercase else text

    @classmethod
    def last_cut(cls, text: str, settings: TokenizerSettings) -> int:
        if settings.pristine_input:
            return text.rfind("\n") + 1 or text.rfind(" ") + 1
        return treebank.last_cut(text)

    @classmethod
    def default_min_count(cls, num_parts: int) -> int:
        return 2 if num_parts > MANY_WORDS else 1

    def encode(self, text: str) -> Ids:
        return super().encode(self._without_lines(text))

    def _without_lines(self, text: str) -> str:
        """Returns a text for a pristine vocabulary that knows no ends of lines, as of older models.

        There they are white space.
        """
        knows_lines = not self.settings.pristine_input or self.token_id("\n") != UNKNOWN_ID
        return text if knows_lines else text.replace("\n", " ")

    def unknown(self, text: str) -> list[str]:
        """See `Tokenizer.unknown`; a space at the end of `text` is none, see `go_on`."""
        return super().unknown(self._without_lines(text).rstrip(SPACES))

    def go_on(self, text: str, whole: bool) -> Beginning:
        """See `Tokenizer.go_on`; a space at the end of `text` belongs to the word to come."""
        stripped = text.rstrip(SPACES)
        if not stripped:
            raise TextgenError(f"a seed of spaces alone has no words. Received: {text!r}")
        parts, _ = self.split(self._without_lines(stripped), self.settings, self.start)
        ids, decoder = self.encode_parts(parts.kinds, parts.places), self.decoder()
        for place in parts.places.tolist():
            decoder.push(parts.kinds[place])
        if not len(ids):  # a newline, which a pristine vocabulary does not have
            ids = np.array([UNKNOWN_ID], np.int32)
        return Beginning(ids, decoder if stripped == text else _AfterSpace(decoder))

    def decoder(self) -> Decoder:
        if self.settings.pristine_input or self.settings.pristine_output:
            return Joiner(" ")
        return treebank.StreamingDetokenizer()

    def ends_word(self, token: str) -> bool:
        return True

    def ends_phrase(self, token: str) -> bool:
        return ends_sentence(token)

    @classmethod
    def choose_size(cls, minutes: float, num_tokens: int, speed: float) -> Choice:
        """See `Tokenizer.choose_size`; how often the text can be read decides."""
        readings = 60 * minutes * speed * OFTEN.tokens_per_second / num_tokens
        is_few = readings <= FEW_READINGS
        size, settings = (SELDOM, SELDOM_SETTINGS) if is_few else (OFTEN, OFTEN_SETTINGS)
        embedding = {"embedding_size": size.rnn_size}  # so that weights can be tied
        return Choice(size.settings() | embedding | settings, speed * size.tokens_per_second)


class _AfterSpace:
    """A decoder for text that already ends with the space which `decoder` would begin with."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._begun = False

    def push(self, token: str) -> str:
        piece = self._decoder.push(token)
        trimmed = piece if self._begun else piece.removeprefix(" ")
        self._begun = self._begun or bool(piece)
        return trimmed
