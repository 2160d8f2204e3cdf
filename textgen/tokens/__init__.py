"""Clean text <-> token ids."""
