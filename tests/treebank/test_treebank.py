"""Tests of `textgen.treebank`: tokens worked out by hand, and what must hold for every text."""

import itertools
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.tokenize import NLTKWordTokenizer  # type: ignore[import-untyped]
from nltk.tokenize.destructive import MacIntyreContractions  # type: ignore[import-untyped]
from nltk.tokenize.treebank import TreebankWordTokenizer  # type: ignore[import-untyped]

from benchmarks.treebank import CORPORA, nltk_vocabulary, read_text
from textgen import treebank
from textgen.treebank import (
    GLUE,
    PARAGRAPH,
    StreamingDetokenizer,
    detokenize,
    is_spacing,
    last_cut,
    number_from,
    spacing,
    tokenize,
)
from textgen.treebank.words import CONTRACTIONS, _pieces, plain_word, split_chunk

# Made for this test. It has what prose has, and the rule should foresee all of its white space.
STORY = """Mr. J. R. Alder wasn't home. “He's gone to Dover,” said his sister--she never
looked up--“and won't be back till nine o'clock; he _can't_.”

"I cannot wait!" I cried. "Who'll pay the $1,250.75 (plus 3%) he owes us? 'Not I,' he'll say. We'd
rather . . . well, you know." She laughed... The dogs' bowls stood by the door at 10:30 a.m.

‘’Tis the boys’ doing,’ she went on. ‘I don’t like it—do you?’

CHAPTER 2: The Letter

- Write to alder@example.com, or see https://example.com/a?b=1.
* Ask for 2 or 3 *good* rooms in the U.S.A.; the rock 'n' roll of '59 won't hurt 'em.
"""

