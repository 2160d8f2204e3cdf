"""How fast a text is compared with the one that a model was trained on, and in how much memory.

    python -m benchmarks.originality FILE ...
    python -m benchmarks.originality FILE ... --size 1000

The training text is the lines of FILE (real texts) in a random order, again and again, in a
temporary folder. Compared with it are 100,000 characters of three kinds: words of the texts drawn
one by one, which hardly share anything; lines of the texts, which are all copied; and one
line again and again. Half of them stand for held-out text, so that 200,000 are looked for.
Each is a process of its own: seconds of its processor, and its peak of memory.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import announce

CHARACTERS = 100_000
COMPARE = (
    "import json, resource, sys, time\nfrom pathlib import Path\n"
    "from textgen.generation.originality import compare\n"
    "from textgen.text.sources import Source\n"
    "folder, unit = Path(sys.argv[1]), sys.argv[2]\n"
    "texts = json.loads((folder / 'texts.json').read_text())\n"
    "least = (30, unit) if unit == 'character' else (8, unit)\n"
    "training = (chunk.text for chunk in Source((folder / 'input.txt',)).read())\n"
    "start = time.process_time()\n"
    "found = compare(texts[:1], training, texts[1:], least)\n"
    "seconds = time.process_time() - start\n"
    "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
    "print(json.dumps([seconds, peak, found.share]))\n"
)


def write_shuffled(path: Path, lines: list[str], megabytes: int, rng: random.Random) -> None:
    """Writes lines in random order, again and again."""
    written = 0
    with path.open("w", encoding="utf-8") as file:
        while written < megabytes * 1_000_000:
            rng.shuffle(lines)
            written += file.write("\n".join(lines) + "\n")


def kinds(lines: list[str], rng: random.Random) -> dict[str, str]:
    """Returns the texts to compare, by what they are."""
    words = " ".join(lines).split()
    drawn = " ".join(rng.choices(words, k=CHARACTERS))
    copied = "\n".join(rng.choices(lines, k=CHARACTERS))
    line = max(lines[:1000], key=len)
    return {"words": drawn, "lines": copied, "one line": f"{line}\n" * CHARACTERS}


def measure(folder: Path, text: str, unit: str) -> tuple[float, float, float]:
    """Returns seconds, the peak of memory in MB, and the share that is copied."""
    texts = [text[:CHARACTERS], text[CHARACTERS : 2 * CHARACTERS]]
    (folder / "texts.json").write_text(json.dumps(texts))
    command = [sys.executable, "-c", COMPARE, str(folder), unit]
    seconds, peak, share = json.loads(subprocess.run(command, stdout=-1, check=True).stdout)
    return seconds, peak / (1024 if sys.platform != "darwin" else 1024 * 1024), share


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("files", nargs="+", type=Path, help="real texts in UTF-8")
    parser.add_argument("--size", type=int, default=100, help="MB of the training text")
    arguments = parser.parse_args()
    announce(__doc__)
    rng = random.Random(0)
    texts = [path.read_text(encoding="utf-8-sig") for path in arguments.files]
    lines = [line for text in texts for line in text.splitlines()]
    with tempfile.TemporaryDirectory(prefix="textgen-originality-") as name:
        folder = Path(name)
        made = kinds(lines, rng)
        write_shuffled(folder / "input.txt", lines, arguments.size, rng)
        megabytes = (folder / "input.txt").stat().st_size / 1e6
        print("| text | run of | speed | peak memory | copied |\n|---|---|---|---|---|")
        for unit in ("character", "word"):
            for kind, text in made.items():
                seconds, peak, share = measure(folder, text, unit)
                print(
                    f"| {kind} | {unit}s | {megabytes / seconds:.0f} MB/s | {peak:,.0f} MB |"
                    f" {share:.1%} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
