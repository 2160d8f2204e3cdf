"""What any program needs: errors, console output, atomic files, array types, threads."""
