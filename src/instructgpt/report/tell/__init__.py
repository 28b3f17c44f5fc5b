"""Numbers to words: the sentences, tables and figures of the page, and what stands where."""
