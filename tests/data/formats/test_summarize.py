from typing import Any

import pytest

from instructgpt.data.formats.reasons import Reason
from instructgpt.data.formats.summarize import (
    fits,
    kind_of,
    to_demonstration,
    to_ranking,
    to_rating,
)
from instructgpt.data.records import Demonstration, Ranking, Rating

from .reading import one, reason, texts

INFO = {"id": "t3_x", "post": "A long post about a cat.", "title": "Cat", "subreddit": "pets"}
PROMPT = "SUBREDDIT: r/pets\n\nTITLE: Cat\n\nPOST: A long post about a cat.\n\nTL;DR:"
COMPARISON = {
    "info": INFO,
    "summaries": [
        {"text": " A cat.", "policy": "sup4", "note": None},
        {"text": " A dog.", "policy": "ref", "note": "wrong animal"},
    ],
    "choice": 0,
    "worker": "w1",
    "batch": "batch9",
    "split": "train",
    "extra": {"confidence": 7},
}
AXIS = {
    "info": INFO,
    "split": "valid1",
    "summary": {
        "text": " A cat.",
        "policy": "sup4",
        "note": None,
        "axes": {"overall": 6, "accuracy": 7, "coverage": None, "coherence": 5},
    },
    "worker": "w2",
    "batch": "axis1",
}
POST = {**INFO, "summary": "A cat."}


def test_a_comparison_is_its_workers_ranking_with_the_confidence():
    record = one(to_ranking, COMPARISON)
    assert (record.prompt, texts(record)) == (PROMPT, [" A cat.", " A dog."])
    assert (record.ranks, record.labeler_id) == ((1, 2), "w1")
    assert [response.model for response in record.responses] == ["sup4", "ref"]
    assert record.responses[1].model_extra == {"note": "wrong animal"}
    assert record.model_extra == {
        "post_id": "t3_x",
        "batch": "batch9",
        "split": "train",
        "confidence": 7,
    }
    assert one(to_ranking, {**COMPARISON, "choice": 1}).ranks == (2, 1)


def test_an_article_is_read_without_title_and_keeps_it():
    info = {"id": "x", "article": "A storm came.", "title": "Storm", "site": "cnndm", "post": None}
    record = one(to_ranking, {**COMPARISON, "info": info, "extra": {}})
    assert record.prompt == "A storm came.\n\nTL;DR:"
    assert record.model_extra == {
        "post_id": "x",
        "post_title": "Storm",
        "post_site": "cnndm",
        "batch": "batch9",
        "split": "train",
    }


def test_a_rating_on_axes_is_a_rating_by_its_overall_quality():
    record = one(to_rating, AXIS)
    assert (record.prompt, record.response, record.likert) == (PROMPT, " A cat.", 6)
    assert (record.labeler_id, record.model) == ("w2", "sup4")
    assert record.model_extra == {
        "post_id": "t3_x",
        "accuracy": 7,
        "coherence": 5,
        "batch": "axis1",
        "split": "valid1",
    }


def test_a_post_with_its_summary_is_a_demonstration():
    record = one(to_demonstration, POST)
    assert (record.prompt, record.response) == (PROMPT, "A cat.")
    assert record.model_extra == {"id": "t3_x", "subreddit": "pets"}


def axes(**changed: Any) -> dict[str, Any]:
    return {**AXIS, "summary": {**AXIS["summary"], "axes": changed}}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("convert", "row", "expected"),
    [
        (to_ranking, AXIS, Reason.OTHER_KIND),
        (to_ranking, POST, Reason.OTHER_KIND),
        (to_rating, COMPARISON, Reason.OTHER_KIND),
        (to_demonstration, AXIS, Reason.OTHER_KIND),
        (to_rating, axes(overall=None), Reason.NO_JUDGMENT),
        (to_rating, axes(overall=8), Reason.WRONG_VALUE),
        (to_rating, axes(overall=True), Reason.WRONG_VALUE),
        (to_rating, {"info": INFO, "summary": "A cat."}, Reason.WRONG_VALUE),
        (to_ranking, {**COMPARISON, "choice": 2}, Reason.WRONG_VALUE),
        (to_ranking, {**COMPARISON, "choice": None}, Reason.WRONG_VALUE),
        (to_ranking, {**COMPARISON, "summaries": []}, Reason.WRONG_VALUE),
        (to_ranking, {**COMPARISON, "summaries": [{"text": "a"}] * 3}, Reason.WRONG_VALUE),
        (to_ranking, {**COMPARISON, "summaries": [{"text": "a"}] * 2}, Reason.EQUAL_ANSWERS),
        (to_ranking, {**COMPARISON, "info": {**INFO, "post": None}}, Reason.WRONG_VALUE),
        (to_ranking, {**COMPARISON, "info": {**INFO, "post": " "}}, Reason.EMPTY_PROMPT),
        (to_demonstration, {**POST, "summary": ""}, Reason.EMPTY_ANSWER),
    ],
)
def test_rows_that_are_nothing_are_skipped(convert: Any, row: dict[str, Any], expected: Reason):
    assert reason(convert, row) is expected


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (COMPARISON, Ranking),
        (AXIS, Rating),
        (POST, Demonstration),
        ({**COMPARISON, "summaries": "none"}, None),
        ({**POST, "summary": None}, None),
        ({"info": INFO}, None),
    ],
)
def test_the_keys_tell_the_kind(row: dict[str, Any], kind: Any):
    assert (kind_of(row), fits(row)) == (kind, kind is not None)
