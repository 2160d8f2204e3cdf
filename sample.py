"""Print new text from the model in a folder: `textgen.commands.sample`."""

import sys

from textgen.commands import sample
from textgen.support import console

if __name__ == "__main__":
    sys.exit(console.run(sample.main))
