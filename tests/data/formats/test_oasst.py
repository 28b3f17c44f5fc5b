from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from instructgpt.data.formats.oasst import FORMAT, fits, group, to_demonstrations, to_rankings
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.records import Demonstration, Ranking

from .reading import one, read_all, reason, rows_of_file, texts


def message(name: str, role: str, text: str, *replies: Any, **fields: Any) -> dict[str, Any]:
    return {
        "message_id": name,
        "parent_id": "t1",
        "text": text,
        "role": role,
        "lang": "en",
        "review_count": 3,
        "review_result": True,
        "deleted": False,
        "synthetic": False,
        "replies": list(replies),
        **fields,
    }


def said(name: str, text: str, *replies: Any, **fields: Any) -> dict[str, Any]:
    return message(name, "assistant", text, *replies, **fields)


def asked(name: str, text: str, *replies: Any, **fields: Any) -> dict[str, Any]:
    return message(name, "prompter", text, *replies, **fields)


def tree(*replies: Any, state: str = "ready_for_export", **root: Any) -> dict[str, Any]:
    prompt = asked("t1", "Which is heavier?", *replies, **root)
    return {"message_tree_id": "t1", "tree_state": state, "prompt": prompt}


IRON, CORK = said("a", "Iron.", rank=0), said("b", "Cork.", rank=1)
TREE = tree(
    said(
        "a",
        "Iron.",
        asked("c", "Why?", said("e", "Dense.", rank=2), said("f", "Heavy.", rank=0)),
        asked("d", "Sure?", said("g", "Yes.")),
        rank=1,
        model_name="m1",
    ),
    said("b", "Cork.", rank=0, labels={"quality": {"value": 0.5, "count": 2}}),
)


def test_at_each_message_the_ranked_replies_are_a_ranking_with_the_thread_as_prompt():
    first, second = to_rankings(TREE).records
    assert isinstance(first, Ranking)
    assert isinstance(second, Ranking)
    assert [turn.content for turn in first.prompt] == ["Which is heavier?"]
    assert (texts(first), first.ranks) == (["Iron.", "Cork."], (2, 1))
    assert first.responses[0].model == "m1"
    assert (first.responses[1].model_extra or {})["labels"] == {
        "quality": {"value": 0.5, "count": 2}
    }
    assert [(turn.role, turn.content) for turn in second.prompt] == [
        ("user", "Which is heavier?"),
        ("assistant", "Iron."),
        ("user", "Why?"),
    ]
    assert (texts(second), second.ranks) == (["Dense.", "Heavy."], (2, 1))  # the gap is closed
    assert second.model_extra == {"message_tree_id": "t1", "parent_id": "c"}
    assert to_rankings(TREE).left_out == {Reason.UNRANKED: 1}


def test_equal_ranks_tie_and_null_or_missing_ones_are_left_out():
    replies = [
        said("a", "Iron.", rank=1),
        said("b", "Lead.", rank=1),
        said("c", "Cork.", rank=3),
        said("d", "Wood.", rank=None),
        said("e", "Air."),
    ]
    record = one(to_rankings, tree(*replies))
    assert (texts(record), record.ranks) == (["Iron.", "Lead.", "Cork."], (1, 1, 2))
    assert to_rankings(tree(*replies)).left_out == {Reason.UNRANKED: 2}


def test_what_is_deleted_empty_or_refused_is_left_out_with_all_that_answers_it():
    below = asked("w", "Why?", said("x", "So.", rank=0), said("y", "Well.", rank=1))
    replies = [
        IRON,
        CORK,
        said("c", "Gold.", below, rank=2, deleted=True),
        said("d", " \n", rank=3),
        said("e", "Spam.", rank=4, review_result=False),
    ]
    found = to_rankings(tree(*replies))
    assert [texts(record) for record in found.records] == [["Iron.", "Cork."]]
    assert found.left_out == {
        Reason.DELETED: 1,
        Reason.EMPTY_ANSWER: 1,
        Reason.REFUSED: 1,
        Reason.BELOW: 2,
    }


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (tree(IRON, CORK, state="aborted_low_grade"), Reason.NOT_READY),
        (tree(IRON), Reason.NO_RANKING),
        (tree(), Reason.NO_RANKING),
        (tree(IRON, CORK, deleted=True), Reason.NO_RANKING),
        (tree(IRON, said("b", "Iron.", rank=1)), Reason.NO_RANKING),
        (tree(said("a", "x", rank="first")), Reason.WRONG_VALUE),
        (tree({**IRON, "role": "moderator"}), Reason.WRONG_VALUE),
        (tree(said("a", 7)), Reason.WRONG_VALUE),  # type: ignore[arg-type]
        (tree({**IRON, "replies": "none"}), Reason.WRONG_VALUE),
        ({**TREE, "prompt": "Which?"}, Reason.WRONG_VALUE),
    ],
)
def test_trees_without_a_ranking_are_skipped(row: dict[str, Any], expected: Reason):
    assert reason(to_rankings, row) is expected


