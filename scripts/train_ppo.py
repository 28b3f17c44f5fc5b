"""Train stage 3: the same as `instructgpt ppo` with the same arguments."""

import sys

from instructgpt.cli import main

if __name__ == "__main__":
    main(["ppo", *sys.argv[1:]])
