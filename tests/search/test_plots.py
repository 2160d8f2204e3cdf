"""The pictures of a search."""

import importlib.util
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.search.studies import mixed
from textgen.search import plots


@pytest.mark.parametrize("objective", ["loss", "loss,speed"])
def test_every_picture_is_drawn_twice(tmp_path: Path, objective: str) -> None:
    written = plots.write(tmp_path, mixed(objective))
    names = {"history", "pareto", "importance"}
    assert {path.name for path in written} == {n + e for n in names for e in (".png", ".html")}
    for path in written:
        if path.suffix == ".png":
            assert path.read_bytes().startswith(b"\x89PNG")
        else:
            page = path.read_text()
            assert 'src="plotly.min.js"' in page
            assert "nats per token" in page
    assert (tmp_path / "plotly.min.js").stat().st_size > 1e6


def test_there_is_nothing_to_draw_without_complete_trials(tmp_path: Path) -> None:
    assert plots.write(tmp_path, optuna.create_study()) == []


def test_a_missing_library_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec

    def find_spec(name: str, *more: Any) -> Any:
        return None if name == "plotly" else found(name, *more)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    written = plots.write(tmp_path, mixed())
    assert {path.suffix for path in written} == {".png"}
    assert (
        "without plotly there are no .html pictures: pip install plotly" in capsys.readouterr().err
    )
