"""Win rates against a judge whose verdicts are known."""

import pytest

from instructgpt.data.records import Message
from instructgpt.evaluation.compare import answer, compare, win_rate
from instructgpt.rollout.episode import Completion
from tests.ppo.letters import letter_policy


class Length:
    """Longer is better; remembers what it was shown."""

    def __init__(self):
        self.seen = []

    def score(self, prompts, responses, *, finished):
        self.seen.append((list(prompts), list(responses), list(finished)))
        return [len(response) for response in responses]


def completions(*texts):
    return [Completion(text, [], [], text.endswith(".")) for text in texts]


def test_a_tie_is_half_a_win():
    judge = Length()
    result = compare(
        ["p", "q"], completions("aaa", "b", "cc.", "d"), completions("a", "bb", "cc.", ""), judge
    )
    assert result.win_rate.estimate == (1 + 0 + 0.5 + 1) / 4
    assert result.win_rate.n == 4
    assert result.a.scores == [3.0, 1.0, 3.0, 1.0]
    assert judge.seen[0] == (
        ["p", "p", "q", "q"],
        ["aaa", "b", "cc.", "d"],
        [False, False, True, False],
    )


def test_the_pairs_for_a_report():
    turns = (Message(role="user", content="Hi"),)
    result = compare(["p", turns], completions("aaa", "b"), completions("a", "bb"), Length())
    assert result.pairs(["p", turns]) == [
        {"prompt": "p", "a": "aaa", "b": "a", "score_a": 3.0, "score_b": 1.0},
        {"prompt": "User: Hi\n\nAssistant:", "a": "b", "b": "bb", "score_a": 1.0, "score_b": 2.0},
    ]


def test_answers_of_one_prompt_are_one_cluster():
    """Four answers that agree tell less than four prompts that do."""
    wins, losses = completions("aa", "aa", "aa", "aa"), completions("b", "b", "b", "b")
    mixed_a, mixed_b = [*wins, *losses], [*losses, *wins]
    two, eight = (
        compare([f"p{i}" for i in range(n)], mixed_a, mixed_b, Length()).win_rate for n in (2, 8)
    )
    assert two.estimate == eight.estimate == 0.5
    assert two.high - two.low > 1.2 * (eight.high - eight.low)


def test_answers_of_one_prompt_stand_side_by_side():
    policy = letter_policy()
    both = answer(policy, ["cab", "fed"], samples=3, seed=4, max_new_tokens=6)
    assert both == policy.generate(["cab"] * 3 + ["fed"] * 3, seed=4, max_new_tokens=6)
    assert len({completion.text for completion in both[:3]}) > 1


def test_win_rate_of_two_policies():
    a, b = letter_policy(seed=1), letter_policy(seed=2)
    prompts = ["cab", "fed", "a"]
    settings = {"seed": 3, "max_new_tokens": 12}
    judge = Length()
    interval = win_rate(a, b, prompts, judge, samples=2, **settings)
    texts = [[c.text for c in answer(p, prompts, samples=2, **settings)] for p in (a, b)]
    verdicts = [(len(x) > len(y)) + 0.5 * (len(x) == len(y)) for x, y in zip(*texts, strict=True)]
    assert interval.estimate == pytest.approx(sum(verdicts) / 6)
    assert interval.n == 6
    assert 0 <= interval.low <= interval.estimate <= interval.high <= 1
    opposite = win_rate(b, a, prompts, judge, samples=2, **settings)
    assert opposite.estimate == pytest.approx(1 - interval.estimate)
    assert win_rate(a, a, prompts, judge, samples=2, **settings).estimate == 0.5


class Majority(Length):
    """Three labelers: two prefer the longer answer, one always prefers b."""

    def prefer(self, prompts, a, b, *, finished_a, finished_b):
        self.asked = (list(prompts), list(finished_a), list(finished_b))
        return [(2 * (len(x) > len(y))) / 3 for x, y in zip(a, b, strict=True)]


def test_a_panel_is_asked_which_it_prefers():
    judge = Majority()
    result = compare(
        ["p", "q"], completions("aaa", "b", "cc.", "d"), completions("a", "bb", "c", ""), judge
    )
    assert result.wins == [2 / 3, 0, 2 / 3, 2 / 3]
    assert result.win_rate.estimate == pytest.approx(0.5)
    assert judge.asked == (["p", "p", "q", "q"], [False, False, True, False], [False] * 4)
    assert result.a.scores == [3.0, 1.0, 3.0, 1.0]


def test_win_rates_by_group_of_prompts():
    a, b = completions("aa", "a", "aa", "a", "a", "a"), completions("b", "bb", "b", "b", "bb", "bb")
    groups = compare(["p", "q", "r"], a, b, Length()).by_group(["x", "y", "x"])
    assert list(groups) == ["x", "y"]
    assert (groups["x"].estimate, groups["x"].n) == ((1 + 0 + 0 + 0) / 4, 4)
    assert (groups["y"].estimate, groups["y"].n) == ((1 + 0.5) / 2, 2)