# Tokens with bars between them.
BY_HAND = {
    "contractions": ("I can't; cannot, gonna, I'll.", "I|ca|n't|;|can|not|,|gon|na|,|I|'ll|."),
    "curly contractions": ("It’s John’s, isn’t it?", "It|’s|John|’s|,|is|n’t|it|?"),
    "capitals": ("WE'RE NOT; CANNOT", "WE|'RE|NOT|;|CAN|NOT"),
    "'tis": ("'Tis so. ’Twas.", "'T|is|so|.|’T|was|."),
    "periods in mid-line": ("The end. It ends.", "The|end|.|It|ends|."),
    "abbreviations": ("Mr. J. R. R. Fox, U.S.A., e.g.", "Mr.|J.|R.|R.|Fox|,|U.S.A.|,|e.g."),
    "no abbreviation": ("So am I. In art.", "So|am|I|.|In|art|."),
    "numbers": ("$1,000.50 at 10:30, 3rd: 5%", "$|1,000.50|at|10:30|,|3rd|:|5|%"),
    "ellipses": ("Well... no… (...yes) . . . so", "Well|...|no|…|(|...|yes|)|. . .|so"),
    "dashes": ("a--b—c 3–4 d – e well-known", "a|--|b|—|c|3–4|d|–|e|well-known"),
    "brackets": ("(a [b] {c})", "(|a|[|b|]|{|c|}|)"),
    "straight quotes": ('"A," he said, "b."', '"|A|,|"|he|said|,|"|b|.|"'),
    "nested quotes": ("\"'A,' he said,\" I say.", "\"|'|A|,|'|he|said|,|\"|I|say|."),
    "curly quotes": ("“A ‘b’,” he said.", "“|A|‘|b|’|,|”|he|said|."),
    "British quotes": ("'I'm in,' I say, 'and so...'", "'|I|'m|in|,|'|I|say|,|'|and|so|...|'"),
    "a quotation of several words": ("'Go home' he said. 'Go'", "'|Go|home|'|he|said|.|'|Go|'"),
    "apostrophes": ("'em 'bout goin' rock 'n' roll '90s", "'em|'bout|goin'|rock|'n'|roll|'90s"),
    "plural possessives": ("the dogs' and the boys’ bowls", "the|dogs|'|and|the|boys|’|bowls"),
    "no genitive": ("he says 'Go' as 'it' is", "he|says|'|Go|'|as|'|it|'|is"),
    "addresses": ("me@a.org (https://a.org/b?c=d).", "me@a.org|(|https://a.org/b?c=d|)|."),
    "emphasis": (
        "_so_ *so* **so** _two words_, `x`",
        "_|so|_|*|so|*|**|so|**|_|two|words|_|,|`|x|`",
    ),
    "bullets and headings": ("* a\n- b\n# C\n* * *", "*|a|\n|-|b|\n|#|C|\n|*|*|*"),
    "foreign quotes": ("«a» „b“ ‚c‘ ¿d? ¡e!", "«|a|»|„|b|“|‚|c|‘|¿|d|?|¡|e|!"),
    "one letter": ("Mr. X and an X here", "Mr.|X|and|an|X|here"),
    "quotes of two countries": ("„Hej” “Go” x", "„|Hej|”|“|Go|”|x"),
    "curly and straight quotes": ("‘Go' he. ‘Go’ 'a' b", "‘|Go|'|he|.|‘|Go|’|'|a'|b"),
    "quotes after a plural": ('the dogs "Rex" and', 'the|dogs|"|Rex|"|and'),
    "quotes in brackets in quotes": ('"He ("x") it', '"|He|(|"|x|"|)|it'),
    "empty quotes": ('"" a', '"|"|a'),
    "a bullet and emphasis": ("* a *b*", "*|a|*|b|*"),
    "a bullet in emphasis": ("so *a\n* b* c", "so|*|a|\n|*|b|*|c"),
    "emphasis again": ("so *a* *b* __c__ __d e__", "so|*|a|*|*|b|*|__|c|__|__|d|e|__"),
    "tags": ("<i>so</i> b", "<i>|so|</i>|b"),
    "long signs": ("a.... b…… c---d——e", "a|....|b|…|…|c|---|d|——|e"),
    "signs that are words": ("## a\nb ## c", "##|a|\n|b|##|c"),
    "old quotes": ("``a'' ``b`` `c`", "``|a|''|``|b|``|`|c|`"),
    "links": ("[a](b) (c) [1][2]", "[|a|]|(|b|)|(|c|)|[|1|]|[|2|]"),
    "letters": ("Ça naïve Ñandú Übung слово", "Ça|naïve|Ñandú|Übung|слово"),
    "Chinese": ("我们很好。", "我|们|很|好|。"),
    "web": ("AT&T &amp; <b>C++</b> :-) a -> #tag", "AT&T|&amp;|<b>|C++|</b>|:-)|a|->|#|tag"),
}
# The same, where the text departs from the spacing rule.
WITH_MARKS = {
    "a spaced dash, and those after it": ("a -- b -- c--d", "a| |--|b|--|c|⁀|--|d"),
    "a double space": ("a  b", "a|  |b"),
    "sentences two spaces apart": ("He.  It!  We? d", "He|.|  |It|!|We|?| |d"),
    "a tab and an indentation": ("a\tb\n    c", "a|\t|b|\n|    |c"),
    "spaces at the end of a line": ("a  \n b ", "a|  |\n| |b| "),
    "a missing space": ("the end.The", "the|end|.|⁀|The"),
    "can not": ("can not, cannot", "can| |not|,|can|not"),
    "a quote that never closes": ('"He. "Oh"', '"|He|.| |"|Oh|"'),
    "inches": ('a 9" nail "b"', 'a|9|⁀|"|nail|"|b|"'),
    "French": ("« a » ? « b » !", "«| |a|»|?|«|b|»|!"),
    "spaces between sentences": ("He. \xa0It! \xa0We", "He|.| \xa0|It|!|We"),
    "the other way round": ("He.\xa0 It!\xa0 We", "He|.|\xa0 |It|!|We"),
    "a sentence in brackets": ("He.  (It.)  x", "He|.|  |(|It|.|)|x"),
    "no sentence's end": ("He.  It?'s x", "He|.|  |It|?|'s|x"),
    "a quote after a plural": ("the dogs 'x' y", "the|dogs| |'|x|'|y"),
    "habits end with a paragraph": ("a -- b\n\nc--d", "a| |--|b|\n|\n|c|--|d"),
    "emphasis after a missing space": ("end.The *so*", "end|.|⁀|The|*|so|*"),
    "emphasis where a line starts": ("*a* *b*", "*|⁀|a|*|*|b|*"),
    "a tab between sentences": ("He.\tIt. We.", "He|.|\t|It|.|We|."),
    "French, no-break space": ("a\xa0? b\xa0!", "a|\xa0|?|b|!"),
    "French, narrow space": ("a\u202f? b\u202f!", "a|\u202f|?|b|!"),
    "dashes of en width": ("a–b–c", "a|⁀|–|b|–|c"),
    "dashes of a figure's width": ("a‒b‒c", "a|⁀|‒|b|‒|c"),
    "a slip after a dash": ("word-- word c--d", "word|--| |word|c|--|d"),
    "a slip in a bracket": ("( -- a) b--c", "(| |--| |a|)|b|--|c"),
    "a period at the end": ("so .", "so| |."),
    "other line ends": ("a\r\nb\u2028c\x85", "a|\r|\n|b|\u2028|c|\x85"),
    "glue characters": ("⁀ a⁀b ⁀⁀", "⁀⁀|a|⁀|⁀⁀|⁀|b|⁀⁀⁀"),
}


