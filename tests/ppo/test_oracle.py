"""PPO against the closed form, where every answer can be enumerated; and PPO with its bones broken.

E_π[r] - β KL(π‖π_ref) is largest for π*(y|x) = π_ref(y|x) exp(r(x, y) / β) / Z(x), where it is
β log Z(x). Axes: A answers, T time over the row, V vocabulary, R response.
"""

from dataclasses import replace
from itertools import product

import pytest
import torch

from instructgpt.models.forward import response_values
from instructgpt.ppo import collect, iteration, step
from instructgpt.ppo import trainer as trainer_module
from instructgpt.ppo.gae import gae, token_rewards
from instructgpt.ppo.model import PPOModel
from instructgpt.ppo.trainer import PPOTrainer
from instructgpt.reward.model import RewardModel
from instructgpt.rollout.sampling import Sampling
from tests.ppo.letters import END, letter_policy, make_config

pytestmark = [pytest.mark.slow, pytest.mark.long]

LENGTH, ITERATIONS, EPISODES = 3, 120, 256
ENOUGH = 80
"""Iterations after which a broken PPO is as far away as it stays, and a whole one is near."""
PROMPTS = ("ab", "bab")
TOKENS = (1, 2, 3)  # a, b and the padding token, which is a token like any other
ANSWERS = [
    *((*head, END) for n in range(LENGTH) for head in product(TOKENS, repeat=n)),  # ended
    *product(TOKENS, repeat=LENGTH),  # cut
]
WHOLE = {"kl_coef": 0.7, "seed": 0, "iterations": ENOUGH}
"""The case that is broken below."""


class Table:
    """A reward model that looks the score up."""

    def __init__(self, scores: dict[tuple[int, ...], dict[tuple[int, ...], float]]) -> None:
        self.scores = scores

    def score_tokens(self, prompts, responses, **settings):
        pairs = zip(prompts, responses, strict=True)
        return torch.tensor([self.scores[tuple(prompt)][tuple(answer)] for prompt, answer in pairs])


def brevity(prompts, responses):
    """A reward of one's own, of texts: the padding token in an answer is no text."""
    assert set(prompts) <= set(PROMPTS)
    return [-len(response) for response in responses]


