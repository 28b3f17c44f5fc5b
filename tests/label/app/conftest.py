from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.label.app.served import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """The app over an empty store, with people."""
    with Site(tmp_path).with_people() as made:
        yield made
