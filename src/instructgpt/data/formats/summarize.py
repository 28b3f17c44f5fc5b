"""Summarize from feedback (Stiennon 2020): comparisons of summaries, summaries rated on axes, and
TL;DR posts with their authors' summaries.
"""

from collections.abc import Mapping
from typing import Any

from instructgpt.data.formats.fields import (
    demonstration,
    one_of,
    others,
    ranking,
    rating,
    text,
    wrong,
)
from instructgpt.data.formats.format import Format, Skip
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.formats.turns import objects
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Demonstration, Ranking, Rating, Record

_POST = ("subreddit", "title", "post")


def to_ranking(row: Row) -> list[Record]:
    """A worker's ranking of two summaries, with the confidence where there is one.

    Raises:
        ValueError: a field is bad.
    """
    _require(row, Ranking, "summaries")
    summaries = objects(row.get("summaries"), "summaries", least=2)
    if len(summaries) != 2:
        raise wrong("summaries", "two summaries", len(summaries))
    chosen = one_of(row, "choice", (0, 1))
    responses = [_response(one, f"summaries.{place}.") for place, one in enumerate(summaries)]
    columns = _columns(row, ("info", "summaries", "choice", "worker", "extra"), Ranking)
    return [ranking(_prompt(_info(row), "info."), responses, [1 + chosen, 2 - chosen], columns)]


def to_rating(row: Row) -> list[Record]:
    """A worker's rating of a summary: `overall` is the quality, the other axes are kept.

    Raises:
        ValueError: it has no overall rating, or a field is bad.
    """
    _require(row, Rating, "summary")
    summary = row.get("summary")
    axes = summary.get("axes") if isinstance(summary, dict) else None
    if not isinstance(summary, dict) or not isinstance(axes, dict):
        raise wrong("summary", "a summary with axes", summary)
    if axes.get("overall") is None:
        raise Skip(Reason.NO_JUDGMENT, "summary.axes.overall: nobody has rated the summary")
    said = _response(summary, "summary.")
    columns = {
        **others({k: axes[k] for k in axes if axes[k] is not None}, ("overall",), Rating),
        **{key: said[key] for key in said if key in ("model", "note")},
        **_columns(row, ("info", "summary", "worker", "extra"), Rating),
    }
    return [rating(_prompt(_info(row), "info."), said["text"], axes["overall"], columns)]


def to_demonstration(row: Row) -> list[Record]:
    """The summary that a post's author wrote.

    Raises:
        ValueError: a field is bad.
    """
    _require(row, Demonstration, "summary")
    columns = others(row, ("title", "post", "summary"), Demonstration)
    return [demonstration(_prompt(row, ""), text(row, "summary"), columns)]


def _require(row: Row, kind: type[Record], field: str) -> None:
    if kind_of(row) not in (kind, None):
        raise Skip(Reason.OTHER_KIND, f"{field}: the row holds no {kind.__name__.lower()}")


def _info(row: Row) -> Mapping[str, Any]:
    info = row.get("info")
    if not isinstance(info, dict):
        raise wrong("info", "an object with a post or an article", info)
    return info


def _prompt(post: Mapping[str, Any], at: str) -> str:
    """What the summaries follow, as OpenAI's models read it: they begin with a space."""
    if isinstance(post.get("article"), str):
        return f"{post['article']}\n\nTL;DR:"
    lines = [f"SUBREDDIT: r/{post['subreddit']}"] if post.get("subreddit") else []
    lines += [f"TITLE: {post['title']}"] if post.get("title") else []
    body = text(post, "post", at=at)
    if not body.strip():
        raise Skip(Reason.EMPTY_PROMPT, f"{at}post: it is empty")
    return "\n\n".join([*lines, f"POST: {body}", "TL;DR:"])


def _response(summary: Mapping[str, Any], at: str) -> Row:
    policy, note = summary.get("policy"), summary.get("note")
    model = {"model": policy} if isinstance(policy, str) else {}
    return {
        "text": text(summary, "text", at=at),
        **model,
        **({"note": note} if note is not None else {}),
    }


def _columns(row: Row, used: tuple[str, ...], kind: type[Record]) -> Row:
    """What is kept of a judgment: who made it, how sure, of which post."""
    extra = row.get("extra")
    info = _info(row)
    shown = ("article",) if isinstance(info.get("article"), str) else _POST
    of_post = {f"post_{k}": v for k, v in info.items() if k not in shown and v is not None}
    columns = {**of_post, **others(row, used, kind)}
    if isinstance(extra, dict):
        columns.update(others(extra, (), kind))
        if extra.get("confidence", 0) is None:
            columns.pop("confidence")
    worker = row.get("worker")
    return {**columns, "labeler_id": worker} if isinstance(worker, str) else columns


def fits(row: Row) -> bool:
    """Whether the row is a comparison, a rating on axes or a post with its summary."""
    return kind_of(row) is not None


def kind_of(row: Row) -> type[Record] | None:
    """A ranking of summaries, a rating of one, or a demonstration."""
    if isinstance(row.get("info"), dict):
        if isinstance(row.get("summaries"), list) and "choice" in row:
            return Ranking
        summary = row.get("summary")
        return Rating if isinstance(summary, dict) and "axes" in summary else None
    texts = (*_POST, "summary")
    return Demonstration if all(isinstance(row.get(key), str) for key in texts) else None


FORMAT = Format(
    name="summarize-from-feedback",
    main=Ranking,
    readers={Ranking: to_ranking, Rating: to_rating, Demonstration: to_demonstration},
    fits=fits,
    example={
        "info": {"id": "t3_x", "post": "A cat came.", "title": "Cat", "subreddit": "pets"},
        "summaries": [
            {"text": " A cat.", "policy": "sup4"},
            {"text": " A dog.", "policy": "ref"},
        ],
        "choice": 0,
        "worker": "w1",
        "extra": {"confidence": 7},
    },
    says="OpenAI's summarize_from_feedback: comparisons, axes, and TL;DR",
    kind_of=kind_of,
)
