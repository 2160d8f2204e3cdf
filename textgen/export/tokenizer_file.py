"""`tokenizer.json`: what a program in any language needs to make token ids of text, and back.

    format          "textgen-tokenizer"
    version         of this form: 1
    kind            "character", "word" or "subword": the value of the setting `tokens`
    vocabulary      the tokens; the index is the token id, and 0 is the unknown token
    settings        those of `TokenizerSettings` that say how text is split and joined
    marks           where the text is documents: the ids of the tokens for their end and labels
    merges          of subwords: the ids of the two tokens of each merge, one merge after the other
    rules_version   of the rules of `textgen.treebank`, where words are split and spaced by them

What is kept is told by each tokenizer itself (`Tokenizer.to_dict`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from textgen import treebank
from textgen.support.files import write_atomic
from textgen.tokens.tokenizer import Tokenizer

VERSION = 1


def facts(tokenizer: Tokenizer) -> dict[str, Any]:
    """Returns the values of the file."""
    values = tokenizer.to_dict()
    settings = values.pop("config")
    return {
        "format": "textgen-tokenizer",
        "version": VERSION,
        "kind": tokenizer.name,
        "settings": settings,
        "marks": dict(tokenizer.marks),
        "rules_version": treebank.RULES_VERSION,
        **values,
    }


def write(tokenizer: Tokenizer, path: Path) -> None:
    """Writes the file. Raises TextgenError where that cannot be."""
    write_atomic(path, json.dumps(facts(tokenizer), indent=1).encode())
