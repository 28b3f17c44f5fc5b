"""HelpSteer 1 to 3: answers rated on axes, one a row; and preferences between two answers."""

import re
from typing import Any

from instructgpt.data.formats.columns import own_columns
from instructgpt.data.formats.fields import (
    Rows,
    number,
    others,
    ranking,
    ranks_of,
    rows_of,
    text,
    wrong,
)
from instructgpt.data.formats.format import Converted, Format, Skip
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.formats.turns import Turn, objects, prompt_of, role_of
from instructgpt.data.jsonl import Row
from instructgpt.data.records import PromptText, Ranking, Response

AXES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
PAIRS = {
    "preference_strength": ("response_1", "response_2"),
    "overall_preference": ("response1", "response2"),
}
"""The column that says which of two answers is better, below 0 the first one, and theirs."""
_TURN = re.compile(r"\n?<extra_id_1>(User|Assistant)\n?")


def to_ranking(found: Rows) -> Converted:
    """A ranking of the rated answers to one prompt by their helpfulness, or of a row's two answers.
    Equal ones tie; the axes stand beside each answer.

    Raises:
        ValueError: fewer than two answers are rated, or a field is bad.
    """
    rows = rows_of(found)
    for judgment, answers in PAIRS.items():
        if judgment in rows[0]:
            return Converted([_pair(rows[0], judgment, answers)])
    skipped: dict[int, Skip] = {}
    rated: list[tuple[float, Row, Row]] = []
    for place, row in enumerate(rows):
        score = number(row.get("helpfulness"))
        try:
            response = {"text": text(row, "response")}
            if score is None:
                raise Skip(Reason.UNRATED, "helpfulness: it is no number")
            left = others(row, ("prompt", "response", *AXES), Ranking)
            rated.append((score, response, left))
        except ValueError as error:
            skipped[place] = _as_skip(error)
    if len(rated) < 2:
        raise Skip(Reason.ONE_ANSWER, "prompt: one rated answer to it, which compares with none")
    shared = _shared([left for _, _, left in rated])
    kept_rows = [row for place, row in enumerate(rows) if place not in skipped]
    responses = [
        {
            **own_columns(left, shared, Response),
            **{axis: _value(row[axis]) for axis in AXES if row.get(axis) is not None},
            **response,
        }
        for row, (_, response, left) in zip(kept_rows, rated, strict=True)
    ]
    ranks = ranks_of(score for score, _, _ in rated)
    record = ranking(_conversation(text(rows[0], "prompt")), responses, ranks, shared)
    return Converted([record], skipped=skipped)


def _pair(row: Row, judgment: str, answers: tuple[str, str]) -> Ranking:
    strength = number(row.get(judgment))
    if strength is None:
        if row.get(judgment) is None:
            raise Skip(Reason.NO_JUDGMENT, f"{judgment}: nobody has judged the row")
        raise wrong(judgment, "a number", row.get(judgment))
    ranks = [1, 1] if not strength else [1, 2] if strength < 0 else [2, 1]
    if "context" in row:
        context = objects(row["context"], "context")
        prompt: Any = prompt_of(
            Turn(role_of(turn.get("role"), "context.role"), text(turn, "content", at="context."))
            for turn in context
        )
    else:
        prompt = _conversation(text(row, "prompt"))
    responses = [{"text": text(row, field)} for field in answers]
    columns = others(row, ("context" if "context" in row else "prompt", *answers), Ranking)
    return ranking(prompt, responses, ranks, columns)


def _conversation(prompt: str) -> PromptText | list[dict[str, str]]:
    """A prompt of several turns as messages; any other as it stands."""
    first, *parts = _TURN.split(prompt)
    turns = [{"role": "user", "content": first}] if first.strip() else []
    pairs = zip(parts[::2], parts[1::2], strict=True)
    turns += [{"role": role.lower(), "content": said} for role, said in pairs]
    if turns and turns[-1]["role"] == "assistant" and not turns[-1]["content"].strip():
        turns.pop()  # where the answer begins
    return turns if parts else prompt


def _shared(columns: list[Row]) -> Row:
    """The columns that say the same of every answer."""
    first, *rest = columns
    return {
        key: value
        for key, value in first.items()
        if all(key in other and other[key] == value for other in rest)
    }


def _value(axis: Any) -> Any:
    """A rating as a number, where it is one."""
    found = number(axis)
    return axis if found is None else int(found) if found.is_integer() else found


def _as_skip(error: ValueError) -> Skip:
    return error if isinstance(error, Skip) else Skip(Reason.WRONG_VALUE, str(error))


def fits(row: Row) -> bool:
    """Whether the row is a rated answer, or two answers and a preference."""
    for judgment, answers in PAIRS.items():
        if judgment in row and all(isinstance(row.get(answer), str) for answer in answers):
            return isinstance(row.get("prompt"), str) or isinstance(row.get("context"), list)
    texts = all(isinstance(row.get(key), str) for key in ("prompt", "response"))
    return texts and {"helpfulness", "correctness", "coherence"} <= row.keys()


def group(row: Row) -> str | None:
    """The prompt of a rated answer; None for a preference, which stands alone."""
    if any(judgment in row for judgment in PAIRS):
        return None
    return text(row, "prompt")


FORMAT = Format(
    name="helpsteer",
    main=Ranking,
    readers={Ranking: to_ranking},
    fits=fits,
    example={
        "prompt": "Name a sea.",
        "response": "The Baltic.",
        "helpfulness": 4,
        "correctness": 4,
        "coherence": 4,
        "complexity": 0,
        "verbosity": 0,
    },
    says="NVIDIA's HelpSteer 1 to 3, ratings and preferences",
    rather_than=("native",),
    group=group,
)
