"""Records of human feedback: schemas, files, text to tokens, and the walk through the data."""
