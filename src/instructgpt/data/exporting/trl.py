"""TRL's dataset types. Extra columns carry what a type has no name for, and make pairs one ranking.

TRL keeps columns that it does not know. Of a ranking that is more than one plain pair, every pair
says which it is (`ranking_id`, `pair`) and the whole (`ranks`, and `answers`: what is known of each
besides its text). `formats.trl_rankings` reads them back.
"""

import hashlib
import json
from typing import Any

from instructgpt.data.exporting.writer import Writer, Written, dumped, untied_pairs
from instructgpt.data.formats.trl_rankings import COLUMNS
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Demonstration, Prompt, PromptText, Ranking, Record

TYPED = frozenset(
    {"prompt", "completion", "chosen", "rejected", "label", "labels", "completions", "messages"}
)
"""Columns by which TRL knows a type: a team's own may not be called so."""


def _prompt(record: Prompt) -> Written:
    return _with_columns(record, {"prompt": _told(record.prompt)}, {"prompt"})


def _demonstration(record: Demonstration) -> Written:
    row = {
        "prompt": _told(record.prompt),
        "completion": _completion(record.prompt, record.response),
    }
    return _with_columns(record, row, {"prompt", "response"})


def _ranking(record: Ranking) -> Written:
    pairs = untied_pairs(record)
    if not pairs:  # all tie: no pair says so
        return Written([], {"ranks"})
    whole = {} if _is_plain_pair(record) else _whole(record)
    shown = {"shown_order"} if whole else set[str]()
    found = Written([])
    for better, worse in pairs:
        row = {
            "prompt": _told(record.prompt),
            "chosen": _completion(record.prompt, record.responses[better].text),
            "rejected": _completion(record.prompt, record.responses[worse].text),
        } | whole
        if whole:
            row["pair"] = [better, worse]
        one = _with_columns(record, row, {"prompt", "responses", "ranks", *shown})
        found.rows += one.rows
        found.lost |= one.lost
    return found


def _is_plain_pair(record: Ranking) -> bool:
    """Whether the two texts, the better first, are all there is to say."""
    return record.ranks == (1, 2) and all(
        dumped(response).keys() <= {"text"} for response in record.responses
    )


def _whole(record: Ranking) -> Row:
    text = json.dumps(dumped(record), sort_keys=True)
    columns: Row = {
        "ranking_id": hashlib.sha256(text.encode()).hexdigest()[:16],
        "ranks": list(record.ranks),
    }
    answers = [dumped(response) for response in record.responses]
    for answer in answers:
        del answer["text"]
    if record.shown_order is not None:
        columns["shown"] = list(record.shown_order)
    return columns | ({"answers": answers} if any(answers) else {})


def _with_columns(record: Record, row: Row, used: set[str]) -> Written:
    """A row with the record's other fields and own columns, where their names are free."""
    others = {key: value for key, value in dumped(record).items() if key not in used}
    taken = TYPED | row.keys() | (COLUMNS if isinstance(record, Ranking) else set())
    return Written(
        [row | {key: value for key, value in others.items() if key not in taken}],
        others.keys() & taken,
    )


def _told(prompt: PromptText) -> Any:
    return prompt if isinstance(prompt, str) else [turn.model_dump() for turn in prompt]


def _completion(prompt: PromptText, answer: str) -> Any:
    """An answer takes the form of its prompt."""
    return answer if isinstance(prompt, str) else [{"role": "assistant", "content": answer}]


TRL = Writer(
    "trl",
    "TRL's dataset types",
    {Prompt: _prompt, Demonstration: _demonstration, Ranking: _ranking},
)
