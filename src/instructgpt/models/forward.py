"""The forward pass of every stage: padded rows in, log-probabilities or scalars out.

Axes: B rows, T time over the whole row, R response, D width, V vocabulary, N response tokens of all
    rows.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from itertools import chain
from typing import Concatenate, Literal, ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from instructgpt.models.device import compute_device
from instructgpt.models.fit import context_length, require_room
from instructgpt.models.load import scalar_head, trunk
from instructgpt.models.once import once_per_model
from instructgpt.run.tuning import forward_dtype

PASS_SHARE = 16
"""A full pass costs this many times what any pass costs besides its tokens (launching it, adding up
gradients).
"""
LOGIT_ROWS = 512
"""Rows of logits that are computed at a time."""
KEPT_LOGITS = 2**26
"""With more logits than this in a pass (256 MiB), they are made again in the backward pass."""

ENTER = "_instructgpt_enter"
"""A sharded model's method `(compute, *arguments)` that runs `compute(model, *arguments)`."""

Side = Literal["left", "right"]
Tokens = Sequence[int]
P = ParamSpec("P")
R = TypeVar("R")


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


def within_model(
    compute: Callable[Concatenate[PreTrainedModel, P], R],
) -> Callable[Concatenate[PreTrainedModel, P], R]:
    """Run `compute(model, …)` as if it were the model's own forward: only there is a sharded model
    whole. Such functions do not call each other.
    """

    @wraps(compute)
    def call(model: PreTrainedModel, *args: P.args, **kwargs: P.kwargs) -> R:
        enter = getattr(model, ENTER, None)
        return enter(compute, *args, **kwargs) if enter else compute(model, *args, **kwargs)

    return call


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


def hidden_states(model: PreTrainedModel, rows: Rows) -> Tensor:
    """The trunk's last hidden states, (B, T, D)."""
    return trunk(model)(**_inputs(trunk(model), rows)).last_hidden_state


def model_logits(model: PreTrainedModel, rows: Rows) -> Tensor:
    """A policy's own logits, (B, T, V)."""
    return model(**_inputs(model, rows)).logits


@within_model
def response_logprobs(model: PreTrainedModel, rows: Rows, *, temperature: float = 1.0) -> Tensor:
    """log p of each response token given what precedes it, under softmax(logits / temperature).

    Holds `KEPT_LOGITS` logits at most, or `LOGIT_ROWS` rows: of a larger pass, they are recomputed
    in the backward pass.

    Returns:
        float32 (B, R), zero where there is no response token.
    """
    if head_is_plain(model):
        states_ND = _at_sources(hidden_states(model, rows), rows)
        project = model.get_output_embeddings()
    else:  # architectures that scale or cap their logits: take them from the model itself
        states_ND = _at_sources(model_logits(model, rows), rows)
        project = nn.Identity()
    assert project is not None
    targets_N = rows.response_BR[rows.is_response_BR]
    keeps = len(targets_N) * model.config.get_text_config().vocab_size <= KEPT_LOGITS
    logprobs_N = torch.cat(
        [
            _chunk_logprobs(project, states, targets, temperature, keeps)
            for states, targets in zip(
                states_ND.split(LOGIT_ROWS), targets_N.split(LOGIT_ROWS), strict=True
            )
        ]
    )
    return _scatter(logprobs_N, rows)


@within_model
def response_values(scorer: PreTrainedModel, rows: Rows) -> Tensor:
    """A scalar for each response token, read where that token is predicted (raw, no shift).

    Returns:
        float32 (B, R), zero where there is no response token.
    """
    states_ND = _at_sources(hidden_states(scorer, rows), rows)
    return _scatter(scalar_head(scorer)(states_ND).squeeze(-1).float(), rows)


@within_model
def last_token_scores(scorer: PreTrainedModel, rows: Rows) -> Tensor:
    """The scalar at each row's last token (raw, no shift): the response's score. Float32 (B,)."""
    scores_B1 = scalar_head(scorer)(_last_states(scorer, rows)).float()
    return scores_B1.sum(-1)  # not squeezed: a sharded model may not give away a view


