"""Runs the benchmarks of docs/benchmarks.md one after another, and writes their output into it.

    python -m benchmarks FOLDER [--only NAME ...]

FOLDER has tinyshakespeare.txt, 74-0.txt and 76-0.txt (Tom Sawyer and Huckleberry Finn of Project
Gutenberg). All together take some two hours of a machine that does nothing else. Each is a process
of its own, whose output comes as it is made and stands on the page as it came; what is not run
keeps what stands there.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


class Measured(NamedTuple):
    """A section of the page."""

    title: str
    module: str
    arguments: str
    """FOLDER in them stands for the folder of texts."""


SHAKESPEARE = "FOLDER/tinyshakespeare.txt"
BENCHMARKS = {
    "training": Measured("Training speed", "training", "--repeats 3"),
    "memory": Measured("Memory of training", "training", "--memory"),
    "learning": Measured("70 seconds of learning", "learning", f"{SHAKESPEARE} --minutes 1.17"),
    "longer": Measured(
        "10 minutes of learning", "learning", f"{SHAKESPEARE} --minutes 10 --seeds 1"
    ),
    "tokenizers": Measured(
        "Characters, subwords and words", "tokenizers", f"{SHAKESPEARE} --minutes 1.17"
    ),
    "words": Measured("Words against n-grams", "words", "--source FOLDER --minutes 10"),
    "calibration": Measured("What `--minutes` promises", "calibration", SHAKESPEARE),
    "generation": Measured("Writing", "generation", ""),
    "treebank": Measured("Words: exactness and speed", "treebank", "--corpora FOLDER"),
    "documents": Measured("Documents and labels", "documents", "FOLDER"),
    "originality": Measured(
        "How much is copied", "originality", f"{SHAKESPEARE} FOLDER/74-0.txt FOLDER/76-0.txt"
    ),
    "corpora": Measured("Large texts", "corpora", f"{SHAKESPEARE} FOLDER/74-0.txt --sizes 10 100"),
    "distributed": Measured("Several processes", "distributed", ""),
    "service": Measured("The service", "service", ""),
    "export": Measured("Exported models", "export", ""),
}


def with_section(page: str, name: str, text: str) -> str:
    """Returns the page with what a benchmark printed, between the marks of its name.

    Raises:
        ValueError: if the page lacks the marks.
    """
    marks = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    pattern = re.compile(f"({re.escape(marks[0])}).*?({re.escape(marks[1])})", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"{PAGE} lacks the marks {marks}")
    return pattern.sub(lambda found: found[1] + text + found[2], page, count=1)


def section(measured: Measured, output: str) -> str:
    """Returns the Markdown of a section: its title, the command, and what that printed."""
    command = f"python -m benchmarks.{measured.module} {measured.arguments}".rstrip()
    return f"## {measured.title}\n\n`{command}`\n\n{as_markdown(output)}\n"


def as_markdown(output: str) -> str:
    """Returns output whose tables stay tables, and whose other lines become a block each."""
    blocks: list[tuple[bool, list[str]]] = []
    for line in output.strip().splitlines():
        table = line.startswith("|")
        if not blocks or blocks[-1][0] != table:
            blocks.append((table, []))
        blocks[-1][1].append(line.rstrip())
    texts = ["\n".join(lines).strip("\n") for _, lines in blocks]
    pairs = zip(blocks, texts, strict=True)
    return "\n\n".join(t if table else f"```\n{t}\n```" for (table, _), t in pairs if t) + "\n"


def run(measured: Measured, folder: Path) -> str:
    """Runs a benchmark, shows what it prints, and returns it.

    Raises:
        subprocess.CalledProcessError: if it fails.
    """
    arguments = [a.replace("FOLDER", str(folder)) for a in measured.arguments.split()]
    command = [sys.executable, "-m", f"benchmarks.{measured.module}", *arguments]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return "".join(lines).replace(str(folder), "FOLDER")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS))
    arguments = parser.parse_args()
    for name in arguments.only:
        print(f"\n=== {name}", flush=True)
        text = section(BENCHMARKS[name], run(BENCHMARKS[name], arguments.folder))
        page = with_section(PAGE.read_text(encoding="utf-8"), name, text)
        PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
