"""What the paper's tables 1 and 6 to 11 print (Ouyang 2022, section 3.2, appendix A).

Tables 1, 6 and 8, and the means of tables 9 (train and test) and 11 are known twice: a test has
them from our notes on the paper. All others (table 7, table 10, and what tables 9 and 11 have
beside the means) are taken from the paper's appendix alone, read against a transcription of it;
what they have in common with the first is tested.
"""

from typing import NamedTuple


class Lengths(NamedTuple):
    """A row of tables 9 to 11: of how many texts, and how long they are, in tokens of GPT-3."""

    count: int
    mean: float
    std: float | None
    min: float
    low: float
    median: float
    high: float
    max: float


DATASETS = (
    "sft train",
    "sft valid",
    "reward train",
    "reward valid",
    "ppo train",
    "ppo valid",
    "test",
)
"""What a prompt serves, and its split."""

USE_CASES = {
    "generation": 0.456,
    "open_qa": 0.124,
    "brainstorming": 0.112,
    "chat": 0.084,
    "rewrite": 0.066,
    "summarization": 0.042,
    "classification": 0.035,
    "other": 0.035,
    "closed_qa": 0.026,
    "extract": 0.019,
}
"""Table 1, of the reward model's prompts."""

SIZES = {
    "sft train": {"labeler": 11295, "customer": 1430},
    "sft valid": {"labeler": 1550, "customer": 103},
    "reward train": {"labeler": 6623, "customer": 26584},
    "reward valid": {"labeler": 3488, "customer": 14399},
    "ppo train": {"customer": 31144},
    "ppo valid": {"customer": 16185},
    "test": {"customer": 3196},
}
"""Table 6; the test set's size is that of table 9."""

_COLUMNS = ("test", "reward train", "reward valid", "sft train", "sft valid")
_ANSWERS = {
    "ambiguous": (None, 7.9, 8.0, 5.1, 6.4),
    "sensitive_content": (None, 6.9, 5.3, 0.9, 1.0),
    "identity_dependent": (None, None, None, 0.9, 0.3),
    "closed_domain": (11.8, 19.4, 22.9, 27.4, 40.6),
    "continuation_style": (None, 15.5, 16.2, 17.9, 21.6),
    "requests_opinion": (11.2, 7.7, 7.5, 8.6, 3.4),
    "requests_advice": (3.9, None, None, None, None),
    "requests_moral_judgment": (0.8, 1.1, 0.3, 0.3, 0.0),
    "safety_constraints": (None, 0.4, 0.4, 0.3, 0.0),
    "other_constraints": (None, 26.3, 28.9, 25.6, 20.7),
    "intent_unclear": (7.9, None, None, None, None),
}
ANNOTATIONS = {
    question: {
        column: round(answer / 100, 4)
        for column, answer in zip(_COLUMNS, answers, strict=True)
        if answer is not None
    }
    for question, answers in _ANSWERS.items()
}
"""Table 7: the share of prompts of which it is true, where it was asked."""

PER_CUSTOMER: dict[str, float] = dict(
    zip(DATASETS, (1.65, 1.87, 5.35, 27.96, 6.01, 31.55, 1.81), strict=True)
)
"""Table 8."""

BY_DATASET = {
    "sft train": Lengths(12725, 408, 433, 1, 37, 283, 632, 2048),
    "sft valid": Lengths(1653, 401, 433, 4, 41, 234, 631, 2048),
    "reward train": Lengths(33207, 199, 334, 1, 20, 64, 203, 2032),
    "reward valid": Lengths(17887, 209, 327, 1, 26, 77, 229, 2039),
    "ppo train": Lengths(31144, 166, 278, 2, 19, 62, 179, 2044),
    "ppo valid": Lengths(16185, 186, 292, 1, 24, 71, 213, 2039),
    "test": Lengths(3196, 115, 194, 1, 17, 49, 127, 1836),
}
"""Table 9."""

BY_USE_CASE = {
    "brainstorming": Lengths(5245, 83, 149, 4, 17, 36, 85, 1795),
    "chat": Lengths(3911, 386, 376, 1, 119, 240, 516, 1985),
    "classification": Lengths(1615, 223, 318, 6, 68, 124, 205, 2039),
    "extract": Lengths(971, 304, 373, 3, 74, 149, 390, 1937),
    "generation": Lengths(21684, 130, 223, 1, 20, 52, 130, 1999),
    "closed_qa": Lengths(1398, 325, 426, 5, 68, 166, 346, 2032),
    "open_qa": Lengths(6262, 89, 193, 1, 10, 18, 77, 1935),
    "rewrite": Lengths(3168, 183, 237, 4, 52, 99, 213, 1887),
    "summarization": Lengths(1962, 424, 395, 6, 136, 284, 607, 1954),
    "other": Lengths(1767, 180, 286, 1, 20, 72, 188, 1937),
}
"""Table 10."""

DEMONSTRATED = {
    "labeler prompts": Lengths(12845, 437, 441, 5, 42, 324, 673, 2048),
    "labeler demonstrations": Lengths(12845, 38, 76, 1, 9, 18, 41, 2048),
    "customer prompts": Lengths(1533, 153, 232, 1, 19, 67, 186, 1937),
    "customer demonstrations": Lengths(1533, 88, 179, 0, 15, 39, 88, 2048),
}
"""Table 11: of prompts with a demonstration, by who wrote the prompt."""
