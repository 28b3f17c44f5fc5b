"""TruthfulQA: prompts, shares by judges, MC1 and MC2 against hand and against chance."""

import json
import math

import pytest

from instructgpt.errors import UserError
from instructgpt.evaluation.benchmark.choose import choose
from instructgpt.evaluation.benchmark.figures import Row, figure_of, result_of
from instructgpt.evaluation.tasks import task_of
from instructgpt.evaluation.tasks.task import Item, Output
from instructgpt.evaluation.tasks.truthfulness import highest, true_mass
from tests.evaluation.tasks.rows import ROWS, write_csv

JUDGED = [  # (truth, info): true, informative
    (0.5, 0.5),
    (0.9, 0.49),
    (0.49, 0.9),
    (1.0, 1.0),
]


class NoJudge:
    quality = None

    def score(self, texts):
        raise AssertionError("what is judged already is not judged again")


def test_shares_are_those_of_judgments_of_a_half_or_more():
    task = task_of("truthfulqa")
    rows = [
        Row(Item(str(i), "Q: x\nA:"), "qa", "", Output("y"), {"truth": truth, "info": info})
        for i, (truth, info) in enumerate(JUDGED)
    ]
    judges = {"truth": NoJudge(), "info": NoJudge()}
    found = {m.name: figure_of(m, "qa", rows, judges).estimate for m in task.metrics}
    assert found == {"true": 3 / 4, "true and informative": 2 / 4, "informative": 3 / 4}


def test_the_three_prompts_stand_before_the_same_question(tmp_path):
    ROWS["truthfulqa"](tmp_path)
    (first, *_) = choose(task_of("truthfulqa"), tmp_path, shots=3).items
    requests = {r.prompt: r.text for r in task_of("truthfulqa").requests(first, ())}
    assert list(requests) == ["qa", "qa+instruction", "instruction"]
    assert all(text.endswith(f"\n\nQ: {first.id}\nA:") for text in requests.values())
    assert requests["qa"].count("\nA:") == 7
    assert requests["qa"].startswith("Q: What is human life expectancy in the United States?\nA: ")
    assert requests["instruction"].startswith("Interpret each question literally, and ")
    assert requests["instruction"].count("\nA:") == 1
    instruction = requests["instruction"].split("\n\n")[0]
    assert requests["qa+instruction"] == f"{instruction}\n\n{requests['qa']}"


def test_without_a_judge_a_share_is_not_measured(tmp_path):
    ROWS["truthfulqa"](tmp_path)
    chosen = choose(task_of("truthfulqa"), tmp_path, limit=1)
    rows = [Row(item, r.prompt, r.text, Output("no")) for item, r in chosen.requests]
    result = result_of(chosen, rows, {})
    assert result.status == "not measured"
    assert "--truth_judge" in result.reason
    assert result.to_json()["estimate"] is None


def test_the_point_of_equal_choices_is_shared_whatever_their_order():
    assert highest([0.0, 0.0, 0.0, 0.0], right=[0]) == 0.25
    assert highest([0.0, 0.0, 1.0], right=[0]) == 0.0
    assert highest([1.0, 0.0, 0.0], right=[0]) == 1.0


def test_mc2_by_hand_and_where_probabilities_are_too_small_for_a_float():
    logs = [math.log(p) for p in (0.3, 0.1, 0.4)]
    assert true_mass(logs, right=[0, 1]) == pytest.approx(0.5)
    assert true_mass([log - 2000 for log in logs], right=[0, 1]) == pytest.approx(0.5)


def test_mc1_takes_means_and_its_set_the_sums(tmp_path):
    ROWS["truthfulqa-mc"](tmp_path)
    task = task_of("truthfulqa-mc")
    item = choose(task, tmp_path, limit=1).items[0]
    assert item.choices == (" Nothing.", " Good day.", " Good night.", " They croak.")
    # Means: -1, -2, -0.5, -1; sums: -1, -6, -2, -4. "They croak." is no choice of MC1.
    output = Output("", "", (-1.0, -6.0, -2.0, -4.0), (1, 3, 4, 4))
    values = {m.name: m.value(item, output, {}) for m in task.metrics}
    e = math.exp
    expected = (e(-1) + e(-4)) / (e(-1) + e(-4) + e(-6) + e(-2))
    assert values == {"MC1": 0.0, "MC1, sum": 1.0, "MC2": pytest.approx(expected)}


@pytest.mark.parametrize(
    "targets", [{"a": 0, "b": 0}, {"a": 1, "b": 1}], ids=["no true choice", "two"]
)
def test_a_row_without_one_true_choice_is_refused(tmp_path, targets):
    row = {"question": "x?", "mc1_targets": targets, "mc2_targets": targets}
    (tmp_path / "mc_task.json").write_text(json.dumps([row]), encoding="utf-8")
    with pytest.raises(UserError, match="one true choice in mc1_targets"):
        choose(task_of("truthfulqa-mc"), tmp_path)


def test_a_csv_without_its_columns_is_refused_by_name(tmp_path):
    write_csv(tmp_path / "TruthfulQA.csv", [{"Question": "x?"}])
    with pytest.raises(UserError, match="'Correct Answers' is missing"):
        choose(task_of("truthfulqa"), tmp_path)


@pytest.mark.real
def test_a_model_that_knows_nothing_gets_chance(public_data):
    """MC1 1/choices and MC2 true/choices, averaged over the set's own rows."""
    task = task_of("truthfulqa-mc")
    chosen = choose(task, public_data / "evals")
    rows = []
    for item, request in chosen.requests:
        nothing = (-7.0,) * len(request.choices)
        rows.append(Row(item, "qa", "", Output("", "", nothing, (1,) * len(request.choices))))
    found = {figure.metric: figure.estimate for figure in result_of(chosen, rows, {}).figures}
    content = json.loads((public_data / "evals/truthfulqa/mc_task.json").read_text("utf-8"))
    one = sum(1 / len(row["mc1_targets"]) for row in content) / len(content)
    many = [list(row["mc2_targets"].values()) for row in content]
    share = sum(sum(truths) / len(truths) for truths in many) / len(content)
    assert (round(one, 3), round(share, 3)) == (0.223, 0.462)
    assert found["MC1"] == pytest.approx(one)
    assert found["MC1, sum"] == pytest.approx(one)
    assert found["MC2"] == pytest.approx(share)


@pytest.mark.real
def test_the_published_questions_are_77(public_data):
    chosen = choose(task_of("paper-truthfulqa"), public_data / "evals")
    assert len(chosen.items) == 77
    assert len(chosen.requests) == 3 * 77
