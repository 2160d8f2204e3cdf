"""The spacing rule of `treebank`: which white space goes before a token.

`step(state, shape)` is the whole rule. It looks back only, so text can be written token by token,
and the tokenizer runs the very same rule to find the places where its text departs from it.
A token enters the rule as its shape: a typical token that stands for all that it treats alike.
"""

import functools
import re
from enum import Enum, auto
from typing import Any, NamedTuple

from textgen.treebank.words import CLITICS, CONTRACTIONS, GLUE, UNSPACED, fold, may_own


class Kind(Enum):
    """The white space that a token asks for on its left and on its right."""

    WORD = auto()  # a space on both sides
    OPEN = auto()  # no space after it: ( “ $
    CLOSE = auto()  # no space before it: ) ” , 's
    PERIOD = auto()  # closes, and a sentence may end
    HIGH = auto()  # closes: ; : % »  (French sets a space before them)
    QUERY = auto()  # both of these: ? !
    GUILLEMET = auto()  # opens: «  (French sets a space after it)
    DOTS = auto()  # no space before it, and none after it where something begins: "...and
    DASH = auto()  # no space on either side, or a space on both: a habit
    EN_DASH = auto()  # the same, of another habit
    UNSPACED = auto()  # no space on either side: Chinese and Japanese characters
    TOGGLE = auto()  # opens and closes in turn: " ' ` _ *
    HASH = auto()  # a heading where a line starts, else opens


class Edge(Enum):
    """The white space that the last token leaves on its right."""

    START = auto()  # a line starts
    OPENED = auto()  # no space, and a toggle opens
    TIGHT = auto()  # no space
    SPACE = auto()
    OWNER = auto()  # a space, or ' for a genitive: dogs'
    STOP = auto()  # the space between sentences
    BULLET = auto()  # a space, after * at the start of a line
    DASH = auto()
    EN_DASH = auto()
    GUILLEMET = auto()


class Habits(NamedTuple):
    """White space that each writer sets in his own way: as it was last in this paragraph."""

    sentence: str = " "  # some typists set two spaces after a sentence
    dash: str = ""  # word--word, word -- word
    en_dash: str = " "
    dots: str = ""  # word... word ... word
    high: str = ""  # French: before ? ! ; : % » and after «


class State(NamedTuple):
    """All that the rule remembers. The default is the state at the start of a paragraph."""

    edge: Edge = Edge.START
    partner: str = ""  # the last token, if some tokens join it without a space: can|not
    forced: str | None = None  # the white space that spacing tokens have just set
    open: frozenset[str] = frozenset()  # the quotes and emphasis that are open
    habits: Habits = Habits()


PARAGRAPH = State()
SENTENCE_GAPS = {"  ", " \xa0", "\xa0 "}
HABITUAL_GAPS = {"", " ", "\xa0", "\u202f"}
_OTHER_GAP = "\t"  # the shape of all other white space
_NO_SPACE = {Edge.START, Edge.OPENED, Edge.TIGHT}

