"""Stores small enough to count by hand."""

import doctest
import json
from dataclasses import replace

import pytest
from scipy.stats import t

from instructgpt.data.records import Prompt, Ranking, Rating
from instructgpt.errors import UserError
from instructgpt.evaluation import human
from instructgpt.evaluation.human import HumanEvaluator
from tests.evaluation.score_interval import assert_score_interval


def ranking(prompt, ranks, labeler="ann"):
    """`ranks` by model; a model's name is also its text."""
    responses = [{"text": model, "model": model} for model in ranks]
    return Ranking(
        prompt_id=prompt,
        prompt=f"prompt {prompt}",
        responses=responses,
        ranks=tuple(ranks.values()),
        labeler_id=labeler,
    )


def rating(prompt, model, likert, labeler="ann"):
    return Rating(
        prompt_id=prompt, prompt="p", response="r", likert=likert, model=model, labeler_id=labeler
    )


STORE = (
    ranking("1", {"ppo": 1, "sft": 2, "gpt": 3}),
    ranking("1", {"gpt": 2, "sft": 2, "ppo": 1}, "bob"),  # listed in another order
    ranking("2", {"ppo": 2, "sft": 2, "gpt": 1}),
    ranking("2", {"ppo": 1, "sft": 2, "gpt": 3}, "bob"),
    ranking("3", {"sft": 1, "ppo": 2}, "eve"),
    rating("1", "ppo", 7),
    rating("1", "ppo", 6, "bob"),
    rating("2", "ppo", 4, "bob"),
    rating("1", "gpt", 2),
    rating("2", "gpt", 2, "bob"),
)


def test_the_example_in_the_docstring_holds():
    assert doctest.testmod(human) == (0, 4)


def test_win_rate_counts_a_tie_as_half():
    # ppo against sft: 1 and 1 on prompt 1, ½ and 1 on prompt 2, 0 on prompt 3.
    interval = HumanEvaluator(STORE).win_rate("ppo", "sft")
    assert (interval.estimate, interval.n) == (0.7, 5)
    # The prompts' sums deviate by 0.6, 0.1 and -0.7: a variance of 3 / 2 · 0.86 / 25.
    assert_score_interval(interval, 0.7, trials=0.21 / 0.0516, df=2)


def test_win_rate_is_clustered_by_prompt():
    # 40 labelers of one mind on each of 10 prompts: no more than 10 independent wins and losses.
    store = [
        ranking(str(p), {"a": 1 + p % 2, "b": 2 - p % 2}, str(k))
        for p in range(10)
        for k in range(40)
    ]
    interval = HumanEvaluator(store).win_rate("a", "b")
    assert (interval.estimate, interval.n) == (0.5, 400)
    # Clusters' sums deviate by 20: a variance of 10 / 9 · 10 · 20² / 400², as of 9 trials.
    assert_score_interval(interval, 0.5, trials=9, df=9)


def test_win_rates_of_the_two_sides_add_up_to_one():
    evaluator = HumanEvaluator(STORE)
    for a, b in (("ppo", "sft"), ("ppo", "gpt"), ("sft", "gpt")):
        one, other = evaluator.win_rate(a, b), evaluator.win_rate(b, a)
        assert one.estimate == pytest.approx(1 - other.estimate)
        assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low))


def test_every_response_of_a_model_is_compared_and_none_with_its_own():
    responses = [{"text": str(i), "model": m} for i, m in enumerate(["ppo", "ppo", "sft", None])]
    store = [Ranking(prompt="p", responses=responses, ranks=(1, 3, 2, 4))]
    interval = HumanEvaluator(store).win_rate("ppo", "sft")
    assert (interval.estimate, interval.n) == (0.5, 2)
    assert HumanEvaluator(store).models == ("ppo", "sft")
    with pytest.raises(UserError, match="never compared"):
        HumanEvaluator(store).win_rate("ppo", "ppo")


def test_a_unanimous_win_rate_keeps_an_interval():
    store = [ranking(str(p), {"a": 1, "b": 2}) for p in range(8)]
    interval = HumanEvaluator(store).win_rate("a", "b")
    assert interval.low == pytest.approx(8 / (8 + t.ppf(0.975, 7) ** 2))  # Wilson's of 8 of 8
    assert interval.high == 1


def test_win_rates_over_a_baseline():
    rates = HumanEvaluator(STORE).win_rates("sft")
    assert {model: (i.estimate, i.n) for model, i in rates.items()} == {
        "gpt": (0.375, 4),  # 0 and ½ on prompt 1, 1 and 0 on prompt 2
        "ppo": (0.7, 5),
    }


