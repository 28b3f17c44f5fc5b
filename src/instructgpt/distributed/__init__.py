"""Everything that knows about ranks: processes, their watch, sharding; and nothing else."""