@pytest.mark.parametrize(("text", "expected"), BY_HAND.values(), ids=BY_HAND.keys())
def test_tokens_by_hand(text: str, expected: str) -> None:
    tokens = tokenize(text)
    assert tokens == expected.split("|")
    assert not any(map(is_spacing, tokens))
    assert detokenize(tokens) == text


@pytest.mark.parametrize(("text", "expected"), WITH_MARKS.values(), ids=WITH_MARKS.keys())
def test_marks_by_hand(text: str, expected: str) -> None:
    tokens = tokenize(text)
    assert tokens == expected.split("|")
    assert any(map(is_spacing, tokens))
    assert detokenize(tokens) == text


def test_prose_needs_no_marks() -> None:
    tokens = tokenize(STORY)
    assert [token for token in tokens if is_spacing(token)] == []
    assert detokenize(tokens) == STORY


@pytest.mark.parametrize("token", [GLUE, " ", "  ", "\t", "\r", "\xa0", "\u3000", "\x85", "\u2028"])
def test_spacing_tokens(token: str) -> None:
    assert is_spacing(token)


@pytest.mark.parametrize("token", ["", "\n", "\n\n", "a", ". . .", GLUE * 2, "_", "\u200b", "\0"])
def test_other_tokens(token: str) -> None:
    assert not is_spacing(token)


GENERATED = {
    "a quote never closed": ('" No , he said . \n \n " Yes . "', '"No, he said.\n\n"Yes."'),
    "a quote never closed, new line": ('" No . \n " Yes . "', '"No.\n"Yes."'),
    "a quote never opened": ("No , ” he said .", "No,” he said."),
    "marks in a row": ("No , , . ! ? ) he", "No,,.!?) he"),
    "marks at the start": (", . he \n ; he", ",. he\n; he"),
    "halves of contractions": ("ca he n't gon home can 's not", "ca hen't gon home can's not"),
    "glue at odd places": ("⁀ He ⁀ ⁀ ' \n ⁀ he ⁀", "He'\nhe"),
    "brackets and dashes": ("( -- ) he -- -- she (", "(--) he----she ("),
    "capitals": ("DO N'T GON NA CAN NOT", "DON'T GONNA CANNOT"),
}


@pytest.mark.parametrize(("tokens", "expected"), GENERATED.values(), ids=GENERATED.keys())
def test_generated_text_reads_well(tokens: str, expected: str) -> None:
    assert detokenize(tokens.split(" ")) == expected


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (["a", "⁀b"], "a ⁀b"),
        (["a", " ", "--", "b", "\n\n", "c", "--", "d"], "a -- b\n\nc--d"),
        (["a", " ", " ", "--", "b", "--", "c"], "a  --b--c"),
    ],
    ids=["glue in a word", "a paragraph's end in one token", "two spacing tokens teach nothing"],
)
def test_tokens_that_no_text_has(tokens: list[str], expected: str) -> None:
    assert detokenize(tokens) == expected


def test_lower_case_tokens_are_spaced_alike() -> None:
    assert detokenize(token.lower() for token in tokenize(STORY)) == STORY.lower()


