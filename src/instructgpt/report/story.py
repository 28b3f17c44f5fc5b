"""What a run amounts to: its headline, and the page's summary in one sentence."""

from collections.abc import Iterator

from instructgpt.report.load import Interval, Run, Work, is_finite
from instructgpt.report.preference import groups, labelers_of, rankings_said, who
from instructgpt.report.verdict import Verdict, is_simulated
from instructgpt.report.words import change, duration, number, percent, span

# The three steps of the paper, each with its colour on the page (Okabe-Ito blue, vermilion, green).
COLORS = {"sft": "#0072B2", "reward": "#B34700", "ppo": "#007A5A", "evaluate": "#6B3FA0"}
GREY = "#57606a"
TITLES = {
    "init": "A model from scratch",
    "pretrain": "Pretraining",
    "sft": "Supervised fine-tuning",
    "sample": "Answers sampled for ranking",
    "rank": "Rankings",
    "label": "Rankings",
    "reward": "Reward model",
    "ppo": "Reinforcement learning with PPO",
    "evaluate": "Evaluation",
}
RESULTS = ("evaluate", "reward", "ppo", "sft", "pretrain")
"""The kinds of which the summary tells, what matters most first."""


def title(kind: str) -> str:
    """What a stage of this kind is called on the page."""
    return TITLES.get(kind, kind)


def color(kind: str) -> str:
    """The colour of a stage of this kind."""
    return COLORS.get(kind, GREY)


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
        clauses = [headline(stage.run)] if stage.run else []
    else:
        done = sum(stage.status == "done" for stage in work.stages)
        total = sum(stage.seconds or 0 for stage in work.stages)
        count = f"all {done}" if done == len(work.stages) else f"{done} of {len(work.stages)}"
        start = f"{count[0].upper()}{count[1:]} stages done in {duration(total)}"
        failed = [stage.name for stage in work.stages if stage.status == "failed"]
        start += f", {' and '.join(failed)} failed" if failed else ""
        last = {stage.kind: stage.run for stage in work.stages if stage.run}
        told = [headline(last[kind]) for kind in RESULTS if kind in last]
        clauses = [clause for clause in told if clause][:3]
    clauses = [clause for clause in clauses if clause]
    return start + (": " + "; ".join(clauses) if clauses else "") + "."


def simulated(work: Work) -> str:
    """What simulated labelers did here: rank, judge, both; empty where they did nothing."""
    runs = [stage.run for stage in work.stages if stage.run]
    names = [name for run in runs for name in labelers_of(run)]
    by = [str(run.config.get("by") or run.evaluation.get("by") or "") for run in runs]
    judges = [verdict.judge for run in runs if (verdict := Verdict.parse(run.evaluation))]
    ranked = any(is_simulated([name]) for name in [*names, *by])
    judged = any(is_simulated([name]) for name in judges)
    who = {
        (True, True): "labelers and judges are simulated",
        (True, False): "labelers are simulated",
        (False, True): "judges are simulated",
    }
    return who.get((ranked, judged), "")


def steps(run: Run) -> int:
    """The last optimiser step of which a metric was recorded."""
    found = [line["step"] for line in run.metrics if is_finite(line.get("step"))]
    return int(max(found, default=0))


def _headlines(run: Run) -> Iterator[str]:
    for name in ("pretraining", "SFT"):
        room = "sft" if name == "SFT" else "pretrain"
        if loss := run.series(f"{room}/validation_loss"):
            yield f"the {name} validation loss {change(*loss.ends())} nats per token"
        elif loss := run.series(f"{room}/loss"):
            yield f"the {name} loss {change(*loss.ends())} nats per token"
    word = who(labelers_of(run))
    if accuracy := Interval.parse(run.evaluation.get("accuracy")):
        yield (
            f"the reward model orders {percent(accuracy.estimate)} of held-out pairs "
            f"as {word} did (95 % interval {span(accuracy)})"
        )
    elif validation := run.series("reward/validation_accuracy"):
        share = percent(validation.ends()[1])
        yield f"the reward model orders {share} of held-out pairs as {word} did"
    if scores := run.series("objective/scores"):
        kl = run.series("objective/kl")
        price = f" at a KL of {number(kl.ends()[1])} nats" if kl else ""
        yield f"the score {change(*scores.ends())}{price}"
    if said := rankings_said(groups(run)):
        yield said
    for group in groups(run):
        if group.agreement:
            share = percent(group.agreement.estimate)
            yield f"two {group.label} labelers agree on {share} of pairs"
    if verdict := Verdict.parse(run.evaluation):
        yield verdict.sentence
