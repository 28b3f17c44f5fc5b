"""Answers that models gave, as labelers are shown them."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, select

from instructgpt.data.records import Candidates
from instructgpt.errors import UserError
from instructgpt.run.digest import MODEL_FILES, digest_of
from instructgpt.store.audit import now
from instructgpt.store.records import as_row, insert_new, key_of, links_of
from instructgpt.store.tables import candidates, completions


def add_candidates(connection: Connection, batch: Sequence[Candidates]) -> list[str]:
    """Add answers to rank, each with its model's digest; their keys."""
    rows = [as_row(queued) for queued in batch]
    keys = [key_of(row) for row in rows]
    links = links_of(connection, [row["prompt_id"] for row in rows])
    heads, answers = [], []
    for key, row in zip(keys, rows, strict=True):
        own = {"key": key, "prompt_id": row["prompt_id"], "prompt_key": links.get(row["prompt_id"])}
        rest = {name: row[name] for name in row if name != "responses"}
        heads.append({**own, "record": rest, "at": now()})
        for place, answer in enumerate(row["responses"]):
            named = {name: answer.get(name) for name in ("text", "model", "sampling")}
            more = {name: answer[name] for name in answer if name not in named}
            own = {"candidates_key": key, "place": place, "weights": _weights(named["model"])}
            answers.append({**own, **named, "record": more})
    insert_new(connection, candidates, heads)
    insert_new(connection, completions, answers)
    return keys


@cache
def _weights(model: str | None) -> str | None:
    """The digest of a model's files, where the name is that of a folder that is here."""
    found = digest_of(Path(model), MODEL_FILES) if model and Path(model).is_dir() else None
    return found.digest if found else None


def candidates_of(connection: Connection, key: str) -> Candidates:
    """The answers of a key, as they were queued.

    Raises:
        UserError: they were erased.
    """
    head = connection.execute(select(candidates).where(candidates.c.key == key)).one()
    if head.erased:
        raise UserError("these answers were erased, at a person's wish; claim others")
    query = select(completions).where(completions.c.candidates_key == key)
    answers = [
        {"text": row.text, "model": row.model, "sampling": row.sampling, **row.record}
        for row in connection.execute(query.order_by(completions.c.place))
    ]
    return Candidates.model_validate({**head.record, "responses": answers})
