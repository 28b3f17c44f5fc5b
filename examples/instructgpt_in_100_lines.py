"""InstructGPT in 100 lines, from a policy to PPO-ptx, with nothing between you and the tensors.

The losses and PPO's iteration are the ones the trainers use; the models are ordinary Hugging Face
modules. Run it as it stands: it makes a tiny model and learns to answer "ab" prompts with many b's,
a reward that a labeler's rankings imply.
"""

import copy

import torch
from torch.optim import AdamW
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel

from instructgpt.models.forward import last_token_scores, response_logprobs, response_values
from instructgpt.models.rows import pad_rows, text_rows
from instructgpt.ppo.config import PPOConfig
from instructgpt.ppo.experience import Episodes, Reading
from instructgpt.ppo.iteration import make_experience, update
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


def step(optimizer, model):
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


def answer(prompts, seeds):
    return RolloutEngine(policy).generate(prompts, seeds, Sampling(R, stop_tokens=(EOS,)))


# Step 1, section 3.5 "Supervised fine-tuning": maximize log p(response | prompt) over
# demonstrations.
demonstrations = [([A, B], [A, B, C, EOS]), ([B, A], [C, A, EOS]), ([A, A], [B, EOS])]
prompts, responses = zip(*demonstrations, strict=True)
sft = optimizer(policy, 3e-3)
for _ in range(30):
    rows = pad_rows(prompts, responses)
    (-response_logprobs(policy, rows).sum() / rows.is_response_BR.sum()).backward()
    step(sft, policy)

# Step 2, "Reward modeling", eq. 1: all K choose 2 pairs of a prompt's K ranked answers are one
# batch element.
reward_model = GPT2ForSequenceClassification(shape).eval()
reward_model.transformer.load_state_dict(policy.transformer.state_dict())
rm = optimizer(reward_model, 3e-3)
for iteration in range(60):
    asked = [prompts[i % 3] for i in range(8) for _ in range(K)]
    ranked = answer(asked, range(8 * K * iteration, 8 * K * (iteration + 1)))
    answers = [sample.tokens for sample in ranked]
    liked_BK = torch.tensor([tokens.count(B) for tokens in answers]).view(8, K)
    ranks_BK = 1 + (liked_BK[:, None, :] > liked_BK[:, :, None]).sum(2)  # 1 is best, equal is a tie
    scores_N = last_token_scores(reward_model, pad_rows(asked, answers))
    loss, count = ranking_loss(scores_N.view(8, K), ranks_BK, torch.ones(8, K, dtype=torch.bool))
    (loss / count.clamp(min=1)).backward()
    step(rm, reward_model)

# Step 3, "Reinforcement learning", eq. 2: PPO on r - β log(π / π_SFT), plus γ times the pretraining
# objective. `make_experience` and `update` are PPO; these are the networks they ask for.
reference, critic = copy.deepcopy(policy), copy.deepcopy(reward_model)  # V starts from r
policy_adam, critic_adam = optimizer(policy, 1e-3), optimizer(critic, 1e-3)
pretraining = [[A, B, C, A, B, C, A, B], [C, A, B, C, A, B, C, A]]


class Networks:
    """Sample an answer to each prompt, and read it."""

    config = PPOConfig.load(lam=LAM, ptx_coef=GAMMA_PTX)

    def sample(self, prompts, seeds):
        return Episodes(prompts, prompts, answer(prompts, seeds))

    def read(self, episodes):
        rows = pad_rows(episodes.prompt_ids, [sample.tokens for sample in episodes.samples])
        scores_B, values_BR = last_token_scores(reward_model, rows), response_values(critic, rows)
        logprobs_BR, ref_BR = (response_logprobs(model, rows) for model in (policy, reference))
        return Reading(scores_B, logprobs_BR, ref_BR, values_BR, rows.is_response_BR)


class Step:
    """An optimizer step on a minibatch of episodes."""

    def __init__(self, batch):
        self.batch, self.rows = batch, pad_rows(batch.prompts, batch.responses)

    def policy_backward(self):
        batch, logprobs_BR = self.batch, response_logprobs(policy, self.rows)
        old_BR, is_response_BR = batch.logprobs_BR, batch.is_response_BR
        loss, count = policy_loss(logprobs_BR, old_BR, batch.advantages_BR, is_response_BR, CLIP)
        (loss / count).backward()
        return {"loss/policy": (loss / count).item()}

    def pretraining_backward(self, windows):
        rows = text_rows(windows)
        loss = -response_logprobs(policy, rows).sum() / rows.is_response_BR.sum()
        (GAMMA_PTX * loss).backward()
        return {"loss/ptx": loss.item()}

    def value_backward(self):
        batch, values_BR = self.batch, response_values(critic, self.rows)
        old_BR, is_response_BR = batch.values_BR, batch.is_response_BR
        loss, count = value_loss(values_BR, old_BR, batch.returns_BR, is_response_BR, CLIP)
        (loss / count).backward()
        return {"loss/value": (loss / count).item()}

    def optimize(self):
        step(policy_adam, policy)
        step(critic_adam, critic)
        return {"steps": 1}


for iteration in range(60):
    batch, seeds = [prompts[i % 3] for i in range(64)], range(64 * iteration, 64 * (iteration + 1))
    experience = make_experience(Networks(), batch, seeds, kl_coef=BETA)
    for minibatch in torch.randperm(64).view(4, 16).tolist():
        update(Step(experience.select(minibatch)), pretraining)
    if iteration % 10 == 9:
        liked, kl = (experience.response_BR == B).sum() / 64, experience.kl_BR.sum() / 64
        print(f"iteration {iteration + 1}: {liked:.2f} b's per answer, KL {kl:.2f} nats")
