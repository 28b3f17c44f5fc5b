"""Figures and their intervals against sums by hand, SciPy, and loops of their own."""

import json
import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from instructgpt.evaluation.benchmark.choose import Chosen
from instructgpt.evaluation.benchmark.figures import (
    RESAMPLES,
    Row,
    difference,
    endings_of,
    figure_of,
    resampled,
    result_of,
)
from instructgpt.evaluation.stats import clustered_share
from instructgpt.evaluation.tasks.task import Item, Metric, Output
from tests.evaluation.benchmark.tasks import Quiz

ACCURACY, RATIO = Quiz.metrics
LENGTH = Metric("length", lambda _item, output, _judged: len(output.text), bounded=False, scale=10)


def row(number, *, right=True, text="", reference="ab", passage="", prompt="", **kept):
    item = Item(str(number), "q", (reference,), (" a", " b"), (0,), passage)
    logprobs = (-1.0, -2.0) if right else (-2.0, -1.0)
    choice = {} if text else {"logprobs": logprobs, "tokens": (1, 1)}
    return Row(item, prompt, "q", Output(text, **choice, **kept))


def choices(*rights, passages=None):
    passages = passages or [""] * len(rights)
    return [
        row(i, right=r, passage=p) for i, (r, p) in enumerate(zip(rights, passages, strict=True))
    ]


# ---------------------------------------------------------------- one figure


def test_a_share_is_wilsons_with_the_t_quantile():
    found = figure_of(ACCURACY, "", choices(True, True, False, True), {})
    assert (found.estimate, found.n, found.status) == (0.75, 4, "measured")
    # p = 3/4, 3 degrees of freedom: t = 3.182446; se² = 4/3 · (3/16 · 4)/16 = 1/16, so that
    # p(1 − p)/se² = 3 trials.
    t, p, trials = 3.182446305, 0.75, 3.0
    scale = 1 + t**2 / trials
    middle = (p + t**2 / (2 * trials)) / scale
    half = t * math.sqrt(p * (1 - p) / trials + t**2 / (4 * trials**2)) / scale
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half), abs=1e-8)


def test_items_of_one_passage_count_as_one_cluster():
    passages = ["x", "x", "x", "y", "z", "z"]
    rights = (True, True, True, False, True, False)
    found = figure_of(ACCURACY, "", choices(*rights, passages=passages), {})
    expected = clustered_share([1.0, 1, 1, 0, 1, 0], [1, 1, 1, 2, 3, 3])
    assert (found.low, found.high) == (expected.low, expected.high)
    apart = figure_of(ACCURACY, "", choices(*rights), {})
    assert found.high - found.low > apart.high - apart.low


def test_a_mean_that_is_no_share_has_students_interval():
    lengths = (3, 1, 4, 1, 5)
    rows = [row(i, text="x" * n) for i, n in enumerate(lengths)]
    found = figure_of(LENGTH, "", rows, {})
    expected = ttest_1samp([10 * n for n in lengths], 0).confidence_interval()
    assert found.estimate == pytest.approx(28)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.scale == 10


def test_only_rows_with_a_part_in_a_figure_count():
    some = Metric("some", lambda _item, output, _judged: 1.0 if output.choice == 0 else None)
    rows = [*choices(True, False, True), row(9, prompt="other")]
    assert figure_of(some, "", rows, {}).n == 2
    none = figure_of(some, "", choices(False), {})
    assert (none.status, none.reason, none.n) == ("not measured", "no item has a part in it", 0)
    assert math.isnan(none.estimate)


# ---------------------------------------------------------------- corpus figures

TEXTS = [("ab", "ab"), ("a", "ab"), ("x", "abcd"), ("abc", "abc"), ("b", "ab"), ("cd", "abcd")]
"""Written and reference; letters of the reference that were written: 2, 1, 0, 3, 1, 2."""
HITS, SIZES = np.array([2, 1, 0, 3, 1, 2]), np.array([2, 2, 4, 3, 2, 4])


