"""SQuAD's F1 and exact match, against values by hand and the official script written anew."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructgpt.evaluation.metrics.squad import exact_match, f1, normalized

WORDS = st.sampled_from(
    ["the", "a", "an", "sea", "North", "Sea.", "10,000", "U.S.", "—", "in", "'"]
)
TEXTS = st.lists(WORDS, max_size=6).map(" ".join)


def official_words(text):
    """`get_tokens` of evaluate-v2.0.py, by loops."""
    kept = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    words, word = [], ""
    for letter in kept + " ":
        if letter.isspace():
            words += [word] if word and word not in ("a", "an", "the") else []
            word = ""
        else:
            word += letter
    return words


def official_f1(gold, text):
    """`compute_f1` of the same."""
    gold, own = official_words(gold), official_words(text)
    if not gold or not own:
        return float(gold == own)
    left, common = list(gold), 0
    for word in own:
        if word in left:
            left.remove(word)
            common += 1
    if not common:
        return 0.0
    precision, recall = common / len(own), common / len(gold)
    return 2 * precision * recall / (precision + recall)


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=3))
def test_f1_and_exact_match_are_the_official_scripts(text, references):
    assert f1(text, references) == pytest.approx(max(official_f1(r, text) for r in references))
    exact = any(official_words(r) == official_words(text) for r in references)
    assert exact_match(text, references) == exact


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The  “Theatre”, an A-team's\tanswer.", "“theatre” ateams answer"),
        ("a the an", ""),
        (
            "Über den a\u00a0b",
            "über den b",
        ),  # any whitespace parts words; letters beyond ASCII stay
        ("the-sea", "thesea"),  # punctuation goes first, and leaves no gap
        ("C'est l’été", "cest l’été"),  # ASCII punctuation alone
    ],
)
def test_normalized(text, words):
    assert normalized(text) == words


@pytest.mark.parametrize(
    ("text", "references", "expected"),
    [
        ("", [""], 1.0),
        ("the", ["."], 1.0),  # neither has a word
        ("", ["sea"], 0.0),
        ("sea", ["the"], 0.0),
        ("sea sea sea", ["sea sea lake"], 2 / 3),
        ("Not in background.", ["Not in background."], 1.0),
        ("in 1974", ["Not in background."], 0.4),  # 1 word of 2 and of 3: as in the paper
    ],
)
def test_f1(text, references, expected):
    assert f1(text, references) == pytest.approx(expected)
