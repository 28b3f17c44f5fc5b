"""Model directories and record files, for the tests that go through the disk."""

import json
from pathlib import Path

from tests.tiny import byte_tokenizer, tiny_model


def write_policy(path: Path, arch: str = "llama", *, tokenizer=None, model=None, **shape) -> str:
    """A tiny policy as plain transformers writes it."""
    model = model or tiny_model(arch, **shape)
    model.save_pretrained(path)
    (tokenizer or byte_tokenizer()).save_pretrained(path)
    return str(path)


def write_rows(path: Path, rows) -> str:
    """JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def sentence(raised) -> str:
    """The message of an error for users: one line that names a remedy after a semicolon."""
    text = str(raised.value)
    assert "\n" not in text
    assert ";" in text
    return text
