"""`python -m textgen train-on-ray`: train.py on the machines of a Ray cluster.

Ray Train starts the workers, sets TF_CONFIG and ends them all when one fails; the rest is
`train.py --distribute`.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textgen.commands.flags import ArgumentParser, positive
from textgen.support import console
from textgen.support.errors import TextgenError


def main(argv: Sequence[str]) -> None:
    """Run the command with the arguments `argv`. Raises TextgenError."""
    options = parser().read(argv)
    if importlib.util.find_spec("ray") is None:
        raise TextgenError("train-on-ray needs Ray. Install it: pip install 'ray[train]'")
    console.say(f"training on {options.num_workers} workers of Ray")
    _train(options)


def parser() -> ArgumentParser:
    """Returns the flags of the command."""
    parser = ArgumentParser(
        prog=console.program("train-on-ray"),
        description="Run train.py on the machines of a Ray cluster: train-on-ray [flags] --"
        " [flags of train.py]. This folder and the data directory must be at the same path on all"
        " of them; the model is written by worker 0.",
    )
    parser.add_argument(
        "--address",
        help="the cluster, such as 10.0.0.1:6379, or auto (default: Ray on this machine alone)",
    )
    parser.add_argument("--num-workers", type=positive, required=True, metavar="K", help="workers")
    parser.add_argument("--use-gpu", action="store_true", help="give each worker a GPU")
    parser.add_argument("flags", nargs="*", metavar="-- FLAGS", help="flags of train.py")
    return parser


def _train(options: argparse.Namespace) -> None:
    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.tensorflow import TensorflowTrainer

    try:
        ray.init(address=options.address, log_to_driver=True)
    except (ConnectionError, ValueError) as error:
        raise TextgenError(
            f"no Ray cluster at --address {options.address} ({str(error).splitlines()[0]})"
        ) from error
    settings: dict[str, Any] = {"flags": options.flags, "folder": str(Path.cwd())}
    trainer = TensorflowTrainer(
        _worker,
        train_loop_config=settings,
        scaling_config=ScalingConfig(num_workers=options.num_workers, use_gpu=options.use_gpu),
        run_config=RunConfig(name="textgen"),
    )
    try:
        trainer.fit()
    except Exception as error:  # Ray's own classes, which differ from version to version
        raise TextgenError(f"the training on Ray failed: {_reason(error)}") from error
    finally:
        ray.shutdown()


def _reason(error: BaseException) -> str:
    """The last line that is not empty: of what a worker raised."""
    return next(line for line in reversed(f"{error!r}\n{error}".splitlines()) if line.strip())


def _worker(settings: dict[str, Any]) -> None:
    """Runs on each machine: trains as the worker that Ray has named in TF_CONFIG."""
    os.chdir(settings["folder"])  # Ray gives each worker a folder of its own
    from textgen.commands import train

    train.main(["--distribute", *settings["flags"]])
