"""Tables -> documents: the cells of a column of a CSV or TSV file, or of a field of JSON lines.

A document may be made of several cells by a template, and begin with the label in another one.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.text.documents import END, LABEL, label_token

DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
"""Between cells, by the ending of a file; of a CSV file, which may have others, the first guess."""
JSON_LINES = (".jsonl", ".ndjson")
COMPRESSED = (".gz", ".zst")
SNIFFED = 1 << 16
"""Characters by which the delimiter of a CSV file is told."""
LONGEST_CELL = 1 << 30
SHOWN = 20
"""Columns that an error lists."""
PLACE = re.compile(r"\{([^{}\n]+)\}")
"""Of a column in a template."""
Row = Mapping[str, str]


class Wanted(NamedTuple):
    """Which cells of a row become its document."""

    template: str
    """The document, with the names of columns in braces."""
    label: str | None
    """The column of the label."""

    @classmethod
    def of(cls, column: str | None, template: str | None, label: str | None) -> Wanted:
        """Returns what settings ask for. Raises TextgenError if they ask for nothing, or twice."""
        if template is not None and column is not None:
            raise TextgenError(
                f"`column` {column} and `template` {template!r} both say what a document is. Leave"
                " one of them out"
            )
        if template is not None and not PLACE.search(template):
            raise TextgenError(
                f"`template` names no column in braces, such as {{text}}. Received: {template!r}"
            )
        if column is None and template is None:
            raise TextgenError(
                f"`label` {label} goes with `column` or `template`, which say what follows it"
            )
        if template is not None and (left := set("{}") & set(PLACE.sub("", template))):
            console.warn(
                f"`template` {template!r} has a {min(left)} that is around no column: it stands in"
                " every text"
            )
        text = f"{{{column}}}" if template is None else template.replace("\\n", "\n")
        return cls(text, label)

    @property
    def columns(self) -> list[str]:
        """The names of all columns that are read."""
        return PLACE.findall(self.template) + ([self.label] if self.label else [])

    def document(self, row: Row) -> str:
        """Returns the document of a row; empty where one of its cells is. Raises TextgenError."""
        cells = {
            name: row.get(name, "").replace(END, "").strip("\n")
            for name in PLACE.findall(self.template)
        }
        if not all(map(str.strip, cells.values())):
            return ""
        text = PLACE.sub(lambda place: cells[place[1]], self.template)
        return self._label(row) + text.strip("\n")

    def _label(self, row: Row) -> str:
        if self.label is None:
            return ""
        label = " ".join(row.get(self.label, "").split())
        if label and not LABEL.fullmatch(label_token(label)):
            raise TextgenError(
                f"a label is a text of up to 100 characters without |. Column {self.label} has"
                f" {label[:100]!r}"
            )
        return label_token(label) if label else ""


def suffix_of(name: str) -> str:
    """Returns the ending of a file's name, in small letters, without that of compression."""
    path = Path(name.lower())
    return (path.with_suffix("") if path.suffix in COMPRESSED else path).suffix


def is_table(name: str) -> bool:
    """Returns whether a file is a table by its name."""
    return suffix_of(name) in DELIMITERS or suffix_of(name) in JSON_LINES


def columns_of(chunks: Iterable[str], name: str) -> list[str]:
    """Returns the columns of a table. Raises TextgenError if it is none."""
    return Table(chunks, name).columns


def read_table(chunks: Iterable[str], name: str, wanted: Wanted) -> Iterator[str]:
    """Yields the document of each row of a table that has one; says how many have none.

    Args:
        chunks: the text of the file, cut anywhere.
        name: of the file.
        wanted: which cells of a row its document is made of.

    Raises:
        TextgenError: if a column is not there, or the file is no table.
    """
    table = Table(chunks, name, wanted.columns)
    rows = without = 0
    for row in table.rows():
        rows += 1
        document = wanted.document(row)
        if document:
            yield document
        else:
            without += 1
    left_out = f"; {without:,} lack a text and are left out" if without else ""
    console.say(f"{name}: {rows:,} rows{left_out}")


