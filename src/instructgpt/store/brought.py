"""What an intake brings into a store: the prompts, what their records say of themselves, and
whether their writers agreed.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select

from instructgpt.data.records import Prompt
from instructgpt.store.audit import now
from instructgpt.store.records import add_prompts, insert_new
from instructgpt.store.tables import annotations, arrivals, consents, intake_runs, prompts

KEYS = 500
"""Keys of one query."""


class Consent(NamedTuple):
    """What is known of a prompt's consent from an intake that brought it.

    Attributes:
        run: the intake.
        given: whether the writer agreed.
        assumed: whether that was assumed; otherwise the record says it.
        reason: why it was.
        at: when the intake began.
    """

    run: int
    given: bool
    assumed: bool
    reason: str
    at: str


def bring(
    connection: Connection,
    run: int,
    brought: Sequence[Prompt],
    said: Sequence[Mapping[str, Any]],
    *,
    assumed: bool,
) -> list[str]:
    """Add prompts of a run.

    Args:
        connection: in a transaction that writes.
        run: the intake.
        brought: the prompts.
        said: the annotations that each brings.
        assumed: whether those that say nothing of consent are taken to agree.

    Returns:
        Their keys, in order.
    """
    keys = add_prompts(connection, brought)
    consent = {
        key: prompt.consent
        for key, prompt in sorted(zip(keys, brought, strict=True), key=lambda pair: pair[0])
    }
    insert_new(connection, arrivals, [{"run": run, "prompt_key": key} for key in consent])
    facts = [
        {"run": run, "prompt_key": key, "given": given is not False, "assumed": given is None}
        for key, given in consent.items()
        if assumed or given is not None
    ]
    insert_new(connection, consents, facts)
    if any(said):
        _annotate(connection, dict(zip(keys, said, strict=True)))
    return keys


def consents_of(connection: Connection, key: str) -> list[Consent]:
    """What the intakes that brought a prompt know of its consent, in order."""
    own, runs = consents.c, intake_runs.c
    query = (
        select(own.run, own.given, own.assumed, runs.options, runs.at)
        .join(intake_runs, runs.number == own.run)
        .where(own.prompt_key == key)
        .order_by(own.run)
    )
    return [
        Consent(run, given, assumed, options["assume_consent"] if assumed else "", at)
        for run, given, assumed, options, at in connection.execute(query)
    ]


def key_batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """So many keys at a time as a query may name."""
    for start in range(0, len(keys), KEYS):
        yield keys[start : start + KEYS]


def _annotate(connection: Connection, said: Mapping[str, Mapping[str, Any]]) -> None:
    """Add what the records of prompts say of them, once; of who was erased, nothing."""
    known, at = set[str](), now()
    for part in key_batches(list(said)):
        own = annotations.c.prompt_key
        known |= set(connection.scalars(select(own).where(own.in_(part)).distinct()))
        erased = prompts.c.key.in_(part) & prompts.c.erased.is_not(None)
        known |= set(connection.scalars(select(prompts.c.key).where(erased)))
    rows = [
        {"prompt_key": key, "field": field, "value": value, "by": "import", "at": at}
        for key, fields in said.items()
        if key not in known
        for field, value in fields.items()
    ]
    if rows:
        connection.execute(insert(annotations), rows)
