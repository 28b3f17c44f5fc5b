"""Which tasks a name means, and what one of the user's own must be."""

import pytest

from instructgpt.errors import UserError
from instructgpt.evaluation.tasks import TASKS, task_of, tasks_of
from instructgpt.evaluation.tasks.task import Task
from tests.evaluation.benchmark.tasks import Quiz
from tests.files import sentence


def names(tasks):
    return [task.name for task in tasks]


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_called_as_it_is_registered_and_says_whose_its_words_are(name):
    task = task_of(name)
    assert isinstance(task, Task)
    assert task.name == name
    assert task.version >= 1
    assert task.source
    assert task.metrics
    assert {p for metric in task.metrics for p in metric.prompts} <= set(task.prompts)
    assert {*task.in_table} <= {metric.name for metric in task.metrics}


def test_names_are_parted_by_commas_and_come_in_the_order_of_table_14():
    assert names(tasks_of(["sst2,hellaswag", "", "winogender", "sst2"])) == [
        "winogender",
        "hellaswag",
        "sst2",
    ]
    assert names(tasks_of("sst2,rte")) == ["rte", "sst2"]
    assert names(tasks_of(["all", "sst2"])) == [*TASKS]


def test_tasks_of_ones_own_come_last():
    quiz = Quiz()
    assert names(tasks_of([quiz, "sst2", quiz])) == ["sst2", "quiz"]
    by_name = "tests.evaluation.benchmark.tasks:Quiz"
    assert names(tasks_of([by_name, "sst2"])) == ["sst2", "quiz"]
    with pytest.raises(UserError, match="two are called 'quiz'") as raised:
        tasks_of([quiz, by_name])
    sentence(raised)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hellaswog", "there is no 'hellaswog' .*hellaswag"),
        ("no_such_module:Task", "there is no module 'no_such_module'"),
        ("tests.evaluation.benchmark.tasks:matched", "is no task"),
        ("tests.evaluation.benchmark.tasks:Nothing", "has no 'Nothing'"),
    ],
)
def test_what_is_no_task_is_said(name, said):
    with pytest.raises(UserError, match=said) as raised:
        tasks_of([name])
    sentence(raised)