def in_groups(
    read: Callable[[Rows], Tensor],
    prompts: Sequence[Tokens],
    responses: Sequence[Tokens],
    *,
    device: torch.device,
    dtype: str,
    budget: int,
) -> Tensor:
    """What `read` makes of each row, within a budget of tokens, in the order given: float32 (N, …)
    on the CPU.
    """
    lengths = [len(p) + len(r) for p, r in zip(prompts, responses, strict=True)]
    found: dict[int, Tensor] = {}
    for group in budget_groups(lengths, budget):
        rows = pad_rows([prompts[i] for i in group], [responses[i] for i in group], device=device)
        with autocast(dtype, device):
            found |= dict(zip(group, read(rows).float().cpu(), strict=True))
    return torch.stack([found[index] for index in range(len(lengths))])


@within_model
def last_states(model: PreTrainedModel, rows: Rows) -> Tensor:
    """The trunk's last hidden state at each row's last token, (B, D)."""
    return _last_states(model, rows)


def _last_states(model: PreTrainedModel, rows: Rows) -> Tensor:
    hidden_BTD = hidden_states(model, rows)
    last_B = (
        rows.is_token_BT * torch.arange(rows.is_token_BT.shape[1], device=hidden_BTD.device)
    ).argmax(1)
    return hidden_BTD[torch.arange(len(last_B), device=hidden_BTD.device), last_B]


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


def autocast(dtype: str, device: torch.device | str) -> AbstractContextManager[object]:
    """The forward pass in `dtype` (`auto`: the faster one here); weights stay float32."""
    dtype = forward_dtype(dtype)
    if dtype == "float32":
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=getattr(torch, dtype))


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Full float32, and no random numbers drawn that anybody else would miss."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with (
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            torch.autocast(device.type, enabled=False),
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


@contextmanager
def evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Eval mode, then each module back in the mode it was in."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


@once_per_model
def head_is_plain(model: PreTrainedModel) -> bool:
    """Whether logits are the output layer on the trunk's states: one forward, so that dropout acts
    on both alike.
    """
    head, device = model.get_output_embeddings(), compute_device(model)
    fitting = (context_length(model.config) or 9) - 1
    # Several, as token 0 may be a zero vector.
    probe = range(min(8, fitting, model.config.get_text_config().vocab_size))
    rows = pad_rows([probe], [[0]], device=device)
    states: list[Tensor] = []
    handle = trunk(model).register_forward_hook(
        lambda _module, _inputs, output: states.append(output.last_hidden_state)
    )
    with exact(device), torch.no_grad():
        theirs = model_logits(model, rows)
        handle.remove()
        if head is None or not states:  # OPT's and BART's call what is within the trunk
            return False
        try:
            return torch.equal(head(states[0]), theirs)
        except RuntimeError:  # another layer lies between
            return False


def _inputs(module: nn.Module, rows: Rows) -> dict[str, Tensor | bool]:
    require_room(module, rows.tokens_BT.shape[1])
    inputs: dict[str, Tensor | bool] = {
        "input_ids": rows.tokens_BT,
        "attention_mask": rows.is_token_BT.long(),
    }
    accepted = signature(module.forward).parameters
    if "position_ids" in accepted:
        inputs["position_ids"] = rows.positions_BT
    if "use_cache" in accepted:
        inputs["use_cache"] = False
    return inputs


def _at_sources(states_BTX: Tensor, rows: Rows) -> Tensor:
    """The states that predict a response token, (N, X), row by row."""
    index = rows.source_BR[..., None].expand(-1, -1, states_BTX.shape[-1])
    return states_BTX.gather(1, index)[rows.is_response_BR]


def _scatter(values_N: Tensor, rows: Rows) -> Tensor:
    values_BR = torch.zeros(rows.response_BR.shape, dtype=values_N.dtype, device=values_N.device)
    return values_BR.masked_scatter(rows.is_response_BR, values_N)


def _chunk_logprobs(
    project: nn.Module, states_ND: Tensor, targets_N: Tensor, temperature: float, keeps: bool
) -> Tensor:
    def compute(states: Tensor, targets: Tensor) -> Tensor:
        logits_NV = project(states).float()
        if temperature != 1.0:
            logits_NV = logits_NV / temperature
        return -nn.functional.cross_entropy(logits_NV, targets, reduction="none")

    if keeps or not (torch.is_grad_enabled() and states_ND.requires_grad):
        return compute(states_ND, targets_N)
    return checkpoint(compute, states_ND, targets_N, use_reentrant=False, preserve_rng_state=False)  # type: ignore[return-value]
