"""The house stands as it was planned: what each process imports, and what the README says."""

import pytest

from tests.conftest import ROOT, run_python
from textgen.settings.definitions import (
    ModelConfig,
    SamplingConfig,
    TokenizerConfig,
    TrainingConfig,
)
from textgen.settings.fields import Config, flags_of
from textgen.settings.server import ServerConfig


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
    "config", [TokenizerConfig, ModelConfig, TrainingConfig, SamplingConfig, ServerConfig]
)
def test_the_readme_names_every_flag_with_its_default(config: type[Config]) -> None:
    import dataclasses

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
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
