"""WebGPT's comparisons: two answers from quotes, each with a score that is the other's negative."""

from typing import Any

from instructgpt.data.formats.fields import number, others, ranking, ranks_of, text, wrong
from instructgpt.data.formats.format import Format
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Ranking, Record

_OF_AN_ANSWER = ("answer", "score", "quotes", "tokens")
_USED = ("question", *(f"{name}_{side}" for name in _OF_AN_ANSWER for side in (0, 1)))


def to_ranking(row: Row) -> list[Record]:
    """A ranking of two; scores of 0 are a tie. The lists of token numbers are left out.

    Raises:
        ValueError: a field is bad.
    """
    question = row.get("question")
    if not isinstance(question, dict):
        raise wrong("question", "an object with full_text", question)
    prompt = text(question, "full_text", at="question.")
    scores: list[float] = []
    responses: list[dict[str, Any]] = []
    for side in (0, 1):
        score = number(row.get(f"score_{side}"))
        if score is None:
            raise wrong(f"score_{side}", "a number", row.get(f"score_{side}"))
        scores.append(score)
        response = {"text": text(row, f"answer_{side}"), "score": row[f"score_{side}"]}
        quotes = row.get(f"quotes_{side}")
        responses.append({**response, **({"quotes": quotes} if quotes else {})})
    of_question = {f"question_{key}": question[key] for key in question if key != "full_text"}
    columns = {
        **others(of_question, (), Ranking),
        **others(row, _USED, Ranking),
    }
    return [ranking(prompt, responses, ranks_of(scores), columns)]


def fits(row: Row) -> bool:
    """Whether the row has a question, two answers and their scores."""
    keys = {"answer_0", "answer_1", "score_0", "score_1"}
    return isinstance(row.get("question"), dict) and keys <= row.keys()


FORMAT = Format(
    name="webgpt",
    main=Ranking,
    readers={Ranking: to_ranking},
    fits=fits,
    example={
        "question": {"dataset": "eli5", "id": "q1", "full_text": "Why is the sky blue?"},
        "answer_0": "Scattering [1].",
        "score_0": 0.5,
        "answer_1": "Paint.",
        "score_1": -0.5,
    },
    says="WebGPT's comparisons",
)
