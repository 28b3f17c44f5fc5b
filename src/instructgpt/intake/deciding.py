"""The ten steps: from all prompts of a store to what becomes of each, and nothing else.

What is decided is a function of the prompts, the rules and the secret key: not of the order in
which prompts came, nor of how often or how far an intake ran before.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from instructgpt.intake.duplicates import Stands, duplicates, others_of
from instructgpt.intake.entry import Decision, Entry
from instructgpt.intake.rules import Rules
from instructgpt.intake.shares import over_the_cap, split_of, use_of

ARRIVAL = "arrival"
STEPS = (
    *("consent", "form", "duplicates", "cap", "split", "use", "pii", "language"),
    *("annotations", "few-shot"),
)
SHOWN = 5
"""Ids that stand in the decision of a prompt that stands for others."""


class Look(Protocol):
    """How the steps get at texts, and at what was found in them."""

    def normal(self, keys: Sequence[str]) -> Iterable[tuple[str, str]]:
        """The normal forms of some prompts."""
        ...

    def found(
        self, tokens: Collection[str], pii: Collection[str], language: Collection[str]
    ) -> tuple[Mapping[str, int], Mapping[str, Any], Mapping[str, Any]]:
        """What the detectors find in some prompts: tokens, personal data, the language."""
        ...


def decide(
    entries: Sequence[Entry], rules: Rules, secret: bytes, look: Look, released: Collection[str]
) -> Iterator[tuple[str, list[Decision]]]:
    """Every prompt by its key, in order, with what the steps did to it; a step that lets a prompt
    pass and has nothing to say of it is not among them.

    Args:
        entries: all prompts that are there.
        rules: of the steps.
        secret: the store's key.
        look: gets at texts.
        released: keys of those that go on though personal data were found.
    """
    ids = {entry.key: entry.id for entry in entries}
    stopped: dict[str, Decision] = {
        entry.key: Decision("consent", "dropped", "no consent")
        for entry in entries
        if not entry.consents
    }
    left = [entry for entry in entries if entry.key not in stopped]
    stopped |= _too_long(left, rules, look)
    left = [entry for entry in left if entry.key not in stopped]
    found = duplicates(left, look.normal, rules.near_duplicates)
    stopped |= {key: _stood_for(stands, ids) for key, stands in found.items()}
    others = {key: _stands_for(keys, ids) for key, keys in others_of(found)}
    left = [entry for entry in left if entry.key not in stopped]
    over = over_the_cap(left, rules.cap, rules.per, secret)
    stopped |= dict.fromkeys(over, Decision("cap", "dropped", f"over {rules.cap} per {rules.per}"))
    left = [entry for entry in left if entry.key not in stopped]
    splits = {e.key: split_of(e, rules.split_parts, rules.per, secret) for e in left}
    searched = [key for key, split in splits.items() if rules.pii in ("all", split)]
    _, pii, language = look.found((), searched, list(splits))
    for entry in sorted(entries, key=lambda entry: entry.key):
        key = entry.key
        said = [others[key]] if key in others else []
        if key in stopped:
            yield key, [*said, stopped[key]]
            continue
        use = use_of(entry, splits[key], *rules.use_parts, secret)
        said.append(Decision("split", "kept", splits[key], {"fields": {"split": splits[key]}}))
        said.append(
            Decision("use", "kept", use or "none", {"fields": {"use": use}} if use else None)
        )
        if personal := pii.get(key):
            said.append(_personal(personal, rules, key in released))
        if said[-1].outcome != "dropped":  # what is held has a language when it is released
            code, score = language[key]
            own = {"fields": {"language": code}, "score": score}
            said.append(Decision("language", "kept", code, own))
            if entry.pairs:
                said.append(Decision("few-shot", "kept", "", {"demonstrations": entry.pairs}))
        yield key, said


def _too_long(entries: Iterable[Entry], rules: Rules, look: Look) -> dict[str, Decision]:
    """Those with too many tokens; a text has no more tokens than bytes."""
    if not rules.tokenizer:
        return {}
    asked = [entry.key for entry in entries if entry.size > rules.max_tokens]
    tokens, _, _ = look.found(asked, (), ())
    return {
        key: Decision("form", "dropped", "too long", {"tokens": tokens[key]})
        for key in asked
        if tokens[key] > rules.max_tokens
    }


def _stood_for(stands: Stands, ids: Mapping[str, str]) -> Decision:
    detail = {"of": stands.key, "id": ids[stands.key]}
    return Decision("duplicates", "dropped", stands.reason, detail)


def _stands_for(keys: Sequence[str], ids: Mapping[str, str]) -> Decision:
    first = [ids[key] for key in sorted(keys)[:SHOWN]]
    detail = {"others": len(keys), "ids": first}
    return Decision("duplicates", "kept", "stands for others", detail)


def _personal(found: Any, rules: Rules, is_released: bool) -> Decision:
    """What becomes of a prompt with personal data."""
    types = {"types": found["types"]}
    if rules.pii_action == "mask":
        return Decision("pii", "kept", "masked", {**types, "fields": found["fields"]})
    if rules.pii_action == "drop":
        return Decision("pii", "dropped", "personal data", types)
    if is_released:
        return Decision("pii", "released", "", types)
    return Decision("pii", "held", "personal data", types)


def changes(wanted: Sequence[Decision], current: Mapping[str, Decision]) -> Iterator[Decision]:
    """The decisions that are to be added to those that hold of a prompt.

    Args:
        wanted: what the steps said.
        current: the last decision of each step.
    """
    by_step = {decision.step: decision for decision in wanted}
    for step in (ARRIVAL, *STEPS):
        own, last = by_step.get(step), current.get(step)
        if own is None and last is not None:
            own = Decision(step, "kept")
        if own is not None and own != last and not (last is None and own == Decision(step, "kept")):
            yield own
        if own is not None and own.outcome in ("dropped", "undone"):
            return  # what later steps said of it says nothing now
