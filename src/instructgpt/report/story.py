"""What a run amounts to: its headline, the page's summary, the numbers in the loop's picture."""

from collections.abc import Iterator
from typing import NamedTuple

from instructgpt.report.load import Interval, Run, Stage, Work
from instructgpt.report.words import change, duration, number, percent, plural

# The three steps of the paper, each with its colour on the page (Okabe-Ito blue, vermilion, green).
COLORS = {"sft": "#0072B2", "reward": "#B34700", "ppo": "#007A5A"}
TITLES = {
    "init": "A model from scratch",
    "pretrain": "Pretraining",
    "sft": "Supervised fine-tuning",
    "sample": "Answers sampled for ranking",
    "rank": "Rankings",
    "reward": "Reward model",
    "ppo": "Reinforcement learning with PPO",
    "evaluate": "Evaluation",
}


class Card(NamedTuple):
    """One step in the picture of the loop. `active` is False where this work has no such stage."""

    title: str
    what: tuple[str, str]
    chain: tuple[str, str, str]
    color: str
    facts: list[tuple[str, str]]
    active: bool


def title(kind: str) -> str:
    """What a stage of this kind is called on the page."""
    return TITLES.get(kind, kind)


def headline(run: Run) -> str:
    """The run's result in a clause, without a full stop; empty if it recorded none."""
    return "; ".join(_headlines(run))


def summary(work: Work) -> str:
    """One sentence for the top of the page."""
    if not work.is_pipeline:
        stage = work.stages[0]
        state = {"done": "", "running": " so far", "failed": " (failed)"}.get(stage.status, "")
        time = f" in {duration(stage.seconds)}" if stage.seconds is not None else ""
        start = f"{title(stage.kind)}{state}{time}"
    else:
        done = sum(stage.status == "done" for stage in work.stages)
        total = sum(stage.seconds or 0 for stage in work.stages)
        count = f"all {done}" if done == len(work.stages) else f"{done} of {len(work.stages)}"
        start = f"{count[0].upper()}{count[1:]} stages done in {duration(total)}"
        failed = [stage.name for stage in work.stages if stage.status == "failed"]
        start += f", {' and '.join(failed)} failed" if failed else ""
    clauses = [headline(run) for run in _last_of_each_kind(work)]
    clauses = [clause for clause in clauses if clause]
    return start + (": " + "; ".join(clauses) if clauses else "") + "."


def loop_cards(work: Work) -> list[Card]:
    """The three steps of the paper's Figure 2, with the numbers of this work in them."""
    last = {stage.kind: stage for stage in work.stages if stage.run}
    return [
        Card(
            "Imitate",
            ("A labeler writes the wanted answer;", "supervised learning imitates it."),
            ("prompt", "demonstration", "SFT"),
            COLORS["sft"],
            _facts(last.get("sft")),
            "sft" in last,
        ),
        Card(
            "Learn the preference",
            ("A labeler ranks K answers to a prompt;", "a reward model learns the order."),
            ("K answers", "ranking", "RM"),
            COLORS["reward"],
            _facts(last.get("reward")),
            "reward" in last,
        ),
        Card(
            "Optimise",
            ("The policy answers, the reward model", "scores, PPO updates the policy."),
            ("answer", "score − β·KL", "PPO"),
            COLORS["ppo"],
            (_facts(last.get("ppo")) + _judged(last.get("evaluate")))[-4:],
            "ppo" in last,
        ),
    ]


def steps(run: Run) -> int:
    """The last optimiser step of which a metric was recorded."""
    return int(
        max((line["step"] for line in run.metrics if isinstance(line.get("step"), int)), default=0)
    )


def _last_of_each_kind(work: Work) -> list[Run]:
    return list({stage.kind: stage.run for stage in work.stages if stage.run}.values())


def _headlines(run: Run) -> Iterator[str]:
    for name in ("pretraining", "SFT"):
        room = "sft" if name == "SFT" else "pretrain"
        if loss := run.series(f"{room}/validation_loss"):
            yield f"the {name} validation loss {change(*loss.ends())} nats per token"
        elif loss := run.series(f"{room}/loss"):
            yield f"the {name} loss {change(*loss.ends())} nats per token"
    if accuracy := Interval.parse(run.evaluation.get("accuracy")):
        yield (
            f"the reward model orders {percent(accuracy.estimate)} of held-out pairs "
            f"as the labelers did (95 % interval {_range(accuracy)})"
        )
    elif validation := run.series("reward/validation_accuracy"):
        share = percent(validation.ends()[1])
        yield f"the reward model orders {share} of held-out pairs as the labelers did"
    if scores := run.series("objective/scores"):
        kl = run.series("objective/kl")
        price = f" at a KL of {number(kl.ends()[1])} nats" if kl else ""
        yield f"the score {change(*scores.ends())}{price}"
    if rate := Interval.parse(run.evaluation.get("win_rate")):
        a, b = (str(run.evaluation.get(side) or side) for side in "ab")
        among = f" of {rate.n:,} comparisons" if rate.n is not None else " of comparisons"
        share = f"in {percent(rate.estimate)}{among}"
        yield f"{share} {a} is preferred to {b} (95 % interval {_range(rate)})"


def _facts(stage: Stage | None) -> list[tuple[str, str]]:
    if stage is None or stage.run is None:
        return []
    run, facts = stage.run, []
    for metric, label in (
        ("sft/validation_loss", "validation loss"),
        ("sft/loss", "training loss"),
        ("objective/scores", "score"),
    ):
        if (series := run.series(metric)) and len(facts) < 1:
            facts.append((label, " → ".join(number(end) for end in series.ends())))
    if accuracy := Interval.parse(run.evaluation.get("accuracy")):
        facts.append(
            ("pairs ordered rightly", f"{percent(accuracy.estimate)} [{_range(accuracy)}]")
        )
        if accuracy.n is not None:
            facts.append(("held-out pairs", f"{accuracy.n:,}"))
    elif validation := run.series("reward/validation_accuracy"):
        facts.append(("pairs ordered rightly", percent(validation.ends()[1])))
    if kl := run.series("objective/kl"):
        facts.append(("KL from SFT", f"{number(kl.ends()[1])} nats"))
    time = f" in {duration(stage.seconds)}" if stage.seconds is not None else ""
    if count := steps(run):
        facts.append(("training", plural(count, "step") + time))
    return facts


def _judged(stage: Stage | None) -> list[tuple[str, str]]:
    rate = Interval.parse(stage.run.evaluation.get("win_rate")) if stage and stage.run else None
    return [("win rate", f"{percent(rate.estimate)} [{_range(rate)}]")] if rate else []


def _range(interval: Interval) -> str:
    return f"{100 * interval.low:.0f}–{100 * interval.high:.0f} %"
