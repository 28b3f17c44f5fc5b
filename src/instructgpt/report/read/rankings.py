"""Who ranked, how much, and how well those who ranked agree: what a stage recorded of it."""

from collections.abc import Collection
from typing import NamedTuple

from instructgpt.report.read.load import Interval, Run, Stage, as_dict, as_texts, is_finite


class Group(NamedTuple):
    """One group of labelers, and what can be said of their rankings."""

    name: str
    labelers: list[str]
    rankings: int | None
    agreement: Interval | None
    tied: float | None

    @property
    def label(self) -> str:
        """What the page calls it."""
        return "held-out" if self.name == "heldout" else self.name


def groups(run: Run) -> list[Group]:
    """The groups of labelers that a `rank` or `label` stage recorded."""
    found = as_dict(run.evaluation.get("groups"))
    if not found and run.evaluation.get("labelers"):
        found = {str(run.config.get("group") or "labelers"): run.evaluation}
    return [
        Group(
            str(name),
            as_texts(raw.get("labelers")),
            int(raw["rankings"]) if is_finite(raw.get("rankings")) else None,
            Interval.parse(raw.get("agreement")),
            float(raw["tied_pairs"]) if is_finite(raw.get("tied_pairs")) else None,
        )
        for name, raw in found.items()
        if isinstance(raw, dict)
    ]


def labelers_of(run: Run) -> list[str]:
    """Every labeler whom a `rank` stage or a reward model's evaluation names."""
    named = [name for group in groups(run) for name in group.labelers]
    return named or [str(name) for name in as_dict(run.evaluation.get("by_labeler"))]


def reference_groups(reward: Run, feeding: list[Stage]) -> list[tuple[str, Group]]:
    """The groups of labelers to hold a reward model against, each with its stage's name.

    Those on whose rankings it was measured; where the names do not tell, those who rank for
    training.
    """
    known = [
        (stage.name, group)
        for stage in feeding
        if stage.run
        for group in groups(stage.run)
        if group.agreement
    ]
    measured = set(labelers_of(reward))
    judging = [found for found in known if measured & set(found[1].labelers)]
    return judging or [found for found in known if found[1].name != "heldout"]


def is_simulated(names: Collection[str]) -> bool:
    """Do all these labelers, or judges, say of themselves that they are simulated?"""
    return bool(names) and all("simulated" in name for name in names)
