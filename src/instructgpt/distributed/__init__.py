"""Everything that knows about ranks: the world of processes and the checkpoints they write
together.
"""
