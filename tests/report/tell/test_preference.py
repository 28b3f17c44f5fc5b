from instructgpt.report.draw.figures import Row
from instructgpt.report.read.rankings import groups, labelers_of
from instructgpt.report.read.values import Estimate
from instructgpt.report.read.work import StageRun
from instructgpt.report.tell.preference import accuracy_charts, accuracy_of_all, ranking_charts
from instructgpt.report.tell.story import rankings_said, who
from tests.report import fake, rounds
from tests.report.read.test_rankings import rank


def test_labelers_are_called_what_they_are():
    assert who(rounds.TRAINING) == "the simulated labelers"
    assert who(["ana", "ben"]) == "the labelers"
    assert who(["ana", *rounds.TRAINING]) == "the labelers"
    assert who(["written rule"]) == "the written rule"
    assert who(["you"]) == "you"
    assert labelers_of(rank()) == [*rounds.TRAINING, *rounds.HELD_OUT]


def test_rankings_for_training_are_counted_over_rounds():
    found = [*groups(rank()), *groups(rank())]
    assert rankings_said(found) == "2,010 rankings by 6 simulated labelers"
    assert rankings_said([]) == ""


def test_agreement_and_trivial_predictors_are_drawn():
    agreement, trivial = ranking_charts([rank()])
    assert agreement.alt == "training 73\xa0% (72–74\xa0%); held-out 74\xa0% (70–78\xa0%)"
    assert "two of the simulated labelers" in agreement.caption
    assert trivial.alt == "ended 57\xa0%; characters 56\xa0%; words 55\xa0%; warm words 53\xa0%"
    assert "all below 60\xa0%" in trivial.caption


def test_a_feature_that_explains_the_rankings_is_named():
    chart = ranking_charts([rank(trivial_predictors={"words": 0.71, "ended": 0.52})])[-1]
    assert "at or above 60\xa0%, which is too much: words." in chart.caption


def test_two_rank_stages_share_one_figure_of_agreement():
    titles = [chart.title for chart in ranking_charts([rank(), rank("rank-2")])]
    assert titles == [
        "Agreement of the labelers",
        "Trivial predictors, rank",
        "Trivial predictors, rank-2",
    ]


def test_the_labelers_own_agreement_stands_beside_the_reward_model():
    reference = Row("training labelers", Estimate(0.73, 0.72, 0.74, 4100), hollow=True)
    charts = accuracy_charts(fake.reward_evaluation(), [reference])
    for chart in charts[:3]:
        assert chart.alt.endswith("training labelers 73\xa0% (72–74\xa0%)")
        assert "in practice the ceiling" in chart.caption
    assert "ceiling" not in accuracy_charts(fake.reward_evaluation())[0].caption


def test_reward_models_are_held_against_each_other():
    runs = [
        StageRun(name, "reward", evaluation={"accuracy": fake.interval(share)})
        for name, share in (("reward", 0.7), ("reward-2", 0.72))
    ]
    (chart,) = accuracy_of_all(runs, [])
    assert chart.alt == "reward 70\xa0% (65–75\xa0%); reward-2 72\xa0% (67–77\xa0%)"
    assert accuracy_of_all(runs[:1], []) == []


def test_groups_may_be_anything():
    for wrong in (None, [], "x", {"training": None}, {"training": 3}):
        assert groups(rank(groups=wrong)) == []
        assert ranking_charts([rank(groups=wrong, trivial_predictors=None)]) == []
