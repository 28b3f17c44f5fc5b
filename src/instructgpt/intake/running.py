"""`data intake`, `data undo`, `data release`: files into the store, what becomes of each prompt.

An intake has two parts. First every row goes into the store, a batch a transaction; what is there
already stays. Then all prompts that are there are decided anew, and where a decision is not the one
that holds, it is added. So the same command after a kill, the same rows in another order or in
several files end in the same.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from instructgpt.data.formats.lines import OnError
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Prompt
from instructgpt.errors import UserError
from instructgpt.intake.account import Account, fate_of
from instructgpt.intake.annotations import annotations_of, unlabeled
from instructgpt.intake.deciding import ARRIVAL, STEPS, changes, decide
from instructgpt.intake.entry import Decision, entry_of
from instructgpt.intake.looking import StoreLook
from instructgpt.intake.reading import Files, consents
from instructgpt.intake.rules import VERSION, Rules
from instructgpt.run.outline import counted
from instructgpt.run.progress import say, say_skipped
from instructgpt.store import Store
from instructgpt.store.decisions import Change
from instructgpt.store.intake import Intake, Named

BATCH = 5_000
"""Prompts of a transaction."""


def intake(
    store: Store,
    files: Sequence[str],
    rules: Rules | None = None,
    *,
    assume_consent: str = "",
    on_error: OnError = "stop",
) -> tuple[int, Account]:
    """Take files in.

    Args:
        store: where to.
        files: files or folders of prompts.
        rules: of the steps.
        assume_consent: why those who say nothing of it are taken to agree; empty: they do not.
        on_error: what a bad row does.

    Returns:
        The number of the run, and what became of the rows.

    Raises:
        UserError: a file or a row cannot be used, and the run is taken back; or the store cannot,
            and the same command goes on.
    """
    rules, source = rules or Rules(), Files(files, on_error)
    own, account = Intake(store), Account()
    look = StoreLook(own, rules.tokenizer)
    look.open(rules)
    options = {"assume_consent": assume_consent, "on_error": on_error}
    known = {**rules.model_dump(), "version": VERSION}
    run = own.begin("intake", options, source.digests(), known)
    _ingest(own, run, source, account, assumed=bool(assume_consent))
    say_skipped(source.sentences)
    if source.skipped > len(source.sentences):
        say(f"skipped: {counted(source.skipped, 'row')} in all")
    _settle(own, run, rules, account, look)
    return run, account


def _ingest(own: Intake, run: int, source: Files, account: Account, *, assumed: bool) -> None:
    """Put every row into the store, and count it."""
    rows = source.prompts()
    while batch := _next(own, run, rows):
        prompts = [row for row in batch if isinstance(row, Prompt)]
        said = [annotations_of(vars(prompt) | (prompt.model_extra or {})) for prompt in prompts]
        account.rows.update(own.add(run, prompts, said, assumed=assumed))
        for row in batch:
            if not isinstance(row, Prompt):
                account.empty[consents(row, assumed=assumed)] += 1


def _next(own: Intake, run: int, rows: Iterator[Prompt | Row]) -> list[Prompt | Row]:
    """The next batch of rows; after a bad one, what came before it is as if it had not."""
    try:
        return list(islice(rows, BATCH))
    except UserError:
        own.begin("undo", {"run": run}, rules=_rules_without(own, run))
        raise


def undo(store: Store, run: int) -> int:
    """Take an intake back: as if its files had never come. Once more, it goes on where it stopped.

    Returns:
        How many prompts are gone.

    Raises:
        UserError: there is no such run, or it was taken back before.
    """
    own = Intake(store)
    active = [one.number for one in own.active()]
    begun = [one for one in own.runs() if one.command == "undo" and one.options["run"] == run]
    refused = UserError(
        f"undo {run}: no intake has this number and stands; those that do: "
        f"{', '.join(map(str, active)) or 'none'}"
    )
    if run in active:
        rules = _rules_without(own, run)
        number = own.begin("undo", {"run": run}, rules=rules)
    elif begun:
        number, rules = begun[-1].number, _rules_without(own)
    else:
        raise refused
    kept = rules_of(rules)
    if not _settle(own, number, kept, Account(), StoreLook(own, kept.tokenizer)) and begun:
        raise refused
    others = [one for one in active if one != run]
    theirs = {one.key for one in own.prompts([run])}
    return len(theirs & set(own.withdrawn(others)))


def release(store: Store, id: str) -> int:
    """Let prompts go that are held for the personal data in them.

    Returns:
        How many have this id.

    Raises:
        UserError: there is none, or it is not held.
    """
    own = Intake(store)
    stops = [stops_at(own.current([key]).get(key, {})) for key in prompts_named(own, id)]
    held = [change for change in stops if change and change.outcome == "held"]
    if not held:
        raise UserError(f"release {id}: it is not held; instructgpt data explain {id} says what is")
    number = own.begin("release", {"id": id}, rules=_rules_without(own))
    own.decide(number, [change._replace(outcome="released", reason="") for change in held])
    return len(held)


def stops_at(current: Mapping[str, Change]) -> Change | None:
    """The decision that keeps a prompt out, if one does.

    Args:
        current: the last decision of each step.
    """
    steps = (current[step] for step in (ARRIVAL, *STEPS) if step in current)
    return next((one for one in steps if one.outcome not in ("kept", "released")), None)


def prompts_named(own: Intake, id: str) -> Mapping[str, Named]:
    """The prompts that an id names, by their keys.

    Raises:
        UserError: there is none.
    """
    if found := own.named(id):
        return found
    raise UserError(f"{id}: no prompt of the store has this id; give that of a record, or its key")


def _rules_without(own: Intake, run: int = 0) -> Mapping[str, Any]:
    """The rules of the last intake that stands, another than `run`; none where none does."""
    kept = [one.rules for one in own.active() if one.number != run]
    return kept[-1] if kept else {}


def rules_of(kept: Mapping[str, Any]) -> Rules:
    """The rules that a run kept."""
    return Rules(**{name: kept[name] for name in Rules.model_fields if name in kept})


def _settle(own: Intake, run: int, rules: Rules, account: Account, look: StoreLook) -> int:
    """Decide all prompts anew, and add the decisions that are not those that hold.

    Args:
        own: the store's.
        run: to which the decisions belong.
        rules: of the steps.
        account: gets the fates of its prompts.
        look: gets at texts.

    Returns:
        How many were added.
    """
    numbers = [one.number for one in own.active()]
    entries = [entry_of(*stored) for stored in own.prompts(numbers)]
    _say_unmeasured([entry.size for entry in entries], rules)
    decided = decide(entries, rules, own.secret, look, own.released())
    added = 0
    while batch := list(islice(decided, BATCH)):
        for key, said in batch:
            if key in account.rows:
                account.fates[key] = fate_of(said)
        added += _add(own, run, batch)
    gone = [(key, [Decision(ARRIVAL, "undone")]) for key in own.withdrawn(numbers)]
    for start in range(0, len(gone), BATCH):
        added += _add(own, run, gone[start : start + BATCH])
    return added


def _add(own: Intake, run: int, batch: Sequence[tuple[str, Sequence[Decision]]]) -> int:
    """Add what differs of a batch in the order of keys; how many decisions that is."""
    current = own.current([key for key, _ in batch])
    new = []
    for key, said in batch:
        last = {step: Decision(*change[1:5]) for step, change in current.get(key, {}).items()}
        new += [Change(key, *decision) for decision in changes(said, last)]
    return own.decide(run, new)


def _say_unmeasured(sizes: Iterable[int], rules: Rules) -> None:
    long = sum(size > rules.max_tokens for size in sizes)
    if long and not rules.tokenizer:
        say(
            f"{counted(long, 'prompt')} of more than {rules.max_tokens:,} bytes may have more than "
            f"{rules.max_tokens:,} tokens: nobody counted; give --tokenizer MODEL"
        )


def unlabeled_shares(store: Store, account: Account) -> dict[str, float]:
    """The share of the kept prompts of which nobody has said something, by field."""
    kept = set(account.kept)
    counts = Counter(field for key, field in Intake(store).annotated() if key in kept)
    return unlabeled(counts, len(kept))
