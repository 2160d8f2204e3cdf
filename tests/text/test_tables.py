"""Rows of tables become documents, however they are written."""

import csv
import gzip
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.text.conftest import read, run
from textgen.settings.definitions import CorpusSettings
from textgen.support.errors import TextgenError
from textgen.text.preparation import prepare
from textgen.text.tables import Table, Wanted, columns_of, is_table, read_table, suffix_of

TWEETS = 'id,text,topic\n1,"Taxes, rise",politics\n2,"He said ""no""",sport\n3,"two\nlines",sport\n'
CELLS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=20
).map(lambda cell: cell.replace("<|", "<"))  # no marks; see below for those


def documents(text: str, name: str = "t.csv", size: int = 7, **asked: str) -> list[str]:
    chunks = [text[start : start + size] for start in range(0, len(text), size)]
    wanted = Wanted.of(asked.get("column"), asked.get("template"), asked.get("label"))
    return list(read_table(chunks, name, wanted))


def test_cells_of_a_column_and_their_labels() -> None:
    assert documents(TWEETS, column="text") == ["Taxes, rise", 'He said "no"', "two\nlines"]
    labelled = documents(TWEETS, column="text", label="topic")
    assert labelled == ["<|politics|>Taxes, rise", '<|sport|>He said "no"', "<|sport|>two\nlines"]


def test_a_template_joins_columns_and_leaves_other_braces() -> None:
    made = documents(TWEETS, template=r"{topic} {\n{text}")
    assert made[0] == "politics {\nTaxes, rise"
    assert documents("a,b\n1,2\n", template="{a}{}") == ["1{}"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8))
def test_a_table_that_the_standard_library_wrote(
    delimiter: str, rows: list[tuple[str, str]]
) -> None:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    writer.writerow(["the text", "other"])
    writer.writerows(rows)
    expected = [cell.strip("\n") for cell, _ in rows if cell.strip("\n").strip()]
    assert documents(file.getvalue(), column="the text") == expected


@given(rows=st.lists(st.tuples(CELLS, st.none() | st.integers()), min_size=1))
def test_json_lines(rows: list[tuple[str, int | None]]) -> None:
    text = "".join(json.dumps({"text": cell, "n": n}) + "\n\n" for cell, n in rows)
    kept = [(cell.strip("\n"), n) for cell, n in rows if cell.strip("\n").strip()]
    expected = [f"<|{n}|>{cell}" if n is not None else cell for cell, n in kept]
    for name in ("t.jsonl", "t.ndjson", "t.data"):
        assert documents(text, name, column="text", label="n") == expected


def test_columns_by_number_mean_that_there_is_no_header(capsys: pytest.CaptureFixture[str]) -> None:
    assert documents("a,b\nc,d\n", column="2") == ["b", "d"]
    assert "the first row is no header" in capsys.readouterr().err
    assert documents("a,2\nc,d\n", column="2") == ["d"], "a column of that name goes first"


def test_rows_without_text_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert documents("a,b\nx,1\n,2\n \n  ,3\ny\n", column="a", label="b") == ["<|1|>x", "y"]
    assert "t.csv: 5 rows; 3 lack a text and are left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "name", "asked", "problem"),
    [
        ("a,b\n1,2\n", "t.csv", {"column": "c"}, "t.csv has no column c: its columns are a, b$"),
        ("a,b\n1,2\n", "t.csv", {"column": "3"}, "has no column 3"),
        ("", "t.csv", {"column": "a"}, "has no column a: it has no columns"),
        ("a\n1\n", "t.csv", {"template": "x"}, "`template` names no column in braces"),
        ("a\n1\n", "t.csv", {"label": "a"}, "`label` a goes with `column` or `template`"),
        ("a\n1\n", "t.csv", {"column": "a", "template": "{a}"}, "both say what a document is"),
        ('{"a": 1}\n{"a"\n', "t.jsonl", {"column": "a"}, "t.jsonl is not JSON in line 2"),
        ('{"a": 1}\n[1]\n', "t.jsonl", {"column": "a"}, r"no object in line 2, but \[1\]"),
        ('{"a": 1}\n', "t.jsonl", {"column": "b"}, "t.jsonl has no column b: its columns are a"),
        ('[{"a": 1}]', "t.json", {"column": "a"}, "is one JSON array. Make JSON lines of it"),
        ("a,b\nx,y|z\n", "t.csv", {"column": "a", "label": "b"}, r"Column b has 'y\|z'"),
    ],
)
def test_what_is_wrong_with_a_table(
    text: str, name: str, asked: dict[str, str], problem: str
) -> None:
    with pytest.raises(TextgenError, match=problem):
        documents(text, name, **asked)


def test_files_are_tables_by_their_names() -> None:
    assert [name for name in ("a.CSV", "b.tsv.gz", "c.jsonl.zst", "d.txt", "csv") if is_table(name)]
    assert suffix_of("A.Tsv.GZ") == ".tsv"
    assert not is_table("d.txt.gz")
    assert columns_of(['{"b": 1, "a": 2}\n'], "x.jsonl") == ["b", "a"]
    assert Table(["a;b;c\n1;2,5;3\n4;5,5;6\n"], "x.csv").delimiter == ";"


# --- data directories of them ---


@pytest.fixture
def tweets(tmp_path: Path) -> Path:
    path = tmp_path / "tweets.csv"
    path.write_text(TWEETS, encoding="utf-8")
    return path


