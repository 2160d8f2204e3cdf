"""The house stands as it was planned: what each process imports, and what the README says."""

import pytest

from tests.conftest import ROOT, run_python
from textgen.commands.flags import flag_fields, flags_of
from textgen.settings.definitions import (
    ModelSettings,
    SamplingSettings,
    TokenizerSettings,
    TrainingSettings,
)
from textgen.settings.fields import Settings
from textgen.settings.server import ServerSettings


@pytest.mark.parametrize(
    "module",
    [
        "textgen",
        "textgen.generation.generator",
        "textgen.text.known",
        "textgen.server.app",
        "textgen.commands.sample",
    ],
)
def test_tensorflow_stays_out_of_generation(module: str) -> None:
    code = f"import sys, {module}; print({{'tensorflow', 'keras'}} & set(sys.modules))"
    assert run_python("-c", code).stdout == "set()\n"


@pytest.mark.parametrize(
    "settings",
    [TokenizerSettings, ModelSettings, TrainingSettings, SamplingSettings, ServerSettings],
)
def test_the_readme_names_every_flag_with_its_default(settings: type[Settings]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for field in flag_fields(settings):
        row = next((r for r in readme.splitlines() if r.startswith(f"| `{flags_of(field)[0]}")), "")
        assert row, f"the README has no row for {flags_of(field)[0]}"
        if field.default not in (None, False, ()):
            text = field.default if isinstance(field.default, str) else f"{field.default:.7g}"
            assert f"| {text} |" in row, row


def test_the_public_names_are_there() -> None:
    import textgen

    for name in textgen.__all__:
        assert getattr(textgen, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = textgen.nonsense
