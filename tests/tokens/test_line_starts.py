import numpy as np

from tests.conftest import VERSES
from textgen.tokens.line_starts import LineStarts, some_line_starts


def test_line_starts_are_beginnings_of_lines() -> None:
    starts = some_line_starts(VERSES, np.random.default_rng(0))
    assert len(set(starts)) == len(starts) > 5
    for start in starts:
        assert any(line.startswith(start) for line in VERSES.splitlines()), start
        assert 0 < len(start) <= 40
    assert "The river keeps no record" in starts


def test_line_starts_of_texts_without_lines() -> None:
    assert some_line_starts("ab" * 500, np.random.default_rng(0)) == ["ab" * 20]
    assert some_line_starts("\n\n\nx\n\n\n", np.random.default_rng(0)) == ["x"]


def test_an_indentation_is_no_part_of_a_start() -> None:
    text = f"{' ' * 50}THE END\n{' ' * 35}of a long word\n{' ' * 2000}far away\n"
    starts = some_line_starts(text, np.random.default_rng(0))
    assert set(starts) == {"THE END", "of a long word"}


def test_pieces_are_sampled_alike_and_only_where_lines_begin() -> None:
    sample = LineStarts()
    for number in range(30):
        sample.add("".join(f"{number} {line}\n" for line in range(40)))
    numbers = [int(start.split()[0]) for start in sample.starts]
    assert len(numbers) > 600
    assert abs(np.mean(numbers) - 14.5) < 1.5


def test_a_piece_that_goes_on_with_a_line_gives_no_start_for_it() -> None:
    sample = LineStarts()
    for piece in ("a line that is ", "cut twice ", "here\nlast one\n", "\n \n"):
        sample.add(piece)
    assert set(sample.starts) == {"a line that is", "last one"}
