"""Compare two policies: the same as `instructgpt eval compare` with the same arguments."""

import sys

from instructgpt.cli import main

if __name__ == "__main__":
    main(["eval", "compare", *sys.argv[1:]])
