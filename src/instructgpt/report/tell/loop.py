"""The picture of the loop: the paper's three steps, with the numbers of this work in them."""

from typing import NamedTuple

from instructgpt.report.read.kinds import kind_of
from instructgpt.report.read.lineage import sources
from instructgpt.report.read.rankings import feeding_ranks, groups, labelers_of, reference_groups
from instructgpt.report.read.values import is_finite
from instructgpt.report.read.verdict import Verdict
from instructgpt.report.read.work import StageRun, Work
from instructgpt.report.tell.story import rankings_said, who
from instructgpt.report.tell.words import clip, duration, number, percent, plural, share

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
    sft, reward, sample, ppo = map(work.last, ("sft", "reward", "sample", "ppo"))
    feeding = feeding_ranks(work, reward) if reward else []
    if not feeding and (rank := work.last("rank")):
        feeding = [rank]
    k = _setting(sample, "k", "K")
    return [
        Card(
            "Imitate",
            _names(sft, "sft"),
            "A labeler writes the wanted answer; supervised learning imitates it.",
            ("prompt", "demonstration", "SFT"),
            kind_of("sft").color,
            _sft_facts(work, sft) if sft else [],
            sft is not None,
        ),
        Card(
            "Learn the preference",
            _names(reward, "reward"),
            f"{_ranker(feeding, reward)} {k} answers to a prompt; a reward model learns the order.",
            (f"{k} answers", "ranking", "RM"),
            kind_of("reward").color,
            _reward_facts(reward, feeding) if reward else [],
            reward is not None,
        ),
        Card(
            "Optimize",
            _names(ppo, "ppo"),
            "The policy answers, the reward model scores, PPO updates the policy.",
            ("answer", f"score − {_setting(ppo, 'kl_coef', 'β')}·KL", _algorithm(ppo)),
            kind_of("ppo").color,
            _ppo_facts(ppo, work.last("evaluate")) if ppo else [],
            ppo is not None,
        ),
    ]


def _names(run: StageRun | None, usual: str) -> str:
    return run.name if run and run.name != usual else ""


def _ranker(feeding: list[StageRun], reward: StageRun | None) -> str:
    runs = [*feeding, *([reward] if reward else [])]
    return {
        "the simulated labelers": "A simulated labeler ranks",
        "the written rule": "A written rule ranks",
        "you": "You rank",
    }.get(who(name for run in runs for name in labelers_of(run)), "A labeler ranks")


def _setting(run: StageRun | None, key: str, otherwise: str) -> str:
    value = run.config.get(key) if run else None
    return f"{value:g}" if is_finite(value) else otherwise


def _algorithm(run: StageRun | None) -> str:
    weight = run.config.get("ptx_coef") if run else None
    return "PPO-ptx" if is_finite(weight) and weight > 0 else "PPO"


def _sft_facts(work: Work, run: StageRun) -> list[Fact]:
    index = next(i for i, stage in enumerate(work.stages) if stage is run)
    base = sources(work)[index].outside_models[:1]
    facts = [("starts from", clip(name.rsplit("/", 1)[-1], 40)) for name in base]
    for metric, label in (("sft/validation_loss", "validation loss"), ("sft/loss", "loss")):
        if series := run.series(metric):
            facts.append((label, f"{' → '.join(map(number, series.ends()))} nats/token"))
            break
    return [*facts, *_training(run)]


def _reward_facts(run: StageRun, feeding: list[StageRun]) -> list[Fact]:
    facts: list[Fact] = []
    agreements = [group.agreement for _, group in reference_groups(run, feeding)]
    if said := rankings_said([group for rank in feeding for group in groups(rank)]):
        facts.append(("learned from", said))
    if agreements and agreements[-1]:
        facts.append(("labelers agree with each other", share(agreements[-1])))
    if accuracy := run.estimate("accuracy"):
        facts.append(("reward model orders rightly", share(accuracy)))
    elif validation := run.series("reward/validation_accuracy"):
        facts.append(("reward model orders rightly", percent(validation.ends()[1])))
    return [*facts, *_training(run)]


def _ppo_facts(run: StageRun, evaluate: StageRun | None) -> list[Fact]:
    facts: list[Fact] = []
    if scores := run.series("objective/scores"):
        facts.append(("score", " → ".join(map(number, scores.ends()))))
    if kl := run.series("objective/kl"):
        facts.append(("KL from the start", f"{number(kl.ends()[1])} nats"))
    if evaluate and (verdict := Verdict.parse(evaluate.evaluation)):
        name = run.name if run.name in verdict.rates else verdict.a
        facts.append((f"{name} preferred to {verdict.b}", share(verdict.rates[name])))
    return [*facts, *_training(run)]


def _training(run: StageRun) -> list[Fact]:
    time = f" in {duration(run.seconds)}" if run.seconds else ""  # 0 while it runs
    return [("training", plural(run.steps, "step") + time)] if run.steps else []
