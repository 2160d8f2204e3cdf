import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.networks import biased_generator, random_generator, word_tokenizer
from textgen.generation.sampling import FILTERS, Rules
from textgen.generation.texts import Ending, ForcedTokens, Text, boundaries, rules_of
from textgen.settings.definitions import SamplingSettings, TokenizerSettings
from textgen.support.errors import TextgenError
from textgen.tokens import build_tokenizer
from textgen.tokens.characters import CharacterTokenizer
from textgen.tokens.words import WordTokenizer

CHARACTERS = CharacterTokenizer(["\ufffd", *"ab \n."], TokenizerSettings(pristine_input=True))
A, B, SPACE, NEWLINE = 1, 2, 3, 4
PRISTINE = TokenizerSettings("word", pristine_input=True)


def new_text(length: int = -1, **settings: Any) -> Text:
    return Text("", SamplingSettings(length=length, **settings), CHARACTERS)


def written(content: str, length: int = -1, **settings: Any) -> tuple[list[str], Text]:
    """The pieces of a text whose tokens are those of `content`, one by one."""
    text = new_text(length, **settings)
    pieces = []
    for token_id in CHARACTERS.encode(content).tolist():
        if not text.finished:
            pieces.append(text.push([token_id]))
    return pieces, text


def test_the_length_ends_a_text() -> None:
    pieces, text = written("abab", length=3)
    assert (pieces, text.finished, len(text.ids)) == (["a", "b", "a"], True, 3)
    assert written("", length=0)[1].finished


def test_an_endless_text_goes_on() -> None:
    pieces, text = written("ab" * 50)
    assert ("".join(pieces), text.finished) == ("ab" * 50, False)


def test_a_text_ends_before_a_stop_text() -> None:
    pieces, text = written(
        "aab.ab",
        stop=(
            "b.",
            "zz",
        ),
    )
    assert (pieces, text.finished) == (["a", "a", "", ""], True)
    assert CHARACTERS.decode(text.ids) == "aab.", "the stop itself was made, but is not text"


def test_what_might_begin_a_stop_is_held_back_only_until_it_is_known() -> None:
    # "aa" may begin "aab."; with the next a it no longer may, but its last two may.
    assert written("aaaba", stop=("aab.",))[0] == ["", "", "a", "", "aab"]


def test_what_was_held_back_is_not_lost_at_the_end() -> None:
    pieces, text = written("bab", length=3, stop=("ab.",))
    assert ("".join(pieces), text.finished) == ("bab", True)
    pieces, text = written("bab", stop=("ab.",))
    assert "".join(pieces) + text.end() == "bab"
    assert text.end() == "", "the end comes once"


def test_the_first_of_several_stops_counts() -> None:
    pieces, _ = written(
        "ab.a.b",
        stop=(
            ".b",
            ".a",
        ),
    )
    assert "".join(pieces) == "ab"


def test_a_paragraph_ends_before_a_blank_line() -> None:
    assert "".join(written("\n\na.\nb\n\nab", until_paragraph=True)[0]) == "\n\na.\nb"
    assert "".join(written("a\n\nb", until_paragraph=True)[0]) == "a"
    assert "".join(written("\na.\nb\n\nab", until_line=True)[0]) == "\na."
    assert "".join(written("a\n\nb", until_line=True, until_paragraph=True)[0]) == "a"


def test_words_are_held_back_by_their_decoder_and_come_in_the_end() -> None:
    tokenizer = word_tokenizer()
    ids = tokenizer.encode("The old dog sat.").tolist()
    text = Text("\n", SamplingSettings(length=len(ids)), tokenizer)
    assert "".join(text.push([token_id]) for token_id in ids) == "The old dog sat."


TEXTS = st.text("ab.\n", max_size=30)


@given(TEXTS, st.lists(st.text("ab.\n", min_size=1, max_size=4), max_size=3), st.data())
def test_pieces_and_blocks_are_the_text_up_to_the_first_stop(content: str, stops, data) -> None:
    ends = [at for stop in stops if (at := content.find(stop)) >= 0]
    expected = content[: min(ends, default=len(content))]
    # The stop that is complete first ends the text, even if a longer one began before it.
    for end in range(len(content) + 1):
        found = [content[:end].find(stop) for stop in stops if stop in content[:end]]
        if found:
            expected = content[: min(found)]
            break
    cut = data.draw(st.integers(0, len(content)))
    text, ids = new_text(stop=tuple(stops)), CHARACTERS.encode(content).tolist()
    result = text.push(ids[:cut])
    if not text.finished:
        result += text.push(ids[cut:])
    assert result + text.end() == expected
    pieces, single = written(content, stop=tuple(stops))
    assert "".join(pieces) + single.end() == expected
    assert single.ids == text.ids


@given(TEXTS, st.integers(0, 35))
def test_the_length_cuts_blocks_too(content: str, length: int) -> None:
    text = new_text(length)
    assert text.push(CHARACTERS.encode(content).tolist()) == content[:length]
    assert text.finished == (len(content) >= length)