def test_a_table_becomes_documents_with_marks_where_cells_have_several_lines(
    tweets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tweets, "--column", "text", "--out", tmp_path / "out", "--validation-split", 0)
    expected = 'Taxes, rise\n<|endoftext|>\nHe said "no"\n<|endoftext|>\ntwo\nlines\n'
    assert read(tmp_path / "out" / "input.txt") == expected
    assert "--documents '<|endoftext|>'" in capsys.readouterr().err


def test_a_compressed_table_becomes_lines_some_held_out_and_labels_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "list.csv.gz"
    rows = "".join(f"name {number},{'ab'[number % 2]}\n" for number in range(50))
    path.write_bytes(gzip.compress(("name,kind\n" + rows).encode()))
    run(path, "--column", "name", "--label", "kind", "--out", tmp_path / "out")
    sides = [
        read(tmp_path / "out" / f"{side}.txt").split("\n")[:-1] for side in ("input", "validate")
    ]
    assert [len(side) for side in sides] == [45, 5]
    together = [f"<|{'ab'[number % 2]}|>name {number}" for number in range(50)]
    assert sorted(sides[0] + sides[1]) == sorted(together)
    printed = capsys.readouterr().err
    assert "held out 5 of 50 documents" in printed
    assert "documents: 50, with the labels a (25), b (25)" in printed
    assert "--documents lines" in printed


def test_a_table_without_a_column_is_refused_with_its_columns(tweets: Path, tmp_path: Path) -> None:
    with pytest.raises(TextgenError, match=r"is a table, and its columns are id, text, topic"):
        run(tweets, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_repeated_documents_are_left_out_on_request(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("a\tb\nx y\t1\nz\t2\nx y\t3\n")
    run(
        path, "--column", "a", "--dedupe", "lines", "--out", tmp_path / "o", "--validation-split", 0
    )
    assert read(tmp_path / "o" / "input.txt") == "x y\nz\n"


def test_files_of_folders_are_documents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    poems = tmp_path / "poems"
    (poems / "old").mkdir(parents=True)
    (poems / "b.txt").write_text("\nRose\n\nred\n")
    (poems / "old" / "a.txt").write_text("Tree\n")
    (poems / "cover.png").write_bytes(b"\x89PNG")
    (poems / ".hidden.txt").write_text("no")
    flags = ("--documents", "files", "--out", tmp_path / "out", "--validation-split", 0)
    with pytest.raises(TextgenError, match="is a folder: add `recursive`"):
        run(poems, *flags)
    run(poems, "--recursive", *flags)
    assert read(tmp_path / "out" / "input.txt") == "Rose\n\nred\n<|endoftext|>\nTree\n"
    assert "left out, as they are no text files (.txt): cover.png" in capsys.readouterr().err


def test_too_few_documents_to_hold_out(tweets: Path, tmp_path: Path) -> None:
    with pytest.raises(TextgenError, match=r"3 documents are too few to hold out 10\.0%"):
        run(tweets, "--column", "text", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (("--column", "text", "--unwrap"), "`unwrap` is for text files"),
        (("--column", "text", "--documents", "lines"), "`documents` is for text files"),
        (("--column", "text", "--shuffle-documents"), "`shuffle_documents` has no use"),
        (("--label", "topic"), "`label` topic goes with `column`"),
    ],
)
def test_flags_that_do_not_go_together(
    tweets: Path, tmp_path: Path, flags: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(TextgenError, match=problem):
        run(tweets, *flags, "--out", tmp_path / "out")


# --- encodings ---


def test_stray_cp1252_in_utf8_is_mended_and_said_or_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mixed.txt"
    lines = [
        "żółw and café\n".encode(),
        "caf\u00e9 \u2019 ".encode("cp1252") + "ż\n".encode(),
        b"plain\n",
    ]
    path.write_bytes(b"".join(lines * 3))
    flags = ("--out", tmp_path / "out", "--validation-split", 0)
    run(path, *flags)
    expected = "żółw and café\ncafé \u2019 ż\nplain\n" * 3
    assert read(tmp_path / "out" / "input.txt") == expected
    assert "mixed.txt: 3 lines not in UTF-8 alone" in capsys.readouterr().err
    with pytest.raises(TextgenError, match=r"is UTF-8 with damage .* let `errors` repair read it"):
        run(path, *flags, "--overwrite", "--errors", "strict")


def test_a_file_in_cp1252_alone_is_read_as_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "old.txt"
    path.write_bytes("café \u201cnaïve\u201d\n".encode("cp1252"))
    run(path, "--out", tmp_path / "out", "--validation-split", 0)
    assert read(tmp_path / "out" / "input.txt") == "café \u201cnaïve\u201d\n"
    assert "old.txt: cp1252" in capsys.readouterr().err


def test_a_mark_in_a_cell_would_end_its_document_and_is_taken_out() -> None:
    assert documents("a\nx <|endoftext|>y\n<|endoftext|>\nz\n", column="a") == ["x y", "z"]


def test_json_that_goes_too_deep_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "deep.jsonl"
    path.write_text('{"text": "a"}\n{"text": ' + "[" * 100_000 + "\n")
    settings = CorpusSettings(column="text", validation_split=0.0)
    with pytest.raises(TextgenError, match=r"deep.jsonl is not JSON in line 2"):
        prepare(tmp_path / "out", [str(path)], settings)


def test_a_brace_around_no_column_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    Wanted.of(None, r"{title\n{text}", None)
    assert "has a { that is around no column: it stands in every text" in capsys.readouterr().err
