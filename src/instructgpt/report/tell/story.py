"""What a run amounts to: its headline, and the top of the page in facts and three sentences."""

from collections.abc import Iterable, Iterator, Sequence

from instructgpt.report.read.benchmark import Benchmark
from instructgpt.report.read.kinds import KINDS
from instructgpt.report.read.rankings import Group, groups, is_simulated, labelers_of
from instructgpt.report.read.verdict import Verdict
from instructgpt.report.read.work import StageRun, Work, clock
from instructgpt.report.tell.board import measured, tally
from instructgpt.report.tell.words import (
    change,
    duration,
    listed,
    moment,
    number,
    percent,
    plural,
    sentence,
    span,
)


def headline(run: StageRun) -> str:
    """The run's result in a clause, without a full stop; empty if it recorded none."""
    return "; ".join(_headlines(run))


def summary(work: Work) -> list[str]:
    """The result in at most three sentences, what matters most first."""
    if work.is_pipeline:
        kinds = sorted(KINDS, key=lambda kind: -KINDS[kind].weight)
        told = [headline(run) for kind in kinds if KINDS[kind].weight and (run := work.last(kind))]
    else:
        told = list(_headlines(work.stages[0]))
    return [sentence(clause) for clause in told if clause][:3]


def facts(work: Work) -> list[str]:
    """When it was made, from which commit, how long it took, how far it came."""
    runs = work.runs
    began = [time for run in runs if (time := clock(run.info.get("started")))]
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
    planned = sum(stage.status != "left out" for stage in work.stages)
    count = f"all {done}" if done == planned > 1 else f"{done} of {planned}"
    failed = [stage.name for stage in work.stages if stage.status == "failed"]
    what = "stage" if planned == 1 else "stages"
    return [f"{count} {what} done", *([f"{listed(failed)} failed"] if failed else [])]


def simulated(work: Work) -> str:
    """What simulated labelers did here: rank, judge, both; empty where they did nothing."""
    runs = work.runs
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


def who(names: Iterable[str]) -> str:
    """What to call these labelers: simulated where their names say so."""
    known = sorted(set(names))
    if known in (["written rule"], ["you"]):
        return {"written rule": "the written rule", "you": "you"}[known[0]]
    return "the simulated labelers" if is_simulated(known) else "the labelers"


def rankings_said(found: Sequence[Group]) -> str:
    """The rankings for training in words: `2,010 rankings by 6 simulated labelers`."""
    training = [group for group in found if group.name != "heldout"] or list(found)
    count = sum(group.rankings or 0 for group in training)
    names = {name for group in training for name in group.labelers}
    kind = "simulated labeler" if is_simulated(names) else "labeler"
    by = f" by {plural(len(names), kind)}" if names else ""
    return plural(count, "ranking") + by if count else ""


def prefers(judge: str) -> str:
    """The verb that goes with a judge: one prefers, several labelers prefer."""
    return "prefer" if judge.endswith("labelers") else "prefers"


def result(verdict: Verdict) -> str:
    """The result in a clause: who is preferred how often, and what a control reaches."""
    text = (
        f"{verdict.judge} {prefers(verdict.judge)} {verdict.a} to {verdict.b} in "
        f"{percent(verdict.rate.value)} of comparisons [{span(verdict.rate)}]"
    )
    if verdict.rate.low <= 0.5 <= verdict.rate.high:
        text += ", which could be chance"
    for name, control in list(verdict.controls.items())[:1]:
        overlap = ", and the intervals overlap" if control.overlaps(verdict.rate) else ""
        text += f"; {name} reaches {percent(control.value)}{overlap}"
    return text


def _headlines(run: StageRun) -> Iterator[str]:
    for name in ("pretraining", "SFT"):
        room = "sft" if name == "SFT" else "pretrain"
        if loss := run.series(f"{room}/validation_loss"):
            yield f"the {name} validation loss {change(*loss.ends())} nats per token"
        elif loss := run.series(f"{room}/loss"):
            yield f"the {name} loss {change(*loss.ends())} nats per token"
    word = who(labelers_of(run))
    if accuracy := run.estimate("accuracy"):
        yield (
            f"the reward model orders {percent(accuracy.value)} of held-out pairs "
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
            share = percent(group.agreement.value)
            yield f"two {group.label} labelers agree on {share} of pairs"
    if verdict := Verdict.parse(run.evaluation):
        yield result(verdict)
    if benchmark := Benchmark.parse(run.results):
        yield from list(tally(benchmark)) or [measured(benchmark)]
