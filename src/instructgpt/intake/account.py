"""What became of the rows of an intake, step by step: each stops at one step, or is kept."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from instructgpt.intake.deciding import STEPS
from instructgpt.intake.duplicates import EQUAL
from instructgpt.intake.entry import Decision
from instructgpt.intake.shares import SPLITS, USES


class Fate(NamedTuple):
    """What became of a prompt: where it stopped and why, or its split and use."""

    step: str = ""
    reason: str = ""
    split: str = ""
    use: str = ""
    demonstrations: int = 0


ERASED = Fate("consent", "erased")
"""Of a row whose prompt was erased: it does not come back."""


def fate_of(said: Iterable[Decision]) -> Fate:
    """What the decisions about a prompt come to."""
    by_step = {}
    for decision in said:
        if not decision.passes:
            return Fate(decision.step, decision.reason)
        by_step[decision.step] = decision
    pairs = by_step["few-shot"].detail if "few-shot" in by_step else None
    use = by_step["use"].reason
    count = pairs["demonstrations"] if pairs else 0
    return Fate(
        split=by_step["split"].reason, use="" if use == "none" else use, demonstrations=count
    )


@dataclass
class Account:
    """The rows of the files of an intake.

    Attributes:
        rows: how many rows each prompt has, by key.
        empty: rows without a prompt: how many may be used, and how many not.
        fates: what became of the prompts, by key.
    """

    rows: Counter[str] = field(default_factory=Counter)
    empty: Counter[bool] = field(default_factory=Counter)
    fates: dict[str, Fate] = field(default_factory=dict)

    @property
    def kept(self) -> list[str]:
        """The keys of the prompts that are kept."""
        return [key for key in self.rows if not self.fates.get(key, ERASED).step]

    def stops(self) -> dict[str, Counter[str]]:
        """By step and reason, how many rows stopped there."""
        found: dict[str, Counter[str]] = {step: Counter() for step in STEPS}
        found["consent"]["no consent"] += self.empty[False]
        found["form"]["empty"] += self.empty[True]
        for key, count in self.rows.items():
            step, reason = self.fates.get(key, ERASED)[:2]
            if step in ("consent", "form"):
                found[step][reason] += count
                continue
            found["duplicates"][EQUAL] += count - 1  # the same row again
            if step:
                found[step][reason] += 1
        return {step: +reasons for step, reasons in found.items()}

    def as_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        rows = left = self.rows.total() + self.empty.total()
        steps = []
        for step, reasons in self.stops().items():
            kept = left - reasons.total()
            dropped = dict(sorted(reasons.items()))
            steps.append({"step": step, "in": left, "kept": kept, "dropped": dropped})
            left = kept
        fates = [self.fates[key] for key in self.kept]
        splits, uses = Counter(one.split for one in fates), Counter(one.use for one in fates)
        return {
            "rows": rows,
            "steps": steps,
            "kept": left,
            "splits": {split: splits[split] for split in SPLITS},
            "uses": {use: uses[use] for use in USES},
        }

    def said(self, unlabeled: dict[str, float]) -> Iterator[str]:
        """The same in sentences."""
        told = self.as_json()
        for step in told["steps"]:
            if step["dropped"]:
                reasons = ", ".join(f"{count:,} {why}" for why, count in step["dropped"].items())
                yield f"{step['step']}: {step['kept']:,} of {step['in']:,} go on ({reasons})"
        splits = ", ".join(f"{count:,} {name}" for name, count in told["splits"].items())
        uses = ", ".join(f"{count:,} {name}" for name, count in told["uses"].items())
        yield f"{told['kept']:,} of {told['rows']:,} rows kept: {splits}; for {uses}"
        if made := sum(self.fates[key].demonstrations for key in self.kept):
            yield f"few-shot: {made:,} demonstrations"
        if told["kept"]:
            shares = ", ".join(f"{name} {share:.0%}" for name, share in unlabeled.items())
            yield f"not labeled: {shares}"