class World:
    """Two prompts, the 40 answers to each, their rewards, and a policy to train.

    With a `reward` of one's own the value function starts from the policy.
    """

    def __init__(self, kl_coef: float, seed: int, reward=None, iterations=ITERATIONS) -> None:
        policy = letter_policy("gpt2", letters="ab", seed=seed, scale=3.0, layers=1)
        self.policy, self.kl_coef, self.iterations = policy.model, kl_coef, iterations
        ppo = PPOModel(policy, reward or RewardModel(policy, seed=seed))
        prompts = [tuple(policy.text.prompt(prompt)) for prompt in PROMPTS]
        generator = torch.Generator().manual_seed(seed)
        self.rewards = {p: 4 * torch.rand(len(ANSWERS), generator=generator) - 2 for p in prompts}
        self.reference = {p: answer_logprobs(self.policy, p) for p in prompts}
        if reward:
            letters = torch.tensor([sum(t in (1, 2) for t in answer) for answer in ANSWERS])
            self.rewards = {prompt: -letters.float() for prompt in prompts}
        table = {p: dict(zip(ANSWERS, r.tolist(), strict=True)) for p, r in self.rewards.items()}
        ppo.begin()
        if not reward:
            ppo.reward_model = Table(table)
        settings = {
            "kl_coef": kl_coef,
            "seed": seed,
            "response_length": LENGTH,
            "total_episodes": iterations * EPISODES,
            "batch_size": EPISODES,
            "num_mini_batches": 4,
            "learning_rate": 3e-3,
            "critic_learning_rate": 6e-3,
            "schedule": "linear",
            "rollout_slots": EPISODES,
            "micro_batch_tokens": 2048,
        }
        self.trainer = PPOTrainer(ppo, make_config(**settings))

    def train(self) -> float:
        """Train to the end; returns KL(π‖π*)."""
        batch = PROMPTS * (EPISODES // len(PROMPTS))
        for _ in range(self.iterations):
            self.trainer.train_step(batch)
        return self.kl()

    def kl(self) -> float:
        """KL(π‖π*), averaged over the prompts."""
        return self._mean(lambda p, logprobs_A: logprobs_A - (self._tilted(p) - self._log_z(p)))

    def objective(self) -> float:
        """E_π[r] - β KL(π‖π_ref), averaged over the prompts."""

        def value(prompt, logprobs_A):
            return self.rewards[prompt] - self.kl_coef * (logprobs_A - self.reference[prompt])

        return self._mean(value)

    def best_objective(self) -> float:
        """β log Z, averaged over the prompts."""
        return sum(self.kl_coef * self._log_z(p).item() for p in self.rewards) / len(self.rewards)

    def _mean(self, value) -> float:
        """The mean over prompts of E_π[value]."""
        logprobs = {prompt: answer_logprobs(self.policy, prompt) for prompt in self.rewards}
        means = [(x.exp() * value(prompt, x)).sum().item() for prompt, x in logprobs.items()]
        return sum(means) / len(means)

    def _tilted(self, prompt) -> torch.Tensor:
        return self.reference[prompt] + self.rewards[prompt] / self.kl_coef

    def _log_z(self, prompt) -> torch.Tensor:
        return self._tilted(prompt).logsumexp(0)


@torch.no_grad()
def answer_logprobs(model, prompt) -> torch.Tensor:
    """log π(y|x) of every answer, by one plain forward (float64, A)."""
    ids_AT = torch.tensor(
        [[*prompt, *answer, *[END] * (LENGTH - len(answer))] for answer in ANSWERS]
    )
    logprobs_ATV = model(ids_AT).logits.double().log_softmax(-1)[:, len(prompt) - 1 : -1]
    logprobs_AR = logprobs_ATV.gather(2, ids_AT[:, len(prompt) :, None])[..., 0]
    is_answer_AR = torch.tensor([[t < len(answer) for t in range(LENGTH)] for answer in ANSWERS])
    return (logprobs_AR * is_answer_AR).sum(1)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kl_coef", [0.7, 0.85])
def test_ppo_finds_the_best_policy(kl_coef, seed):
    world = World(kl_coef, seed)
    before = world.kl()
    assert before >= 0.5
    assert world.objective() == pytest.approx(world.best_objective() - kl_coef * before)
    for prompt in world.rewards:
        assert answer_logprobs(world.policy, prompt).exp().sum().item() == pytest.approx(1)
    assert world.train() < 0.02
    assert world.objective() == pytest.approx(world.best_objective(), abs=0.02 * kl_coef)


def test_ppo_finds_the_best_policy_for_a_reward_of_ones_own():
    """Brevity: π* ∝ π_ref · exp(−letters / β)."""
    world = World(0.7, 0, reward=brevity)
    assert world.kl() >= 0.2
    assert world.train() < 0.02
    assert world.objective() == pytest.approx(world.best_objective(), abs=0.02 * 0.7)


def wrong_kl_coef(factor):
    def broken(scores_B, kl_BR, is_response_BR, kl_coef):
        return token_rewards(scores_B, kl_BR, is_response_BR, factor * kl_coef)

    return {"token_rewards": broken}


def score_moved(columns):
    """The score at another token than the last."""

    def broken(scores_B, kl_BR, is_response_BR, kl_coef):
        rewards_BR = token_rewards(torch.zeros_like(scores_B), kl_BR, is_response_BR, kl_coef)
        where_B = columns(is_response_BR.sum(1)).clamp(min=0)
        rewards_BR[torch.arange(len(scores_B)), where_B] += scores_B
        return rewards_BR

    return {"token_rewards": broken}


def value_after_the_end(rewards_BR, values_BR, is_response_BR, gamma, lam):
    """As if the last value also stood after the last token."""
    is_last_BR = is_response_BR & ~is_response_BR.roll(-1, 1)
    is_last_BR[:, -1] = is_response_BR[:, -1]
    return gae(rewards_BR + gamma * values_BR * is_last_BR, values_BR, is_response_BR, gamma, lam)


def advantages_shifted(rewards_BR, values_BR, is_response_BR, gamma, lam):
    """Each token gets the advantage of the next."""
    advantages_BR, returns_BR = gae(rewards_BR, values_BR, is_response_BR, gamma, lam)
    return advantages_BR.roll(-1, 1), returns_BR


def values_read_late(scorer, rows):
    """Read where token t stands, not where it is predicted: the baseline knows the action."""
    return response_values(scorer, replace(rows, source_BR=rows.source_BR + rows.is_response_BR))


BROKEN = {
    "β doubled": wrong_kl_coef(2),
    "β halved": wrong_kl_coef(0.5),
    "KL of the wrong sign": wrong_kl_coef(-1),
    "score one token early": score_moved(lambda length_B: length_B - 2),
    "score on the first token": score_moved(lambda length_B: 0 * length_B),
    "value after the end": {"gae": value_after_the_end},
    "advantages shifted": {"gae": advantages_shifted},
    "values read late": {"response_values": values_read_late},
}


def test_a_whole_one_is_near_by_then():
    assert World(**WHOLE).train() < 0.05


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_ppo_does_not(name, monkeypatch):
    for function, broken in BROKEN[name].items():
        module = collect if function == "response_values" else iteration
        monkeypatch.setattr(module, function, broken)
    assert World(**WHOLE).train() > 0.1


def hotter(response_length, temperature, **settings):
    return Sampling(response_length, 1.5 * temperature, **settings)


def test_log_probs_of_another_temperature_are_noticed(monkeypatch):
    monkeypatch.setattr(collect, "Sampling", hotter)
    with pytest.raises(RuntimeError, match=r"first iteration has a KL of .* nats per token"):
        World(**WHOLE).train()


def test_log_probs_of_another_temperature_break_ppo(monkeypatch):
    monkeypatch.setattr(collect, "Sampling", hotter)
    for module, check in ((trainer_module, "check_first_kl"), (step, "check_first_ratio")):
        monkeypatch.setattr(module, check, lambda *_: None)
    assert World(**WHOLE).train() > 0.1
