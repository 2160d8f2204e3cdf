"""TensorFlow and Keras, imported quietly: `from textgen.model.backend import keras, tf`.

Importing this module is what costs two seconds and half a gigabyte, so only training does it.
"""

import contextlib
import ctypes
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

from textgen.model.devices import COMMAND_BUFFERS, candidates, has_driver
from textgen.support.errors import TextgenError

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # of glibc's malloc.h


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


def keep_freed_memory() -> None:
    """Has the C library keep what is freed, for the next step, which needs as much again.

    By itself glibc hands pieces of over 32 MB back to the system, which zeroes them anew page by
    page: an eighth to a third of the time of large steps. TensorFlow has it hand back what is free
    at the end of its memory, where that is over 128 KB, as soon as a dataset of Python's begins:
    as much, in runs where nothing else stands at that end. One pool for all threads, because those
    that run parts of a batch would each keep one. Other C libraries have no such call.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_ARENA_MAX, 1)):
            mallopt(option, value)


if "command-buffers" in candidates() and has_driver():  # XLA takes its flags as it starts
    os.environ["XLA_FLAGS"] = f"{COMMAND_BUFFERS} {os.environ.get('XLA_FLAGS', '')}"
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
warnings.filterwarnings("ignore", message=".*HDF5 file.*legacy.*")
keep_freed_memory()  # before TensorFlow makes threads


def _other_backend(name: str) -> TextgenError:
    return TextgenError(
        f"Keras is to work with {name} here, and training needs TensorFlow. Set"
        " KERAS_BACKEND=tensorflow in the environment before Keras is imported"
    )


with _quiet_stderr():
    try:
        import keras
    except (ImportError, ValueError) as error:  # what another backend needs may be missing
        if os.environ["KERAS_BACKEND"] == "tensorflow":
            raise
        raise _other_backend(os.environ["KERAS_BACKEND"]) from error
    if keras.backend.backend() != "tensorflow":
        raise _other_backend(keras.backend.backend())
    import tensorflow as tf

for _name in ("absl", "tensorflow"):  # which warn of what Keras and the snapshots call
    logging.getLogger(_name).setLevel(logging.ERROR)

__all__ = ["gpu_names", "keep_freed_memory", "keras", "on_device", "prepare_gpus", "tf"]


def prepare_gpus() -> None:
    """Lets TensorFlow take of each GPU's memory what it needs and not all, if it has not begun."""
    with contextlib.suppress(RuntimeError):  # a notebook has used the GPU before
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)


prepare_gpus()
if "no-tf32" in candidates():
    tf.config.experimental.enable_tensor_float_32_execution(False)


def gpu_names() -> list[str]:
    """Returns the names of the GPUs that TensorFlow finds and this process may use."""
    details = map(tf.config.experimental.get_device_details, tf.config.get_visible_devices("GPU"))
    return [found.get("device_name", "GPU") for found in details]


def on_device(on_gpu: bool) -> contextlib.AbstractContextManager[object]:
    """Returns what puts all that is made within a block on the GPU, or on the processor."""
    if on_gpu:
        return tf.device("/GPU:0")  # type: ignore[no-any-return]
    return tf.device("/CPU:0") if gpu_names() else contextlib.nullcontext()
