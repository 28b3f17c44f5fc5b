"""The driver of a stage: its run, state, checkpoints, optimizer, and the walk through its data."""
