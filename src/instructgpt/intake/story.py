"""What intake did to a prompt, told in order."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from instructgpt.intake.running import prompts_named, stops_at
from instructgpt.store import Store
from instructgpt.store.brought import Consent
from instructgpt.store.decisions import Change
from instructgpt.store.intake import Intake, IntakeRun


@dataclass(frozen=True)
class Story:
    """A prompt's.

    Attributes:
        key: the store's.
        id: its record's.
        erased: when it was, if it was.
        brought: the runs that brought it.
        consents: what these know of its writer's consent.
        changes: all decisions, in order.
        runs: the runs they name, by number.
    """

    key: str
    id: str
    erased: str | None
    brought: list[IntakeRun]
    consents: list[Consent]
    changes: list[Change]
    runs: Mapping[int, IntakeRun]

    @property
    def verdict(self) -> str:
        """What became of it, in a sentence."""
        if self.erased:
            return f"erased on {self.erased}"
        if change := stops_at({change.step: change for change in self.changes}):
            return f"{change.outcome} at {change.step}{_because(change)}"
        return "kept" if self.changes else "not decided yet: run data intake again"

    def told(self) -> Iterator[str]:
        """The story, line by line."""
        yield f"prompt {self.id} (key {self.key[:16]}): {self.verdict}"
        for run in self.brought:
            yield f"  brought by intake {run.number} of {run.at}: {', '.join(run.files)}"
        for consent in self.consents:
            yield f"  {_consent(consent)}"
        for change in self.changes:
            run = self.runs[change.run]
            yield f"  {run.command} {run.number}: {change.step} {change.outcome}{_because(change)}"

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "id": self.id,
            "key": self.key,
            "verdict": self.verdict,
            "brought": [run.number for run in self.brought],
            "consents": [consent._asdict() for consent in self.consents],
            "decisions": [
                {
                    "run": change.run,
                    "step": change.step,
                    "outcome": change.outcome,
                    "reason": change.reason,
                    "detail": _without_texts(change.detail),
                }
                for change in self.changes
            ],
        }


def stories(store: Store, id: str) -> list[Story]:
    """Those of the prompts that an id names.

    Raises:
        UserError: there is none.
    """
    own = Intake(store)
    runs = {run.number: run for run in own.runs()}
    return [
        Story(
            key,
            named.id,
            named.erased,
            [runs[number] for number in own.brought(key)],
            own.consents(key),
            own.story(key),
            runs,
        )
        for key, named in prompts_named(own, id).items()
    ]


def _consent(consent: Consent) -> str:
    if consent.assumed:
        return f"consent assumed by intake {consent.run} of {consent.at}: {consent.reason}"
    verb = "given" if consent.given else "refused"
    return f"consent {verb} by its record, brought by intake {consent.run} of {consent.at}"


def _because(change: Change) -> str:
    detail = _without_texts(change.detail)
    said = ", ".join(
        f"{name} {json.dumps(value)}" for name, value in detail.items() if name != "of"
    )
    return f": {change.reason}" * bool(change.reason) + f" ({said})" * bool(said)


def _without_texts(detail: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a decision knows besides the columns that it writes."""
    return {name: value for name, value in (detail or {}).items() if name != "fields"}