@pytest.mark.parametrize("stop", ["a", "."])
def test_a_stop_of_one_character_holds_nothing_back(stop: str) -> None:
    assert written("bb" + stop, stop=(stop,))[0] == ["b", "b", ""]


def test_the_unknown_token_is_always_banned() -> None:
    assert rules_of(SamplingSettings(), CHARACTERS) == Rules(ban=((0,),))


def test_every_setting_arrives() -> None:
    settings = SamplingSettings(
        temperature=(0.2, 0.8), top_k=3, top_p=0.9, min_p=0.1, repetition_penalty=1.2,
        repetition_window=9, sample_mode="spaces", ban=("ab", "a", "né"),
    )  # fmt: skip
    assert rules_of(settings, CHARACTERS) == Rules(
        temperature=(0.2, 0.8), filters=(("top_k", 3), ("top_p", 0.9), ("min_p", 0.1)),
        repetition_penalty=1.2, repetition_window=9, boundaries=frozenset({SPACE, NEWLINE}),
        ban=((0,), (A, B), (A,)),
    )  # fmt: skip


def test_argmax_is_temperature_zero() -> None:
    assert rules_of(SamplingSettings(sample_mode="argmax"), CHARACTERS).temperature == (0.0,)


def test_a_ban_that_is_no_token_is_refused() -> None:
    with pytest.raises(TextgenError, match="`ban` ' ' has no word that a model could write"):
        rules_of(SamplingSettings(ban=(" ",)), WordTokenizer(["<unk>", "a", "b"], PRISTINE))


def test_boundaries_of_words_are_the_ends_of_sentences() -> None:
    tokenizer = word_tokenizer()
    ends = {tokenizer.vocabulary[i] for i in boundaries(tokenizer)}
    assert ends == {".", "!", "?", "\n"}


def forced_ids(
    texts: list[str], drawn: list[int], length: int, first: tuple[int, ...] = ()
) -> list[int]:
    """The ids of a stream that draws `drawn` where nothing is forced."""
    forced, ids, source = ForcedTokens(first, texts, length, CHARACTERS), [NEWLINE], iter(drawn)
    for count in range(length):
        forced_id = forced.next(count, ids[-1])
        assert forced.next(count, ids[-1]) == forced_id, "asked again before it is made"
        ids.append(next(source) if forced_id is None else forced_id)
        forced.drop()
    return ids[1:]


def test_forced_texts_are_spread_and_begin_words() -> None:
    drawn = [A, SPACE] * 20
    ids = forced_ids(["bb", "aa"], drawn, 12)
    # Due after 4 and 8 tokens; the first boundaries from there on are at 4 and at 8 or after.
    assert CHARACTERS.decode(ids) == "a a bba aaa "


def test_what_a_text_begins_with_comes_before_forced_texts() -> None:
    ids = forced_ids(["bb"], [A, SPACE] * 20, 8, first=(B, SPACE))
    # Due after 4 tokens, of which the fourth is a boundary.
    assert CHARACTERS.decode(ids) == "b a bba "


def test_without_a_boundary_the_last_moment_counts() -> None:
    assert CHARACTERS.decode(forced_ids(["bb", "b"], [A] * 20, 8)) == "aaaaabbb"


@given(
    st.lists(st.text("ab ", min_size=1, max_size=4), min_size=1, max_size=4),
    st.lists(st.sampled_from([A, B, SPACE]), min_size=40, max_size=40),
    st.integers(0, 20),
)
def test_forced_texts_are_always_there_in_order(texts, drawn, room: int) -> None:
    length = sum(map(len, texts)) + room
    text = CHARACTERS.decode(forced_ids(texts, drawn, length))
    at = 0
    for wanted in texts:
        at = text.find(wanted, at)
        assert at >= 0, (texts, text)
        at += len(wanted)


@pytest.mark.parametrize(
    ("texts", "length", "message"),
    [
        (["abc"], 9, "`force` 'abc' has a character that the training text had not"),
        (["ab", "b"], 2, "`length` must be at least 3 to hold the forced texts. Received: 2"),
        (["ab"], -1, "`length` must be at least 2 to hold the forced texts. Received: -1"),
    ],
)
def test_what_cannot_be_forced(texts: list[str], length: int, message: str) -> None:
    with pytest.raises(TextgenError) as error:
        ForcedTokens((), texts, length, CHARACTERS)
    assert message in str(error.value)


def test_a_seed_that_is_no_text_is_refused() -> None:
    with pytest.raises(TextgenError, match=r"`seed` is the text before\. Received: 5"):
        Text(5, SamplingSettings(), CHARACTERS)  # type: ignore[arg-type]


def test_an_ending_knows_no_tokens() -> None:
    ending = Ending(["THE END"])
    assert [ending.push(piece) for piece in ("It was TH", "E", " END of")] == ["It was ", "", ""]
    assert ending.reached


