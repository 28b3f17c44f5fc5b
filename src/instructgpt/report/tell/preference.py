"""Figures of rankings and of the reward model that learns them."""

from collections.abc import Iterable, Sequence

from instructgpt.report.draw import figures
from instructgpt.report.draw.figures import Bin, Row
from instructgpt.report.read.rankings import groups, labelers_of
from instructgpt.report.read.values import (
    Estimate,
    Json,
    as_dict,
    as_dicts,
    estimates,
    is_finite,
)
from instructgpt.report.read.work import StageRun
from instructgpt.report.tell.charts import Chart, in_words
from instructgpt.report.tell.story import who
from instructgpt.report.tell.words import overlapping, percent

TRIVIAL_LIMIT = 0.6
"""Above it, one feature that needs no reading explains the rankings too well."""
MAX_ROWS = 24


def ranking_charts(runs: Sequence[StageRun]) -> list[Chart]:
    """How well the labelers agree, and what no reading would predict of their rankings."""
    known = [run for run in runs if groups(run)]
    many = len(known) > 1
    rows = [
        Row(f"{run.name}: {group.label}" if many else group.label, group.agreement)
        for run in known
        for group in groups(run)
        if group.agreement
    ]
    charts: list[Chart] = []
    if rows:
        word = who([name for run in known for name in labelers_of(run)])
        svg = figures.intervals(rows, "pairs that two order alike (%), 95 % interval")
        caption = (
            f"How often two of {word} prefer the same answer. A reward model can hardly agree with "
            "them more than they do with each other."
        )
        charts.append(Chart("Agreement of the labelers", svg, caption, in_words(rows)))
    for run in runs:
        name = f", {run.name}" if many else ""
        charts += _trivial(run.evaluation.get("trivial_predictors"), name)
    return charts


def accuracy_charts(evaluation: Json, references: Sequence[Row] = ()) -> list[Chart]:
    """A reward model on held-out rankings; `references` say how well labelers agree."""
    charts: list[Chart] = []
    accuracy = Estimate.parse(evaluation.get("accuracy"))
    word = who(map(str, as_dict(evaluation.get("by_labeler"))))
    for key, title, what in (
        ("by_k", "Accuracy by number of answers", "K = {}"),
        ("by_margin", "Accuracy by rank difference", "{} apart"),
        ("by_labeler", "Accuracy by labeler", "{}"),
    ):
        spread = _breakdown(evaluation.get(key), what)
        if not spread:
            continue
        whole = [Row("all pairs", accuracy)] if accuracy else []
        rows = [*whole, *spread, *references]
        low, high = (end(spread, key=lambda row: row.estimate.value) for end in (min, max))
        caption = f"{percent(low.estimate.value)} ({low.label})"
        if low != high:
            caption = f"From {caption} to {percent(high.estimate.value)} ({high.label})"
        caption += f" of held-out pairs ordered as {word} did; the dashed line is chance."
        if low != high and low.estimate.overlaps(high.estimate):
            caption += " The intervals of the two overlap."
        if references:
            caption += f" Hollow: {word} among themselves, in practice the ceiling."
        svg = figures.intervals(rows, "pairs ordered as the labelers did (%)")
        charts.append(Chart(title, svg, caption, in_words(rows)))
    return [*charts, *_calibration(evaluation.get("calibration"))]


def accuracy_of_all(runs: Sequence[StageRun], references: Sequence[Row]) -> list[Chart]:
    """The accuracies of several reward models in one figure."""
    found = [(run.name, run.estimate("accuracy")) for run in runs]
    models = [Row(name, accuracy) for name, accuracy in found if accuracy]
    if len(models) < 2:
        return []
    rows = [*models, *references]
    svg = figures.intervals(rows, "pairs ordered as the labelers did (%)")
    caption = "Each on its own held-out pairs, which differ from model to model."
    caption += overlapping(models[-1].label, {row.label: row.estimate for row in models})
    caption += " Hollow: labelers among themselves." if references else ""
    return [Chart("Accuracy of each reward model", svg, caption, in_words(rows))]


def _trivial(raw: object, name: str) -> Iterable[Chart]:
    found = [(str(k), float(v)) for k, v in as_dict(raw).items() if is_finite(v)][:MAX_ROWS]
    if not found:
        return
    found.sort(key=lambda item: -item[1])
    rows = [Row(name.replace("_", " "), Estimate(v, v, v, None), True) for name, v in found]
    above = [row.label for row in rows if row.estimate.value >= TRIVIAL_LIMIT]
    limit = percent(TRIVIAL_LIMIT)
    verdict = f"all below {limit}: none alone explains the rankings"
    if above:
        verdict = f"at or above {limit}, which is too much: {', '.join(above)}"
    svg = figures.intervals(rows, "pairs ordered rightly (%)", (50, 100 * TRIVIAL_LIMIT))
    caption = (
        f"Features that need no reading, each as the only judge; {verdict}. "
        "Dashed: chance and this limit."
    )
    yield Chart(f"Trivial predictors{name}", svg, caption, in_words(rows))


def _calibration(raw: object) -> Iterable[Chart]:
    good = [
        Bin(float(row["predicted"]), float(row["observed"]), float(row.get("count", 1)))
        for row in as_dicts(as_dict(raw).get("bins"))
        if all(is_finite(row.get(key)) for key in ("predicted", "observed"))
        and is_finite(row.get("count", 1))
    ]
    if not good:
        return
    ece = as_dict(raw).get("ece")
    off = (
        f"On average the two differ by {percent(ece)} (expected calibration error). "
        if is_finite(ece)
        else ""
    )
    yield Chart(
        "Calibration",
        figures.calibration(good),
        f"{off}On the dashed diagonal the reward model is right as often as it is sure; "
        "a flatter line is too sure. Larger dots hold more pairs.",
        "; ".join(f"{percent(b.predicted)} predicted, {percent(b.observed)} seen" for b in good),
    )


def _breakdown(raw: object, what: str) -> list[Row]:
    found = list(estimates(raw).items())
    if all(key.isdigit() for key, _ in found):
        found.sort(key=lambda item: int(item[0]))
    return [Row(what.format(key), row) for key, row in found[:MAX_ROWS]]
