"""QuAC's F1, by hand: one is measured as people are, each against the others."""

import pytest

from instructgpt.evaluation.metrics.quac import human_f1, quac_f1, spans

NO = "CANNOTANSWER"


@pytest.mark.parametrize(
    ("text", "answers", "expected"),
    [
        ("red fox", ["red fox"], 1.0),
        ("red fox", ["red fox", "blue"], 0.5),  # without the first 0, without the second 1
        ("red fox", ["red fox", "red fox", "blue"], 1.0),  # one of them is always left
        ("red", ["red fox", "red", "blue"], (2 / 3 + 1 + 1) / 3),
        (NO, [NO], 1.0),
        ("red", [NO], 0.0),
        (NO, ["red", NO, "fox"], 0.0),
        (NO, ["red", NO], 1.0),
        ("cannotanswer", [NO], 0.0),  # the word itself, as the scorer compares it
        ("", ["red"], 0.0),
    ],
)
def test_f1(text, answers, expected):
    assert quac_f1(text, answers) == pytest.approx(expected)


def test_people_are_measured_as_a_model_is():
    assert human_f1(["red"]) == 1.0
    assert human_f1(["red fox", "red", "blue"]) == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert human_f1(["a b", NO, NO]) == 1.0  # what counts is the one answer NO


def test_references_that_count():
    assert spans([NO, "x", "y"]) == ["x", "y"]
    assert spans([NO, NO, "x", "y"]) == [NO]