NLTK_SENTENCES = [
    "Good muffins cost $3.88 (roughly 3,36 euros) in New York.",
    "They'll save and invest more.",
    "hi, my name can't hello,",
    "Mr. Smith didn't go to Washington, D.C. on Jan. 5, did he?",
    '"Hello," she said, "how are you?"',
    "She said \"I can't (and won't) do it.\"",
    "I cannot do it; you're gonna have to, because he'd've left.",
    "The dogs' owner isn't John's brother-in-law's friend.",
    "It's 50% off today & tomorrow, #1 choice @ home!",
    "Wait... what do you mean -- really?",
    "We've got [three] {odd} <brackets> here.",
    "The U.S. economy grew 3.5% in 2019-2020.",
    "Gimme that, lemme see, I wanna go, I gotta run, d'ye know more'n me?",
    "What's the time? 10:30 or 3:45 p.m. maybe.",
    "and/or either, well-known, O'Brien, o'clock",
    "Dr. Who vs. Mrs. Jones, etc. are here.",
    "I paid 1,000,000 dollars, i.e. too much, e.g. here.",
    "One--two--three!",
    "She'd say: go; he'd say: stay.",
    "They'd go if we'd go: THEY'RE NOT; DON'T; IT'S; WE'LL; CANNOT",
]


# nltk's two tokenizers do not agree on these with each other; here we follow the classic one.
CLASSIC_SENTENCES = ["'Tis the season, 'twas the night.", "The '90s were great, weren't they?"]


@pytest.mark.parametrize("sentence", NLTK_SENTENCES + CLASSIC_SENTENCES)
def test_agrees_with_the_classic_nltk(sentence: str) -> None:
    assert words_of(sentence) == words_by(TreebankWordTokenizer(), sentence)


@pytest.mark.parametrize("sentence", NLTK_SENTENCES)
def test_agrees_with_the_improved_nltk(sentence: str) -> None:
    assert words_of(sentence) == words_by(NLTKWordTokenizer(), sentence)


@given(
    st.lists(
        st.sampled_from(
            ["He", "dogs", "can't", "cannot", "gonna", "we'll", "isn't", "John's", "well-known",
             "3.88", "1,000", "(so)", "$5", "70%", "really?", "go;", "then:", "so,", "naïve"]
        ),
        min_size=1, max_size=12,
    ).map(" ".join)
)  # fmt: skip
def test_agrees_with_both_of_nltks_on_any_plain_sentence(sentence: str) -> None:
    text = f"{sentence} end."
    expected = words_by(TreebankWordTokenizer(), text)
    assert words_of(text) == expected == words_by(NLTKWordTokenizer(), text)


def words_of(sentence: str) -> list[str]:
    return [token for token in tokenize(sentence) if not is_spacing(token)]


def words_by(rule: TreebankWordTokenizer | NLTKWordTokenizer, sentence: str) -> list[str]:
    return ['"' if token in ("``", "''") else token for token in rule.tokenize(sentence)]


WORDS = st.sampled_from(
    [
        "He",
        "dogs",
        "can",
        "not",
        "can't",
        "'s",
        "Mr",
        "U.S",
        "10",
        "Ça",
        "我",
        "'t",
        "is",
        "gon",
        "na",
        "⁀",
        "a_b",
    ]
)
SIGNS = st.sampled_from([*"\"'’‘“”„«»()[]<>.,;:?!…-–—_*`#$%&@/", "--", "...", "''", "www.", "<b>"])
SPACES = st.sampled_from(
    [*" " * 6, *"\n" * 3, "\n\n", "  ", " . . . ", *"\t\r\0\x1c\x85\xa0\u2028"]
)
ODD = st.sampled_from([*"😀👍🏽\u05d0\u202e\ud800\udfff\u200d\ufeff\u0130\u017f\u0301\u212a"])
EVERY_CHARACTER = st.characters()  # lone surrogates too
TEXTS = st.one_of(
    st.text(EVERY_CHARACTER),
    st.lists(st.one_of(WORDS, SIGNS, SPACES, ODD), max_size=40).map("".join),
    st.lists(st.one_of(WORDS, SIGNS, SPACES), max_size=40).map("".join),
)
TOKENS = st.lists(st.one_of(WORDS, SIGNS, SPACES, TEXTS, st.sampled_from([GLUE, GLUE * 3])))


@settings(max_examples=500)
@given(TEXTS)
def test_round_trip_of_every_text(text: str) -> None:
    tokens = tokenize(text)
    assert detokenize(tokens) == text
    assert "".join(token for token in tokens if not is_spacing(token)).count(GLUE) >= text.count(
        GLUE
    )
    assert "" not in tokens


