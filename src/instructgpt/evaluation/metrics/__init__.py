"""Figures of a text against its references: pure functions, each as its set's official script."""
