"""Few-shot rows as demonstrations, by hand."""

import pytest

from instructgpt.data.few_shot import demonstrations, few_shot_text

PAIRS = [{"input": word, "output": answer} for word, answer in (("1", "a"), ("2", "b"), ("3", "c"))]
ROW = {"id": "f", "instruction": "Go on.", "examples": PAIRS, "use_case": "other", "split": "valid"}


def test_each_pair_is_asked_once_with_the_others_before_it():
    found = demonstrations(ROW)
    assert [(one.prompt_id, one.prompt, one.response) for one in found] == [
        ("f-1", "Go on.\n\nInput: 2\nOutput: b\n\nInput: 3\nOutput: c\n\nInput: 1\nOutput:", "a"),
        ("f-2", "Go on.\n\nInput: 1\nOutput: a\n\nInput: 3\nOutput: c\n\nInput: 2\nOutput:", "b"),
        ("f-3", "Go on.\n\nInput: 1\nOutput: a\n\nInput: 2\nOutput: b\n\nInput: 3\nOutput:", "c"),
    ]
    assert [one.model_extra for one in found] == [{"use_case": "other", "split": "valid"}] * 3


def test_one_pair_has_no_context():
    (one,) = demonstrations({"id": "g", "instruction": "Go on.", "examples": PAIRS[:1]})
    assert one.prompt == "Go on.\n\nInput: 1\nOutput:"


@pytest.mark.parametrize(
    ("columns", "begins"),
    [
        ({"instruction": 3}, "instruction: must be a text"),
        ({"examples": []}, "examples: must be a list"),
        ({"examples": ["x"]}, "examples.0.input: must be a text"),
        ({"examples": [*PAIRS, {"input": "4"}]}, "examples.3.output: must be a text"),
        ({"examples": [{"input": "4", "output": " "}]}, "examples.0.output: is empty"),
    ],
)
def test_what_is_no_few_shot_row_is_named_by_its_field(columns, begins):
    with pytest.raises(ValueError, match=f"^{begins}"):
        few_shot_text({**ROW, **columns})
