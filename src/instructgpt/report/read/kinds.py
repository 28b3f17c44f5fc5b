"""The kinds of stages that a report knows: the one list of them, in the order of the page."""

from collections.abc import Iterable
from typing import NamedTuple

NO_COLOR = "var(--muted)"


class Kind(NamedTuple):
    """What a stage of this kind is called, whose section shows it, and in which color.

    style.css defines the colors.
    """

    title: str
    section: str
    color: str = NO_COLOR


KINDS = {
    "evaluate": Kind("Evaluation", "evaluate", "var(--evaluate)"),
    "init": Kind("A model from scratch", "pretrain"),
    "pretrain": Kind("Pretraining", "pretrain"),
    "sft": Kind("Supervised fine-tuning", "sft", "var(--sft)"),
    "sample": Kind("Answers sampled for ranking", "rank"),
    "rank": Kind("Rankings", "rank"),
    "label": Kind("Rankings", "rank"),
    "reward": Kind("Reward model", "reward", "var(--reward)"),
    "ppo": Kind("Reinforcement learning with PPO", "ppo", "var(--ppo)"),
}
"""A stage that runs again carries a suffix: `ppo-2`, `ppo-plain`."""
TOLD = ("evaluate", "reward", "ppo", "sft", "pretrain")
"""The kinds of which the summary tells, what matters most first."""


def kind_of(name: str) -> Kind:
    """The kind called `name`; one that is not known stands by itself, under its own name."""
    return KINDS.get(name) or Kind(name, name)


def in_order(sections: Iterable[str]) -> list[str]:
    """Sections in the order of the page, those of unknown kinds last."""
    known = list(dict.fromkeys(kind.section for kind in KINDS.values()))
    found = set(sections)
    return [*(name for name in known if name in found), *sorted(found - set(known))]
