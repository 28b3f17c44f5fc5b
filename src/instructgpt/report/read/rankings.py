"""Who ranked: the groups of labelers, and those to hold a reward model against."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from instructgpt.report.read.lineage import sources
from instructgpt.report.read.values import Estimate, as_dict, as_texts, is_finite
from instructgpt.report.read.work import StageRun, Work


class Group(NamedTuple):
    """One group of labelers, and what can be said of their rankings."""

    name: str
    labelers: list[str]
    rankings: int | None
    agreement: Estimate | None
    tied: float | None

    @property
    def label(self) -> str:
        """What the page calls it."""
        return "held-out" if self.name == "heldout" else self.name


def groups(run: StageRun) -> list[Group]:
    """The groups of labelers that a `rank` or `label` stage recorded."""
    found = as_dict(run.evaluation.get("groups"))
    if not found and run.evaluation.get("labelers"):
        found = {str(run.config.get("group") or "labelers"): run.evaluation}
    return [
        Group(
            str(name),
            as_texts(raw.get("labelers")),
            int(raw["rankings"]) if is_finite(raw.get("rankings")) else None,
            Estimate.parse(raw.get("agreement")),
            float(raw["tied_pairs"]) if is_finite(raw.get("tied_pairs")) else None,
        )
        for name, raw in found.items()
        if isinstance(raw, dict)
    ]


def labelers_of(run: StageRun) -> list[str]:
    """Every labeler whom a `rank` stage or a reward model's evaluation names."""
    named = [name for group in groups(run) for name in group.labelers]
    return named or [str(name) for name in as_dict(run.evaluation.get("by_labeler"))]


def is_simulated(names: Collection[str]) -> bool:
    """Do all these labelers, or judges, say of themselves that they are simulated?"""
    return bool(names) and all("simulated" in name for name in names)


def feeding_ranks(work: Work, reward: StageRun) -> list[StageRun]:
    """The stages whose rankings a reward model was trained on.

    Where no path tells, the last such stage before it.
    """
    index = next(i for i, other in enumerate(work.stages) if other is reward)
    ranks = [
        i for i, run in enumerate(work.stages[:index]) if run.ran and run.kind in ("rank", "label")
    ]
    traced = [i for i in sources(work)[index].data if i in ranks]
    return [work.stages[i] for i in traced or ranks[-1:]]


def reference_groups(reward: StageRun, feeding: Sequence[StageRun]) -> list[tuple[str, Group]]:
    """The groups of labelers to hold a reward model against, each with its stage's name.

    Those on whose rankings it was measured; where the names do not tell, those who rank for
    training.
    """
    known = [(run.name, group) for run in feeding for group in groups(run) if group.agreement]
    measured = set(labelers_of(reward))
    judging = [found for found in known if measured & set(found[1].labelers)]
    return judging or [found for found in known if found[1].name != "heldout"]