def written(passages=("",) * 6, texts=TEXTS):
    return [
        row(i, text=text, reference=reference, passage=passage)
        for i, ((text, reference), passage) in enumerate(zip(texts, passages, strict=True))
    ]


def test_a_corpus_figure_is_that_of_the_sums():
    found = figure_of(RATIO, "", written(), {})
    assert found.estimate == pytest.approx(100 * 9 / 17)
    assert found.n == 6
    assert found.low < found.estimate < found.high


@pytest.mark.parametrize("passages", [("",) * 6, ("x", "x", "y", "y", "z", "z")])
def test_its_interval_is_the_bootstraps(passages):
    """Against a loop that draws clusters one by one, with another generator: quantiles agree to
    the noise of both.
    """
    found = figure_of(RATIO, "", written(passages), {})
    names = sorted(set(passages)) if passages[0] else [*range(6)]
    labels = passages if passages[0] else range(6)
    members = [[i for i, label in enumerate(labels) if label == name] for name in names]
    random = np.random.RandomState(7)
    drawn = []
    for _ in range(4000):
        places = [i for _ in names for i in members[random.randint(len(names))]]
        drawn.append(100 * HITS[places].sum() / SIZES[places].sum())
    low, high = np.quantile(drawn, (0.025, 0.975))
    assert found.low == pytest.approx(low, abs=6)
    assert found.high == pytest.approx(high, abs=6)
    assert high - low > 20


def test_equal_clusters_are_drawn_alike():
    values = np.stack([HITS, SIZES], axis=1)
    first = resampled(RATIO, values, list("abcdef"))
    assert first.shape == (RESAMPLES,)
    assert (first == resampled(RATIO, values, list("abcdef"))).all()
    doubled = np.repeat(values, 2, axis=0)
    assert resampled(RATIO, doubled, list("aabbccddeeff")) == pytest.approx(first)


def test_a_single_cluster_has_no_interval():
    for rows, metric in ((written(("x",) * 6), RATIO), ([row(0, text="abc")], LENGTH)):
        found = figure_of(metric, "", rows, {})
        assert (found.status, math.isnan(found.low), math.isnan(found.high)) == (
            "measured",
            True,
            True,
        )


# ---------------------------------------------------------------- differences


def test_a_difference_is_that_of_the_paired_items():
    rights = [True, True, False, True, False, True, True]
    others = [True, False, False, False, True, True, False]
    found = difference(ACCURACY, "", choices(*rights), choices(*others))
    expected = ttest_1samp(np.subtract(rights, others, dtype=float), 0).confidence_interval()
    assert found.estimate == pytest.approx(2 / 7)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_only_items_that_both_have_answered_are_compared():
    own, other = choices(True, True, False, True), choices(False, True, True, True)
    found = difference(ACCURACY, "", own[1:], other[:3])
    assert (found.n, found.estimate) == (2, -0.5)
    assert difference(ACCURACY, "", own[:1], other[1:]) is None
    assert difference(ACCURACY, "", [], other) is None


def test_a_difference_of_corpus_figures_draws_the_same_items_for_both():
    texts = [(f"{text}z", reference) for text, reference in TEXTS]
    same = difference(RATIO, "", written(), written(texts=texts))
    assert (same.estimate, same.low, same.high) == (0, 0, 0)
    empty = [("z", reference) for _, reference in TEXTS]
    # Where the other figure is always 0, the difference is the figure itself.
    found, alone = (
        difference(RATIO, "", written(), written(texts=empty)),
        figure_of(RATIO, "", written(), {}),
    )
    assert (found.estimate, found.low, found.high) == (alone.estimate, alone.low, alone.high)
    better = [(r if i == 2 else t, r) for i, (t, r) in enumerate(TEXTS)]
    found = difference(RATIO, "", written(texts=better), written())
    assert found.estimate == pytest.approx(100 * 4 / 17)
    assert found.low == 0  # nothing else differs: where that item is not drawn, there is none
    # That item is drawn 1.0 times on average, and at most 3 times of 6 in 97.5 % of the draws.
    assert 100 * 4 / 17 < found.high < 100 * 12 / 18


