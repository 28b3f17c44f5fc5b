"""Runs to numbers: what the files of a run directory say."""
