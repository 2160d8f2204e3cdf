"""Splits one chunk of text (what stands between two white spaces) into Treebank tokens.

Only the words are decided here, never the spaces: joined, the tokens of a chunk are the chunk.
"""

import functools
import re
from typing import Any

# Characters that a token of several characters never holds, unless a pattern below says so.
BRACKETS = "()[]{}<>"
QUOTES = "\"'“”„‟‘‚«»‹›`"
STOPS = ".,:;?!…"
SYMBOLS = "@#$£€¥¢₹%&*_¿¡"
DASHES = "-–‒—―⸺"
# Scripts written without spaces become one token a character, with their full-width punctuation.
UNSPACED = "\u2e80-\u2fff\u3001-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
# Marks "no white space here"; a run of it in the text itself gets one more, so none is lost.
GLUE = "⁀"
SPACED_DOTS = r"\.(?:[ \xa0]\.){2,}"

_OPENERS, _CLOSERS = '“"(', '”"),;:?!'  # each a token wherever it stands beside a word

_APART = re.escape(BRACKETS + QUOTES + STOPS + SYMBOLS + DASHES + GLUE) + UNSPACED


# Every alternative is linear: none that fails can be tried again inside what it has scanned.
# No group is repeated possessively: Python before 3.11.5 matches that wrongly (its issue 106052).
@functools.cache  # compiled when first used: it takes a tenth of the start of `sample.py`
def _pieces() -> re.Pattern[str]:
    return re.compile(
        rf"""
          [{UNSPACED}“”"!?,()\[\]{{}}]                                       # first, for speed
        | (?:https?://|ftp://|www\.)[^\s<>"“”«»]*[^\s<>"“”«».,;:!?)\]}}'’…*_]   # address of a page
        | (?<![\w.+%-])[^\W_][\w.+%-]*+@[\w-]+(?:\.[\w-]+)+                 # e-mail address
        | </?(?:a|b|code|em|i|small|span|strong|sub|sup|u)>                 # HTML in the line
        | &(?:\#?\w+;|c\b\.?)                                               # &amp; and &c.
        | (?<!.)[:;]-?[()DP](?!\w)                                          # :-)
        | [-=]*+[<>]+[-=]*                                                  # < >= -> ==>
        | {SPACED_DOTS} | \.\.+ | ''
        | --+ | [—―⸺]+ | [–‒]+ | \*+ | `+ | \#+ | {GLUE}+
        | (?: [^\s{_APART}]+
            | (?<!')'(?!')                                                  # can't
            | (?<=\d)[,:–](?=\d)                                            # 1,000 10:30 1914–18
            | \.(?=\w)(?!(?<=[a-z]{{2}}\.)[A-Z])                            # 3.5 U.S, not end.The
            | (?<=[^\W_])_+(?=[^\W_])                                       # snake_case
            | (?<=\w)&(?=\w)                                                # AT&T
            | (?<!-)-(?![->])                                               # well-known
          )+
        | _+ | .
        """,
        re.VERBOSE | re.DOTALL,
    )


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Written with a period that does not end a sentence. Not here: words that also end sentences
# (No., in., Sun.), because a period that sticks to a word doubles that word in the vocabulary.
_ABBREVIATIONS = _words(
    """
    Mr Mrs Ms Messrs Mme Mlle Dr Prof Rev Hon St Ste Mt Ft Jr Sr Esq Capt Col Gen Lt Maj Sgt Cpl
    Cmdr Gov Sen Rep Pres Supt Insp Adm Bros Co Corp Inc Ltd Dept Univ Ave Blvd Rd Jan Feb Apr Aug
    Sept Oct Nov Dec Ph.D M.Sc B.Sc MR MRS DR ST CAPT etc vs viz cf al ibid approx dept pp vol vols
    """
)
# U.S.A, e.g, a.m; and the initial of a name, but not the word I.
_INITIALS = re.compile(r"[^\W\d_](?:\.[^\W\d_])+|[A-HJ-ZÀ-ÖØ-Þ]")
# Words that have lost their head: their apostrophe opens no quotation, even before a capital.
_BEHEADED = _words(
    """
    bout cause cept cos coz deed em er fraid gainst kase larum lowed mongst n nam neath nother nough
    nuff nuther pon scape scaped scuse spec spect spose t th til till tis tother twas tween twere
    twill twixt twon twould ud un yond zat
    """
)
# Words that a quotation goes on with, and that apostrophes hardly shorten another word to.
_COMMON = _words(
    """
    a after all always and any are at be because been but by do every for from go had have he how
    i if in it its let like my never no not nothing of on once only or our perhaps she so some that
    the their then there these they this to too very we well were what when where which who why
    will with would yes yet you your
    """
)
# Words in s that own nothing: what follows `says '` is a quotation.
_NO_OWNERS = _words(
    """
    always as besides cries does has his is its perhaps says sometimes thinks this thus towards
    unless us was whereas yes
    """
)
# Words that have lost their tail, kept whole within single quotes: goin', an', th', o'.
_CURTAILED = re.compile(r"(?i:\w\w+in|[aio]|an|th|wi|ha|ol|mo|tha|fo|ole|de|las|mos|jes)['’]")
_CLITIC = re.compile(r"(?is)(.+?)(n['’]t|['’](?:[smd]|ll|re|ve))")
CLITICS = frozenset(["n't", "'s", "'m", "'d", "'ll", "'re", "'ve"])
# Words that the Treebank splits in two, and the halves. Source: Robert MacIntyre's tokenizer.sed,
# as nltk has it in `nltk.tokenize.destructive.MacIntyreContractions`; a test compares the two.
# (Importing nltk would cost generation 0.2 s of its start, and 1 s where scipy is installed.)
CONTRACTIONS = {
    first + second: (first, second)
    for first, second in (
        ("can", "not"), ("d", "'ye"), ("gim", "me"), ("gon", "na"), ("got", "ta"), ("lem", "me"),
        ("more", "'n"), ("wan", "na"), ("'t", "is"), ("'t", "was"),
    )
}  # fmt: skip


