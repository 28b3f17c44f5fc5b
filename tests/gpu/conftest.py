"""What only a GPU can show: `INSTRUCTGPT_TEST_GPU=1 python -m pytest tests/gpu`."""

from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a GPU, or with one that is hidden, nothing of this folder runs."""
    if torch.cuda.is_available():
        return
    reason = "no GPU is visible (INSTRUCTGPT_TEST_GPU=1 shows those there are)"
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=reason))
