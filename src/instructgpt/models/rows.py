"""Prompts and responses as padded batches, and which of them share a forward pass.

Axes: B rows, T time over the whole row, R response.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import torch
from torch import Tensor

PASS_SHARE = 16
"""A full pass costs this many times what any pass costs besides its tokens (launching it, adding up
gradients).
"""

Side = Literal["left", "right"]
Tokens = Sequence[int]


@dataclass(frozen=True)
class Rows:
    """Prompts with their responses as one padded batch; masks come from lengths alone.

    Attributes:
        tokens_BT: token ids; the filler's id is 0 and is never read.
        is_token_BT: true where a token stands.
        positions_BT: each token's position in its own row.
        source_BR: column at which response token r is predicted (one before its own); 0 where there
            is none.
        response_BR: response token ids, right-padded.
        is_response_BR: true where a response token stands.
    """

    tokens_BT: Tensor
    is_token_BT: Tensor
    positions_BT: Tensor
    source_BR: Tensor
    response_BR: Tensor
    is_response_BR: Tensor


def pad_rows(
    prompts: Sequence[Tokens],
    responses: Sequence[Tokens],
    *,
    device: torch.device | str = "cpu",
    side: Side = "right",
) -> Rows:
    """Lay out prompt + response rows; `side` is where the filler goes."""
    assert all(map(len, prompts)), (
        "a row needs a prompt: its first response token must be predicted from something"
    )
    before_B1, answer_B1 = (torch.tensor([*map(len, x)])[:, None] for x in (prompts, responses))
    length_B1 = before_B1 + answer_B1
    columns_T = torch.arange(int(length_B1.max()))
    start_B1 = len(columns_T) - length_B1 if side == "left" else torch.zeros_like(length_B1)
    positions_BT = columns_T - start_B1
    is_token_BT = (positions_BT >= 0) & (positions_BT < length_B1)
    columns_R = torch.arange(int(answer_B1.max()))
    is_response_BR = is_response(answer_B1[:, 0], len(columns_R))
    both = chain.from_iterable(chain.from_iterable(zip(prompts, responses, strict=True)))
    batch = (
        _filled(is_token_BT, both),
        is_token_BT,
        positions_BT * is_token_BT,
        (start_B1 + before_B1 - 1 + columns_R) * is_response_BR,
        _filled(is_response_BR, chain.from_iterable(responses)),
        is_response_BR,
    )
    return Rows(*(tensor.to(device, non_blocking=True) for tensor in batch))


def text_rows(windows: Sequence[Tokens], *, device: torch.device | str = "cpu") -> Rows:
    """Lay out windows of plain text: every token but the first is a response token."""
    return pad_rows([w[:1] for w in windows], [w[1:] for w in windows], device=device)


def is_response(length_B: Tensor, width: int) -> Tensor:
    """True where a response token stands, (B, R): the first `length_B` of `width` columns."""
    return torch.arange(width, device=length_B.device) < length_B[:, None]


def _filled(is_there_BX: Tensor, tokens: Iterable[int]) -> Tensor:
    """These tokens where one stands, row by row, and 0 elsewhere."""
    tokens_BX = torch.zeros(is_there_BX.shape, dtype=torch.long)
    tokens_BX[is_there_BX] = torch.tensor([*tokens], dtype=torch.long)
    return tokens_BX


def budget_groups(
    lengths: Sequence[int], budget: int, rows: Sequence[int] | None = None
) -> list[list[int]]:
    """Micro-batches of similar length whose padded size stays within `budget` tokens, cut so that
    filler and passes together cost least; a pass counts as `1 / PASS_SHARE` of a full one.

    An item that alone is over the budget makes a micro-batch of its own. `rows` says how many rows
    of that length each item has (1 unless given).

    >>> budget_groups([50, 10, 49, 12], budget=160)
    [[0, 2], [3, 1]]
    """
    rows = rows or [1] * len(lengths)
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    a_pass = max(1, budget // PASS_SHARE)
    # Of the first n items in order: the least cost, and where their last group begins.
    best, begins = [0.0], [0]
    for end in range(1, len(order) + 1):
        filled = 0
        least, begin = math.inf, end - 1
        for start in reversed(range(end)):
            filled += rows[order[start]]
            padded = lengths[order[start]] * filled
            if padded > budget and start < end - 1:
                break
            if best[start] + padded + a_pass < least:
                least, begin = best[start] + padded + a_pass, start
        best.append(least)
        begins.append(begin)
    groups: list[list[int]] = []
    end = len(order)
    while end:
        groups.append(order[begins[end] : end])
        end = begins[end]
    return groups[::-1]
