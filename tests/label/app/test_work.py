import math
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructgpt.errors import UserError
from instructgpt.label.app.work import (
    Draft,
    Said,
    against,
    draft_of,
    missing,
    read_draft,
    read_form,
    records_of,
)
from instructgpt.store.desk import Asked
from tests.label.app.test_item import answers

WHOLE = {
    "ratings": {
        "A": {"likert": 6, "flags": ["moral_judgment", "hallucination"], "note": "odd"},
        "B": {"likert": 2, "flags": [], "note": ""},
    },
    "order": "a > b",
    "seconds": 12.5,
    "ranks": {"A": 1, "B": 2},
}


def test_a_form_and_the_pages_json_say_the_same():
    form = [
        ("likert.A", "6"),
        ("flag.A.moral_judgment", "on"),
        ("flag.A.hallucination", "on"),
        ("note.A", "odd"),
        ("likert.B", "2"),
        ("note.B", ""),
        ("order", "a > b"),
        ("seconds", "12.5"),
        ("key", "k"),
        ("revision", "3"),
    ]
    from_form, from_json = read_form(form, 2), read_draft(WHOLE, 2)
    assert from_form.ratings == from_json.ratings
    assert from_form.ratings["A"] == Said(6, ("hallucination", "moral_judgment"), "odd")
    assert (from_form.order, from_form.seconds) == ("a > b", 12.5)
    assert read_draft(from_json.as_json(), 2) == from_json


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ratings": []}, "ratings: expected names with values"),
        ({"ratings": {"C": {}}}, "there is no answer C; name A to B"),
        ({"ratings": {"A": {"likert": 8}}}, "the rating of answer A: expected 1 to 7"),
        ({"ratings": {"A": {"likert": True}}}, "expected 1 to 7"),
        ({"ratings": {"A": {"flags": ["x"]}}}, "there is no question x"),
        ({"ratings": {"A": {"flags": "x"}}}, "expected a list"),
        ({"ratings": {"A": {"note": "x" * 10_001}}}, "a note is a text of 10,000 letters"),
        ({"order": 3}, "the order line"),
        ({"seconds": math.nan}, "seconds"),
        ({"seconds": -1}, "seconds"),
        ({"seconds": 10**400}, "seconds"),
        ({"ranks": {"A": 3}}, "a rank: expected 1 to 2"),
        ({"ranks": {"": 1}}, "there is no answer"),
    ],
)
def test_what_is_no_draft_is_refused_in_a_sentence(change, said):
    with pytest.raises(UserError, match=said):
        read_draft(WHOLE | change, 2)
    with pytest.raises(UserError, match="the draft: expected names"):
        read_draft([WHOLE], 2)


@settings(max_examples=40, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=3) | st.integers(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["ratings", "order", "seconds", "ranks", "A", "likert",
                                       "flags", "note"]), inner, max_size=4)))  # fmt: skip
def test_any_json_is_a_draft_or_a_sentence(value):
    with suppress(UserError):
        draft = read_draft(value, 2)
        assert read_draft(draft.as_json(), 2) == draft


@given(st.lists(st.tuples(
    st.sampled_from(["likert.A", "likert.", "likert", "flag.A", "flag.A.hallucination", "note.B",
                     "order", "seconds", "x"]),
    st.sampled_from(["1", "7", "8", "", "on", "nan", "inf", "1e9", "²", "a>b"]))))  # fmt: skip
def test_any_form_is_a_draft_or_a_sentence(fields):
    with suppress(UserError):
        draft = read_form(fields, 2)
        assert read_draft(draft.as_json(), 2) == draft


def said(**likert: int) -> dict[str, Said]:
    return {letter: Said(rating) for letter, rating in likert.items()}


def test_what_is_missing_is_named_with_its_field():
    draft = Draft(said(A=3, B=4, D=7), order="a > c")
    assert missing(draft, 4, Asked.FULL) == [
        ("likert.C", "Answer C has no rating."),
        ("order", "B and D are not ranked."),
    ]
    assert missing(draft, 4, Asked.NONE) == [("order", "B and D are not ranked.")]
    assert missing(Draft(said(A=3, B=4), "b"), 2, Asked.LIKERT) == [("order", "A is not ranked.")]
    assert missing(Draft(said(A=3, B=4), "b=a"), 2, Asked.LIKERT) == []
    (found,) = missing(Draft(order="a >> b"), 2, Asked.NONE)
    assert found.sentence.startswith("The order line cannot be read: Between two answers")
    assert missing(Draft(said(A=1)), 1, Asked.FULL) == []  # one card need not be ranked


def test_a_rank_against_the_ratings_is_named():
    draft = Draft(said(A=6, B=3, C=3), order="b > a > c")
    assert against(draft, 3, Asked.FULL) == "A is rated 6 but ranked below B, rated 3."
    assert against(draft, 3, Asked.NONE) == ""
    assert against(Draft(said(A=6, B=3, C=3), order="a = b = c"), 3, Asked.FULL) == ""


def test_the_records_tie_equal_texts_and_know_the_shown_order():
    # Shown: green (A), red twice (B), blue (C).
    queued = answers("red", "blue", "red", "green", split="train", use_case="chat", own=7)
    draft = Draft(
        {"A": Said(5, (), " fine "), "B": Said(6, ("hallucination",)), "C": Said(1)}, "b > a = c"
    )
    ranking, ratings = records_of(draft, queued, (3, 2, 1, 0), labeler="ann", asked=Asked.FULL)
    assert ranking.ranks == (1, 2, 1, 2)
    assert ranking.shown_order == (3, 2, 1, 0)
    assert ranking.labeler_id == "ann"
    assert ranking.model_extra == {"split": "train", "use_case": "chat", "own": 7}
    assert [(r.response, r.model, r.likert, r.hallucination) for r in ratings] == [
        ("green", "secret-3", 5, False),
        ("red", "secret-2", 6, True),
        ("blue", "secret-1", 1, False),
        ("red", "secret-0", 6, True),
    ]
    assert ratings[0].model_extra == {"note": "fine", "split": "train", "use_case": "chat"}
    back = draft_of(ranking, ratings, (3, 2, 1, 0), 9.0)
    assert back.order == "B > A = C"
    assert back.ratings == {**draft.ratings, "A": Said(5, (), "fine")}


def test_what_a_queue_does_not_ask_is_in_no_record():
    queued, draft = answers("red", "blue"), Draft(said(A=5, B=4), "a b")
    _, ratings = records_of(draft, queued, (0, 1), labeler="ann", asked=Asked.LIKERT)
    assert [rating.hallucination for rating in ratings] == [None, None]
    assert records_of(draft, queued, (0, 1), labeler="ann", asked=Asked.NONE)[1] == []
