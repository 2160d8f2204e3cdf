"""TensorFlow, imported quietly."""

import os
import platform
import subprocess
import sys

import pytest

from textgen.model import backend
from textgen.model.devices import XLA_SWITCH


@pytest.mark.parametrize(
    ("error", "shown"), [(ImportError, "of C++\n"), (KeyboardInterrupt, ""), (None, "")]
)
def test_what_an_import_writes_is_shown_where_it_fails(
    error: type[BaseException] | None, shown: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        with backend._quiet_stderr():
            os.write(2, b"of C++\n")
            if error:
                raise error

    if error:
        with pytest.raises(error):
            work()
    else:
        work()
    assert capfd.readouterr().err == shown


IMPORT = "from textgen.model import backend"
TRAIN = (
    "import textgen; textgen.train(text='The river. ' * 200, num_epochs=2, rnn_size=8, verbose=0)"
)
FAULTS = """
import resource
import numpy as np

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**24)  # 128 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(), faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")
@pytest.mark.parametrize(
    "before",
    [
        pytest.param(IMPORT, id="import"),
        pytest.param(TRAIN, id="training", marks=pytest.mark.slow),
    ],
)
def test_freed_memory_is_kept_for_the_next_step(before: str) -> None:
    """Also in a run, where TensorFlow would end that."""
    environment = os.environ | {XLA_SWITCH: "0"}
    output = subprocess.check_output(
        [sys.executable, "-c", f"{before}\n{FAULTS}"], text=True, env=environment
    )
    first, second = map(int, output.split()[-2:])
    assert second < first / 10, "the second time the system zeroed the pages again"


def test_a_c_library_without_mallopt_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend.ctypes, "CDLL", lambda name: object())
    backend.keep_freed_memory()
