"""Train a text generator on the text in a folder: see `textgen.commands.train`."""

import sys

from textgen.commands import run

if __name__ == "__main__":
    sys.exit(run(["train", *sys.argv[1:]]))