# ---------------------------------------------------------------- a task's result


class Judge:
    def __init__(self, quality=None):
        self.quality = quality

    def score(self, texts):
        raise AssertionError("figures ask nobody")


def test_what_was_not_measured_is_null_with_a_reason():
    result = result_of(Chosen(Quiz(), 0, reason="no quiz.jsonl in data"), [], {})
    found = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert (found["status"], found["reason"]) == ("not measured", "no quiz.jsonl in data")
    assert (found["estimate"], found["low"], found["high"], found["n"]) == (None, None, None, 0)
    assert [figure["estimate"] for figure in found["figures"]] == [None, None]


def test_a_metric_without_its_judge_is_not_measured():
    judged = Metric("true", lambda _item, _output, says: says["truth"] >= 0.5, judges=("truth",))
    rows = choices(True, False)
    figure = figure_of(judged, "", rows, {})
    assert (figure.status, figure.n) == ("not measured", 0)
    assert figure.reason == "nobody judges truth: give --truth_judge"
    judge = Judge({"accuracy": math.nan, "n": 3})
    by_judge = [Row(r.item, r.prompt, r.text, r.output, {"truth": 0.5}) for r in rows]
    figure = figure_of(judged, "", by_judge, {"truth": judge})
    assert (figure.estimate, figure.judges) == (1.0, {"truth": judge.quality})


def test_a_result_is_strict_json_whatever_a_judge_says_of_itself():
    class Judged(Quiz):
        metrics = (
            Metric("true", lambda _item, _output, says: says["truth"], judges=("truth",)),
            Metric("far", lambda *_: math.inf, bounded=False),
        )

    rows = [Row(r.item, r.prompt, r.text, r.output, {"truth": 0.5}) for r in choices(True)]
    judge = Judge({"auc": math.nan, "by": [math.inf, 1.0]})
    with np.errstate(invalid="ignore"):
        result = result_of(Chosen(Judged(), 0, data="d"), rows, {"truth": judge})
    found = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert found["judges"] == {"truth": {"auc": None, "by": [None, 1.0]}}
    assert [figure["estimate"] for figure in found["figures"]] == [0.5, None]


def test_the_headline_is_the_first_metric_under_the_first_prompt_that_has_it():
    class Prompted(Quiz):
        prompts = ("basic", "polite")
        metrics = (Metric("accuracy", ACCURACY.value, prompts=("polite",)), RATIO)

    rows = [row(i, right=i > 0, prompt=prompt) for prompt in ("basic", "polite") for i in range(3)]
    result = result_of(Chosen(Prompted(), 0, data="d"), rows, {})
    assert (result.metric, result.prompt, result.estimate) == ("accuracy", "polite", 2 / 3)
    assert [(f.prompt, f.metric) for f in result.figures] == [
        ("basic", "ratio"),
        ("polite", "accuracy"),
        ("polite", "ratio"),
    ]
    assert (result.task, result.version, result.data) == ("quiz", 1, "d")


def test_how_texts_ended_is_counted():
    rows = [
        row(0, text="a", ended="newline"),
        row(1, text="b", ended="cut", cut_prompt=True),
        row(3, text="c", ended="end"),
        Row(Item("2", "q"), "", "q", Output("", "newline")),
        row(4, prompt="chosen"),
        row(5, prompt="chosen long", cut_prompt=True),
        row(6, prompt="chosen long"),
        row(7, prompt="another system's", text="a", ended=""),
    ]
    none = {"newline": 0, "end": 0, "cut": 0, "empty": 0}
    assert endings_of(rows) == {
        "": {"texts": 4, "newline": 2, "end": 1, "cut": 1, "empty": 1, "cut_prompt": 1},
        "chosen long": none | {"texts": 2, "cut_prompt": 1},
    }
