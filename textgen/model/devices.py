"""Which device computes a training, and how: all that training compiles is decided here.

Two ways lead over time. Our layers (`textgen.model.recurrent`) are loops of small kernels, which
pay under XLA, on a processor and on a GPU. Keras' own layers take cuDNN's kernels on a GPU, which
XLA cannot compile: whatever has such a layer in it runs without XLA.

Decisions are plain functions of what is asked for and what there is, so that they can be tested
without a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from textgen.settings.definitions import ModelSettings
from textgen.support.errors import TextgenError

XLA_SWITCH = "TEXTGEN_XLA"
"""The environment variable that, as 0, lets TensorFlow compute without XLA: the first step comes
seconds sooner, and all are slower."""
GPU_SWITCH = "TEXTGEN_GPU"
"""The environment variable with what a GPU is to try, of `CANDIDATES`, with commas between them."""
CANDIDATES = {
    "cudnn": "Keras' layers with cuDNN's kernels; only the update is compiled",
    "command-buffers": "XLA hands whole loops to the card at once",
    "device-batches": "batches are copied to the card before they are needed",
    "more-steps": "up to 64 steps per call instead of 8",
    "no-tf32": "float32 products with all their bits, where the card would take TF32 (19 bits)",
    "nccl": "several GPUs exchange gradients by NCCL and not through the processor",
}
"""What a GPU is to try: ways that may be faster, or be compared, each behind a switch."""
COMMAND_BUFFERS = (
    "--xla_gpu_enable_command_buffer=FUSION,CUBLAS,CUBLASLT,CUDNN,CONDITIONAL,WHILE"
    " --xla_gpu_graph_min_graph_size=1"
)
"""Flags of XLA for the candidate of that name; they count from the start of TensorFlow on."""


INSTALL = (
    "Install the CUDA libraries that it takes (docs/gpu.md); with the environment variable"
    " TF_CPP_MIN_LOG_LEVEL=0 it says what it misses"
)
"""The mend, where TensorFlow finds no GPU."""


def has_driver() -> bool:
    """Whether a GPU's driver is here: NVIDIA's on Linux, or that of WSL2."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()


class Computation(NamedTuple):
    """How a model is computed."""

    own_layers: bool
    """Whether over time run the loops of `textgen.model.recurrent`, or Keras' own layers."""
    compiles_model: bool
    """Whether XLA compiles what has the recurrent layers in it: gradients, validation."""
    compiles_update: bool
    """Whether it compiles the update of the weights."""
    in_parts: bool
    """Whether the cores may compute parts of a batch side by side. That takes a processor, and
    dropout that is a row's own, which Keras' recurrent dropout is not."""


def computation(
    settings: ModelSettings | None = None,
    on_gpu: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Computation:
    """Returns how a model of some settings is computed on a processor or on a GPU."""
    settings = settings or ModelSettings()
    compiles = environ.get(XLA_SWITCH) != "0"
    if settings.recurrent_dropout:  # neither our loops nor cuDNN have it
        return Computation(False, compiles, compiles, in_parts=False)
    if on_gpu and "cudnn" in candidates(environ) and settings.cell in ("lstm", "gru"):
        return Computation(False, False, compiles, in_parts=False)
    return Computation(True, compiles, compiles, in_parts=not on_gpu)


def candidates(environ: Mapping[str, str] = os.environ) -> frozenset[str]:
    """Returns what a GPU is to try. Raises TextgenError where it is none of `CANDIDATES`."""
    names = frozenset(environ.get(GPU_SWITCH, "").replace(",", " ").split())
    for name in sorted(names - CANDIDATES.keys()):
        raise TextgenError(
            f"the environment variable {GPU_SWITCH} takes {', '.join(CANDIDATES)}. Received: {name}"
        )
    return names


class Choice(NamedTuple):
    """The device of a training."""

    on_gpu: bool
    reason: str
    """A line that says which and why; empty where there is nothing to choose from."""


def choose(
    wanted: str,
    gpus: Sequence[str],
    seconds: Callable[[], tuple[float, float]],
    driver_found: bool = False,
) -> Choice:
    """Chooses the device of a training.

    Args:
        wanted: the setting `device`: cpu, gpu or auto.
        gpus: the names of those that TensorFlow finds.
        seconds: what a step is estimated to take on the processor and on a GPU; called only where
            that decides.
        driver_found: whether there is the driver of a GPU, by `has_driver`.

    Raises:
        TextgenError: if a GPU is wanted and there is none.
    """
    if wanted == "gpu" and not gpus:
        raise TextgenError(
            f"`device` gpu: TensorFlow finds no GPU here. {INSTALL}, or leave `device` out"
        )
    if wanted == "cpu":
        return Choice(False, "computing on the processor, as asked" if gpus else "")
    if not gpus:
        unused = f"there is a GPU's driver, but TensorFlow finds no GPU. {INSTALL}"
        return Choice(False, unused if driver_found else "")
    if wanted == "gpu":
        return Choice(True, f"computing on {gpus[0]}, as asked")
    processor, gpu = seconds()
    if gpu < processor:
        return Choice(
            True,
            f"computing on {gpus[0]}, by an estimate {processor / gpu:.1f} times as fast for this"
            " model",
        )
    return Choice(
        False,
        f"computing on the processor: by an estimate {gpus[0]} would be {gpu / processor:.1f} times"
        " as slow for a model so small (`device` gpu takes it all the same)",
    )
