import pytest

from textgen.treebank import StreamingDetokenizer, detokenize, tokenize

LINES = [
    "I can't say, can you?",
    "He said: well, they'll come (perhaps).\nNo one came.\n\nThe end.",
    "It cost $1,000.50 -- too much!",
]


def test_tokens_by_hand() -> None:
    assert tokenize("They don't know.\nWe do.") == [
        "They", "do", "n't", "know", ".", "\n", "We", "do", ".",
    ]  # fmt: skip


@pytest.mark.parametrize("text", LINES[:2])
def test_prose_is_set_as_it_was(text: str) -> None:
    assert detokenize(tokenize(text)) == text


@pytest.mark.parametrize("text", LINES)
def test_pieces_come_before_the_end_and_join_to_the_whole(text: str) -> None:
    stream = StreamingDetokenizer()
    pieces = [stream.push(token) for token in tokenize(text)]
    assert len([piece for piece in pieces if piece]) > 3
    assert "".join(pieces) + stream.flush() == detokenize(tokenize(text))
