"""The pieces of PPO-ptx from plain forwards of single, unpadded rows, and loops over tokens."""

import torch

from instructgpt.models.parts import scalar_head
from instructgpt.sft.loss import completion_loss


def logprobs(model, prompt, response, temperature=1.0):
    """Of each response token."""
    logits_TV = model(torch.tensor([[*prompt, *response]])).logits[0, len(prompt) - 1 : -1]
    logprobs_TV = (logits_TV / temperature).log_softmax(-1)
    return logprobs_TV.gather(1, torch.tensor(response)[:, None])[:, 0]


def scores(scorer, tokens):
    """At each token, shifted."""
    states_TD = scorer.model.base_model(torch.tensor([tokens])).last_hidden_state[0]
    return scalar_head(scorer.model)(states_TD)[:, 0] - scorer.model.config.reward_shift


def log_ratios(trainer, batch):
    """log π - log π_old and the advantage of each response token, as pairs."""
    model, temperature = trainer.ppo.policy.model, trainer.config.temperature
    pairs = []
    for row, (prompt, response) in enumerate(zip(batch.prompts, batch.responses, strict=True)):
        new_R = logprobs(model, prompt, response, temperature)
        old_R, advantages_R = batch.logprobs_BR[row], batch.advantages_BR[row]
        pairs += [(new_R[t] - old_R[t], advantages_R[t].item()) for t in range(len(response))]
    return pairs


def ppo_loss(trainer, batch, clip):
    """Σ max(-A ρ, -A clipped ρ) / count."""
    total, pairs = 0.0, log_ratios(trainer, batch)
    for log_ratio, advantage in pairs:
        loss = -advantage * log_ratio.exp()
        limited = -advantage * min(max(log_ratio.exp().item(), 1 - clip), 1 + clip)
        total = total + (torch.tensor(limited) if limited > loss else loss)
    return total / len(pairs)


def value_loss(trainer, batch, clip=None):
    """Σ ½ max((V - G)², (clipped V - G)²) / count."""
    total = 0.0
    for row, (prompt, response) in enumerate(zip(batch.prompts, batch.responses, strict=True)):
        values_T = scores(trainer.ppo.critic, [*prompt, *response])[len(prompt) - 1 :]
        for t in range(len(response)):
            old, target = batch.values_BR[row, t].item(), batch.returns_BR[row, t].item()
            error = (values_T[t] - target) ** 2
            if clip is not None:
                limited = min(max(values_T[t].item(), old - clip), old + clip)
                if (limited - target) ** 2 > error:
                    error = torch.tensor((limited - target) ** 2)
            total = total + error / 2
    return total / sum(map(len, batch.responses))


def ptx_loss(trainer, windows):
    """The token mean over all windows."""
    pairs = []
    for window in windows:
        tokens_BT = torch.tensor([window])
        is_response_BT = torch.arange(len(window))[None] > 0
        logits_BTV = trainer.ppo.policy.model(tokens_BT).logits
        pairs.append(completion_loss(logits_BTV, tokens_BT, is_response_BT))
    return sum(total for total, _ in pairs) / sum(count for _, count in pairs)


def gradient(loss, module) -> torch.Tensor:
    """All of it, as one vector."""
    grads = torch.autograd.grad(loss, list(module.parameters()))
    return torch.cat([grad.flatten() for grad in grads])


def note_gradients(trainer) -> dict[str, list[torch.Tensor]]:
    """From now on, the gradients that each network's Adam is handed."""
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in trainer.state.optimizers}
    for name, optimizer in trainer.state.optimizers.items():

        def note(optimizer, args, kwargs, grads=seen[name]):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            grads.append(torch.cat([p.grad.flatten().clone() for p in parameters]))

        optimizer.register_step_pre_hook(note)
    return seen