@settings(max_examples=200)
@given(TOKENS)
def test_streaming_equals_whole(tokens: list[str]) -> None:
    stream = StreamingDetokenizer()
    pieces = list(map(stream.push, tokens))
    assert "".join(pieces) == detokenize(tokens)


def test_streaming_comes_at_once() -> None:
    stream = StreamingDetokenizer()
    pieces = [stream.push(token) for token in tokenize('"Oh," he said.')]
    assert pieces == ['"', "Oh", ",", '"', " he", " said", "."]


def test_contractions_are_those_of_nltk() -> None:
    patterns = [*MacIntyreContractions.CONTRACTIONS2, *MacIntyreContractions.CONTRACTIONS3]
    assert len(CONTRACTIONS) == len(patterns) == 10
    for whole, halves in CONTRACTIONS.items():
        matches = [re.search(pattern, f" {whole} ") for pattern in patterns]
        assert [match.groups() for match in matches if match] == [halves], whole


@settings(max_examples=200)
@given(st.lists(TEXTS), st.sampled_from(["\n\n", "\n \t\n", "\n\r\n"]))
def test_text_may_be_cut_after_a_blank_line(parts: list[str], blank_line: str) -> None:
    parts = [part + blank_line for part in parts]
    assert tokenize("".join(parts)) == list(itertools.chain.from_iterable(map(tokenize, parts)))


def tokens_of_pieces(pieces: list[str]) -> list[str]:
    tokens: list[str] = []
    state = PARAGRAPH
    for piece in pieces:
        numbers, kinds, state = number_from(piece, state)
        tokens += [kinds[number] for number in numbers]
    return tokens


@settings(max_examples=200)
@given(TEXTS)
def test_pieces_may_be_cut_after_every_line(text: str) -> None:
    pieces = [line + "\n" for line in text.split("\n")]
    assert tokens_of_pieces(pieces) == tokenize(text + "\n")


@settings(max_examples=200)
@given(TEXTS, st.data())
def test_pieces_may_be_cut_where_last_cut_says(text: str, data: st.DataObject) -> None:
    pieces, rest = [], text
    while cut := last_cut(rest[: data.draw(st.integers(0, len(rest)))]):
        pieces.append(rest[:cut])
        rest = rest[cut:]
    assert tokens_of_pieces([*pieces, rest]) == tokenize(text)


def test_long_lines_are_cut_between_words_but_not_within_an_ellipsis() -> None:
    assert last_cut("one\ntwo three") == 4
    assert last_cut("two three four") == len("two three")
    assert last_cut("a b") == 1
    assert last_cut("two . . . ") == len("two")
    assert last_cut(". . . ") == last_cut("two") == 0


def test_a_cut_is_sought_at_the_end_of_a_long_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(treebank, "_LONG_LINE", 10)
    assert last_cut("a b2345678") == 1
    assert last_cut("a b23456789") == 0


@settings(max_examples=100)
@given(st.lists(TEXTS, max_size=5))
def test_what_is_remembered_is_bounded_and_changes_nothing(texts: list[str]) -> None:
    expected = [tokenize(text) for text in texts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(treebank, "_MAX_ENTRIES", 20)
        patch.setattr(treebank, "_memory", treebank._Memory())
        patch.setattr(treebank, "_forms", treebank._Forms())
        assert [tokenize(text) for text in texts] == expected
        assert [detokenize(tokens) for tokens in expected] == texts
        most = max((len(tokens) for tokens in expected), default=0)
        assert len(treebank._memory.kinds) < 20 + most
        assert remembered(treebank._memory) <= 20
        assert len(treebank._forms) <= 20


def remembered(memory: treebank._Memory) -> int:
    """How many entries the tables of a memory have."""
    writers = memory._writers.values()
    return sum(len(w) + len(w.readers) + sum(map(len, w.readers.values())) for w in writers)


def test_what_is_long_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(treebank, "_memory", treebank._Memory())
    short, long = "1" * treebank._MAX_LENGTH, "2" * (treebank._MAX_LENGTH + 1)
    assert tokenize(f"{short}\n\n{long}") == [short, "\n", "\n", long]
    for table in (treebank._forms, treebank._memory.writer(PARAGRAPH).reader("")):
        assert short in table
        assert long not in table


def test_the_next_text_goes_on_with_what_is_remembered() -> None:
    tokenize("one")
    memory = treebank._memory
    tokenize("two, one")
    assert treebank._memory is memory
    assert len(set(memory.kinds)) == len(memory.kinds)


def test_one_text_fills_no_more_than_the_room_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(treebank, "_MAX_ENTRIES", 20)
    monkeypatch.setattr(treebank, "_memory", full := treebank._Memory())
    monkeypatch.setattr(treebank, "_forms", treebank._Forms())
    tokenize(" ".join(map(str, range(100))))
    assert remembered(treebank._memory) == 20
    assert len(treebank._forms) <= 20
    assert tokenize("one") == ["one"]
    assert treebank._memory is not full


def test_threads_go_on_with_what_others_leave_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [STORY.replace("a", letter) for letter in "bcdefghi"]
    expected = [tokenize(text) for text in texts]
    monkeypatch.setattr(treebank, "_MAX_ENTRIES", 50)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(tokenize, texts * 4)) == expected * 4
        assert list(pool.map(detokenize, expected * 4)) == texts * 4


