"""Train stage 2: the same as `instructgpt reward` with the same arguments."""

import sys

from instructgpt.cli import main

if __name__ == "__main__":
    main(["reward", *sys.argv[1:]])
