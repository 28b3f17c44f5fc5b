"""What is trained on and what is held out."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructgpt.data.records import Prompt
from instructgpt.data.splits import HELD_OUT, split_by_field, split_by_prompt, with_splits
from instructgpt.errors import UserError
from tests.files import sentence


class Row(NamedTuple):
    prompt_id: str


def by_prompt(prompts, times):
    return [Row(f"p{i}") for i in range(prompts)] * times


@given(prompts=st.integers(2, 30), fraction=st.floats(0.1, 0.9), seed=st.integers(0, 5))
def test_a_split_keeps_prompts_apart(prompts, fraction, seed):
    held = round(prompts * fraction)
    if held in (0, prompts):
        return
    train, test = split_by_prompt(by_prompt(prompts, 3), fraction, seed=seed)
    train_ids, test_ids = ({c.prompt_id for c in side} for side in (train, test))
    assert not train_ids & test_ids
    assert (len(train_ids), len(test_ids)) == (prompts - held, held)
    assert (len(train), len(test)) == (3 * (prompts - held), 3 * held)


def test_a_split_depends_on_the_seed_and_not_on_the_order():
    rows = by_prompt(40, 1)
    ids = [
        {c.prompt_id for c in split_by_prompt(data, 0.5, seed=seed)[1]}
        for data, seed in ((rows, 0), (rows[::-1], 0), (rows, 1))
    ]
    assert ids[0] == ids[1] != ids[2]


def test_no_split_and_an_empty_side():
    assert split_by_prompt(by_prompt(3, 1), 0.0, seed=0) == (by_prompt(3, 1), [])
    for fraction in (0.1, 0.9):
        with pytest.raises(UserError, match=f"eval_fraction {fraction} of 3 prompts") as raised:
            split_by_prompt(by_prompt(3, 1), fraction, seed=0)
        sentence(raised)


def test_records_of_a_split_by_hand():
    train, test, none = (
        Prompt(prompt=p, split=s) for p, s in (("a", "x"), ("b", "y"), ("c", None))
    )
    assert split_by_field([train, test, none], "y") == ([train, none], [test])
    assert split_by_field([train, test, none], "z") == ([train, test, none], [])


def test_what_a_snapshot_holds_out_is_held_out():
    made = {s: Prompt(prompt="a", split=s) for s in ("train", "valid", "test", "heldout")}
    train, *held = made.values()
    assert split_by_field(made.values(), HELD_OUT) == ([train], held)
    assert split_by_field(made.values(), "valid")[1] == [made["valid"]]


def test_a_prompt_stays_on_its_side_when_others_are_added():
    prompts = [Prompt(prompt=f"number {i}?") for i in range(100)]
    few, many = with_splits(prompts[:40]), with_splits(prompts)
    assert many[:40] == few
    assert {prompt.split for prompt in many} == {"train", HELD_OUT}
    assert 10 <= sum(prompt.split == HELD_OUT for prompt in many) <= 30
