"""The buffer against plain lists: every row must read back what was written for it, in order."""

import random

import pytest
import torch

from instructgpt.rollout.cache import SlotCache

PAD = -1.0


def write(cache: SlotCache, rows: list[list[float]]) -> torch.Tensor:
    """One layer's forward with each row's new keys; returns what attention sees, of head 0."""
    keys = torch.tensor(rows)[:, None, :, None].expand(-1, 2, -1, 3)
    seen_keys, seen_values = cache.update(keys, -keys, 0)
    assert torch.equal(seen_values, -seen_keys)
    assert seen_keys.isfinite().all()
    assert seen_keys.shape[2] == cache.get_mask_sizes(keys.shape[2], 0)[0]
    return seen_keys[:, 0, :, 0]


@pytest.mark.parametrize("spare", [0, 3, 50])
@pytest.mark.parametrize("seed", range(5))
def test_rows_come_go_and_move(spare, seed):
    """Prompts in any order, and slots left empty for a while: more than the engine asks for."""
    numbers = random.Random(seed)
    slots, longest, new_tokens = 4, 9, 12
    columns = longest + new_tokens + spare
    cache = SlotCache(layers=1, slots=slots, columns=columns, reserve=longest, dtype=None)
    rows: list[list[float]] = []
    ends: list[int] = []
    for _ in range(300):
        if len(rows) < slots and (not rows or numbers.random() < 0.2):
            count = numbers.randint(1, slots - len(rows))
            prompts = [
                [numbers.random() for _ in range(numbers.randint(1, longest))] for _ in range(count)
            ]
            width = max(map(len, prompts))
            cache.open_prompts(len(rows), count, width)
            assert cache.get_seq_length() == 0
            padded = [[PAD] * (width - len(prompt)) + prompt for prompt in prompts]
            assert torch.equal(write(cache, padded), torch.tensor(padded))
            rows += prompts
            ends += [len(prompt) + numbers.randint(1, new_tokens) for prompt in prompts]
            continue
        for row in rows:
            row.append(numbers.random())
        width = max(map(len, rows))
        cache.open_column(len(rows), width)
        assert cache.get_seq_length() == width - 1
        seen = write(cache, [row[-1:] for row in rows])
        assert seen.shape == (len(rows), width)
        for row, seen_row in zip(rows, seen, strict=True):
            assert torch.equal(seen_row[width - len(row) :], torch.tensor(row))
        for slot in reversed(range(len(rows))):
            if len(rows[slot]) == ends[slot]:
                cache.move(len(rows) - 1, slot, len(rows[-1]))
                rows[slot], ends[slot] = rows[-1], ends[-1]
                rows.pop()
                ends.pop()


def test_one_prompt_for_several_slots():
    cache = SlotCache(layers=1, slots=5, columns=6, reserve=3, dtype=None)
    cache.open_prompts(0, 1, 2)
    write(cache, [[1.0, 2.0]])
    cache.open_prompts(1, 2, 3)
    write(cache, [[3.0, 4.0, 5.0], [PAD, 6.0, 7.0]])
    cache.spread(1, torch.tensor([0, 1, 0, 1]), 3)
    cache.open_column(5, 4)
    first, *others = write(cache, [[10.0], [11.0], [12.0], [13.0], [14.0]]).tolist()
    assert first[1:] == [1.0, 2.0, 10.0]
    assert others == [
        [3.0, 4.0, 5.0, 11.0],
        [PAD, 6.0, 7.0, 12.0],
        [3.0, 4.0, 5.0, 13.0],
        [PAD, 6.0, 7.0, 14.0],
    ]


def test_under_autocast_the_cast_states_are_stored():
    cache = SlotCache(layers=1, slots=1, columns=4, reserve=2, dtype=None)
    cache.open_prompts(0, 1, 2)
    with torch.autocast("cpu", torch.bfloat16):
        seen = write(cache, [[1.0, 1 + 2**-10]])
    assert seen.dtype == torch.bfloat16
    assert seen.tolist() == [[1.0, 1.0]]


def test_storage_in_another_dtype_gives_back_the_models():
    cache = SlotCache(layers=1, slots=1, columns=4, reserve=2, dtype=torch.bfloat16)
    cache.open_prompts(0, 1, 2)
    seen = write(cache, [[1.0, 1 + 2**-10]])
    assert seen.dtype == torch.float32
    assert seen.tolist() == [[1.0, 1.0]]  # bfloat16 keeps 8 bits


def test_a_beginning_read_once_stands_in_every_row():
    cache = SlotCache(layers=1, slots=3, columns=8, reserve=5, dtype=None)
    cache.open_prompts(0, 1, 3)
    write(cache, [[1.0, 2.0, 3.0]])
    cache.begin(0, 3, [(0, 4), (2, 5)])  # of four tokens in all, and of five
    cache.open_prompts(0, 3, 5, 2)
    assert cache.get_seq_length() == 3
    seen = write(cache, [[30.0, 4.0], [7.0, 8.0], [5.0, 6.0]])
    assert seen[0, 1:].tolist() == [1, 2, 30, 4]  # the last two columns are read by every row
    assert seen[1, 3:].tolist() == [7, 8]
    assert seen[2].tolist() == [1, 2, 3, 5, 6]
