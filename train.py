"""Train a text generator on the text in a folder: `textgen.commands.train`."""

import sys

from textgen.commands import train
from textgen.support import console

if __name__ == "__main__":
    sys.exit(console.run(train.main))
