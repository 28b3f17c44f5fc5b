"""What we write, opened by another version of transformers alone: `.ci/oldest`."""
