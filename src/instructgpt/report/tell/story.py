"""What a run amounts to: its headline, and the top of the page in facts and three sentences."""

from collections.abc import Iterator

from instructgpt.report.read.kinds import TOLD
from instructgpt.report.read.load import Interval, Run, Work, clock
from instructgpt.report.read.rankings import groups, is_simulated, labelers_of
from instructgpt.report.read.verdict import Verdict
from instructgpt.report.tell.judged import result
from instructgpt.report.tell.preference import rankings_said, who
from instructgpt.report.tell.words import (
    change,
    duration,
    listed,
    moment,
    number,
    percent,
    sentence,
    span,
)


def headline(run: Run) -> str:
    """The run's result in a clause, without a full stop; empty if it recorded none."""
    return "; ".join(_headlines(run))


def summary(work: Work) -> list[str]:
    """The result in at most three sentences, what matters most first."""
    if not work.is_pipeline:
        run = work.stages[0].run
        told = list(_headlines(run)) if run else []
    else:
        last = {stage.kind: stage.run for stage in work.stages if stage.run}
        told = [headline(last[kind]) for kind in TOLD if kind in last]
    return [sentence(clause) for clause in told if clause][:3]


def facts(work: Work) -> list[str]:
    """When it was made, from which commit, how long it took, how far it came."""
    runs = [stage.run for stage in work.stages if stage.run]
    began = [time for run in runs if (time := clock(run.info.get("started"))) is not None]
    commits = dict.fromkeys(str(c)[:7] for run in runs if (c := run.info.get("git_commit")))
    seconds = sum(stage.seconds or 0 for stage in work.stages)
    return [
        fact
        for fact in (
            moment(min(began)) if began else "",
            f"commit{'s' * (len(commits) > 1)} {listed(list(commits))}" if commits else "",
            duration(seconds) if seconds else "",
            *_progress(work),
        )
        if fact
    ]


def _progress(work: Work) -> list[str]:
    if not work.is_pipeline:
        status = work.stages[0].status
        return [status] if status in ("running", "failed") else []
    done = sum(stage.status == "done" for stage in work.stages)
    count = f"all {done}" if done == len(work.stages) else f"{done} of {len(work.stages)}"
    failed = [stage.name for stage in work.stages if stage.status == "failed"]
    return [f"{count} stages done", *([f"{listed(failed)} failed"] if failed else [])]


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
            f"as {word} did [{span(accuracy)}]"
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
        yield result(verdict)
