"""Spans become marks, and marks stay what they are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructgpt.intake.pii import Detector, Rules, Span, mask, mask_all, merged
from instructgpt.intake.pii.spans import lower


def at(text: str, *pieces: tuple[str, str]) -> list[Span]:
    """Every place of these pieces."""
    return [
        Span(i, i + len(piece), kind, 0.9)
        for kind, piece in pieces
        for i in range(len(text))
        if text.startswith(piece, i)
    ]


def test_the_same_value_has_the_same_mark_however_it_is_written():
    text = "a@b.org, A@B.org, c@d.org, 4111 1111, 4111-1111"
    spans = at(text, ("EMAIL", "a@b.org"), ("EMAIL", "A@B.org"), ("EMAIL", "c@d.org"))
    spans += at(text, ("CARD", "4111 1111"), ("CARD", "4111-1111"))
    assert mask(text, spans) == "<EMAIL_1>, <EMAIL_1>, <EMAIL_2>, <CARD_1>, <CARD_1>"


def test_the_turns_of_a_conversation_share_their_marks():
    turns = ["I am x", "Hello x, I am y", "y"]
    spans = [at(turn, ("NAME", "x"), ("NAME", "y")) for turn in turns]
    assert mask_all(turns, spans) == ["I am <NAME_1>", "Hello <NAME_1>, I am <NAME_2>", "<NAME_2>"]


def test_a_mark_that_is_there_already_is_no_other_values():
    text = "<EMAIL_3> wrote to x"
    assert mask(text, at(text, ("EMAIL", "x"))) == "<EMAIL_3> wrote to <EMAIL_4>"


def test_overlapping_spans_become_one_of_the_surest_type():
    spans = [Span(0, 5, "PHONE", 0.7), Span(3, 9, "CARD", 0.9), Span(9, 10, "IP", 0.1)]
    assert merged(spans, "0123456789") == [Span(0, 9, "CARD", 0.9), Span(9, 10, "IP", 0.1)]


@pytest.mark.parametrize(
    "span", [(0, 0, "A"), (2, 1, "A"), (-1, 1, "A"), (0, 4, "A"), (0, 1, "a b")]
)
def test_an_analyzer_that_answers_nonsense_is_told_so(span):
    with pytest.raises(ValueError, match=r"not within|capital letters"):
        mask("abc", [Span(*span, 0.5)])


def test_an_analyzer_from_elsewhere_needs_no_more_than_the_protocol():
    class Numbers:
        version = "numbers-1"

        def find(self, text: str) -> list[Span]:
            return [Span(i, i + 1, "DIGIT", 1.0) for i, sign in enumerate(text) if sign.isdigit()]

    detectors: list[Detector] = [Rules(), Numbers()]
    text = "ann1@mail.org has 2"
    found = [span for detector in detectors for span in detector.find(text)]
    assert mask(text, merged(found, text)) == "<DIGIT_1> has <DIGIT_2>"


@settings(max_examples=30, deadline=None)
@given(st.text(st.sampled_from("aAÉßİǅ爱"), max_size=20))
def test_small_letters_stand_where_the_letters_stood(text: str):
    lowered = lower(text)
    assert len(lowered) == len(text)
    assert all(a in (b, b.lower()) for a, b in zip(lowered, text, strict=True))