@pytest.mark.parametrize(
    "sign", ['"', "'", "“", ".", "-", "(", "*", "_", "%", "\0", "😀", "\ud800"]
)
def test_many_signs_in_a_row_make_no_more_than_two_tokens_each(sign: str) -> None:
    text = sign * 100_000
    tokens = tokenize(text)
    assert len(tokens) <= 2 * len(text)
    assert detokenize(tokens) == text


def test_a_long_line_is_one_line() -> None:
    text = 'He said, "So be it."  ' * 50_000
    tokens = tokenize(text)
    assert len(tokens) == 50_000 * 9 + 2  # the first double space, and the last
    assert detokenize(tokens) == text


CORPUS_FILES = [path.name for path in sorted(CORPORA.glob("*.txt"))] or ["no corpora"]


@pytest.mark.skipif(not CORPORA.is_dir(), reason=f"no folder {CORPORA}")
@pytest.mark.parametrize("name", CORPUS_FILES)
def test_corpora(name: str) -> None:
    text = read_text(Path(CORPORA, name))
    tokens = tokenize(text)
    assert detokenize(tokens) == text
    assert sum(map(is_spacing, tokens)) <= 0.004 * len(tokens)
    vocabulary = {token.lower() for token in tokens}
    assert len(vocabulary) <= 1.05 * len(nltk_vocabulary(TreebankWordTokenizer(), text))


def test_vocabulary_is_no_larger_than_nltks() -> None:
    vocabulary = {token.lower() for token in tokenize(STORY)}
    assert len(vocabulary) <= len(nltk_vocabulary(TreebankWordTokenizer(), STORY))


def test_no_group_is_repeated_possessively() -> None:
    """Python before 3.11.5 matches that wrongly, and found empty tokens."""
    for pattern in (_pieces(), treebank._GAP_AND_CHUNK):
        assert not re.search(r"\)(?:[+*?]|\{[\d,]+\})\+", pattern.pattern), pattern.pattern


marks = st.text('“”"(),;:?!', max_size=3)
plain_words = st.one_of(
    st.text(st.characters(max_codepoint=0x7A, categories=("Ll", "Lu")), min_size=1, max_size=8),
    st.sampled_from(["cannot", "gonna", "not", "Mr", "I", "us", "dogs", "www", "http", "etc"]),
)


@given(marks, plain_words, st.sampled_from(["", "."]), marks)
def test_chunks_of_a_pattern_are_split_alike(head: str, word: str, stop: str, tail: str) -> None:
    chunk = head + word + stop + tail
    if found := plain_word(chunk):
        (letters, pattern), typical = found, "dogs" if "dogs" in found[1] else "word"
        expected = [letters if t == typical else t for t in split_chunk(pattern, quoting=False)]
        assert list(split_chunk(chunk, quoting=False)) == expected
        assert spacing.shape(letters) == spacing.shape(typical)


@given(st.lists(st.tuples(marks, plain_words, st.sampled_from(["", "."]), marks), max_size=8))
def test_what_is_remembered_of_patterns_does_not_change_tokens(
    parts: list[tuple[str, ...]],
) -> None:
    chunks = ["".join(part) for part in parts]
    once = tokenize(" ".join(chunks))
    for chunk in chunks:
        tokenize(f"{chunk} {chunk}")
    assert tokenize(" ".join(chunks)) == once
    treebank._memory = treebank._Memory()
    assert tokenize(" ".join(chunks)) == once
