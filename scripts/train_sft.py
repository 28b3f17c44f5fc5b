"""Train stage 1: the same as `instructgpt sft` with the same arguments."""

import sys

from instructgpt.cli import main

if __name__ == "__main__":
    main(["sft", *sys.argv[1:]])
