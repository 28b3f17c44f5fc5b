"""Everything that knows about ranks: processes, training state, checkpoints, the driver."""
