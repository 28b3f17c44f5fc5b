"""Step 9: what labelers and importers say of a prompt: table 1's use cases, table 7's questions."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

USE_CASES = (
    *("generation", "open_qa", "brainstorming", "chat", "rewrite", "summarization"),
    *("classification", "other", "closed_qa", "extract"),
)
"""Table 1, from the most frequent."""
QUESTIONS = (
    *("ambiguous", "sensitive_content", "identity_dependent", "closed_domain"),
    *("continuation_style", "requests_opinion", "requests_advice", "requests_moral_judgment"),
    *("safety_constraints", "other_constraints", "intent_unclear"),
)
"""Table 7: each is true or false."""
FIELDS = ("use_case", *QUESTIONS)


def annotations_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row says of itself; a use case may be one that table 1 lacks.

    >>> annotations_of({"prompt": "Why?", "use_case": "open_qa", "ambiguous": True})
    {'use_case': 'open_qa', 'ambiguous': True}

    Raises:
        ValueError: a question is answered by neither true nor false.
    """
    found = {field: row[field] for field in FIELDS if row.get(field) is not None}
    for field in QUESTIONS:
        if not isinstance(found.get(field, True), bool):
            raise ValueError(f"{field}: must be true or false")
    return found


def unlabeled(counts: Counter[str], prompts: int) -> dict[str, float]:
    """The share of prompts of which a field is not known, by field.

    Args:
        counts: of how many it is known.
        prompts: how many there are.
    """
    return {field: 1 - counts[field] / prompts if prompts else 0.0 for field in FIELDS}
