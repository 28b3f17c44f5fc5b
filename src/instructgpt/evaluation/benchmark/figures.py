"""From outputs to figures with intervals, and the difference of two models on the same items."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np

from instructgpt.evaluation.benchmark.choose import Chosen
from instructgpt.evaluation.stats import Interval, clustered_mean, clustered_share
from instructgpt.evaluation.tasks.task import Item, Judged, Metric, Output, TextJudge

RESAMPLES = 1000
"""Of a corpus figure, which has no closed interval: clusters are drawn with replacement."""
Status = Literal["measured", "not measured"]


@dataclass(frozen=True)
class Row:
    """One request's output, as it is kept in `OUT/MODEL/TASK.jsonl`.

    Attributes:
        item: what was asked about.
        prompt: under which of the task's prompts.
        text: what the model read.
        output: what it made of it.
        judged: what each judge says of that.
    """

    item: Item
    prompt: str
    text: str
    output: Output
    judged: Judged = field(default_factory=dict)


@dataclass(frozen=True)
class Figure(Interval):
    """One metric of one task under one prompt: an interval, or why there is none.

    Attributes:
        metric: its name.
        prompt: under which of the task's prompts.
        status: whether it was measured.
        reason: why not.
        judges: how good each judge behind it is; None of one that nobody has measured.
        higher_is_better: None where neither is.
        scale: what a share is multiplied by: 100 of a figure in percent.
        in_table: whether table 14 has it.
        difference: how much greater it is than the first model's, of the paired items.
    """

    metric: str = ""
    prompt: str = ""
    status: Status = "measured"
    reason: str = ""
    judges: Mapping[str, Any] = field(default_factory=dict)
    higher_is_better: bool | None = True
    scale: float = 1.0
    in_table: bool = True
    difference: Interval | None = None


@dataclass(frozen=True)
class TaskResult(Figure):
    """A task's headline figure, and all others.

    Attributes:
        task: its name.
        title: what tables call it.
        version: of its definition.
        shots: examples before each query.
        data: SHA-256 of what was read.
        figures: all of its figures, the headline first.
        endings: by prompt, how many texts there are, written or chosen among; of those that the
            model wrote, how many ended at a newline, by themselves or were cut, and are empty; and
            how many prompts lost their beginning.
    """

    task: str = ""
    title: str = ""
    version: int = 0
    shots: int = 0
    data: str = ""
    figures: tuple[Figure, ...] = ()
    endings: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As in `results.json`: what was not measured is null."""
        first = ("version", "metric", "prompt", "shots", "n", "estimate", "low", "high")
        whole = asdict(self)
        return without_nan({key: whole[key] for key in first} | whole)


def without_nan(value: Any) -> Any:
    """Nothing in place of NaN and infinity, which JSON has no word for."""
    if isinstance(value, Mapping):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def result_of(
    chosen: Chosen,
    rows: Sequence[Row],
    judges: Mapping[str, TextJudge],
    first: Sequence[Row] | None = None,
    prompts: Sequence[str] = (),
) -> TaskResult:
    """All figures of a task, of the rows of one model; of none where it could not be measured.

    Args:
        chosen: the task with its data.
        rows: the model's, judged.
        judges: who judged them.
        first: the rows of the model that it is compared with.
        prompts: those of the rows, where they are not the task's own: each has every figure.
    """
    task = chosen.task
    in_table = task.in_table or (task.metrics[0].name,)
    figures = tuple(
        replace(
            figure_of(metric, prompt, rows, judges, chosen.reason),
            in_table=metric.name in in_table,
            difference=None if first is None else difference(metric, prompt, rows, first),
        )
        for prompt in prompts or task.prompts
        for metric in task.metrics
        if prompts or prompt in (metric.prompts or task.prompts)
    )
    head = next(f for m in task.metrics for f in figures if f.metric == m.name)
    return TaskResult(
        **{name: getattr(head, name) for name in Figure.__dataclass_fields__},
        task=task.name,
        title=task.title or task.name,
        version=task.version,
        shots=chosen.shots,
        data=chosen.data,
        figures=figures,
        endings=endings_of(rows),
    )


