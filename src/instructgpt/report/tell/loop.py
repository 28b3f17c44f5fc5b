"""The picture of the loop: the paper's three steps, with the numbers of this work in them."""

from typing import NamedTuple

from instructgpt.report.read.kinds import KINDS
from instructgpt.report.read.lineage import feeding_ranks, sources
from instructgpt.report.read.load import Interval, Stage, Work, is_finite
from instructgpt.report.read.rankings import groups, labelers_of, reference_groups
from instructgpt.report.read.verdict import Verdict
from instructgpt.report.tell.preference import rankings_said, who
from instructgpt.report.tell.words import clip, duration, number, percent, plural, span

Fact = tuple[str, str]


class Card(NamedTuple):
    """One step in the picture. `active` is False where this work has no such stage."""

    title: str
    stages: str
    what: str
    chain: tuple[str, str, str]
    color: str
    facts: list[Fact]
    active: bool


def loop_cards(work: Work) -> list[Card]:
    """The steps of the paper's Figure 2, from the last stage of each kind."""
    last = {stage.kind: (i, stage) for i, stage in enumerate(work.stages) if stage.run}
    found = sources(work)
    index, reward = last.get("reward", (0, None))
    feeding = feeding_ranks(work, found, index) if reward else []
    if not feeding and "rank" in last:
        feeding = [last["rank"][1]]
    sft, sample, ppo = (last.get(kind, (0, None))[1] for kind in ("sft", "sample", "ppo"))
    k = _setting(sample, "k", "K")
    _, evaluate = last.get("evaluate", (0, None))
    return [
        Card(
            "Imitate",
            _names(sft, "sft"),
            "A labeler writes the wanted answer; supervised learning imitates it.",
            ("prompt", "demonstration", "SFT"),
            KINDS["sft"].color,
            _sft_facts(sft, found[last["sft"][0]].outside_models if sft else []),
            sft is not None,
        ),
        Card(
            "Learn the preference",
            _names(reward, "reward"),
            f"{_ranker(feeding, reward)} {k} answers to a prompt; a reward model learns the order.",
            (f"{k} answers", "ranking", "RM"),
            KINDS["reward"].color,
            _reward_facts(reward, feeding),
            reward is not None,
        ),
        Card(
            "Optimize",
            _names(ppo, "ppo"),
            "The policy answers, the reward model scores, PPO updates the policy.",
            ("answer", f"score − {_setting(ppo, 'kl_coef', 'β')}·KL", _algorithm(ppo)),
            KINDS["ppo"].color,
            _ppo_facts(ppo, evaluate),
            ppo is not None,
        ),
    ]


def _names(stage: Stage | None, usual: str) -> str:
    return stage.name if stage and stage.name != usual else ""


def _ranker(feeding: list[Stage], reward: Stage | None) -> str:
    runs = [stage.run for stage in (*feeding, *([reward] if reward else [])) if stage.run]
    word = who([name for run in runs for name in labelers_of(run)])
    return {
        "the simulated labelers": "A simulated labeler ranks",
        "the written rule": "A written rule ranks",
        "you": "You rank",
    }.get(word, "A labeler ranks")


def _setting(stage: Stage | None, key: str, otherwise: str) -> str:
    value = stage.run.config.get(key) if stage and stage.run else None
    return f"{value:g}" if is_finite(value) else otherwise


def _algorithm(stage: Stage | None) -> str:
    weight = stage.run.config.get("ptx_coef") if stage and stage.run else None
    return "PPO-ptx" if is_finite(weight) and weight > 0 else "PPO"


def _sft_facts(stage: Stage | None, base: list[str]) -> list[Fact]:
    if stage is None or stage.run is None:
        return []
    facts = [("starts from", clip(name.rsplit("/", 1)[-1], 40)) for name in base[:1]]
    losses: list[Fact] = []
    for metric, label in (("sft/validation_loss", "validation loss"), ("sft/loss", "loss")):
        if series := stage.run.series(metric):
            ends = " → ".join(number(end) for end in series.ends())
            losses.append((label, f"{ends} nats/token"))
    return [*facts, *losses[:1], *_training(stage)]


def _reward_facts(stage: Stage | None, feeding: list[Stage]) -> list[Fact]:
    if stage is None or stage.run is None:
        return []
    facts: list[Fact] = []
    found = [group for rank in feeding if rank.run for group in groups(rank.run)]
    agreements = [group.agreement for _, group in reference_groups(stage.run, feeding)]
    if said := rankings_said(found):
        facts.append(("learned from", said))
    if agreements and agreements[-1]:
        facts.append(("labelers agree with each other", _share(agreements[-1])))
    if accuracy := Interval.parse(stage.run.evaluation.get("accuracy")):
        facts.append(("reward model orders rightly", _share(accuracy)))
    elif validation := stage.run.series("reward/validation_accuracy"):
        facts.append(("reward model orders rightly", percent(validation.ends()[1])))
    return [*facts, *_training(stage)]


def _ppo_facts(stage: Stage | None, evaluate: Stage | None) -> list[Fact]:
    if stage is None or stage.run is None:
        return []
    facts: list[Fact] = []
    if scores := stage.run.series("objective/scores"):
        facts.append(("score", " → ".join(number(end) for end in scores.ends())))
    if kl := stage.run.series("objective/kl"):
        facts.append(("KL from the start", f"{number(kl.ends()[1])} nats"))
    verdict = Verdict.parse(evaluate.run.evaluation) if evaluate and evaluate.run else None
    if verdict:
        name = stage.name if stage.name in verdict.rates else verdict.a
        facts.append((f"{name} preferred to {verdict.b}", _share(verdict.rates[name])))
    return [*facts, *_training(stage)]


def _training(stage: Stage) -> list[Fact]:
    count = stage.run.steps if stage.run else 0
    time = f" in {duration(stage.seconds)}" if stage.seconds else ""  # 0 while it runs
    return [("training", plural(count, "step") + time)] if count else []


def _share(interval: Interval) -> str:
    return f"{percent(interval.estimate)} [{span(interval)}]"
