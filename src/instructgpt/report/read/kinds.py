"""The stages that a report knows, by their kind in `pipeline.json` and `run.json`."""

from typing import NamedTuple


class Kind(NamedTuple):
    """What the page does with the stages of one kind.

    Attributes:
        title: what they are called.
        section: the kind whose section they share.
        color: theirs, which style.css defines; the paper's steps and their result have one.
        weight: of their result in the summary, which tells the heaviest first and 0 not at all.
    """

    title: str
    section: str
    color: str = "var(--muted)"
    weight: int = 0


KINDS = {
    "evaluate": Kind("Evaluation", "evaluate", "var(--evaluate)", 5),
    "benchmark": Kind("Benchmarks", "benchmark", "var(--evaluate)", 5),
    "suite": Kind("Benchmarks", "benchmark", "var(--evaluate)", 5),
    "init": Kind("A model from scratch", "pretrain"),
    "pretrain": Kind("Pretraining", "pretrain", weight=1),
    "sft": Kind("Supervised fine-tuning", "sft", "var(--sft)", 2),
    "sample": Kind("Answers sampled for ranking", "rank"),
    "rank": Kind("Rankings", "rank"),
    "label": Kind("Rankings", "rank"),
    "reward": Kind("Reward model", "reward", "var(--reward)", 4),
    "ppo": Kind("Reinforcement learning with PPO", "ppo", "var(--ppo)", 3),
}
"""In the order of the page."""


def kind_of(name: str) -> Kind:
    """The kind of this name; one that nobody foresaw has a section of its own."""
    return KINDS.get(name) or Kind(name, name)


def in_order(sections: set[str]) -> list[str]:
    """Kinds that have a section, in the order of the page, those that nobody foresaw last."""
    known = [name for name, kind in KINDS.items() if kind.section == name]
    return [*(name for name in known if name in sections), *sorted(sections.difference(known))]