def fold(token: str) -> str:
    """Returns the form of a token that the rules look up: lower case, straight apostrophe."""
    return token.lower().replace("’", "'")


def may_own(word: str) -> bool:
    """Returns whether an apostrophe by itself can make a word a genitive: the dogs' bowls."""
    return word[-1:] in ("s", "S") and fold(word) not in _NO_OWNERS


PLAIN, PLAIN_OWNER = "word", "dogs"
"""Words that stand for all plain ones; the second for those that `may_own`."""
_NOT_PLAIN = frozenset(CONTRACTIONS).union(*CONTRACTIONS.values())


def plain_word(chunk: str) -> tuple[str, str] | None:
    """Returns the word of a chunk that is one between marks, and the chunk with a typical one.

    All chunks that become the same in this way are split and spaced alike. None for other chunks.

    Example:
        >>> plain_word("“Hello,"), plain_word("houses."), plain_word("can't")
        (('Hello', '“word,'), ('houses', 'dogs.'), None)
    """
    body = chunk.rstrip(_CLOSERS)
    word = body.lstrip(_OPENERS)
    stop = word[-1:] == "."
    letters = word[:-1] if stop else word
    if not (letters.isascii() and letters.isalpha()):
        return None
    folded = letters.lower()
    if folded in _NOT_PLAIN or (stop and (len(letters) == 1 or letters in _ABBREVIATIONS)):
        return None
    typical = PLAIN_OWNER if may_own(letters) else PLAIN
    if letters is chunk:
        return chunk, typical
    head, tail = chunk[: len(body) - len(word)], chunk[len(body) :]
    return letters, f"{head}{typical}{'.' if stop else ''}{tail}"


def split_chunk(chunk: str, quoting: bool) -> tuple[str, ...]:
    """Returns the tokens of a chunk.

    Args:
        chunk: text without white space, but for a spaced ellipsis.
        quoting: whether a quotation in single quotes is open, so that ' may close it.
    """
    tokens: list[str] = []
    for piece in _pieces().findall(chunk):
        if piece == "." and tokens and _is_abbreviation(tokens[-1]):
            tokens[-1] += "."
        elif "'" in piece or "’" in piece:
            parts = _split_apostrophes(piece, quoting)
            tokens += parts
            quoting = quoting or "'" in parts
        elif piece[0] == GLUE:
            tokens.append(GLUE + piece)
        else:
            tokens += _split_contraction(piece)
            quoting = quoting or piece == "‘"
    return tuple(tokens)


def _is_abbreviation(word: str) -> bool:
    return word in _ABBREVIATIONS or _INITIALS.fullmatch(word) is not None


def is_abbreviation(word: str) -> bool:
    """Returns whether a period after a word is its own, in small letters too: Mr., e.g., j.

    Such a period ends no sentence.
    """
    return _is_abbreviation(word) or _is_abbreviation(word.capitalize())


def _split_apostrophes(word: str, quoting: bool) -> list[str]:
    """Tells quotation marks from apostrophes at both ends of a word, and splits clitics off."""
    if len(word) == 1 or word == "''":
        return [word]
    head = word[: _opens_quotation(word, quoting)]
    word = word[len(head) :]
    closes = word[-1] in "'’" and len(word) > 1 and _closes_quotation(word, quoting or bool(head))
    tail = word[-1:] if closes else ""
    middle = _split_contraction(word[: len(word) - len(tail)])
    return [token for token in (head, *middle, tail) if token]


def _opens_quotation(word: str, quoting: bool) -> bool:
    if word[0] != "'" or not word[1].isalpha() or fold(word) in CLITICS:
        return False
    stem = re.split(r"['’-]", word[1:].lower())[0]
    if stem in _BEHEADED:
        return False
    return word[1].isupper() or (not quoting and (word[-1] == "'" or stem in _COMMON))


def _closes_quotation(word: str, quoting: bool) -> bool:
    """Returns whether the last apostrophe is a token: of a quotation, or of a genitive (dogs')."""
    if quoting:
        return not _CURTAILED.fullmatch(word)
    return may_own(word[:-1])


def _split_contraction(word: str) -> tuple[str, ...]:
    if halves := CONTRACTIONS.get(fold(word)):
        return word[: len(halves[0])], word[len(halves[0]) :]
    clitic = _CLITIC.fullmatch(word) if "'" in word or "’" in word else None
    return clitic.groups() if clitic else (word,)


def tables() -> dict[str, Any]:
    """Returns the lists of words that the rules know, as built-in values; see `treebank.tables`."""
    return {
        "abbreviations": sorted(_ABBREVIATIONS),
        "beheaded": sorted(_BEHEADED),
        "common": sorted(_COMMON),
        "no_owners": sorted(_NO_OWNERS),
        "clitics": sorted(CLITICS),
        "contractions": {whole: list(halves) for whole, halves in CONTRACTIONS.items()},
    }