EXAMPLES: dict[str, dict[str, Any]] = {
    "length": {"length": 7},
    "label": {"label": "long"},
    "stop": {"stop": (".",)},
    "stop_after": {"stop_after": (".",)},
    "sentences": {"sentences": 1},
    "new": {"new": True},
    "until_line": {"until_line": True},
    "until_paragraph": {"until_paragraph": True},
    "ban": {"ban": ("a",)},
    "force": {"force": ("ba.b",)},
    "temperature": {"temperature": 0.1},
    "repetition_penalty": {"repetition_penalty": 9.0},
    "repetition_window": {"repetition_penalty": 9.0, "repetition_window": 1},
    "sample_mode": {"sample_mode": "argmax"},
    "beam_size": {"beam_size": 2},
    "random_seed": {"random_seed": 2},
}


FIELDS = {field.name for field in dataclasses.fields(SamplingSettings)}


@pytest.mark.parametrize("field", sorted(FIELDS - set(FILTERS)))  # see test_sampling for those
def test_every_setting_changes_the_text(field: str, tmp_path: Path) -> None:
    """A field of the settings that nothing reads would be a flag that silently does nothing."""
    assert field in EXAMPLES, f"`{field}` is new: is it read, or registered in FILTERS?"
    model = biased_generator({"a": 0.35, "b": 0.25, ".": 0.15, "\n": 0.25})
    (tmp_path / "input.txt").write_text("b\n")
    model.data_dir = tmp_path  # where the texts are that are not new
    if field == "label":  # a network that looks at what was before
        documents = TokenizerSettings(documents="paragraphs")
        model = random_generator(build_tokenizer("<|long|>abab.\n\n<|short|>ab.", documents))
    settings = {"length": 60, "random_seed": 1} | EXAMPLES[field]
    before = {**settings, field: SamplingSettings(length=60, random_seed=1).to_dict()[field]}
    assert model.generate("b", **settings) != model.generate("b", **before)


# --- where a text ends ---


def pushed(ending: Ending, pieces: list[str]) -> str:
    """The text that comes of pieces, up to the end."""
    written = ""
    for piece in pieces:
        written += ending.push(piece)
        if ending.reached:
            return written
    return written + ending.held


def cut(text: str, sizes: list[int]) -> list[str]:
    pieces, start = [], 0
    for size in sizes:
        pieces.append(text[start : start + size])
        start += size
    return [*pieces, text[start:]]


sizes = st.lists(st.integers(1, 5), max_size=12)


@given(text=st.text("ab.", max_size=30), stop=st.text("ab.", min_size=1, max_size=4), sizes=sizes)
def test_a_text_to_end_after_is_kept_however_it_comes(
    text: str, stop: str, sizes: list[int]
) -> None:
    at = text.find(stop)
    expected = text if at < 0 else text[: at + len(stop)]
    assert pushed(Ending([], stop_after=[stop]), cut(text, sizes)) == expected


def test_what_comes_first_ends_a_text() -> None:
    assert pushed(Ending(["X"], stop_after=["."]), ["a.", "bX"]) == "a."
    assert pushed(Ending(["X"], stop_after=["."]), ["aXb."]) == "a"
    assert pushed(Ending(["X"], sentences=1), ["One. Two X"]) == "One."


SENTENCES = [
    ("He sat. It rained.", 1, "He sat."),
    ("He sat. It rained. Then", 2, "He sat. It rained."),
    ("Mr. Smith and Mrs. Jones sat. Then", 1, "Mr. Smith and Mrs. Jones sat."),
    ("mr. smith sat. then", 1, "mr. smith sat."),
    ("At 3.5 m, e.g. there. Yes", 1, "At 3.5 m, e.g. there."),
    ("J. F. Bach wrote. Yes", 1, "J. F. Bach wrote."),
    ('"Stop!" he said. No', 1, '"Stop!"'),
    ("(Why?) So", 1, "(Why?)"),
    ("No end here", 1, "No end here"),
    ("A title\nHe sat. No", 1, "A title"),
    ("\n\nHe sat. No", 1, "\n\nHe sat."),
    ("Wait... what? No", 2, "Wait... what?"),
    ("\u6211\u4eec\u5f88\u597d\u3002\u4f60\u4eec\u5462", 1, "\u6211\u4eec\u5f88\u597d\u3002"),
]


@pytest.mark.parametrize(("text", "count", "expected"), SENTENCES)
@given(sizes=sizes)
def test_sentences_end_with_their_marks_however_they_come(
    text: str, count: int, expected: str, sizes: list[int]
) -> None:
    assert pushed(Ending([], sentences=count), cut(text, sizes)) == expected


def test_sentences_of_characters_and_of_words_are_the_same() -> None:
    text = 'Dr. No sat. "Why?" he said. So it was.\n'
    for settings in (TokenizerSettings(pristine_input=True), TokenizerSettings("word")):
        tokenizer = build_tokenizer(text, settings)
        made = Text("", SamplingSettings(sentences=2, length=100), tokenizer)
        parts = [made.take([i], [0.0]).text for i in tokenizer.encode(text) if not made.finished]
        assert "".join(parts).strip() == 'Dr. No sat. "Why?"'
        assert made.finished