def figure_of(
    metric: Metric,
    prompt: str,
    rows: Sequence[Row],
    judges: Mapping[str, TextJudge],
    reason: str = "",
) -> Figure:
    """One metric under one prompt, with a 95 % interval clustered by item."""
    lacking = [name for name in metric.judges if name not in judges]
    if lacking and not reason:
        reason = f"nobody judges {' and '.join(lacking)}: give --{lacking[0]}_judge"
    found = [] if reason else values_of(metric, prompt, rows)
    if not reason and not found:
        reason = "no item has a part in it"
    about: dict[str, Any] = {
        "metric": metric.name,
        "prompt": prompt,
        "judges": {n: judges[n].quality for n in metric.judges if n in judges},
        "higher_is_better": metric.higher_is_better,
        "scale": metric.scale,
    }
    if reason:
        nan = math.nan
        return Figure(nan, nan, nan, 0, **about, status="not measured", reason=reason)
    values, clusters = [value for _, value in found], [cluster_of(row) for row, _ in found]
    if metric.combine:
        low, high = _middle(resampled(metric, values, clusters), clusters)
        interval = Interval(_combined(metric, values), low, high, len(values))
    else:
        of = clustered_share if metric.bounded else clustered_mean
        interval = of([float(v) for v in values], clusters)  # type: ignore[arg-type]
    return Figure(**asdict(_scaled(interval, metric.scale)), **about)


def difference(
    metric: Metric, prompt: str, rows: Sequence[Row], others: Sequence[Row]
) -> Interval | None:
    """How much greater a figure is than another model's, on the items that both have answered.

    The interval is that of the paired items: what makes an item hard for both does not count. None
    where they have none in common.
    """
    own = {row.item.id: (row, value) for row, value in values_of(metric, prompt, rows)}
    of_other = {row.item.id: value for row, value in values_of(metric, prompt, others)}
    both = [name for name in own if name in of_other]
    if not both:
        return None
    clusters = [cluster_of(own[name][0]) for name in both]
    values, before = [own[name][1] for name in both], [of_other[name] for name in both]
    if metric.combine:
        drawn = resampled(metric, values, clusters) - resampled(metric, before, clusters)
        low, high = _middle(drawn, clusters)
        estimate = _combined(metric, values) - _combined(metric, before)
        interval = Interval(estimate, low, high, len(both))
    else:
        gaps = np.asarray(values, dtype=float) - np.asarray(before, dtype=float)
        interval = clustered_mean(gaps, clusters)
    return _scaled(interval, metric.scale)


def _scaled(interval: Interval, scale: float) -> Interval:
    low, high = scale * interval.low, scale * interval.high
    return Interval(scale * interval.estimate, low, high, interval.n)


def values_of(metric: Metric, prompt: str, rows: Sequence[Row]) -> list[tuple[Row, Any]]:
    """The metric's values under a prompt, of the rows that have a part in it."""
    return [
        (row, value)
        for row in rows
        if row.prompt == prompt
        and all(name in row.judged for name in metric.judges)
        and (value := metric.value(row.item, row.output, row.judged)) is not None
    ]


def cluster_of(row: Row) -> str:
    """What a row's value depends on: its item, or what several items share."""
    return row.item.cluster or row.item.id


def resampled(metric: Metric, values: Sequence[Any], clusters: Sequence[str]) -> np.ndarray:
    """The corpus figure of resampled clusters, (RESAMPLES,); equal clusters are drawn alike."""
    assert metric.combine
    codes = np.unique(np.asarray(clusters), return_inverse=True)[1]
    statistics = np.asarray(values, dtype=float)
    sums_CS = np.zeros((codes.max() + 1, statistics.shape[1]))
    np.add.at(sums_CS, codes, statistics)
    count = len(sums_CS)
    draws = np.random.default_rng(0).multinomial(count, [1 / count] * count, RESAMPLES)
    return np.asarray([metric.combine(row) for row in draws @ sums_CS])


def _middle(drawn: np.ndarray, clusters: Sequence[str]) -> tuple[float, float]:
    """The middle 95 % of what was drawn; nan of a single cluster, which is drawn always."""
    if len(set(clusters)) == 1:
        return math.nan, math.nan
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def _combined(metric: Metric, values: Sequence[Any]) -> float:
    assert metric.combine
    return metric.combine(np.asarray(values, dtype=float).sum(0))  # type: ignore[arg-type]


def endings_of(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    """How texts ended, by prompt: a verbose model's zero can be seen for what it is. Where a model
    chose among given texts, how many of its prompts lost their beginning, if any did.
    """
    ways = ("newline", "end", "cut", "empty", "cut_prompt")
    found: dict[str, Counter[str]] = {}
    for row in rows:
        output, counts = row.output, found.setdefault(row.prompt, Counter())
        counts["cut_prompt"] += output.cut_prompt
        if output.logprobs:
            counts["texts"] += 1
        else:
            counts["texts"] += bool(output.ended)  # of another system's text nobody has said how
            counts[output.ended] += 1
            counts["empty"] += not output.text
    return {
        prompt: {name: counts[name] for name in ("texts", *ways)}
        for prompt, counts in found.items()
        if any(counts[way] for way in ways)
    }
