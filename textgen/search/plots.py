"""The pictures of a search, drawn by Optuna: PNG with matplotlib, HTML with plotly."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import Any, NamedTuple

from optuna.study import Study

from textgen.search import ranking
from textgen.search.study import LOSS, SPEED, TITLES
from textgen.support import console
from textgen.support.files import write_atomic

LEAST_FOR_IMPORTANCE = 4
"""Complete trials, below which nothing can be said of what matters."""


class Picture(NamedTuple):
    """A plotting function of Optuna's, by its name, and the study that it shows."""

    function: str
    study: Study
    options: dict[str, Any]


def write(folder: Path, study: Study) -> list[Path]:
    """Draw `history`, `importance` and `pareto` of a study into `folder`; returns the files.

    A kind of picture whose library is missing is left out, and it is said how to get it.
    """
    by_loss = ranking.judged_by(study, (LOSS,))
    losses = [trial.value for trial in by_loss.trials if trial.value is not None]
    if not losses:
        return []
    pictures = {
        "history": Picture("plot_optimization_history", by_loss, {"target_name": TITLES[LOSS]}),
        "pareto": Picture("plot_pareto_front", ranking.judged_by(study, (LOSS, SPEED)), {}),
    }
    if len(losses) >= LEAST_FOR_IMPORTANCE and len(set(losses)) > 1:
        pictures["importance"] = Picture("plot_param_importances", by_loss, {})
    written = []
    for ending, (library, draw) in LIBRARIES.items():
        if importlib.util.find_spec(library) is None:
            console.say(f"without {library} there are no {ending} pictures: pip install {library}")
            continue
        for name, picture in pictures.items():
            draw(folder / f"{name}{ending}", picture)
            written.append(folder / f"{name}{ending}")
    return written


def _write_png(path: Path, picture: Picture) -> None:
    import matplotlib  # here, because it takes half a second

    matplotlib.use("agg")
    from matplotlib import pyplot
    from optuna.visualization import matplotlib as plots

    axes = getattr(plots, picture.function)(picture.study, **picture.options)
    figure, content = axes.figure, io.BytesIO()
    figure.set_size_inches(9, 6)
    figure.savefig(content, format="png", dpi=110, bbox_inches="tight")
    pyplot.close(figure)
    write_atomic(path, content.getvalue())


def _write_html(path: Path, picture: Picture) -> None:
    """Write a page; the library that shows it is beside it, once for all pages."""
    from optuna import visualization
    from plotly.offline import get_plotlyjs

    page = getattr(visualization, picture.function)(picture.study, **picture.options)
    script = path.with_name("plotly.min.js")
    if not script.exists():
        write_atomic(script, get_plotlyjs().encode())
    write_atomic(path, page.to_html(include_plotlyjs="directory").encode())


LIBRARIES = {".png": ("matplotlib", _write_png), ".html": ("plotly", _write_html)}
"""By a file's ending: the library that draws it, and how."""
