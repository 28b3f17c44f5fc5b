"""Which items are scored and which are shown, whatever the file's order."""

import gzip
import hashlib
import random
from dataclasses import replace

import pytest

from instructgpt.errors import UserError
from instructgpt.evaluation.benchmark.choose import choose, find
from tests.evaluation.benchmark.tasks import Quiz
from tests.files import sentence, write_rows


def questions(count, *, passages=0, first=0):
    return [
        {"id": i, "q": f"what is {i}?", "a": f"number {i}"}
        | ({"passage": f"passage {i % passages}"} if passages else {})
        for i in range(first, first + count)
    ]


def ids(items):
    return [item.id for item in items]


def chosen(folder, rows, **options):
    write_rows(folder / "quiz.jsonl", rows)
    return choose(Quiz(), folder, **options)


def test_a_limit_takes_the_same_items_whatever_the_order_of_the_file(tmp_path):
    rows = questions(40)
    first = chosen(tmp_path, rows, limit=7)
    random.Random(0).shuffle(rows)
    second = chosen(tmp_path, rows, limit=7)
    assert first.items == second.items
    assert len(first.items) == 7
    assert first.data != second.data  # the file is another
    assert ids(chosen(tmp_path, rows, limit=7, seed=1).items) != ids(first.items)
    # A smaller limit takes the first of a larger one's, and none takes them all.
    assert chosen(tmp_path, rows, limit=3).items == first.items[:3]
    assert sorted(map(int, ids(chosen(tmp_path, rows).items))) == [*range(40)]
    # What is left out of the file moves none of the others.
    kept = {item.id for item in first.items[:3]} | {str(i) for i in range(0, 40, 2)}
    some = chosen(tmp_path, [row for row in rows if str(row["id"]) in kept])
    assert [i for i in ids(first.items) if i in kept] == [
        i for i in ids(some.items) if i in ids(first.items)
    ]


def test_equal_ids_are_told_apart_whatever_the_order_of_the_file(tmp_path):
    rows = [{"id": "x", "q": q, "a": "a"} for q in "bca"] + questions(3)
    first = chosen(tmp_path, rows)
    assert {i.id: i.query for i in first.items if i.id[0] == "x"} == {
        "x": "Q: a\nA:",
        "x#2": "Q: b\nA:",
        "x#3": "Q: c\nA:",
    }
    assert chosen(tmp_path, rows[::-1]).items == first.items


@pytest.mark.parametrize("seed", range(5))
def test_no_scored_item_is_shown_nor_its_passage(seed, tmp_path):
    found = chosen(tmp_path, questions(30, passages=6), shots=3, seed=seed)
    shown, scored = ({item.cluster for item in part} for part in (found.examples, found.items))
    assert len(found.examples) == len(shown) == 3  # one of a passage
    assert len(scored) == 3
    assert not shown & scored
    assert len(found.items) == 15


def test_a_question_that_comes_twice_is_not_shown_before_itself(tmp_path):
    rows = [{"id": i, "q": f"what is {i % 4}?", "a": "a"} for i in range(12)]
    for seed in range(8):
        found = chosen(tmp_path, rows, shots=1, seed=seed)
        (example,) = found.examples
        assert example.query not in {item.query for item in found.items}
        assert len(found.items) == 9


def test_examples_move_no_scored_item_of_a_limit(tmp_path):
    rows = questions(40)
    without = chosen(tmp_path, rows, limit=10)
    few = chosen(tmp_path, rows, limit=10, shots=5)
    assert few.items == without.items
    assert (few.name, without.name) == ("quiz-5shot", "quiz")
    _, request = few.requests[0]
    blocks = request.text.split("\n\n")
    assert blocks[:-1] == [f"{e.query} {e.references[0]}" for e in few.examples]
    assert blocks[-1] == few.items[0].query


