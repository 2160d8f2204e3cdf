import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from textgen.dataset import evaluation_batches, training_batches
from textgen.errors import TextgenError


def ids(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int32)


def test_a_batch_by_hand() -> None:
    batches = training_batches(ids(14), batch_size=2, seq_length=3, seq_step=3)
    # 13 predictable tokens hold two batches of 2 x 3; row 1 starts where row 0 ends.
    assert batches.inputs.tolist() == [[[0, 1, 2], [6, 7, 8]], [[3, 4, 5], [9, 10, 11]]]
    assert batches.targets.tolist() == [[[1, 2, 3], [7, 8, 9]], [[4, 5, 6], [10, 11, 12]]]
    assert batches.batches_per_pass == 2


def test_a_short_step_adds_a_pass_at_that_offset() -> None:
    batches = training_batches(ids(14), batch_size=2, seq_length=3, seq_step=2)
    # From offset 2 there are 11 predictable tokens: one batch per pass.
    assert batches.batches_per_pass == 1
    assert batches.inputs.tolist() == [[[0, 1, 2], [3, 4, 5]], [[2, 3, 4], [5, 6, 7]]]


@given(
    st.integers(1, 400), st.integers(1, 6), st.integers(1, 9), st.integers(1, 12)
)  # fmt: skip
def test_rows_are_contiguous_and_targets_one_later(size, batch_size, seq_length, seq_step) -> None:
    assume(size > batch_size * seq_length + seq_length)
    batches = training_batches(ids(size), batch_size, seq_length, seq_step)
    assert batches.inputs.shape[1:] == (batch_size, seq_length)
    assert batches.inputs.dtype == batches.targets.dtype == np.int32
    np.testing.assert_array_equal(batches.targets, batches.inputs + 1)
    for start in range(0, len(batches.inputs), batches.batches_per_pass):
        one_pass = batches.inputs[start : start + batches.batches_per_pass]
        rows = one_pass.swapaxes(0, 1).reshape(batch_size, -1)
        assert (np.diff(rows) == 1).all()
        assert rows[0, 0] == start // batches.batches_per_pass * seq_step


def test_too_little_text_says_the_numbers() -> None:
    with pytest.raises(TextgenError) as error:
        training_batches(ids(212), batch_size=32, seq_length=50, seq_step=50)
    assert str(error.value) == (
        "--seq-length 50 x --batch-size 32 needs at least 1,601 tokens; the training text has 212."
        " Lower one of them or add text"
    )
    assert len(training_batches(ids(1601), 32, 50, 50).inputs) == 1


@given(st.integers(2, 300), st.integers(1, 6), st.integers(1, 9))
def test_evaluation_scores_every_token_but_the_first_once(size, batch_size, seq_length) -> None:
    batches = list(evaluation_batches(ids(size), batch_size, seq_length))
    scored = np.concatenate([batch.targets[batch.weights == 1] for batch in batches])
    assert sorted(scored.tolist()) == list(range(1, size))
    read = np.concatenate([batch.inputs[batch.weights == 1] for batch in batches])
    assert sorted(read.tolist()) == list(range(size - 1))


def test_evaluation_needs_two_tokens() -> None:
    with pytest.raises(TextgenError, match="has 1 token"):
        list(evaluation_batches(ids(1), 2, 3))
