"""Rows of every format and kind, of the published shapes with invented texts, for the fuzzer."""

from typing import Any

from instructgpt.data.formats.registry import FORMATS

Rows = list[dict[str, Any]]
USER = {"role": "user", "content": "Name a sea."}
GOOD = {"role": "assistant", "content": "The Baltic."}
BAD = {"role": "assistant", "content": "The Alps."}
OPTIONS: dict[str, dict[str, Any]] = {
    "pairs": {
        "map": {"prompt": ["instruction"], "a": ["one"], "b": ["two"], "preference": ["better"]},
        "values": {"1": "a", "2": "b", "0": "tie"},
    },
    "ranked": {"map": {"prompt": ["question"], "answers": ["answers"], "score": ["scores"]}},
    "demonstrations": {"map": {"prompt": ["question"], "response": ["answer"]}},
    "candidates": {"map": {"prompt": ["question"], "answers": ["answers"]}},
}
"""What the generic formats have to be told of their examples."""
_OF_THREE = {
    "prompt": "Name a sea.",
    "ranking_id": "r",
    "ranks": [1, 2, 2],
    "answers": [{"model": "m"}, {}, {}],
    "shown": [2, 1, 0],
}
_RATED = {"prompt": "Name a sea.", "coherence": 4, "complexity": 0, "verbosity": 1}
MORE: dict[str, Rows] = {
    "native": [
        {"prompt": "Name a sea."},
        {"prompt": [USER], "response": "The Baltic.", "labeler_id": "ann"},
        {"prompt": "Name a sea.", "responses": [{"text": "The Baltic."}]},
        {"prompt": "Name a sea.", "response": "The Baltic.", "likert": 6, "hallucination": False},
    ],
    "trl": [
        {"prompt": [USER]},
        {"prompt": "Name a sea:", "completion": " Baltic"},
        {"messages": [USER, GOOD]},
        {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {**_OF_THREE, "chosen": "Baltic", "rejected": "Alps", "pair": [0, 1]},
        {**_OF_THREE, "chosen": "Baltic", "rejected": "No.", "pair": [0, 2]},
        {"prompt": "Name a sea:", "completions": ["a", "b"], "labels": [True, False]},
    ],
    "alpaca": [
        {"instruction": "Name a sea.", "input": "", "output": ["The Baltic.", "The Alps."]},
        {"instruction": "And now?", "output": "No.", "history": [["Name a sea.", "The Baltic."]]},
    ],
    "sharegpt": [
        {
            "conversations": [{"from": "human", "value": "Name a sea."}],
            "chosen": {"from": "gpt", "value": "The Baltic."},
            "rejected": {"from": "gpt", "value": "The Alps."},
        }
    ],
    "openai": [
        {
            "input": {"messages": [USER]},
            "preferred_output": [GOOD],
            "non_preferred_output": [BAD],
        },
        {"messages": [USER, {**GOOD, "weight": 0}, USER, {**BAD, "weight": 1}]},
    ],
    "oasst": [
        {
            "message_id": "a",
            "message_tree_id": "a",
            "parent_id": None,
            "text": "Which is heavier?",
            "role": "prompter",
            "tree_state": "ready_for_export",
        },
        *(
            {
                "message_id": name,
                "message_tree_id": "a",
                "parent_id": "a",
                "text": name,
                "role": "assistant",
                "rank": rank,
                "tree_state": "ready_for_export",
            }
            for rank, name in enumerate("bc")
        ),
    ],
    "ultrafeedback": [
        {
            "prompt": "Name a sea.",
            "chosen": [USER, GOOD],
            "rejected": [USER, BAD],
            "score_chosen": 8.0,
            "score_rejected": 2.0,
        },
        {
            "instruction": "Name a sea.",
            "completions": [
                {"model": "m", "response": "The Baltic.", "annotations": {"a": {"Rating": "5"}}},
                {"model": "n", "response": "The Alps.", "annotations": {"a": {"Rating": "N/A"}}},
                {"model": "o", "response": "The Ems.", "annotations": {"a": {"Rating": "1"}}},
            ],
        },
    ],
    "summarize-from-feedback": [
        {
            "info": {"id": "t", "post": "A cat came.", "title": "Cat", "subreddit": "pets"},
            "summary": {"text": " A cat.", "policy": "p", "note": None, "axes": {"overall": 6}},
            "worker": "w",
        },
        {"id": "t", "subreddit": "pets", "title": "Cat", "post": "A cat came.", "summary": "Cat."},
    ],
    "helpsteer": [
        {**_RATED, "response": "The Baltic.", "helpfulness": 4, "correctness": 4},
        {**_RATED, "response": "The Alps.", "helpfulness": 0, "correctness": 0},
        {
            "prompt": "Hi\n<extra_id_1>Assistant\nHo\n<extra_id_1>User\nName a sea.",
            "response_1": "The Baltic.",
            "response_2": "The Alps.",
            "preference_strength": -3,
        },
        {
            "context": [USER],
            "response1": "The Baltic.",
            "response2": "The Alps.",
            "overall_preference": 2,
            "individual_preference": [{"score": 2}],
        },
    ],
    "argilla": [
        {
            "fields": {"prompt": "Name a sea.", "response": "The Baltic."},
            "responses": {"likert": [{"value": 6, "user_id": "u", "status": "submitted"}]},
        },
        {
            "fields": {"chat": [USER]},
            "responses": [{"values": {"response": {"value": "The Baltic."}}, "user_id": "u"}],
        },
    ],
    "label-studio": [
        {
            "data": {"prompt": "Name a sea.", "a": "The Baltic.", "b": "The Alps."},
            "annotations": [
                {
                    "completed_by": {"id": 1, "email": "x"},
                    "result": [
                        {"type": "pairwise", "to_name": "a,b", "value": {"selected": "left"}}
                    ],
                }
            ],
        },
        {
            "data": {"prompt": "Name a sea.", "response": "The Baltic."},
            "annotations": [{"result": [{"type": "rating", "value": {"rating": 5}}]}],
        },
        {
            "data": {"prompt": "Name a sea."},
            "annotations": [{"result": [{"type": "textarea", "value": {"text": ["The Ems."]}}]}],
        },
    ],
}


def rows_of(name: str) -> Rows:
    """Rows of a format, of all kinds that it holds."""
    return [FORMATS[name].example, *MORE.get(name, [])]
