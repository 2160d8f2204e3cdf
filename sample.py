"""Print new text from the model in a folder: see `textgen.commands.sample`."""

import sys

from textgen.commands import run

if __name__ == "__main__":
    sys.exit(run(["sample", *sys.argv[1:]]))
