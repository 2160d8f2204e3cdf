import dataclasses
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from textgen.support.errors import TextgenError
from textgen.training import batches as module
from textgen.training.batches import Batches, cut_batches, evaluation_batches, tf_dataset


def ids(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.uint16)


def read(batches: Batches, start: int = 0, end: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    blocks = list(batches.blocks(start, len(batches) if end is None else end))
    return tuple(np.concatenate(parts) for parts in zip(*blocks, strict=True))


def in_memory(
    ids: np.ndarray, batch_size: int, seq_length: int, seq_step: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """All batches of an epoch at once, as they were made before texts could be larger than memory.

    Returns inputs and targets, and how many batches a pass has.
    """
    offsets = range(0, seq_length, seq_step)
    count = (len(ids) - 1 - offsets[-1]) // (batch_size * seq_length)
    count -= count % next(k for k in range(8, 0, -1) if count % k <= count // 50)
    size = batch_size * count * seq_length

    def cut(start: int) -> np.ndarray:
        rows = ids[start : start + size].reshape(batch_size, count, seq_length)
        return rows.swapaxes(0, 1)

    inputs = np.concatenate([cut(offset) for offset in offsets])
    targets = np.concatenate([cut(offset + 1) for offset in offsets])
    return inputs, targets, count


def test_a_batch_by_hand() -> None:
    batches = cut_batches(ids(14), 2, 3, 3, None)
    # 13 predictable tokens hold two batches of 2 x 3; row 1 starts where row 0 ends.
    inputs, targets = read(batches)
    assert inputs.tolist() == [[[0, 1, 2], [6, 7, 8]], [[3, 4, 5], [9, 10, 11]]]
    assert targets.tolist() == [[[1, 2, 3], [7, 8, 9]], [[4, 5, 6], [10, 11, 12]]]
    assert (batches.batches_per_pass, batches.steps_per_epoch) == (2, 2)


def test_a_short_step_adds_a_pass_at_that_offset() -> None:
    batches = cut_batches(ids(14), 2, 3, 2, None)
    # From offset 2 there are 11 predictable tokens: one batch per pass.
    assert batches.batches_per_pass == 1
    assert read(batches)[0].tolist() == [[[0, 1, 2], [3, 4, 5]], [[2, 3, 4], [5, 6, 7]]]


def test_a_machine_reads_its_rows_alone() -> None:
    batches = dataclasses.replace(cut_batches(ids(14), 2, 3, 3, None), rows=slice(1, 2))
    inputs, targets = read(batches)
    assert inputs.tolist() == [[[6, 7, 8]], [[9, 10, 11]]]
    assert targets.tolist() == [[[7, 8, 9]], [[10, 11, 12]]]


@pytest.mark.parametrize(("block_tokens", "sizes"), [(1, [1] * 5), (25, [2, 2, 1]), (30, [3, 2])])
def test_so_many_tokens_are_read_at_once(
    block_tokens: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_TOKENS", block_tokens)
    made = cut_batches(ids(51), 2, 5, 5, None)
    assert [len(inputs) for inputs, _ in made.blocks(0, 5)] == sizes


SIZES = (st.integers(1, 6), st.integers(1, 9), st.integers(1, 12))


@given(st.integers(1, 900), *SIZES, st.sampled_from([1, 7, 10**6]))
def test_batches_are_those_of_a_run_in_memory(
    size, batch_size, seq_length, seq_step, block_tokens
) -> None:
    assume(size > batch_size * seq_length + seq_length)
    batches = cut_batches(ids(size), batch_size, seq_length, seq_step, None)
    inputs, targets, per_pass = in_memory(ids(size), batch_size, seq_length, seq_step)
    with mock.patch.object(module, "BLOCK_TOKENS", block_tokens):
        read_inputs, read_targets = read(batches)
    assert read_inputs.dtype == read_targets.dtype == np.int32
    np.testing.assert_array_equal(read_inputs, inputs)
    np.testing.assert_array_equal(read_targets, targets)
    assert (batches.batches_per_pass, batches.steps_per_epoch) == (per_pass, len(inputs))


@given(st.integers(1, 400), *SIZES, st.data())
def test_any_part_of_the_training_can_be_read(size, batch_size, seq_length, seq_step, data) -> None:
    """Also over the ends of passes, and of the text, from whose start it goes on."""
    assume(size > batch_size * seq_length + seq_length)
    batches = cut_batches(ids(size), batch_size, seq_length, seq_step, None)
    whole = np.concatenate(2 * [read(batches)[0]])
    start = data.draw(st.integers(0, len(batches)))
    end = data.draw(st.integers(start + 1, 2 * len(batches)))
    np.testing.assert_array_equal(read(batches, start, end)[0], whole[start:end])


def test_epochs_of_so_many_steps_have_just_as_many() -> None:
    # 100 batches a pass: 7 steps at once leave out 2 of them, 8 would leave out too many.
    for steps, at_once in ((None, 7), (40, 5), (50, 5), (7, 7), (11, 1)):
        batches = cut_batches(ids(2001), 2, 10, 10, steps)
        assert batches.steps_at_once == at_once
        assert batches.steps_per_epoch == (steps or batches.batches_per_pass)
        assert batches.steps_per_epoch % at_once == batches.batches_per_pass % at_once == 0


@pytest.mark.parametrize(("count", "at_once"), [(1, 1), (7, 7), (9, 3), (49, 7), (50, 7), (96, 8)])
def test_one_batch_in_50_may_be_left_out_to_take_more_at_once(count: int, at_once: int) -> None:
    batches = cut_batches(ids(count + 1), 1, 1, 1, None)
    assert batches.steps_at_once == at_once
    assert batches.batches_per_pass == count - count % at_once


def test_too_little_text_says_the_numbers() -> None:
    with pytest.raises(TextgenError) as error:
        cut_batches(ids(212), 32, 50, 50, None)
    assert str(error.value) == (
        "`seq_length` 50 x `batch_size` 32 needs at least 1,601 tokens; the training text has 212."
        " Lower one of them or add text"
    )
    assert len(cut_batches(ids(1601), 32, 50, 50, None)) == 1


def test_every_pass_needs_a_batch() -> None:
    with pytest.raises(TextgenError, match=r"needs at least 1,641 tokens; .* has 1,640"):
        cut_batches(ids(1640), 32, 50, 20, None)
    assert len(cut_batches(ids(1641), 32, 50, 20, None)) == 3


@pytest.mark.parametrize("rows", [slice(None), slice(1, 2)])
def test_evaluation_by_hand(rows: slice) -> None:
    # 11 targets are two batches of 2 x 3 with one place of padding, the last of row 1.
    batches = list(evaluation_batches(ids(12), 2, 3, rows))
    inputs = [[[0, 1, 2], [6, 7, 8]], [[3, 4, 5], [9, 10, 11]]]
    targets = [[[1, 2, 3], [7, 8, 9]], [[4, 5, 6], [10, 11, 0]]]
    weights = [[[1, 1, 1], [1, 1, 1]], [[1, 1, 1], [1, 1, 0]]]
    for found, expected in zip(zip(*batches, strict=True), (inputs, targets, weights), strict=True):
        assert [part.tolist() for part in found] == [part[rows] for part in expected]
    assert [part.dtype for part in batches[0]] == [np.int32, np.int32, np.float32]


def test_evaluation_has_no_batch_of_padding_alone() -> None:
    assert [len(list(evaluation_batches(ids(count), 2, 3))) for count in (7, 8, 13)] == [1, 2, 2]


@given(st.integers(2, 300), st.integers(1, 6), st.integers(1, 9))
def test_evaluation_scores_every_token_but_the_first_once(size, batch_size, seq_length) -> None:
    batches = list(evaluation_batches(ids(size), batch_size, seq_length))
    scored = np.concatenate([batch.targets[batch.weights == 1] for batch in batches])
    assert sorted(scored.tolist()) == list(range(1, size))
    read = np.concatenate([batch.inputs[batch.weights == 1] for batch in batches])
    assert sorted(read.tolist()) == list(range(size - 1))


def test_evaluation_needs_two_tokens() -> None:
    with pytest.raises(TextgenError) as error:
        list(evaluation_batches(ids(1), 2, 3))
    assert str(error.value) == (
        "the validation text has 1 token(s) and needs at least 2. Add text to validate.txt, or"
        " remove it"
    )


def test_nothing_of_tensorflow_tunes_the_reading_of_batches() -> None:
    """Its thread would now and then hold up the end of a run for as long as the run took."""
    batches = cut_batches(ids(81), 2, 10, 10, None)
    dataset = tf_dataset(batches, 1)
    assert dataset.options().autotune.enabled is False


def test_the_dataset_has_the_batches_from_a_step_on_without_end() -> None:
    batches = cut_batches(ids(81), 2, 10, 10, None)
    inputs, targets = read(batches, 1, 3 * len(batches))
    found = list(tf_dataset(batches, 1).take(len(inputs)))
    assert [pair[0].numpy().tolist() for pair in found] == inputs.tolist()
    assert [pair[1].numpy().tolist() for pair in found] == targets.tolist()


@pytest.mark.parametrize(("size", "epoch", "expected"), [(81, None, 4), (20 * 64 * 3 + 1, 96, 48)])
def test_more_steps_in_a_call_are_the_same_batches(
    size: int, epoch: int | None, expected: int
) -> None:
    batches = cut_batches(ids(size), 2, 10, 10, epoch)
    more = batches.with_more_at_once()
    assert more.steps_at_once == expected
    assert more.batches_per_pass % more.steps_at_once == 0
    assert more.steps_per_epoch % more.steps_at_once == 0
    assert len(more) == len(batches)


# --- documents ---

LISTED = np.array([1, 5, 1, 6, 6, 1, 7, 7, 7, 1, 8, 8, 8, 8, 1], np.uint8)
"""Documents of 5, 6, 7 and 8, one after another."""


def document_batches(ids: np.ndarray = LISTED, rows: int = 2, length: int = 3, seed: int = 3):
    documents = module.ShuffledDocuments(ids, seed)
    return cut_batches(ids, rows, length, length, None, documents)


def many_documents(count: int) -> np.ndarray:
    """Document n is n + 2, 1 to 5 times."""
    pieces = [np.repeat([1, n + 2], [1, 1 + n % 5]) for n in range(count)]
    return np.concatenate([*pieces, [1]])


def test_a_pass_reads_documents_one_after_another_in_its_order() -> None:
    documents = module.ShuffledDocuments(LISTED, random_seed=3)
    assert len(documents) == 4
    orders = [documents.in_pass(number).read(0, 15).tolist() for number in range(20)]
    for order in orders:
        found = "".join(map(str, order)).split("1")
        assert found[0] == found[-1] == ""
        assert sorted(found[1:-1]) == ["5", "66", "777", "8888"]
    assert len({tuple(order) for order in orders}) > 10, "passes have the same order"
    again = module.ShuffledDocuments(LISTED, random_seed=3)
    assert again.in_pass(7).read(0, 15).tolist() == orders[7]
    other = module.ShuffledDocuments(LISTED, random_seed=4)
    assert [other.in_pass(n).read(0, 15).tolist() for n in range(20)] != orders


@given(start=st.integers(0, 100), size=st.integers(0, 60), count=st.integers(1, 30))
def test_an_order_is_read_at_any_place(start: int, size: int, count: int) -> None:
    ids = many_documents(count)
    order = module.ShuffledDocuments(ids, 1).in_pass(2)
    whole = order.read(0, len(ids)).tolist()
    assert sorted(whole) == sorted(ids.tolist())
    start = min(start, len(ids) - 1)
    stop = min(start + size, len(ids))
    assert order.read(start, stop).tolist() == whole[start:stop]


@pytest.mark.parametrize("rows", [slice(None), slice(1, 2)])
def test_rows_of_documents_go_on_from_batch_to_batch_and_targets_are_one_further(
    rows: slice,
) -> None:
    ids = many_documents(50)
    batches = dataclasses.replace(document_batches(ids, 4, 5), rows=rows)
    per_pass = batches.batches_per_pass
    for number in (0, 3):
        stream = batches.documents.in_pass(number).read(0, len(ids))
        inputs, targets = read(batches, number * per_pass, (number + 1) * per_pass)
        size = per_pass * 5
        whole = np.stack([stream[row * size : (row + 1) * size + 1] for row in range(4)])[rows]
        assert inputs.swapaxes(0, 1).reshape(len(whole), -1).tolist() == whole[:, :-1].tolist()
        assert targets.swapaxes(0, 1).reshape(len(whole), -1).tolist() == whole[:, 1:].tolist()


def test_batches_of_documents_are_the_same_when_they_are_taken_up_again() -> None:
    ids = many_documents(50)
    whole, again = document_batches(ids, 4, 5), document_batches(ids, 4, 5)
    end = 3 * whole.batches_per_pass + 2
    inputs, targets = read(whole, 0, end)
    for start in (1, whole.batches_per_pass, end - 1):
        later = read(again, start, end)
        assert later[0].tolist() == inputs[start:].tolist()
        assert later[1].tolist() == targets[start:].tolist()


@pytest.mark.parametrize("count", [0, 1, 9, 40, 41, 47])
def test_many_documents_are_shuffled_in_groups(count: int) -> None:
    with mock.patch.multiple(module, GROUP=4, GROUPS=2):
        orders = [module.shuffled(count, np.random.default_rng(n)).tolist() for n in range(3)]
    for order in orders:
        assert sorted(order) == list(range(count))
    assert count < 9 or orders[0] != orders[1]
    if count > 8:  # what is read at a time lies in two groups, or in three where one is not full
        assert len({number // 4 for number in orders[0][:8]}) <= 3


def test_ends_are_found_piece_by_piece() -> None:
    with mock.patch.object(module, "SCANNED", 4):
        assert module.ShuffledDocuments(LISTED, 0).ends.tolist() == [0, 2, 5, 9, 14]