class Table:
    """The rows of a file: of JSON objects, a line each, or of cells between delimiters.

    Args:
        chunks: the text of the file, cut anywhere.
        name: of the file.
        wanted: columns that it has to have: names, or numbers from 1 on. With numbers alone the
            first row is no header, and is a row like the others.

    Raises:
        TextgenError: if it has not.
    """

    def __init__(self, chunks: Iterable[str], name: str, wanted: Iterable[str] = ()) -> None:
        self._name, self._wanted = name, list(dict.fromkeys(wanted))
        self._lines = _lines(chunks)
        head = self._head()
        if head.lstrip()[:1] == "[" and suffix_of(name) not in DELIMITERS:
            raise TextgenError(
                f"{name} is one JSON array. Make JSON lines of it, an object a line:"
                f" jq -c '.[]' {name}"
            )
        self._is_json = suffix_of(name) in JSON_LINES or (
            suffix_of(name) not in DELIMITERS and head.lstrip()[:1] == "{"
        )
        if self._is_json:
            self.columns = _json_columns(head)
            self._refuse_missing()
        else:
            self.delimiter = self._delimiter(head)
            self._cells = csv.reader(self._lines, delimiter=self.delimiter)
            csv.field_size_limit(LONGEST_CELL)
            self._begin()

    def _head(self) -> str:
        """Returns the beginning of the text, which is read again afterwards."""
        held, size = [], 0
        for line in self._lines:
            held.append(line)
            size += len(line)
            if size > SNIFFED:
                break
        self._lines = itertools.chain(held, self._lines)
        return "".join(held)

    def _delimiter(self, head: str) -> str:
        """Returns the delimiter with which the head has the wanted columns, else the likeliest."""
        own = DELIMITERS.get(suffix_of(self._name), ",")
        guesses = [own] if own == "\t" else [*_sniffed(head), own, ";", "\t", "|"]
        for guess in guesses:
            header = _first_row(head, guess)
            if self._wanted and set(self._wanted) <= set(header):
                return guess
        return guesses[0]

    def _begin(self) -> None:
        first = next(self._rows(), [])
        self.columns = [cell.strip() for cell in first]
        numbered = [str(number + 1) for number in range(len(first))]
        self._skipped: list[list[str]] = []
        if set(self._wanted) & (set(numbered) - set(self.columns)):
            self._refuse_missing([*self.columns, *numbered])
            if not set(self._wanted) & set(self.columns):
                console.say(f"{self._name}: columns by number, so the first row is no header")
                self._skipped, self.columns = [first], numbered
            else:  # names and numbers: there is a header
                self.columns = [
                    number if number in self._wanted else column
                    for number, column in zip(numbered, self.columns, strict=True)
                ]
        else:
            self._refuse_missing()

    def _refuse_missing(self, known: list[str] | None = None) -> None:
        missing = [name for name in self._wanted if name not in (known or self.columns)]
        if missing:
            raise TextgenError(
                f"{self._name} has no column {missing[0]}: {described(self.columns)}"
            )

    def rows(self) -> Iterator[Row]:
        """Yields the cells of each row by column. Raises TextgenError where one is damaged."""
        if self._is_json:
            yield from self._objects()
            return
        for cells in itertools.chain(self._skipped, self._rows()):
            yield dict(zip(self.columns, cells, strict=False))

    def _rows(self) -> Iterator[list[str]]:
        try:
            yield from filter(None, self._cells)
        except csv.Error as error:
            raise TextgenError(
                f"{self._name} is damaged near line {self._cells.line_num} ({error}): mend it"
            ) from error

    def _objects(self) -> Iterator[Row]:
        for number, line in enumerate(self._lines, start=1):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise TextgenError(
                    f"{self._name} is not JSON in line {number:,} ({error}): mend that line"
                ) from error
            if not isinstance(values, dict):
                raise TextgenError(
                    f"{self._name} has no object in line {number:,}, but {line.strip()[:40]}"
                )
            yield {name: _cell(value) for name, value in values.items()}


def described(columns: list[str]) -> str:
    """Returns a list of columns for people."""
    return f"its columns are {console.listed(columns, SHOWN)}" if columns else "it has no columns"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _lines(chunks: Iterable[str]) -> Iterator[str]:
    """Yields the lines of a text in chunks, with their newlines."""
    held = ""
    for chunk in chunks:
        *whole, held = (held + chunk).split("\n")
        for line in whole:
            yield line + "\n"
    if held:
        yield held


def _sniffed(head: str) -> list[str]:
    """Returns the delimiter that a text has by the standard library's guess; none where it has
    none.
    """
    guess: Callable[[str, str], type[csv.Dialect]] = csv.Sniffer().sniff
    try:
        return [guess(head, ",;\t|").delimiter]
    except csv.Error:
        return []


def _first_row(head: str, delimiter: str) -> list[str]:
    rows = csv.reader(head.splitlines(keepends=True), delimiter=delimiter)
    try:
        return [cell.strip() for cell in next(filter(None, rows), [])]
    except csv.Error:
        return []


def _json_columns(head: str) -> list[str]:
    """Returns the fields of the objects in the first lines."""
    found: dict[str, None] = {}
    for line in head.split("\n")[:100]:
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(values, dict):
            found |= dict.fromkeys(values)
    return list(found)
