"""`python -m instructgpt`."""

from instructgpt.cli import main

if __name__ == "__main__":
    main()
