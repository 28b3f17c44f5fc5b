"""Our records to files of other tools; what these cannot hold is counted."""
