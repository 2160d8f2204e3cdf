"""TensorFlow, imported quietly."""

import os

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
