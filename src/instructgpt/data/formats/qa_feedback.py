"""QA-Feedback (Wu 2023): four answers to a question from passages, judged pair by pair."""

from collections import Counter
from itertools import combinations
from typing import Any

from instructgpt.data.formats.fields import others, ranking, ranks_of, text, wrong
from instructgpt.data.formats.format import Converted, Format
from instructgpt.data.formats.labeled import counting, found_of
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Ranking

ANSWERS = tuple(f"prediction {number}" for number in (1, 2, 3, 4))
PAIRS = tuple(combinations(range(len(ANSWERS)), 2))
"""What the six judgments are about: (1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)."""
EQUAL, FIRST, SECOND = 0, 1, 2
_USED = ("question", "passages", "preference", *ANSWERS)


def order_of(judgments: list[int]) -> list[int] | None:
    """The ranks of the four answers with which all six judgments agree; None where there are none.

    >>> order_of([1, 1, 1, 0, 1, 1])  # 1 is best, then 2 and 3, which are equal
    [1, 2, 2, 3]
    >>> order_of([1, 2, 1, 1, 1, 1])  # 1 over 2, 2 over 3, 3 over 1
    """
    wins = [0] * len(ANSWERS)  # half wins, so that those that are equal come out equal
    for (one, other), judgment in zip(PAIRS, judgments, strict=True):
        wins[one] += {FIRST: 2, EQUAL: 1, SECOND: 0}[judgment]
        wins[other] += {FIRST: 0, EQUAL: 1, SECOND: 2}[judgment]
    ranks = ranks_of(wins)
    found = [_judgment(ranks[one], ranks[other]) for one, other in PAIRS]
    return ranks if found == judgments else None


def _judgment(one: int, other: int) -> int:
    return EQUAL if one == other else FIRST if one < other else SECOND


def to_rankings(row: Row) -> Converted:
    """One ranking of four where the six judgments form an order, else a ranking of each pair.

    Raises:
        ValueError: a field is bad.
    """
    prompt, columns = _prompt(row), others(row, _USED, Ranking)
    responses = [{"text": text(row, answer)} for answer in ANSWERS]
    judgments = row.get("preference")
    if (
        not isinstance(judgments, list)
        or len(judgments) != len(PAIRS)
        or any(isinstance(j, bool) or j not in (EQUAL, FIRST, SECOND) for j in judgments)
    ):
        raise wrong("preference", "six numbers, each 0, 1 or 2", judgments)
    if ranks := order_of(judgments):
        return Converted([ranking(prompt, responses, ranks, columns)])
    ranks_of_pair = {EQUAL: [1, 1], FIRST: [1, 2], SECOND: [2, 1]}
    records, left_out = [], Counter[Reason]()
    for (one, other), judgment in zip(PAIRS, judgments, strict=True):
        with counting(left_out):
            two = [responses[one], responses[other]]
            records.append(ranking(prompt, two, ranks_of_pair[judgment], columns))
    return found_of(records, left_out, "preference", "a ranking")


def _prompt(row: Row) -> str:
    """The passages, each its sentences without the title that stands before them, and the question
    below.
    """
    passages = row.get("passages")
    if not isinstance(passages, list | None) or not all(map(_is_passage, passages or ())):
        raise wrong("passages", "lists of texts", passages)
    texts = [" ".join(passage[1:]) for passage in passages or ()]
    return "\n\n".join([*(one for one in texts if one.strip()), text(row, "question")])


def _is_passage(passage: Any) -> bool:
    return isinstance(passage, list) and all(isinstance(sentence, str) for sentence in passage)


def fits(row: Row) -> bool:
    """Whether the row has a question, four answers and the judgments."""
    return {"question", "preference", *ANSWERS} <= row.keys()


FORMAT = Format(
    name="qa-feedback",
    main=Ranking,
    readers={Ranking: to_rankings},
    fits=fits,
    example={
        "question": "How long is the Ems?",
        "passages": [["Ems", "Ems\n\nThe Ems is a river.", "It is 371 km long."]],
        "prediction 1": "371 km.",
        "prediction 2": "371 km long.",
        "prediction 3": "Long.",
        "prediction 4": "No.",
        "preference": [0, 1, 1, 1, 1, 1],
    },
    says="QA-Feedback: four answers and six judgments",
)
