"""The pages of documentation, and what makes the one of flags."""
