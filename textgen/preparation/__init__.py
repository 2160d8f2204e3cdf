"""The command `python -m textgen corpus`: raw text of any size -> a data directory."""