def test_one_ranked_reply_is_counted_beside_the_trees_rankings():
    lone = asked("c", "Why?", said("e", "Dense.", rank=0))
    assert to_rankings(tree(said("a", "Iron.", lone, rank=0), CORK)).left_out == {
        Reason.ONE_ANSWER: 1
    }


def test_more_than_ten_replies_are_no_ranking():
    replies = [said(f"r{n}", f"Answer {n}", rank=n) for n in range(11)]
    found = to_rankings(tree(said("a", "Iron.", asked("q", "Why?", *replies), rank=0), CORK))
    assert (len(found.records), found.left_out) == (1, {Reason.MANY_ANSWERS: 11})


def test_as_a_demonstration_the_best_ranked_path_is_followed():
    record = one(to_demonstrations, TREE)
    assert ([turn.content for turn in record.prompt], record.response) == (
        ["Which is heavier?"],
        "Cork.",
    )
    deeper = tree(said("b", "Cork.", rank=1), TREE["prompt"]["replies"][0] | {"rank": 0})
    record = one(to_demonstrations, deeper)
    assert [turn.content for turn in record.prompt] == ["Which is heavier?", "Iron.", "Why?"]
    assert record.response == "Heavy."
    assert to_demonstrations(deeper).left_out == {Reason.OFF_PATH: 2, Reason.UNRANKED: 1}


def test_of_replies_without_ranks_a_demonstration_takes_only_a_single_one():
    assert one(to_demonstrations, tree(said("a", "Iron."))).response == "Iron."
    two = tree(said("a", "Iron."), said("b", "Cork."))
    assert reason(to_demonstrations, two) is Reason.NO_RANKING
    assert reason(to_demonstrations, tree(IRON, deleted=True)) is Reason.NO_RANKING


def flat(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages of a tree as rows, the last one first, as no order is promised."""
    rows, waiting = [], [{**row["prompt"], "parent_id": None}]
    while waiting:
        found = waiting.pop()
        names = ("message_tree_id", "tree_state")
        rows.append({k: v for k, v in found.items() if k != "replies"} | {k: row[k] for k in names})
        waiting += [{**r, "parent_id": found["message_id"]} for r in found["replies"]]
    return rows[::-1]


def test_messages_one_a_row_give_the_same_rankings():
    rows = flat(TREE)
    assert all(fits(row) and group(row) == "t1" for row in rows)
    assert group(TREE) is None
    found = to_rankings(rows)
    ranked = [sorted(zip(texts(r), r.ranks, strict=True)) for r in found.records]  # type: ignore[attr-defined]
    assert sorted(ranked) == [[("Cork.", 1), ("Iron.", 2)], [("Dense.", 2), ("Heavy.", 1)]]
    unused = {rows[place]["message_id"]: skip.reason for place, skip in found.skipped.items()}
    assert unused == {"d": Reason.NO_RANKING, "g": Reason.UNRANKED}


def test_rows_that_hang_from_no_message_are_skipped_and_a_tree_needs_one_root():
    stray = said("z", "Lost.", parent_id="nobody", rank=0)
    rows = [*flat(tree(IRON, CORK)), {**stray, "message_tree_id": "t1"}]
    assert {place: s.reason for place, s in to_rankings(rows).skipped.items()} == {
        3: Reason.WRONG_VALUE
    }
    assert reason(to_rankings, rows[:2]) is Reason.WRONG_VALUE
    assert reason(group, {"message_tree_id": 7, "text": "x"}) is Reason.WRONG_VALUE


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (TREE, True),
        ({"message_tree_id": "t1", "prompt": {"text": "Hi"}}, False),
        ({"message_tree_id": "t1", "text": "Hi", "role": "prompter", "message_id": "t1"}, True),
        ({"message_id": "t1", "text": "Hi", "role": "prompter"}, False),
        ({"prompt": "Hi"}, False),
    ],
)
def test_fits_trees_and_their_messages(row: dict[str, Any], expected: bool):
    assert fits(row) is expected


@pytest.mark.real
def test_the_shared_trees_hold_160_ranked_places(public_data: Path):
    rows = rows_of_file(public_data / "comparisons" / "oasst1_en_trees.jsonl.gz")
    records, skipped, left_out = read_all(FORMAT, Ranking, rows)
    counts = Counter(len(texts(record)) for record in records)
    assert counts == {2: 44, 3: 86, 4: 23, 5: 1, 6: 5, 8: 1}
    assert (len(rows), len(records), skipped, left_out) == (75, 160, {}, {"unranked reply": 36})
    demonstrations, skipped, _ = read_all(FORMAT, Demonstration, rows)
    assert (len(demonstrations), skipped) == (74, {"no ranked replies": 1})
