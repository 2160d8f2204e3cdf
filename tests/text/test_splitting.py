"""What is held out of a text: by hand, in memory and from the disk."""

import collections
import random
import re
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from textgen.support.errors import TextgenError
from textgen.text import sources, splitting
from textgen.text.sources import Source
from textgen.text.splitting import Indexed, SlicedSplit, Stream

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\r\t"))
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def paragraphs(count: int) -> str:
    """`count` paragraphs of 100 characters each with the blank line, numbered."""
    return "".join(f"{number:04d} ".ljust(98, "x") + "\n\n" for number in range(count))


def test_split_cuts_at_paragraph_ends_in_slices_by_hand() -> None:
    # 1,000 paragraphs are 100,000 characters; a tenth is five slices of 2,000 held out.
    training, validation = splitting.split(paragraphs(1000), 0.1)
    held_out = [int(number) for number in re.findall(r"(\d{4}) x", validation)]
    ends = (200, 400, 600, 800, 1000)
    assert held_out == [number for end in ends for number in range(end - 20, end)]
    kept = re.findall(r"(\d{4}) x+\n\n", training)
    assert len(kept) == 900
    assert not {int(number) for number in kept} & set(held_out)


def test_split_samples_the_whole_text() -> None:
    text = paragraphs(10_000)
    _, validation = splitting.split(text, 0.1)
    numbers = [int(number) for number in re.findall(r"(\d{4}) x", validation)]
    for tenth in range(10):
        share = sum(number // 1000 == tenth for number in numbers) / 1000
        assert share == pytest.approx(0.1, abs=0.011), f"tenth {tenth} of the text"


def test_split_goes_on_where_there_are_no_paragraphs() -> None:
    lines = "".join(f"line {number}\n" for number in range(1000))
    training, validation = splitting.split(lines, 0.2)
    assert set(training.split("\n")) & set(validation.split("\n")) == {""}
    words = " ".join(str(number) for number in range(1000))
    training, validation = splitting.split(words, 0.2)
    assert sorted(map(int, (training + " " + validation).split())) == list(range(1000))
    assert splitting.split("x" * 10, 0.2) == ("x" * 8, "xx")


@given(
    st.lists(st.text("ab", min_size=1, max_size=300), min_size=1, max_size=60),
    st.sampled_from([" ", "\n", "\n\n", "\n\n\n"]),
    st.floats(0.01, 0.99),
)
def test_split_keeps_every_character_and_the_share(
    pieces: list[str], separator: str, share: float
) -> None:
    text = separator.join(pieces)
    smaller = len(text) * min(share, 1 - share)
    assume(smaller > 10)
    training, validation = splitting.split(text, share)
    assert collections.Counter(training + validation) == collections.Counter(text)
    assert abs(len(validation) - share * len(text)) <= smaller / 2 + 1


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_split_parts_put_back_together_give_the_text(share: float) -> None:
    words = random.Random(2)
    text = "".join("ab " * words.randrange(1, 400) + "\n\n" for _ in range(300))
    training, validation = splitting.split(text, share)
    assert len(validation) / len(text) == pytest.approx(share, abs=0.01)
    assert woven(text, training, validation), "a part has text in another order"
    assert splitting.split(text, share) == (training, validation)


def woven(text: str, first: str, second: str) -> bool:
    """Whether `text` is `first` and `second` dealt out, each in its own order, by paragraphs."""
    taken = [0, 0]
    for paragraph in re.findall(r".+\n\n", text):
        for index, part in enumerate((first, second)):
            if part.startswith(paragraph, taken[index]):
                taken[index] += len(paragraph)
                break
        else:
            return False
    return taken == [len(first), len(second)]


@pytest.mark.parametrize("text", ["", "a", "abc"])
def test_split_refuses_a_text_too_short_for_two_parts(text: str) -> None:
    with pytest.raises(TextgenError, match=r"too short to hold out 10.0%: give more text"):
        splitting.split(text, 0.1)


def test_one_slice_is_cut_at_the_nearest_blank_line() -> None:
    # Sought at 0.9 x 39 = 35.1, give or take 2; blank lines end at 28 and 34.
    text = "first speech is the longer\n\nlast\n\nthen\n"
    assert len(text) == 39
    assert splitting.split(text, 0.1, most_slices=1) == (text[:34], "then\n")


@given(TEXT, st.floats(0.05, 0.95))
def test_parts_of_one_slice_are_the_text(text: str, share: float) -> None:
    try:
        training, validation = splitting.split(text, share, most_slices=1)
    except TextgenError:
        return
    assert training + validation == text


# --- texts on the disk ---


@same_folder
@given(
    st.lists(
        st.sampled_from(["word ", "Żółw\n", "\n\n", "end.", "\r\n"]), min_size=30, max_size=300
    ),
    st.integers(1, 40), st.sampled_from([0.1, 0.3, 0.7]),
)  # fmt: skip
def test_a_streamed_split_is_that_of_the_whole_text(
    tmp_path: Path, parts: list[str], size: int, share: float
) -> None:
    source, text = written(tmp_path, "".join(["begin", *parts, "end"]))
    split = SlicedSplit(source, share)
    with mock.patch.object(sources, "CHUNK", size):
        sides = ["".join(Stream(source, split, held_out).chunks()) for held_out in (False, True)]
    assert tuple(sides) == splitting.split(text, share)


def written(tmp_path: Path, text: str) -> tuple[Source, str]:
    """A source of a text, and what it gives."""
    path = tmp_path / "input.txt"
    path.write_bytes(text.encode())
    source = Source((path,))
    return source, "".join(chunk.text for chunk in source.read())


@same_folder
@given(TEXT, st.integers(1, 9), st.data())
def test_an_indexed_source_is_searched_like_a_text(
    tmp_path: Path, text: str, size: int, data: st.DataObject
) -> None:
    source, whole = written(tmp_path, "x" + text)
    with mock.patch.object(sources, "CHUNK", size):
        indexed = Indexed(source)
    assert len(indexed) == len(whole)
    separator = data.draw(st.sampled_from(["\n\n", "\n", "x", " "]))
    low, high = sorted(data.draw(st.integers(0, len(whole))) for _ in range(2))
    assert indexed.find(separator, low, high) == whole.find(separator, low, high)
    assert indexed.rfind(separator, low, high) == whole.rfind(separator, low, high)
    assert indexed.startswith(separator, low) == whole.startswith(separator, low)


def test_a_text_too_short_to_split_is_refused(tmp_path: Path) -> None:
    source, _ = written(tmp_path, "one")
    with pytest.raises(TextgenError, match="a text of 3 characters is too short to hold out"):
        list(Stream(source, SlicedSplit(source, 0.1)).chunks())


def test_a_few_control_characters_in_one_place_are_no_hindrance(tmp_path: Path) -> None:
    text = "word " * 1000 + "\x01\x02\n" * 5 + "word " * 1000
    source, _ = written(tmp_path, text)
    with mock.patch.object(sources, "CHUNK", 10):
        sides = [
            "".join(Stream(source, SlicedSplit(source, 0.5), held_out).chunks())
            for held_out in (False, True)
        ]
    assert tuple(sides) == splitting.split(text, 0.5)


@pytest.mark.parametrize(("share", "is_told"), [(0.5, False), (0.99, True)])
def test_a_share_that_leaves_little_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], share: float, is_told: bool
) -> None:
    (tmp_path / "input.txt").write_text(paragraphs(9))
    splitting.find_texts(tmp_path, share)
    said = "holds out 99% of the text: the model learns from the other 1% only\n"
    assert capsys.readouterr().err.endswith(said) == is_told
