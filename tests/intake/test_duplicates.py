"""What one prompt stands for, against loops over all pairs."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructgpt.intake.duplicates import (
    duplicates,
    others_of,
    prefix_duplicates,
    shingles,
    similarity,
)
from instructgpt.intake.entry import born, entry_of, normal
from instructgpt.intake.ranges import Oldest, Painted, common_prefix, stretches

LONG = "Explain in plain words, for a child of ten years, what a tide is and where it comes from: "
assert len(LONG) == 90


def are_alike(one: str, other: str) -> bool:
    """The rule as it is written: 80 characters, and nine tenths of the shorter one."""
    shared = 0
    while shared < min(len(one), len(other)) and one[shared] == other[shared]:
        shared += 1
    return shared >= 80 and shared >= Fraction(9, 10) * min(len(one), len(other))


def by_all_pairs(texts: list[str]) -> dict[int, int]:
    """The oldest first; each is held against all that were kept."""
    kept: list[int] = []
    found: dict[int, int] = {}
    for number, text in enumerate(texts):
        like = [other for other in kept if are_alike(texts[other], text)]
        if like:
            found[number] = like[0]
        else:
            kept.append(number)
    return found


# Few letters in a few lengths around the two thresholds, so that many texts share much.
endings = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 40)), max_size=3)
like_texts = st.builds(
    lambda start, runs: "s" * start + "".join(letter * count for letter, count in runs),
    st.sampled_from([0, 70, 79, 80, 81, 90, 120]),
    endings,
)


@settings(max_examples=120, deadline=None)
@given(st.lists(like_texts, max_size=12))
def test_long_common_prefixes_are_those_of_all_pairs(texts):
    assert prefix_duplicates(texts) == by_all_pairs(texts)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=9), st.data())
def test_a_stretch_is_what_shares_enough_with_a_place(wanted, data):
    shared = data.draw(
        st.lists(st.integers(0, 5), min_size=len(wanted) - 1, max_size=len(wanted) - 1)
    )
    for place, (left, right) in enumerate(stretches(shared, wanted)):
        inside = [
            other
            for other in range(len(wanted))
            if all(step >= wanted[place] for step in shared[min(place, other) : max(place, other)])
        ]
        assert list(range(left, right + 1)) == inside


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=12))
def test_the_oldest_within_and_the_first_to_claim(pairs):
    oldest, painted, stand, owners = Oldest(9), Painted(9), {}, {}
    for who, (one, other) in enumerate(pairs):
        left, right = sorted((one, other))
        oldest.add(one, who)
        stand.setdefault(one, who)
        painted.claim(left, right, who)
        for place in range(left, right + 1):
            owners.setdefault(place, who)
        inside = [stand[place] for place in range(left, right + 1) if place in stand]
        assert oldest.within(left, right) == min(inside, default=None)
        assert [painted.owner(place) for place in range(9)] == [owners.get(p) for p in range(9)]


@settings(max_examples=40, deadline=None)
@given(st.text("ab", max_size=8), st.text("ab", max_size=8))
def test_a_common_prefix_by_a_loop(one, other):
    shared = 0
    while shared < min(len(one), len(other)) and one[shared] == other[shared]:
        shared += 1
    assert common_prefix(one, other) == shared


def entries_of(rows: list[dict]):
    rows = [{"id": f"p{number}", "consent": True, **row} for number, row in enumerate(rows)]
    entries = [entry_of(f"{number:02}", row, False) for number, row in enumerate(rows)]
    forms = {f"{number:02}": normal(row["prompt"]) for number, row in enumerate(rows)}
    return entries, lambda keys: [(key, forms[key]) for key in keys]


def test_the_oldest_stands_for_the_others_whatever_the_order():
    rows = [
        {"prompt": "What is a TIDE?", "created": "2026-03-01"},
        {"prompt": "what  is a\ntide?", "created": "2026-01-01T00:00:00+00:00"},
        {"prompt": "what is a tide?"},  # nobody knows when: as if it were the youngest
        {"prompt": "cafe\u0301", "created": "2026-01-02"},
        {"prompt": "caf\xe9", "created": "2026-01-01"},
        {"prompt": "what is a tide", "created": "2025-01-01"},  # not equal, and too short
    ]
    entries, texts = entries_of(rows)
    expected = {"00": ("01", "equal"), "02": ("01", "equal"), "03": ("04", "equal")}
    assert duplicates(entries, texts) == expected
    assert duplicates(entries[::-1], texts) == expected
    assert dict(others_of(duplicates(entries, texts))) == {"01": ["00", "02"], "04": ["03"]}


def test_a_long_common_prefix_is_eighty_characters_and_nine_tenths_of_the_shorter():
    rows = [
        {"prompt": LONG, "created": "2026-01-03"},  # 89 characters without its last blank
        {"prompt": LONG + "use no numbers.", "created": "2026-01-01"},
        {"prompt": LONG + "name the moon. " + "And more. " * 30, "created": "2026-01-02"},
    ]
    # The short one begins both long ones, which share 90 of 105 characters: less than nine tenths.
    entries, texts = entries_of(rows)
    assert duplicates(entries, texts) == {"00": ("01", "common prefix")}
    rows[0]["created"] = "2025-01-01"  # now it is the oldest, and stands for both
    entries, texts = entries_of(rows)
    assert duplicates(entries, texts) == {
        "01": ("00", "common prefix"),
        "02": ("00", "common prefix"),
    }


def test_who_is_equal_to_a_dropped_one_is_stood_for_by_the_same():
    rows = [
        {"prompt": LONG, "created": "2026-01-01"},
        {"prompt": LONG + "x", "created": "2026-01-02"},
        {"prompt": LONG + "X", "created": "2026-01-03"},
    ]
    entries, texts = entries_of(rows)
    assert duplicates(entries, texts) == {"01": ("00", "common prefix"), "02": ("00", "equal")}


def test_another_text_under_the_same_id_is_dropped():
    rows = [
        {"prompt": "one", "id": "a", "created": "2026-01-02"},
        {"prompt": "two", "id": "a", "created": "2026-01-01"},
    ]
    entries, texts = entries_of(rows)
    assert duplicates(entries, texts) == {"00": ("01", "same id")}


def test_near_duplicates_share_so_many_of_their_words():
    words = [f"word{number}" for number in range(60)]
    one, other = " ".join(words), " ".join([*words[:30], "another", *words[31:]])
    # 58 shingles each, of which the changed word is in 3: 55 of 61 in common.
    assert similarity(shingles(one), shingles(other)) == pytest.approx(55 / 61)
    rows = [
        {"prompt": other, "created": "2026-01-02"},
        {"prompt": one, "created": "2026-01-01"},
        {"prompt": " ".join(reversed(words)), "created": "2026-01-03"},
    ]
    entries, texts = entries_of(rows)
    assert duplicates(entries, texts) == {}
    assert duplicates(entries, texts, near=0.9) == {"00": ("01", "near duplicate")}
    assert duplicates(entries[::-1], texts, near=0.9) == {"00": ("01", "near duplicate")}
    assert duplicates(entries, texts, near=0.91) == {}


def test_dates_by_hand():
    assert born("2026-01-01T01:00:00+01:00") == born("2026-01-01") == 1767225600
    with pytest.raises(ValueError, match='created: "last May" is no date; write it as 2026'):
        born("last May")
