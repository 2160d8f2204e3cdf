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
from pathlib import Path

from textgen.model.devices import COMMAND_BUFFERS, candidates


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Holds back what C++ code writes to standard error, and shows it only if the work fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:  # not after Ctrl-C
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


GPU_FILES = (Path("/dev/nvidia0"), Path("/dev/dxg"))
"""What there is of a GPU's driver, on Linux and in WSL2; XLA takes its flags as it starts."""

if "command-buffers" in candidates() and any(path.exists() for path in GPU_FILES):
    os.environ["XLA_FLAGS"] = f"{COMMAND_BUFFERS} {os.environ.get('XLA_FLAGS', '')}"
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
warnings.filterwarnings("ignore", message=".*HDF5 file.*legacy.*")

with _quiet_stderr():
    import keras
    import tensorflow as tf

for _name in ("absl", "tensorflow"):  # which warn of what Keras and the snapshots call
    logging.getLogger(_name).setLevel(logging.ERROR)

for _gpu in tf.config.list_physical_devices("GPU"):  # take of its memory what is needed, not all
    tf.config.experimental.set_memory_growth(_gpu, True)

__all__ = ["gpu_names", "keras", "on_device", "tf"]


def gpu_names() -> list[str]:
    """Returns the names of the GPUs that TensorFlow finds and this process may use."""
    details = map(tf.config.experimental.get_device_details, tf.config.get_visible_devices("GPU"))
    return [found.get("device_name", "GPU") for found in details]


def on_device(on_gpu: bool) -> contextlib.AbstractContextManager[object]:
    """Returns what puts all that is made within a block on the GPU, or on the processor."""
    if on_gpu:
        return tf.device("/GPU:0")  # type: ignore[no-any-return]
    return tf.device("/CPU:0") if gpu_names() else contextlib.nullcontext()
