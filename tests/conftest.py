"""Two worker processes share two cores: one thread each. Nothing in the tests may reach a model
hub. GPUs are hidden, but for `INSTRUCTGPT_TEST_GPU=1 pytest tests/gpu`.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

if not os.environ.get("INSTRUCTGPT_TEST_GPU"):  # figures are compared to the bit, on a CPU
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch

torch.set_num_threads(1)

PUBLIC_DATA = Path(
    os.environ.get(
        "INSTRUCTGPT_PUBLIC_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"
    )
)


@pytest.fixture
def public_data() -> Path:
    """The folder of real public data, where there is one."""
    if not PUBLIC_DATA.is_dir():
        pytest.skip("the public data folder is not here (set INSTRUCTGPT_PUBLIC_DATA)")
    return PUBLIC_DATA


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage takes every core unless told otherwise; the test workers share two."""
    monkeypatch.setattr("instructgpt.run.tuning.available_cores", lambda: 1)
    monkeypatch.setattr("instructgpt.run.tuning._chosen", {})
    monkeypatch.setattr("instructgpt.run.tuning._now", {})


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any, str, Any], None]]:
    """Puts a function in another's place, and fails the test if nobody calls it there: for a test
    that would pass all the same.
    """
    unreached = []

    def patch(owner: Any, name: str, value: Callable[..., Any]) -> None:
        def call(*args: Any, **kwargs: Any) -> Any:
            if name in unreached:
                unreached.remove(name)
            return value(*args, **kwargs)

        unreached.append(name)
        monkeypatch.setattr(owner, name, call)

    yield patch
    assert not unreached, "these are no longer looked up where they are patched"
