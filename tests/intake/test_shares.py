"""Caps, splits and uses: keyed draws, held against another way to compute them."""

import hashlib
import hmac
from collections import Counter

import pytest

from instructgpt.data.records import Prompt
from instructgpt.data.splits import HELD_OUT, owner_of, side_of, with_splits
from instructgpt.errors import UserError
from instructgpt.intake.entry import entry_of
from instructgpt.intake.keyed import draw
from instructgpt.intake.shares import (
    PAPER_CUSTOMERS,
    PAPER_LABELERS,
    SPLITS,
    over_the_cap,
    parts_of,
    split_of,
    use_of,
)
from instructgpt.run.seeds import derive
from tests.files import sentence

KEY = b"a key of this test, 32 bytes....."
PARTS = {"train": 80, "valid": 10, "test": 10}


def entry(number: int, **columns):
    row = {"id": f"p{number}", "prompt": f"number {number}?", "consent": True, **columns}
    return entry_of(f"{number:04}", row, False)


def test_a_draw_is_the_first_eight_bytes_of_an_hmac():
    whole = hmac.new(KEY, b"cap/ann", hashlib.sha256).hexdigest()
    assert draw(KEY, "cap", "ann") == int(whole[:16], 16)


def test_the_cap_keeps_those_that_the_key_puts_first_in_any_order():
    own = [entry(number, user_id="ann", org_id="acme") for number in range(6)]
    others = [entry(number, user_id="bob", org_id="acme") for number in range(6, 8)]
    nobodys = [entry(number) for number in range(8, 20)]
    labelers = [
        entry(number, user_id="ann", org_id="acme", source="labeler") for number in range(20, 30)
    ]
    everyone = [*own, *others, *nobodys, *labelers]
    ranked = sorted(
        own, key=lambda one: hmac.new(KEY, f"cap/{one.key}".encode(), "sha256").digest()
    )
    expected = {one.key for one in ranked[2:]}
    assert over_the_cap(everyone, 2, "user", KEY) == expected
    assert over_the_cap(everyone[::-1], 2, "user", KEY) == expected
    assert over_the_cap(everyone, 2, "user", b"another") != expected
    of_both = over_the_cap(everyone, 2, "org", KEY)
    assert len(of_both) == 6
    assert of_both <= {one.key for one in [*own, *others]}


def test_nobody_is_on_two_sides_and_the_shares_are_those_asked_for():
    entries = [
        entry(number, user_id=f"u{number % 500}", org_id=f"o{number % 250}")
        for number in range(2000)
    ]
    for per, count in (("user", 500), ("org", 250)):
        sides = {}
        for one in entries:
            owner = one.user if per == "user" else one.org
            sides.setdefault(owner, set()).add(split_of(one, PARTS, per, KEY))
        assert all(len(side) == 1 for side in sides.values())
        train = sum(side == {"train"} for side in sides.values())
        assert abs(train - 0.8 * count) < 4 * (count * 0.16) ** 0.5  # 4 standard deviations
    alone = [split_of(entry(number), PARTS, "user", KEY) for number in range(1000)]
    assert abs(Counter(alone)["train"] - 800) < 4 * 160**0.5
    # Without organizations, those of users: and a user named like an id is somebody else.
    assert split_of(entry(1, user_id="u1"), PARTS, "org", KEY) == split_of(
        entry(2, user_id="u1"), PARTS, "user", KEY
    )


def test_uses_are_in_the_papers_proportions_and_ppo_is_customers_only():
    count = 4000
    customers = Counter(
        use_of(entry(n), "train", PAPER_CUSTOMERS, PAPER_LABELERS, KEY) for n in range(count)
    )
    labelers = Counter(
        use_of(entry(n, source="labeler"), "valid", PAPER_CUSTOMERS, PAPER_LABELERS, KEY)
        for n in range(count)
    )
    for found, parts in ((customers, (1430, 26584, 31144)), (labelers, (11295, 6623, 0))):
        for use, part in zip(("sft", "reward", "ppo"), parts, strict=True):
            share = part / sum(parts)
            deviation = (count * share * (1 - share)) ** 0.5
            assert abs(found[use] - count * share) <= 4 * deviation
    assert labelers["ppo"] == 0
    assert use_of(entry(1), "test", PAPER_CUSTOMERS, PAPER_LABELERS, KEY) == ""
    pairs = [{"input": "1", "output": "2"}]
    few = entry(1, instruction="Add.", examples=pairs)
    assert use_of(few, "train", {"sft": 0, "reward": 0, "ppo": 1}, PAPER_LABELERS, KEY) == "sft"


def test_parts_are_counted_from_the_first_side():
    sides = [side_of(number, {"a": 2, "b": 0, "c": 1}) for number in range(6)]
    assert sides == ["a", "a", "c"] * 2


def test_prompts_without_a_user_fall_where_they_fell_and_those_of_a_user_together():
    prompts = [Prompt(id=f"p{n}", prompt=f"number {n}?") for n in range(200)]
    as_before = [HELD_OUT if derive(0, one.id) % 5 == 0 else "train" for one in prompts]
    assert [one.split for one in with_splits(prompts)] == as_before
    own = [one.model_copy(update={"user_id": f"u{n % 20}"}) for n, one in enumerate(prompts)]
    sides = {}
    for one in with_splits(own):
        sides.setdefault(one.user_id, set()).add(one.split)
    assert all(len(side) == 1 for side in sides.values())
    assert {side for (side,) in map(tuple, sides.values())} == {"train", HELD_OUT}
    assert owner_of("u1", None) != owner_of("p1", "u1")


@pytest.mark.parametrize("text", ["80/20", "80/10/x", "0/0/0", "80/10/-1", "a"])
def test_parts_that_are_none_are_refused(text):
    with pytest.raises(UserError, match=f"--splits {text}: are no parts of train, valid") as raised:
        parts_of(text, SPLITS, "splits")
    sentence(raised)
