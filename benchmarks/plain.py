"""The plain way of every stage: padded rows, whole logits, a row for each answer of each pair.

Axes: B rows, T time over the whole row, R response, V vocabulary, N pairs.
"""

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid
from torch.optim import AdamW, Optimizer
from transformers import PreTrainedModel

from instructgpt.models.forward import last_token_scores, response_values
from instructgpt.models.rows import Rows, pad_rows
from instructgpt.ppo.gae import gae, token_rewards, whiten
from instructgpt.ppo.kl import k1
from instructgpt.ppo.loss import policy_loss, value_loss
from instructgpt.ppo.model import PPOModel
from instructgpt.reward.data import Comparison
from instructgpt.reward.model import RewardModel
from instructgpt.rollout.policy import SFTModel
from instructgpt.sft.data import Example
from peers import generate_batches


def adam(model: PreTrainedModel) -> AdamW:
    """Its steps are too small to change what is measured."""
    return AdamW(model.parameters(), 1e-6, fused=True)


def step(model: PreTrainedModel, optimizer: Optimizer, loss: Tensor) -> None:
    """Backward, clip, step."""
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


def whole_logprobs(model: PreTrainedModel, rows: Rows) -> Tensor:
    """log p of each response token, (B, R), by way of all logits, (B, T, V)."""
    logits_BTV = model(input_ids=rows.tokens_BT, attention_mask=rows.is_token_BT.long()).logits
    logprobs_BTV = logits_BTV.float().log_softmax(-1)
    row_B1 = torch.arange(len(logits_BTV), device=logits_BTV.device)[:, None]
    return logprobs_BTV[row_B1, rows.source_BR, rows.response_BR] * rows.is_response_BR


def sft_step(policy: SFTModel, optimizer: Optimizer, batch: Sequence[Example]) -> None:
    """The whole batch as one padded block."""
    rows = pad_rows([e.prompt for e in batch], [e.response for e in batch], device=policy.device)
    loss = -whole_logprobs(policy.model, rows).sum() / rows.is_response_BR.sum()
    step(policy.model, optimizer, loss)


def reward_step(reward: RewardModel, optimizer: Optimizer, comparison: Comparison) -> None:
    """Every pair on its own; the answers are in order of rank."""
    better, worse = zip(*combinations(comparison.responses, 2), strict=True)
    prompts = [comparison.prompt] * (2 * len(better))
    rows = pad_rows(prompts, [*better, *worse], device=reward.device)
    better_N, worse_N = last_token_scores(reward.model, rows).chunk(2)
    step(reward.model, optimizer, -logsigmoid(better_N - worse_N).mean())


def ppo_iteration(
    ppo: PPOModel,
    optimizers: Sequence[Optimizer],
    prompts: Sequence[list[int]],
    lengths: Sequence[int],
    mini_batches: int,
) -> None:
    """`generate` on all prompts, then padded passes of the four networks, then the updates."""
    policy, critic = ppo.policy.model, ppo.critic.model
    responses = generate_batches(ppo.policy, prompts, lengths, len(prompts))
    rows = pad_rows(prompts, responses, device=ppo.policy.device)
    with torch.no_grad():
        old_BR, ref_BR = (whole_logprobs(m, rows) for m in (policy, ppo.reference.model))
        values_BR = response_values(critic, rows)
        scores_B = last_token_scores(ppo.reward_model.model, rows)
        rewards_BR = token_rewards(scores_B, k1(old_BR, ref_BR), rows.is_response_BR, 0.02)
        advantages_BR, returns_BR = gae(rewards_BR, values_BR, rows.is_response_BR, 1.0, 0.95)
        advantages_BR = whiten(advantages_BR, rows.is_response_BR)
    order = torch.randperm(len(prompts)).tolist()
    for first in range(mini_batches):
        chosen = order[first::mini_batches]
        part = pad_rows(
            [prompts[i] for i in chosen],
            [responses[i] for i in chosen],
            device=ppo.policy.device,
        )
        old, advantages, values, returns = (
            x[chosen, : part.response_BR.shape[1]]
            for x in (old_BR, advantages_BR, values_BR, returns_BR)
        )
        logprobs_BR = whole_logprobs(policy, part)
        loss, count = policy_loss(logprobs_BR, old, advantages, part.is_response_BR, 0.2)
        step(policy, optimizers[0], loss / count)
        new_BR = response_values(critic, part)
        loss, count = value_loss(new_BR, values, returns, part.is_response_BR, 0.2)
        step(critic, optimizers[1], loss / count)
