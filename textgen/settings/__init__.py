"""Every setting once: its default, range, help text and group."""
