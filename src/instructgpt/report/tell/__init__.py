"""Numbers to words: sentences, tables, captions under the drawings, and what stands where."""
