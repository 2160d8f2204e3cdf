"""How samples and models look in a notebook: HTML that needs no script and no style sheet."""

import html
import math
from collections.abc import Iterable, Mapping

from textgen.support import console

TEXT = "white-space: pre-wrap; overflow-wrap: anywhere; font-family: monospace"
"""Style of what a model wrote: as it is, in long lines too."""

MARK = "background: hsla(40, 95%, 50%, 0.4); color: inherit"
"""Style of a part that is marked; the ground suits light and dark pages."""


def shaded(seed: str, pieces: Iterable[tuple[str, float]]) -> str:
    """Returns a text on a ground from red to green: from improbable to probable.

    Args:
        seed: the text before, in bold.
        pieces: texts with their log-probability in nats; nan where it is not known.
    """
    spans = "".join(_span(text, log_probability) for text, log_probability in pieces)
    return f'<div style="{TEXT}"><b>{html.escape(seed)}</b>{spans}</div>'


def _span(text: str, log_probability: float) -> str:
    shown = html.escape(text)
    if math.isnan(log_probability) or not text:
        return shown
    probability = math.exp(min(log_probability, 0.0))
    # The square root, because among many tokens a tenth is no small share. The ground lets
    # through what is behind it, so that it suits light and dark pages.
    color = f"hsla({120 * math.sqrt(probability):.0f}, 90%, 45%, 0.3)"
    return f'<span style="background: {color}" title="{probability:.1%}">{shown}</span>'


def marked(text: str, spans: Iterable[tuple[int, int, str]]) -> str:
    """Returns a text with parts of it marked.

    Args:
        text: the text.
        spans: where parts begin and end, ascending, and what is shown when one points at them.
    """
    parts, done = [], 0
    for start, end, title in spans:
        parts.append(html.escape(text[done:start]))
        shown = html.escape(text[start:end])
        parts.append(f'<mark style="{MARK}" title="{html.escape(title)}">{shown}</mark>')
        done = end
    return f'<div style="{TEXT}">{"".join(parts)}{html.escape(text[done:])}</div>'


def table(title: str, facts: Mapping[str, str]) -> str:
    """Returns facts by name, a row each, below a title."""
    rows = "".join(
        f'<tr><th style="text-align: left">{html.escape(name)}</th>'
        f'<td style="text-align: left">{html.escape(fact)}</td></tr>'
        for name, fact in facts.items()
    )
    return f"<div><b>{html.escape(title)}</b><table>{rows}</table></div>"


def show_figures() -> None:
    """Has a notebook show the figures of matplotlib that a cell returns."""
    if console.in_notebook():
        from matplotlib import get_backend, pyplot

        pyplot.switch_backend(get_backend())
