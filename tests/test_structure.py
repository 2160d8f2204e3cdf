"""The house stands as it was planned: what a process imports, and which names are public."""

import pytest

from tests.conftest import run_python


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


def test_the_public_names_are_there() -> None:
    import textgen

    for name in textgen.__all__:
        assert getattr(textgen, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = textgen.nonsense


def test_former_public_names_still_work() -> None:
    import textgen

    assert textgen.SamplingConfig is textgen.SamplingSettings
    assert textgen.ModelConfig is textgen.ModelSettings


def test_only_public_names_are_listed() -> None:
    import textgen

    assert [name for name in dir(textgen) if not name.startswith("__")] == textgen.__all__
