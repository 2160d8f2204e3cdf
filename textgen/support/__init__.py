"""The things that any program needs: errors, console output, atomic files, threads."""