_TOGGLES = frozenset(["'", '"', "`", "``", "_", "__", "*", "**"])
# Quotes that close in some languages and open in others; an open low quote tells which it is.
_LOW_QUOTES = {"“": "„", "‘": "‚"}
# What counts as open after a token that opens, and what no longer does after one that closes.
_OPENS = {token: token for token in (*_TOGGLES, "„", "‚")} | {"‘": "'"}
_CLOSES = {
    **{token: frozenset([token]) for token in _TOGGLES},
    **{token: frozenset([low]) for token, low in _LOW_QUOTES.items()},
    "”": frozenset("„"),
    "’": frozenset("'‚"),
    "''": frozenset(["``"]),
}
_WORD, _OWNER = "dog", "dogs"
_KINDS = {
    **dict.fromkeys([*"([{“‘„‟‚‹¿¡$£€¥₹@", "<b>"], Kind.OPEN),
    **dict.fromkeys([*")]},”’›′″", "''", "</b>", *CLITICS], Kind.CLOSE),
    **dict.fromkeys(";:%»", Kind.HIGH),
    **dict.fromkeys("?!", Kind.QUERY),
    **dict.fromkeys(_TOGGLES, Kind.TOGGLE),
    "#": Kind.HASH,
    ".": Kind.PERIOD,
    "«": Kind.GUILLEMET,
    "...": Kind.DOTS,
    "--": Kind.DASH,
    "–": Kind.EN_DASH,
    "一": Kind.UNSPACED,
}
_HALVES = frozenset(half for halves in CONTRACTIONS.values() for half in halves)
# What joins a token without a space: {"can": {"not"}, "'t": {"is", "was"}, ...}, and in Markdown
# [words](address) and notes[1][2].
_PARTNERS = {
    first: {second for other, second in CONTRACTIONS.values() if other == first}
    for first, _ in CONTRACTIONS.values()
} | {"]": {"(", "["}}
_EDGES = {
    Kind.OPEN: Edge.OPENED,
    Kind.PERIOD: Edge.STOP,
    Kind.QUERY: Edge.STOP,
    Kind.GUILLEMET: Edge.GUILLEMET,
    Kind.DASH: Edge.DASH,
    Kind.EN_DASH: Edge.EN_DASH,
    Kind.UNSPACED: Edge.TIGHT,
}
# The habit that sets the space before a token, and the one that sets it after the last token.
_HABIT_BEFORE = {
    Kind.DASH: "dash",
    Kind.EN_DASH: "en_dash",
    Kind.DOTS: "dots",
    Kind.HIGH: "high",
    Kind.QUERY: "high",
}
_HABIT_AFTER = {
    Edge.STOP: "sentence",
    Edge.DASH: "dash",
    Edge.EN_DASH: "en_dash",
    Edge.GUILLEMET: "high",
}


def is_spacing(token: str) -> bool:
    """Returns whether a token marks unusual white space or its absence; a newline does not."""
    return token == GLUE or (token.isspace() and "\n" not in token)


def written(token: str) -> str:
    """Returns the text of a token by itself: none of glue, and of a run of it one sign less."""
    return token if token.strip(GLUE) else token[1:]


def shape(token: str) -> str:
    """Returns a typical token that the rule treats like this one, out of a small number of them."""
    if token.isascii() and token.isalpha():  # most tokens, and no kind of their own
        folded = token.lower()
        if folded in _HALVES:
            return folded
        return _OWNER if may_own(token) else _WORD
    if token.isspace() or token == GLUE:
        return _shape_of_space(token)
    if token in _KINDS:
        return token
    folded = fold(token)
    if folded in CLITICS or folded in _HALVES:
        return folded
    plain = _OWNER if may_own(token) else _WORD
    return next((name for name, form in _shapes().items() if form.fullmatch(token)), plain)


@functools.cache  # compiled when first used, as `words._pieces`
def _shapes() -> dict[str, re.Pattern[str]]:
    patterns = {
        "...": r"\.\.+|…+",
        "--": r"--+|[—―⸺]+",
        "–": "[–‒]+",
        "一": f"[{UNSPACED}]",
        "<b>": r"<[a-z]+>",
        "</b>": r"</[a-z]+>",
    }
    return {name: re.compile(pattern) for name, pattern in patterns.items()}


def _shape_of_space(token: str) -> str:
    if "\n" in token:
        return "\n" if token == "\n" else "\n\n"
    return token if token in (GLUE, *SENTENCE_GAPS, *HABITUAL_GAPS) else _OTHER_GAP


def step(state: State, token: str) -> tuple[str, State]:
    """Returns the white space before a token, given by its shape, and the state after it."""
    if token.isspace() or token == GLUE:
        return "", _after_space(state, token)
    kind = _direct(state, token, _KINDS.get(token, Kind.WORD))
    habit = _habit(state, kind)
    habits = _learn(state, kind, habit)
    return _gap(state, token, kind, habit), State(
        edge=_edge(state, token, kind),
        partner=token if token in _PARTNERS else "",
        open=_open(state, token, kind),
        habits=habits,
    )


def _after_space(state: State, token: str) -> State:
    if "\n" in token:
        if token != "\n" or state.edge is Edge.START:
            return PARAGRAPH  # after a blank line
        return state._replace(edge=Edge.START, partner="", forced=None)
    forced = (state.forced or "") + written(token)
    habits = state.habits
    if token in SENTENCE_GAPS:
        habits = habits._replace(sentence=token)
    return state._replace(forced=forced if forced in HABITUAL_GAPS else _OTHER_GAP, habits=habits)


