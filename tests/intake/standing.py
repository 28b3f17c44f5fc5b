"""What stands in a store, read with plain SQL: what a snapshot holds, by its rule."""

import json
import sqlite3
from pathlib import Path
from typing import Any

OUT = ("dropped", "held", "undone")


def standing(path: Path) -> list[dict[str, Any]]:
    """The records of prompts that have decisions and none that takes them out, with the columns
    that the last decisions set.
    """
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as plain:
        prompts = plain.execute(
            "SELECT key, id, prompt, record FROM prompts ORDER BY key"
        ).fetchall()
        last: dict[str, dict[str, tuple[str, Any]]] = {}
        query = "SELECT prompt_key, step, outcome, detail FROM decisions ORDER BY number"
        for key, step, outcome, detail in plain.execute(query):
            last.setdefault(key, {})[step] = outcome, json.loads(detail) if detail else {}
    found = []
    for key, name, prompt, record in prompts:
        own = last.get(key, {})
        if own and not any(outcome in OUT for outcome, _ in own.values()):
            row = {"id": name, "prompt": json.loads(prompt), **json.loads(record)}
            for _, detail in own.values():
                row |= detail.get("fields", {})
            found.append(row)
    return found


def decisions(path: Path) -> int:
    """How many there are."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as plain:
        return plain.execute("SELECT count(*) FROM decisions").fetchone()[0]
