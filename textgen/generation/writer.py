"""Token ids -> the text of one stream, up to where it ends."""

from collections.abc import Iterator, Sequence

from textgen.tokens.tokenizer import Decoder


class Writer:
    """Turns the tokens of one stream into text and knows when the text is over.

    A text ends after `length` tokens, or before the first stop text. What might be the beginning
    of a stop text is held back until the next tokens decide.

    Args:
        vocabulary: index = token id.
        decoder: turns tokens into text, on from the seed.
        length: tokens to take; -1 for no end.
        stops: texts to end before.
        until_paragraph: end before a blank line, but not before anything is written.

    Attributes:
        ids: the tokens taken.
        finished: whether the text is complete; no more tokens may be pushed.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        decoder: Decoder,
        length: int,
        stops: Sequence[str] = (),
        until_paragraph: bool = False,
    ) -> None:
        self._vocabulary, self._decoder, self._length = vocabulary, decoder, length
        self._stops, self._until_paragraph = stops, until_paragraph
        self._ends = [*stops, "\n\n"] if until_paragraph else stops
        self._begun = False
        self._held = ""
        self.ids: list[int] = []
        self.finished = length == 0

    def push(self, ids: Sequence[int]) -> str:
        """Take tokens, up to the end of the text; returns the text that is certain now."""
        if self._length >= 0:
            ids = ids[: self._length - len(self.ids)]
        if self._ends:
            text = "".join(self._push_each(ids))
        else:
            self.ids += ids
            text = "".join(map(self._decoder.push, map(self._vocabulary.__getitem__, ids)))
        return text + self.flush() if len(self.ids) == self._length else text

    def _push_each(self, ids: Sequence[int]) -> Iterator[str]:
        """The same token by token: the first one that ends the text ends the work."""
        for token_id in ids:
            if self.finished:
                return
            self.ids.append(token_id)
            yield self._until_stop(self._decoder.push(self._vocabulary[token_id]))

    def flush(self) -> str:
        """Ends the text where it is; returns what was held back."""
        if self.finished:
            return ""
        self.finished = True
        return self._held

    def _until_stop(self, new: str) -> str:
        """What is certain of the held text and `new`; finishes if they hold a stop text."""
        text = self._held + new
        start = 0 if self._begun else len(text) - len(text.lstrip("\n"))
        self._begun |= start < len(text)
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if self._until_paragraph and (at := text.find("\n\n", start)) >= 0:
            found.append(at)
        if found:
            self.finished = True
            return text[: min(found)]
        certain = len(text) - max(_overlap(text, end) for end in self._ends)
        self._held = text[certain:]
        return text[:certain]


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` are the beginning of `stop`, but not all of it.

    Example:
        >>> _overlap("What? T", "The end")
        1
    """
    sizes = range(min(len(text), len(stop) - 1), 0, -1)
    return next((size for size in sizes if text.endswith(stop[:size])), 0)