def _direct(state: State, token: str, kind: Kind) -> Kind:
    """Decides what a token does here that can do several things."""
    if kind is Kind.HASH:
        return Kind.WORD if state.edge is Edge.START else Kind.OPEN
    if kind is not Kind.TOGGLE:
        return Kind.CLOSE if _LOW_QUOTES.get(token) in state.open else kind
    if token == "*" and state.edge in (Edge.START, Edge.BULLET):
        return Kind.WORD
    return Kind.OPEN if _opens(state, token) else Kind.CLOSE


def _opens(state: State, toggle: str) -> bool:
    if state.edge in (Edge.START, Edge.OPENED):
        return True
    if state.forced is not None:  # a spacing token also corrects a direction that went wrong
        return state.forced != ""
    return toggle not in state.open and not (toggle == "'" and state.edge is Edge.OWNER)


def _habit(state: State, kind: Kind) -> str | None:
    """Returns the habit that sets the space between the last token and this kind, if one does."""
    if state.edge in _NO_SPACE:
        return None
    if kind in (Kind.WORD, Kind.OPEN, Kind.GUILLEMET):
        return _HABIT_AFTER.get(state.edge)
    return _HABIT_BEFORE.get(kind)


def _learn(state: State, kind: Kind, habit: str | None) -> Habits:
    """Returns the habits, changed if a spacing token has just set the space that is one's to set.

    What follows a dash teaches nothing: `word-- word` is a slip, not a way of writing.
    """
    teaches = kind in _HABIT_BEFORE or state.edge is Edge.GUILLEMET
    if habit is None or not teaches or state.forced not in HABITUAL_GAPS:
        return state.habits
    return state.habits._replace(**{habit: state.forced})


def _gap(state: State, token: str, kind: Kind, habit: str | None) -> str:
    if state.forced is not None or state.edge in _NO_SPACE:
        return ""
    if habit is not None:
        return str(getattr(state.habits, habit))
    if kind in (Kind.CLOSE, Kind.PERIOD, Kind.UNSPACED):
        return ""
    return "" if token in _PARTNERS.get(state.partner, ()) else " "


def _edge(state: State, token: str, kind: Kind) -> Edge:
    edge = _EDGES.get(kind, Edge.SPACE)
    if kind is Kind.OPEN and token in _TOGGLES:
        edge = Edge.TIGHT  # unlike after a bracket, the next one may close
    elif kind is Kind.DOTS and state.edge in _NO_SPACE:
        edge = Edge.TIGHT
    elif kind is Kind.WORD and token == "*":
        edge = Edge.BULLET
    elif token == _OWNER:
        edge = Edge.OWNER
    elif kind is Kind.CLOSE and state.edge is Edge.STOP and token not in CLITICS:
        edge = Edge.STOP
    usual = edge is Edge.STOP and state.habits.sentence == " "
    return Edge.SPACE if usual else edge  # fewer states, for speed


def _open(state: State, token: str, kind: Kind) -> frozenset[str]:
    """Returns the quotes and emphasis that are open after a token."""
    opened = state.open
    if state.edge is Edge.BULLET and state.forced == "":
        opened |= {"*"}  # what looked like a bullet touches its word: emphasis
    if kind is Kind.OPEN and token in _OPENS:
        return opened | {_OPENS[token]}
    return opened - _CLOSES.get(token, frozenset()) if kind is Kind.CLOSE else opened


def tables() -> dict[str, Any]:
    """Returns what the rule knows of tokens, as built-in values; see `treebank.tables`."""
    return {
        "kinds": {token: kind.name for token, kind in _KINDS.items()},
        "edges": {kind.name: edge.name for kind, edge in _EDGES.items()},
        "partners": {first: sorted(seconds) for first, seconds in _PARTNERS.items()},
        "toggles": sorted(_TOGGLES),
        "low_quotes": dict(_LOW_QUOTES),
        "opens": dict(_OPENS),
        "closes": {token: sorted(closed) for token, closed in _CLOSES.items()},
        "habit_before": {kind.name: habit for kind, habit in _HABIT_BEFORE.items()},
        "habit_after": {edge.name: habit for edge, habit in _HABIT_AFTER.items()},
        "habits": Habits()._asdict(),
        "sentence_gaps": sorted(SENTENCE_GAPS),
        "habitual_gaps": sorted(HABITUAL_GAPS),
    }
