"""Figures of an evaluation: win rates, scores, use cases, and the gain on every single pair."""

from instructgpt.report.draw import figures
from instructgpt.report.draw.figures import Row
from instructgpt.report.read.rankings import is_simulated
from instructgpt.report.read.values import Estimate, Json, as_dicts, is_finite
from instructgpt.report.read.verdict import Verdict
from instructgpt.report.tell.charts import Chart, in_words
from instructgpt.report.tell.story import prefers
from instructgpt.report.tell.words import number, overlapping, percent, plural

MAX_ROWS = 24


def win_rates(verdict: Verdict) -> Chart:
    """Every policy over the baseline, as in the paper's Figure 1, with the controls below."""
    a, b = verdict.a, verdict.b
    policies = [Row(name, rate, strong=name == a) for name, rate in verdict.rates.items()]
    controls = [Row(name, rate, hollow=True) for name, rate in verdict.controls.items()]
    rows = [*policies, *controls][:MAX_ROWS]
    caption = (
        f"How often {verdict.judge} {prefers(verdict.judge)} an answer to that of {b}, which "
        f"stands at 50 %. {a}: {percent(verdict.rate.value)}; {_against_chance(verdict.rate)}."
    )
    if controls:
        caption += " Hollow: controls, what chance or the decoding alone would give."
    caption += overlapping(a, {**verdict.rates, **verdict.controls})
    svg = figures.intervals(rows, f"preferred to {b} (%), 95 % interval", mark=b)
    return Chart(f"Win rate over {b}", svg, caption, in_words(rows))


def scores(verdict: Verdict) -> list[Chart]:
    """The judge's mean score of each policy."""
    if len(verdict.scores) < 2:
        return []
    rows = [
        Row(name, score, name == verdict.b, name == verdict.a)
        for name, score in verdict.scores.items()
    ]
    rows = rows[:MAX_ROWS]
    unit = "mean score on the rubric (0 to 1)" if is_simulated([verdict.judge]) else "mean score"
    svg = figures.intervals(rows, f"{unit}, 95 % interval", (), share=False)
    noise = ", without the noise of single judgements" if is_simulated([verdict.judge]) else ""
    caption = f"By {verdict.judge}{noise}; hollow: the baseline."
    if verdict.a in verdict.scores:
        caption += overlapping(verdict.a, verdict.scores)
    alt = "; ".join(f"{name} {number(score.value)}" for name, score, *_ in rows)
    return [Chart("Judged quality of each policy", svg, caption, alt)]


def use_cases(verdict: Verdict) -> list[Chart]:
    """The win rate of a over b by what the prompt asks for, the best first."""
    if not verdict.by_use_case:
        return []
    ranked = sorted(verdict.by_use_case.items(), key=lambda item: -item[1].value)
    rows = [Row(name.replace("_", " "), rate) for name, rate in ranked[:MAX_ROWS]]
    lost = [row.label for row in rows if row.estimate.high < 0.5]
    caption = f"{verdict.a} over {verdict.b}. " + (
        f"It loses in {', '.join(lost)}."
        if lost
        else "In no use case does the whole interval lie below 50 %."
    )
    svg = figures.intervals(rows, f"preferred to {verdict.b} (%), 95 % interval")
    return [Chart("Win rate by use case", svg, caption, in_words(rows))]


def gains(evaluation: Json, verdict: Verdict) -> list[Chart]:
    """How the score changes from b's answer to a's, over all pairs."""
    changes = [
        pair["score_a"] - pair["score_b"]
        for pair in as_dicts(evaluation.get("pairs"))
        if all(is_finite(pair.get(f"score_{side}")) for side in "ab")
    ]
    changes = [change for change in changes if is_finite(change)]
    if len(changes) < 2:
        return []
    up, down = (sum(sign * change > 0 for change in changes) for sign in (1, -1))
    caption = (
        f"Of {plural(len(changes), 'pair')} {verdict.a}'s answer scores higher in "
        f"{percent(up / len(changes))} (blue), lower in {percent(down / len(changes))} (orange)."
    )
    svg = figures.histogram(
        changes, f"score of {verdict.a} − score of {verdict.b}", "pairs of answers"
    )
    return [Chart("Gain on every pair", svg, caption, "Histogram of score differences")]


def _against_chance(rate: Estimate) -> str:
    if rate.low > 0.5 or rate.high < 0.5:
        return "the interval excludes 50 %"
    return "the interval includes 50 %, so this could be chance"
