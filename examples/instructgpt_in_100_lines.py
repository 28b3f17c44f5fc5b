"""InstructGPT in 100 lines, from a policy to PPO-ptx, with nothing between you and the tensors.

The pure functions are the ones the trainers use; the models are ordinary Hugging Face modules. Run
it as it stands: it makes a tiny model and learns to answer "ab" prompts with many b's, a reward
that a labeler's rankings imply.
"""

import copy

import torch
from torch.optim import AdamW
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel

from instructgpt.models.forward import (
    last_token_scores,
    pad_rows,
    response_logprobs,
    response_values,
)
from instructgpt.ppo.gae import gae, token_rewards, whiten
from instructgpt.ppo.kl import k1
from instructgpt.ppo.loss import policy_loss, value_loss
from instructgpt.reward.loss import ranking_loss
from instructgpt.rollout.engine import RolloutEngine
from instructgpt.rollout.sampling import Sampling

torch.manual_seed(0)
EOS, A, B, C = range(4)  # the vocabulary; the "labeler" likes B
BETA, GAMMA_PTX, CLIP, LAM, K, R = 0.05, 0.5, 0.2, 0.95, 4, 6  # C.4, in miniature
shape = GPT2Config(
    vocab_size=4, n_positions=32, n_embd=32, n_layer=2, n_head=2,
    bos_token_id=EOS, eos_token_id=EOS, pad_token_id=EOS,
    resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    num_labels=1,  # pyright: ignore[reportCallIssue]
)  # fmt: skip
policy = GPT2LMHeadModel(shape).eval()


def optimizer(model, learning_rate):
    return AdamW(model.parameters(), learning_rate, betas=(0.9, 0.95), weight_decay=0.0)


def step(optimizer, loss, model):
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


def sample(prompts, first_seed):
    seeds = range(first_seed, first_seed + len(prompts))
    samples = RolloutEngine(policy).generate(prompts, seeds, Sampling(R, stop_tokens=(EOS,)))
    return [s.tokens for s in samples]


# Step 1, section 3.5 "Supervised fine-tuning": maximize log p(response | prompt) over
# demonstrations.
demonstrations = [([A, B], [A, B, C, EOS]), ([B, A], [C, A, EOS]), ([A, A], [B, EOS])]
prompts, responses = zip(*demonstrations, strict=True)
sft = optimizer(policy, 3e-3)
for _ in range(30):
    rows = pad_rows(prompts, responses)
    step(sft, -response_logprobs(policy, rows).sum() / rows.is_response_BR.sum(), policy)

# Step 2, "Reward modeling", eq. 1: all K choose 2 pairs of a prompt's K ranked answers are one
# batch element.
reward_model = GPT2ForSequenceClassification(shape).eval()
reward_model.transformer.load_state_dict(policy.transformer.state_dict())
rm = optimizer(reward_model, 3e-3)
for iteration in range(60):
    ranked_prompts = [prompts[i % 3] for i in range(8)]
    answers = sample([p for p in ranked_prompts for _ in range(K)], iteration * 8 * K)
    liked_BK = torch.tensor([answer.count(B) for answer in answers]).view(8, K)
    ranks_BK = 1 + (liked_BK[:, None, :] > liked_BK[:, :, None]).sum(2)  # 1 is best, equal is a tie
    scores_N = last_token_scores(
        reward_model, pad_rows([p for p in ranked_prompts for _ in range(K)], answers)
    )
    loss, count = ranking_loss(scores_N.view(8, K), ranks_BK, torch.ones(8, K, dtype=torch.bool))
    step(rm, loss / count.clamp(min=1), reward_model)

# Step 3, "Reinforcement learning", eq. 2: PPO on r - β log(π / π_SFT), plus γ times the pretraining
# objective.
reference, critic = (
    copy.deepcopy(policy),
    copy.deepcopy(reward_model),
)  # V starts from the reward model
policy_adam, critic_adam = optimizer(policy, 1e-3), optimizer(critic, 1e-3)
pretraining = [[A, B, C, A, B, C, A, B], [C, A, B, C, A, B, C, A]]
for iteration in range(60):
    batch = [prompts[i % 3] for i in range(64)]
    answers = sample(batch, 10_000 + iteration * 64)
    rows = pad_rows(batch, answers)
    is_response_BR = rows.is_response_BR
    with torch.no_grad():
        old_logprobs_BR = response_logprobs(policy, rows)
        kl_BR = k1(old_logprobs_BR, response_logprobs(reference, rows))
        scores_B = last_token_scores(reward_model, rows)
        old_values_BR = response_values(critic, rows)
        rewards_BR = token_rewards(
            scores_B, kl_BR, is_response_BR, BETA
        )  # the score sits on the last token
        advantages_BR, returns_BR = gae(rewards_BR, old_values_BR, is_response_BR, 1.0, LAM)
        advantages_BR = whiten(advantages_BR, is_response_BR)
    for minibatch in torch.randperm(64).view(4, 16).tolist():
        part = pad_rows([batch[i] for i in minibatch], [answers[i] for i in minibatch])
        width = part.response_BR.shape[1]
        old, advantages, values, returns = (
            x[minibatch, :width]
            for x in (old_logprobs_BR, advantages_BR, old_values_BR, returns_BR)
        )
        surrogate, count = policy_loss(
            response_logprobs(policy, part), old, advantages, part.is_response_BR, CLIP
        )
        ptx_rows = pad_rows([text[:1] for text in pretraining], [text[1:] for text in pretraining])
        ptx = -response_logprobs(policy, ptx_rows).sum() / ptx_rows.is_response_BR.sum()
        step(policy_adam, surrogate / count + GAMMA_PTX * ptx, policy)
        error, count = value_loss(
            response_values(critic, part), values, returns, part.is_response_BR, CLIP
        )
        step(critic_adam, error / count, critic)
    if iteration % 10 == 9:
        liked = sum(answer.count(B) for answer in answers) / len(answers)
        print(
            f"iteration {iteration + 1}: {liked:.2f} b's per answer, KL {kl_BR.sum(1).mean():.2f} "
            f"nats"
        )
