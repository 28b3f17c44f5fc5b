"""Which figures a run deserves, and the sentence under each."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from instructgpt.report import figures
from instructgpt.report.curves import CURVES, UNDRAWN, Curve
from instructgpt.report.figures import Bin, Line
from instructgpt.report.load import Interval, Json, Run, Series, is_finite
from instructgpt.report.words import change, number, percent, plural

MAX_LEFTOVERS = 12


class Panel(NamedTuple):
    """One figure of the page."""

    title: str
    svg: str
    caption: str


def run_panels(run: Run) -> list[Panel]:
    """Every figure for one run: the evaluation, which is the result, then the curves."""
    return [
        *evaluation_panels(run.evaluation),
        *_trade_off([run], lambda _: "training"),
        *_curves(run),
    ]


def comparison_panels(runs: Sequence[Run]) -> list[Panel]:
    """The same figures with the runs laid over each other, one metric a figure."""
    panels = _trade_off(runs, lambda run: run.name)
    for curve in (*CURVES, *_leftovers(runs)):
        for metric, label in curve.metrics.items():
            found = [(run.name, series) for run in runs if (series := run.series(metric))]
            if not found:
                continue
            ends = "; ".join(f"{name} ends at {number(s.ends()[1])}" for name, s in found)
            title = curve.title if len(curve.metrics) == 1 else f"{curve.title}: {label}"
            svg = figures.curves(
                [Line(n, s.steps, s.values) for n, s in found], curve.unit, curve.reference
            )
            panels.append(Panel(title, svg, f"{ends}. {curve.reading}"))
    return panels


def evaluation_panels(evaluation: Json) -> list[Panel]:
    """What `evaluation.json` holds: the reward model's accuracy and calibration, or win rates."""
    panels = [*_win_rates(evaluation)]
    accuracy = Interval.parse(evaluation.get("accuracy"))
    for key, title, what in (
        ("by_k", "Accuracy by number of answers", "K = {}"),
        ("by_margin", "Accuracy by rank difference", "{} apart"),
        ("by_labeler", "Accuracy by labeler", "{}"),
    ):
        rows = _breakdown(evaluation.get(key), what)
        if not rows:
            continue
        if accuracy:
            rows.insert(0, ("all pairs", accuracy))
        spread = [row for row in rows if row[0] != "all pairs"]
        low, high = (end(spread, key=lambda row: row[1].estimate) for end in (min, max))
        caption = f"{percent(low[1].estimate)} ({low[0]})"
        if low != high:
            caption = f"From {caption} to {percent(high[1].estimate)} ({high[0]})"
        svg = figures.intervals(rows, "held-out pairs ordered as the labelers did (%)")
        panels.append(
            Panel(title, svg, f"{caption}, each with its 95 % interval; the dashed line is chance.")
        )
    return [*panels, *_calibration(evaluation.get("calibration"))]


def _win_rates(evaluation: Json) -> Iterable[Panel]:
    rate = Interval.parse(evaluation.get("win_rate"))
    if rate is None:
        return
    a, b = (str(evaluation.get(side) or side) for side in "ab")
    judge = str(evaluation.get("judge") or "the judge")
    controls = _breakdown(evaluation.get("controls"), "{}")
    verdict = (
        "the interval excludes 50 %"
        if rate.low > 0.5 or rate.high < 0.5
        else "the interval includes 50 %, so this could be chance"
    )
    caption = f"How often {judge} prefers {a} to {b}: {percent(rate.estimate)}; {verdict}."
    if controls:
        caption += " The other rows are controls: what chance or the decoding alone would give."
    svg = figures.intervals(
        [(f"{a}\nover {b}", rate), *controls], "win rate with 95 % interval (%)"
    )
    yield Panel("Win rate", svg, caption)


def _calibration(raw: object) -> Iterable[Panel]:
    bins = raw.get("bins") if isinstance(raw, dict) else None
    good = [
        Bin(float(row["predicted"]), float(row["observed"]), float(row.get("count", 1)))
        for row in (bins if isinstance(bins, list) else [])
        if isinstance(row, dict)
        and all(is_finite(row.get(key)) for key in ("predicted", "observed"))
        and is_finite(row.get("count", 1))
    ]
    if not good:
        return
    ece = raw.get("ece") if isinstance(raw, dict) else None
    off = (
        f"On average the two differ by {percent(ece)} (expected calibration error). "
        if is_finite(ece)
        else ""
    )
    yield Panel(
        "Calibration",
        figures.calibration(good),
        f"{off}On the dashed diagonal the reward model is right as often as it is sure; "
        "below it, it is too sure. Larger dots hold more pairs.",
    )


def _breakdown(raw: object, what: str) -> list[tuple[str, Interval]]:
    if not isinstance(raw, dict):
        return []
    rows = [(str(key), row) for key, value in raw.items() if (row := Interval.parse(value))]
    if all(key.isdigit() for key, _ in rows):
        rows.sort(key=lambda row: int(row[0]))
    return [(what.format(key), row) for key, row in rows[:24]]


def _trade_off(runs: Sequence[Run], label: Callable[[Run], str]) -> list[Panel]:
    lines = []
    for run in runs:
        both = [
            line
            for line in run.metrics
            if all(is_finite(line.get(f"objective/{key}")) for key in ("kl", "scores"))
        ]
        kl, score = (
            Run("", {}, metrics=both).series(f"objective/{key}") for key in ("kl", "scores")
        )
        if kl and score and len(kl.values) > 1:
            lines.append(Line(label(run), kl.values, score.values))
    if not lines:
        return []
    svg = figures.trade_off(lines, "KL from the SFT model (nats per answer)", "score")
    caption = (
        "From the start of training (hollow) to its end (full), one small dot an iteration. "
        "A path that moves right without climbing pays KL for nothing."
    )
    return [Panel("Score bought with KL", svg, caption)]


def _curves(run: Run) -> list[Panel]:
    panels = []
    for curve in (*CURVES, *_leftovers([run])):
        found = {label: s for metric, label in curve.metrics.items() if (s := run.series(metric))}
        if not found:
            continue
        lines = [Line(label, series.steps, series.values) for label, series in found.items()]
        svg = figures.curves(lines, curve.unit, curve.reference)
        panels.append(Panel(curve.title, svg, f"{_movement(found)} {curve.reading}".strip()))
    return panels


def _movement(found: dict[str, Series]) -> str:
    parts = [
        (f"{label}: " if len(found) > 1 else "") + change(*s.ends()) for label, s in found.items()
    ]
    holes = sum(int((series.values != series.values).sum()) for series in found.values())
    text = "; ".join(parts)
    return (
        text[0].upper() + text[1:] + (f" ({plural(holes, 'value')} not finite)." if holes else ".")
    )


def _leftovers(runs: Sequence[Run]) -> list[Curve]:
    known = UNDRAWN | {metric for curve in CURVES for metric in curve.metrics}
    names = dict.fromkeys(name for run in runs for name in run.metric_names() if name not in known)
    return [Curve(name, "value", {name: name}, "") for name in list(names)[:MAX_LEFTOVERS]]
