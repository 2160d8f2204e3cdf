"""Clean text <-> token ids: the tokenizers, by name."""

import reprlib
from typing import Any

from textgen.settings.definitions import AUTO_TOKENS, TokenizerSettings
from textgen.support.errors import TextgenError
from textgen.text.documents import split_documents
from textgen.tokens.characters import CharacterTokenizer
from textgen.tokens.subwords import SubwordTokenizer
from textgen.tokens.tokenizer import Tokenizer
from textgen.tokens.words import WordTokenizer

TOKENIZERS: dict[str, type[Tokenizer]] = {
    kind.name: kind
    for kind in (
        CharacterTokenizer,
        WordTokenizer,
        SubwordTokenizer,
    )
}
"""By the value of the setting `tokens`."""


def tokenizer_class(settings: TokenizerSettings) -> type[Tokenizer]:
    """Returns the kind of tokenizer that `settings` asks for.

    Raises:
        TextgenError: if there is none of that name.
    """
    if settings.tokens not in TOKENIZERS:
        names = ", ".join([*TOKENIZERS, AUTO_TOKENS])
        raise TextgenError(f"`tokens` must be one of {names}. Received: {settings.tokens}")
    return TOKENIZERS[settings.tokens]


def check_settings(settings: TokenizerSettings) -> None:
    """Raises TextgenError if `settings` ask for what their kind of tokens does not have."""
    kind = tokenizer_class(settings)
    for name, value in settings.changed().items():
        if name in kind.unused:
            raise TextgenError(
                f"`{name}` means nothing to {kind.unit}s: {kind.unused[name]}. Received: {value}"
            )


def build_tokenizer(text: str, settings: TokenizerSettings | None = None) -> Tokenizer:
    """Returns the tokenizer that `settings` asks for, its vocabulary learned from `text`.

    Raises:
        TextgenError: if there is nothing to learn in the text, or `settings` do not fit together.

    Example:
        >>> tokenizer = build_tokenizer("a rose is a rose", TokenizerSettings("word"))
        >>> tokenizer.vocabulary, tokenizer.encode("a rose is red").tolist()
        (['<unk>', 'a', 'rose', 'is'], [1, 2, 3, 0])
    """
    if not isinstance(text, str):
        raise TextgenError(f"`text` is the text itself, a str. Received: {reprlib.repr(text)}")
    settings = settings or TokenizerSettings()
    check_settings(settings)
    kind = tokenizer_class(settings)
    if settings.documents:
        texts = split_documents(text, settings.documents)
        parts = kind.split_documents(texts, settings)
    else:
        parts, _ = kind.split(text, settings, kind.start)
    return kind.learn(dict(zip(parts.kinds, parts.counts, strict=True)), settings)


def tokenizer_from_dict(values: Any) -> Tokenizer:
    """Returns the tokenizer of which `Tokenizer.to_dict` gave `values`.

    Raises:
        TextgenError: on values that it does not give.
    """
    if not isinstance(values, dict) or not {"config", "vocabulary"} <= values.keys():
        raise TextgenError("its tokenizer is not a configuration and a vocabulary")
    settings = TokenizerSettings.from_dict(values["config"])
    return tokenizer_class(settings).from_dict(values, settings)
