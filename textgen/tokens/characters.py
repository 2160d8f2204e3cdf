"""Characters as tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from textgen.settings.definitions import TokenizerSettings
from textgen.support.errors import TextgenError
from textgen.tokens.tokenizer import (
    BETWEEN,
    END_NUMBER,
    Decoder,
    Ids,
    Joiner,
    Parts,
    State,
    StoredIds,
    Tokenizer,
    numbered_parts,
)


class CharacterTokenizer(Tokenizer):
    """One token per Unicode character; lower case unless `pristine_input`.

    Characters are lowered one by one (`İ`, whose lower case is two characters, stays), so the
    result does not depend on where a text is cut. The unknown token is U+FFFD, Unicode's own
    character for what could not be represented.

    Example:
        >>> from textgen.tokens import build_tokenizer
        >>> tokenizer = build_tokenizer("Hello", TokenizerSettings())
        >>> tokenizer.vocabulary
        ['\ufffd', 'l', 'e', 'h', 'o']
        >>> tokenizer.decode(tokenizer.encode("hole"))
        'hole'
    """

    name = "character"
    help = "model characters"
    unit = "character"
    unknown_token = "\ufffd"
    loss_name = "bits_per_character"

    def __init__(self, vocabulary: Sequence[str], settings: TokenizerSettings) -> None:
        super().__init__(vocabulary, settings)
        characters = ["\0" if token in self.marks else token for token in vocabulary]
        if any(len(character) != 1 for character in characters):
            raise TextgenError("a character vocabulary holds single characters only")
        self._code_points = _code_points("".join(characters))

    @classmethod
    def split(cls, text: str, settings: TokenizerSettings, state: State) -> tuple[Parts, State]:
        points = _code_points(text)
        return numbered_parts(points, lambda point: cls.folded(chr(point), settings)), state

    @classmethod
    def number_documents(
        cls, texts: Sequence[str], settings: TokenizerSettings
    ) -> tuple[npt.NDArray[np.int64], Callable[[int], str]]:
        clean = "".join([text.replace(BETWEEN, cls.unknown_token) + BETWEEN for text in texts])
        numbers = _code_points(clean).astype(np.int64)
        numbers[numbers == ord(BETWEEN)] = END_NUMBER
        return numbers, lambda point: cls.folded(chr(point), settings)

    @classmethod
    def folded(cls, text: str, settings: TokenizerSettings) -> str:
        if settings.pristine_input:
            return text
        # Each by itself: the lower case of Σ depends on the letters around it.
        parts = text.replace("Σ", "σ").split("İ")
        return "İ".join(part.lower() for part in parts)

    @classmethod
    def last_cut(cls, text: str, settings: TokenizerSettings) -> int:
        return text.rfind("\n") + 1 or len(text)

    def decoder(self) -> Decoder:
        return Joiner("")

    def decode_text(self, ids: Ids) -> str:
        points = self._code_points[ids]
        return points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def _code_points(text: str) -> StoredIds:
    """Returns those of each character (N,), in the smallest unsigned type that holds them all."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    data = text.encode("utf-16-le", "surrogatepass")
    if len(data) == 2 * len(text):
        return np.frombuffer(data, "<u2")
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
