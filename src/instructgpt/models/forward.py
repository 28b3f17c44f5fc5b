"""The forward pass of every stage: padded rows in, log-probabilities or scalars out.

Axes: B rows, T time over the whole row, R response, D width, V vocabulary, N response tokens of all
    rows.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from inspect import signature
from typing import Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from instructgpt.models.device import compute_device
from instructgpt.models.fit import context_length, require_room
from instructgpt.models.once import once_per_model
from instructgpt.models.parts import scalar_head, trunk
from instructgpt.models.rows import Rows, Tokens, budget_groups, pad_rows
from instructgpt.run.tuning import forward_dtype

LOGIT_ROWS = 512
"""Rows of logits that are computed at a time."""
KEPT_LOGITS = 2**26
"""With more logits than this in a pass (256 MiB), they are made again in the backward pass."""

ENTER = "_instructgpt_enter"
"""A sharded model's method `(compute, *arguments)` that runs `compute(model, *arguments)`."""

P = ParamSpec("P")
R = TypeVar("R")


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
    logprobs_N = token_logprobs(model, project, states_ND, targets_N, temperature)
    return _scatter(logprobs_N, rows)


def token_logprobs(
    model: PreTrainedModel,
    project: nn.Module,
    states_ND: Tensor,
    targets_N: Tensor,
    temperature: float = 1.0,
) -> Tensor:
    """log p of each target under softmax(project(its state) / temperature), float32 (N,), some
    rows of logits at a time.
    """
    keeps = len(targets_N) * model.config.get_text_config().vocab_size <= KEPT_LOGITS
    return torch.cat(
        [
            _chunk_logprobs(project, states, targets, temperature, keeps)
            for states, targets in zip(
                states_ND.split(LOGIT_ROWS), targets_N.split(LOGIT_ROWS), strict=True
            )
        ]
    )


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
