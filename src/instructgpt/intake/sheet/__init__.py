"""The sheet of a data set: the paper's tables 1 and 6 to 11 for one's own prompts."""
