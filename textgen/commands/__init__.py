"""Flags in, words out: the command line of every tool."""
