"""TensorFlow and Keras, imported quietly: `from textgen.model.backend import keras, tf`.

Importing this module is what costs two seconds and half a gigabyte, so only training does it.
"""

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Holds back what C++ code writes to standard error, and shows it only if the work fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
warnings.filterwarnings("ignore", message=".*HDF5 file.*legacy.*")

with _quiet_stderr():
    import keras
    import tensorflow as tf

for _name in ("absl", "tensorflow"):  # which warn of what Keras and the snapshots call
    logging.getLogger(_name).setLevel(logging.ERROR)

__all__ = ["compile_options", "keras", "tf"]

XLA_SWITCH = "TEXTGEN_XLA"
"""The environment variable that, as 0, lets TensorFlow compute without XLA: the first step comes
seconds sooner, and all are slower."""


def compile_options() -> dict[str, bool]:
    """Returns the arguments of `tf.function` for whatever training computes."""
    return {"jit_compile": os.environ.get(XLA_SWITCH) != "0"}
