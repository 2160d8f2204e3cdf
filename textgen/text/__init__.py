"""Raw text -> clean text, as a stream."""
