"""UltraFeedback: several models' answers with scores; and its binarized pairs, whose two answers
are whole conversations.
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from instructgpt.data.formats.columns import own_columns
from instructgpt.data.formats.fields import number, others, ranking, ranks_of, text
from instructgpt.data.formats.format import Converted, Format, Skip
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.formats.turns import Turn, objects, prompt_of, role_of
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Ranking, Response

_PAIR = ("chosen", "rejected")
_PAIR_USED = (*_PAIR, "prompt", "messages", "score_chosen", "score_rejected")


def to_ranking(row: Row) -> Converted:
    """A ranking by `overall_score`, or by the mean of the ratings where not every judged answer has
    one. Equal scores tie; an answer that is not judged is left out.

    Raises:
        ValueError: fewer than two answers are judged, or a field is bad.
    """
    if "completions" not in row:
        return _pair(row)
    answers = objects(row.get("completions"), "completions")
    overall = [number(answer.get("overall_score")) for answer in answers]
    means = list(map(_mean_rating, answers))
    by_mean = any(m is not None and o is None for o, m in zip(overall, means, strict=True))
    scores = means if by_mean else overall
    judged = [i for i, score in enumerate(scores) if score is not None]
    if not judged:
        raise Skip(Reason.NO_JUDGMENT, "completions: no answer has a score or a rating")
    responses = [_response(answers[i], f"completions.{i}.") for i in judged]
    ranks = ranks_of(score for score in scores if score is not None)
    columns = others(row, ("instruction", "completions", "models"), Ranking)
    unrated = len(answers) - len(judged)
    return Converted(
        [ranking(text(row, "instruction"), responses, ranks, columns)],
        Counter({Reason.UNRATED: unrated} if unrated else {}),
    )


def _mean_rating(answer: Mapping[str, Any]) -> float | None:
    """The mean of an answer's ratings that are numbers (they are texts, some "N/A")."""
    annotations = answer.get("annotations")
    if not isinstance(annotations, dict):
        return None
    judged = [one.get("Rating") for one in annotations.values() if isinstance(one, dict)]
    ratings = [rating for rating in map(number, judged) if rating is not None]
    try:
        return math.fsum(ratings) / len(ratings) if ratings else None
    except OverflowError:
        return None


def _response(answer: Mapping[str, Any], at: str) -> Row:
    kept = own_columns(dict(answer), ("response", "model"), Response)
    model = {"model": answer["model"]} if isinstance(answer.get("model"), str) else {}
    return {**kept, **model, "text": text(answer, "response", at=at)}


def _pair(row: Row) -> Converted:
    """A binarized pair: the prompt is what both conversations say before their last turns."""
    conversations = [_turns(row, field) for field in _PAIR]
    chosen, rejected = conversations
    if chosen[:-1] != rejected[:-1]:
        raise Skip(
            Reason.DIFFERENT_BEGINNINGS, "rejected: it differs from chosen before its last turn"
        )
    for field, turns in zip(_PAIR, conversations, strict=True):
        if turns[-1].role != "assistant":
            raise Skip(Reason.NOT_ASSISTANT, f"{field}: the last turn is not the assistant's")
    scores = [number(row.get(f"score_{field}")) for field in _PAIR]
    known = [score for score in scores if score is not None]
    ranks = ranks_of(known) if len(known) == 2 else [1, 2]
    if ranks == [2, 1]:
        raise Skip(Reason.SCORES_DISAGREE, "score_chosen: it is below score_rejected")
    responses = [
        {"text": turns[-1].content, **({"score": score} if score is not None else {})}
        for turns, score in zip(conversations, scores, strict=True)
    ]
    prompt = prompt_of(chosen[:-1])
    return Converted([ranking(prompt, responses, ranks, others(row, _PAIR_USED, Ranking))])


def _turns(row: Row, field: str) -> list[Turn]:
    messages = objects(row.get(field), field, least=2)
    return [
        Turn(role_of(m.get("role"), f"{field}.role"), text(m, "content", at=f"{field}."))
        for m in messages
    ]


def fits(row: Row) -> bool:
    """Whether the row has an instruction and completions with responses, or two conversations that
    repeat the prompt.
    """
    answers = row.get("completions")
    if isinstance(row.get("instruction"), str) and isinstance(answers, list):
        return all(isinstance(one, dict) and "response" in one for one in answers)
    return isinstance(row.get("prompt"), str) and all(map(_repeats_prompt, map(row.get, _PAIR)))


def _repeats_prompt(conversation: Any) -> bool:
    return (
        isinstance(conversation, list)
        and len(conversation) > 1
        and all(isinstance(turn, dict) and "role" in turn for turn in conversation)
        and conversation[0]["role"] in ("user", "system")
    )


FORMAT = Format(
    name="ultrafeedback",
    main=Ranking,
    readers={Ranking: to_ranking},
    fits=fits,
    example={
        "instruction": "A synonym of big?",
        "completions": [
            {"model": "m1", "response": "large", "overall_score": 9.0},
            {"model": "m2", "response": "small", "overall_score": 1.0},
        ],
    },
    says="UltraFeedback, and its binarized pairs",
    rather_than=("trl",),
)
