"""What a benchmark says of the machine before its figures, and of their spread after them."""

import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("tensorflow", "keras", "numpy", "torch", "nltk")


def describe() -> str:
    """Returns processor, cores, load and versions, three lines of Markdown."""
    load = (
        ", ".join(f"{x:.2f}" for x in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"
    )
    return (
        f"Processor: {processor()}, {os.cpu_count()} cores; {platform.platform(terse=True)}  \n"
        f"Load before it began (1, 5, 15 minutes): {load}  \n"
        f"Python {platform.python_version()}, {', '.join(versions())}\n"
    )


def processor() -> str:
    """Returns the processor's name with family, model and what it computes in vectors."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    about = dict(line.split(":", 1) for line in lines if ":" in line)
    about = {key.strip(): value.strip() for key, value in about.items()}
    flags = about.get("flags", "").split()
    known = ("avx2", "avx512f", "avx512_bf16", "amx_tile")
    kind = f"family {about.get('cpu family')}, model {about.get('model')}"
    vectors = " ".join(flag for flag in known if flag in flags)
    return f"{about.get('model name', platform.machine())} ({kind}, {vectors or 'no AVX2'})"


def versions() -> list[str]:
    """Returns name and version of the packages that figures depend on."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    return found


def spread(values: Sequence[float], form: str = ",.0f") -> str:
    """Returns the median, and lowest and highest in brackets."""
    low, middle, high = (
        format(value, form) for value in (min(values), statistics.median(values), max(values))
    )
    return f"{middle} ({low} to {high})"


def announce(doc: str | None) -> None:
    """Prints the benchmark's first line and the machine."""
    print((doc or "").split("\n", 1)[0] + "\n")
    print(describe(), flush=True)
