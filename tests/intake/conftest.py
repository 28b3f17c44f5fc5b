"""Stores, and an intake whose detectors cost nothing: the real ones have tests of their own."""

import json
from pathlib import Path
from typing import Any

import pytest

from instructgpt.intake import looking
from instructgpt.store import Store


class Words:
    """A language that depends on the text: its first letter."""

    version = "language by first letters"

    def __call__(self, row: Any) -> Any:
        return [row["prompt"][0].lower(), 0.5]


class AtSigns:
    """Personal data: words with @."""

    version = "pii by at signs"

    def __call__(self, row: Any) -> Any:
        words = row["prompt"].split(" ")
        if not any("@" in word for word in words):
            return None
        masked = " ".join("<EMAIL_1>" if "@" in word else word for word in words)
        return {"fields": {"prompt": masked}, "types": {"EMAIL": 1}}


def use_cheap_detectors() -> None:
    """For a process of its own."""
    looking.Language, looking.PersonalData = Words, AtSigns  # type: ignore[misc]


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "Language", Words)
    monkeypatch.setattr(looking, "PersonalData", AtSigns)


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    """A file of rows; its name."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return str(path)


def opened(path: Path) -> Store:
    """A store whose secret is that of every other of these tests."""
    from sqlalchemy import insert

    from instructgpt.store import tables

    url = f"sqlite:///{path}"
    if not path.exists():
        with Store.open(url) as store, store.database.writing(erasing=True) as connection:
            connection.execute(tables.keys.delete())
            connection.execute(insert(tables.keys).values(name="hash", value=b"k" * 32))
    return Store.open(url)
