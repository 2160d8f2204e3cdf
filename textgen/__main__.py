"""`python -m textgen COMMAND ...`; where the package is installed, `textgen COMMAND ...`."""

import sys

from textgen.commands import run_from_shell

if __name__ == "__main__":
    sys.exit(run_from_shell())