def test_bradley_terry_of_two_models_is_half_the_log_odds():
    strengths = HumanEvaluator([r for r in STORE if r.prompt_id == "3"] * 2 + [
        ranking("4", {"sft": 3, "ppo": 1})
    ]).bradley_terry()  # fmt: skip
    assert strengths == pytest.approx({"ppo": -0.3466, "sft": 0.3466}, abs=1e-4)  # ln(2) / 2


def test_agreement_counts_pairs_untied_for_both_whatever_the_order_shown():
    # Prompt 1: both have ppo above sft and gpt. Prompt 2: they differ on ppo, gpt and on sft, gpt.
    interval = HumanEvaluator(STORE).agreement()
    assert (interval.estimate, interval.n) == (0.5, 4)


def test_agreement_keeps_copies_of_a_text_apart():
    responses = [{"text": "same", "model": "m"}, {"text": "same", "model": "m"}]
    store = [
        Ranking(prompt="p", responses=responses, ranks=(1, 2), labeler_id=labeler)
        for labeler in ("ann", "bob")
    ]
    assert HumanEvaluator(store).agreement().n == 1


def test_agreement_needs_to_know_the_labelers():
    store = [ranking("1", {"a": 1, "b": 2}, labeler) for labeler in (None, None, "ann")]
    with pytest.raises(UserError, match="no two labelers"):
        HumanEvaluator(store).agreement()


def test_likert_means():
    means = HumanEvaluator(STORE).likert()
    assert {m: (round(i.estimate, 6), i.n) for m, i in means.items()} == {
        "gpt": (2, 2),
        "ppo": (round(17 / 3, 6), 3),
    }
    # Of 7 / 9 the sums 1/2 and 11/6 of 1 and 2 ratings deviate by 5/18: 504 / 100 trials.
    shares = replace(means["ppo"], low=(means["ppo"].low - 1) / 6, high=(means["ppo"].high - 1) / 6)
    assert_score_interval(shares, 7 / 9, trials=5.04, df=1)
    assert 1 <= means["gpt"].low < 2 < means["gpt"].high < 7  # equal ratings leave a doubt


def test_models_never_compared_are_an_error_that_names_those_that_are_there():
    evaluator = HumanEvaluator([ranking("1", {"a": 1, "b": 2}), ranking("2", {"c": 1, "b": 2})])
    for compute in (lambda: evaluator.win_rate("a", "c"), lambda: evaluator.win_rate("a", "a")):
        with pytest.raises(UserError, match="never compared; the rankings hold 'a', 'b', 'c'"):
            compute()
    with pytest.raises(UserError, match=r"no model was compared with 'd'; .* 'a', 'b', 'c'"):
        evaluator.win_rates("d")
    with pytest.raises(UserError, match=r"\[a\] never lost to \[b, c\]"):
        evaluator.bradley_terry()


def test_an_empty_store_says_so():
    evaluator = HumanEvaluator([])
    for compute in (evaluator.bradley_terry, evaluator.agreement, evaluator.likert):
        with pytest.raises(UserError, match=r"no two|none of the 0 ratings"):
            compute()
    with pytest.raises(UserError, match="no model names"):
        evaluator.win_rate("a", "b")


def test_other_records_are_refused():
    with pytest.raises(UserError, match="found Prompt"):
        HumanEvaluator([Prompt(prompt="p")])


def test_summary_is_json_and_says_what_it_cannot_tell():
    summary = HumanEvaluator(iter(STORE)).summary()  # read once, as a database would be
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    counts = {key: summary[key] for key in ("rankings", "ratings", "prompts", "labelers", "models")}
    assert counts == {
        "rankings": 5,
        "ratings": 5,
        "prompts": 3,
        "labelers": 3,
        "models": ["gpt", "ppo", "sft"],
    }
    assert summary["win_rates"]["ppo"]["sft"]["estimate"] == 0.7
    assert set(summary["win_rates"]["gpt"]) == {"ppo", "sft"}
    assert set(summary["bradley_terry"]) == set(summary["models"])
    assert summary["agreement"]["n"] == 4
    assert summary["notes"] == []

    summary = HumanEvaluator([ranking("1", {"a": 1, "b": 2})]).summary()
    assert (summary["bradley_terry"], summary["agreement"], summary["likert"]) == (None, None, None)
    assert len(summary["notes"]) == 3


@pytest.mark.parametrize("as_type", [str, lambda path: path])
def test_a_store_may_be_a_file_of_rankings(tmp_path, as_type):
    path = tmp_path / "rankings.jsonl"
    records = [record for record in STORE if isinstance(record, Ranking)]
    path.write_text("".join(record.model_dump_json() + "\n" for record in records))
    assert HumanEvaluator(as_type(path)).rankings == tuple(records)
