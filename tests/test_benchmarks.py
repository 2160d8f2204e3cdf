"""What the benchmarks say of the machine, and how their output comes onto the page."""

import sys

import pytest

from benchmarks.__main__ import BENCHMARKS, PAGE, Measured, as_markdown, run, with_section
from benchmarks.calibration import characters, words
from benchmarks.machine import describe, spread
from benchmarks.training import Cell, peak_memory, process_of, step_times


def test_machine_is_described_by_what_figures_depend_on() -> None:
    said = describe()
    for needed in ("Processor: ", "cores", "Load before it began", "Python 3.", "numpy "):
        assert needed in said


def test_spread_is_the_median_between_the_lowest_and_the_highest() -> None:
    assert spread([3.0, 1.0, 2.26], ".1f") == "2.3 (1.0 to 3.0)"


def test_output_stays_a_table_where_it_is_one() -> None:
    assert as_markdown("about\nthis\n\n| a |\n|---|\nend\n") == (
        "```\nabout\nthis\n```\n\n| a |\n|---|\n\n```\nend\n```\n"
    )


def test_a_section_replaces_what_stood_there_and_nothing_else() -> None:
    page = "head\n<!-- a -->\nold\n<!-- end of a -->\n<!-- b -->\nkept\n<!-- end of b -->\n"
    assert with_section(page, "a", r"new \1" + "\n") == page.replace("old\n", "new \\1\n")
    with pytest.raises(ValueError, match="lacks the marks"):
        with_section(page, "c", "")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_has_a_place_on_the_page(name: str) -> None:
    with_section(PAGE.read_text(encoding="utf-8"), name, "")


def test_a_benchmark_that_fails_writes_nothing(tmp_path: object) -> None:
    with pytest.raises(Exception, match="returned non-zero"):
        run(Measured("none", "no_such_benchmark", ""), PAGE.parent)


def test_made_texts_have_as_many_different_tokens_as_they_say() -> None:
    assert len(set(characters(500, 4_000)) - {"\n"}) == 500
    assert len(set(words(300, 3_000).split())) == 300


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="benchmarks are run on Linux and macOS")
def test_a_cell_is_trained_as_train_py_trains_it_in_a_process_of_its_own() -> None:
    with process_of(("ours", Cell(16, 1, 4, 8))) as (train,):
        times = step_times({"ours": train}, repeats=2, seconds=0.01)
    assert len(times["ours"]) == 2
    assert min(times["ours"]) > 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ours", "stock"])
def test_peak_memory_is_that_of_a_process_with_tensorflow(kind: str) -> None:
    assert 100 < peak_memory(kind, Cell(16, 1, 4, 8)) < 5_000
