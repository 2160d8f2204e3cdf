"""TensorFlow, imported quietly."""

import os
import platform
import subprocess
import sys

import pytest

from textgen.model import backend


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


FAULTS = """
import resource
from textgen.model import backend
import numpy as np

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**24)  # 128 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(), faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")
def test_freed_memory_is_kept_for_the_next_step() -> None:
    output = subprocess.check_output([sys.executable, "-c", FAULTS], text=True)
    first, second = map(int, output.split()[-2:])
    assert second < first / 10, "the second time the system zeroed the pages again"


def test_a_c_library_without_mallopt_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend.ctypes, "CDLL", lambda name: object())
    backend._keep_freed_memory()