def test_a_file_of_examples_is_used_and_what_is_scored_left_out_of_it(tmp_path):
    scored = questions(10, passages=2)
    train = [
        *questions(4, first=6),
        {"id": 90, "q": "elsewhere?", "a": "a", "passage": "passage 1"},  # one that is scored
        {"id": 91, "q": "new?", "a": "a", "passage": "other"},
        {"id": 92, "q": "newer?", "a": "a", "passage": "other"},
        {"id": 93, "q": "newest?", "a": "a"},
    ]
    write_rows(tmp_path / "quiz_train.jsonl", train)
    found = chosen(tmp_path, scored, shots=2)
    assert len(found.items) == 10
    queries = {item.query for item in found.examples}
    assert "Q: newest?\nA:" in queries
    assert len(queries & {"Q: new?\nA:", "Q: newer?\nA:"}) == 1
    too_many = chosen(tmp_path, scored, shots=3)
    assert too_many.reason == f"{tmp_path / 'quiz_train.jsonl'} has 2 examples, not 3"
    assert too_many.items == ()
    # Without examples their file has no part in it.
    assert chosen(tmp_path, scored).data != found.data


def test_a_task_that_takes_no_examples_shows_none(tmp_path):
    class Bare(Quiz):
        takes_shots = False

    write_rows(tmp_path / "quiz.jsonl", questions(5))
    found = choose(Bare(), tmp_path, shots=3)
    assert (found.shots, found.examples, len(found.items)) == (0, (), 5)


def test_too_few_items_for_the_examples(tmp_path):
    assert chosen(tmp_path, questions(2), shots=3).reason.endswith("has 2 examples, not 3")
    assert chosen(tmp_path, questions(2), shots=2).reason.endswith("quiz.jsonl has no items")


def test_a_missing_file_folder_or_package_is_a_reason(tmp_path):
    class Heavy(Quiz):
        needs = ("json", "no_such_package")

    assert choose(Quiz(), tmp_path).reason == f"no quiz.jsonl in {tmp_path}"
    assert choose(Quiz(), "").reason == "no folder of data: give --data_dir"
    assert choose(Heavy(), tmp_path).reason == (
        "no_such_package is not installed: pip install 'instructgpt[eval]'"
    )
    with pytest.raises(UserError, match="elsewhere is no folder") as raised:
        choose(Quiz(), tmp_path / "elsewhere")
    sentence(raised)


def test_a_file_is_found_at_any_depth_gzipped_or_not(tmp_path):
    deep = tmp_path / "a" / "b"
    (deep / "quiz.jsonl").mkdir(parents=True)  # a folder of that name is none
    assert find(("quiz.jsonl",), tmp_path) is None
    packed = deep / "quiz.jsonl.gz"
    packed.write_bytes(gzip.compress(b'{"id": 1, "q": "why?", "a": "so"}\n'))
    assert find(("other.jsonl", "quiz.jsonl"), tmp_path) == packed
    assert ids(choose(Quiz(), tmp_path).items) == ["1"]
    write_rows(tmp_path / "quiz.jsonl", questions(1))
    assert find(("*.jsonl",), tmp_path) in {tmp_path / "quiz.jsonl", packed}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"id": 1, "q": "why?"}, "'a' is missing"),
        ({"id": 1, "q": "why?", "a": "so", "wrong": "no", "right": [2]}, "no choice 2 among 2"),
        ({"id": 1, "q": "why?", "a": "so", "wrong": "no", "right": [-1]}, "no choice -1 among 2"),
    ],
)
def test_a_row_that_is_not_in_the_sets_format_is_named(row, said, tmp_path):
    with pytest.raises(UserError, match=said) as raised:
        chosen(tmp_path, [*questions(2), row])
    assert "quiz.jsonl: not in the format of quiz, behind item 2" in sentence(raised)


def test_the_digest_is_that_of_the_files(tmp_path):
    found = chosen(tmp_path, questions(3))
    assert found.data == hashlib.sha256((tmp_path / "quiz.jsonl").read_bytes()).hexdigest()
    assert replace(found, data="") != found
