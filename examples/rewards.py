"""A reward of one's own: `instructgpt ppo --reward rewards:brevity`, run where this file lies."""

from collections.abc import Sequence


def brevity(prompts: Sequence[object], responses: Sequence[str]) -> list[float]:  # noqa: ARG001
    """0 for nothing, −1 for 100 characters."""
    return [-len(response) / 100 for response in responses]
