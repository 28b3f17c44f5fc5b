"""`PPOModel`: the four networks of the RL stage."""

import copy
from typing import TypeVar

from instructgpt.data.text import same_vocabulary
from instructgpt.errors import UserError
from instructgpt.models.load import scorer_from_policy
from instructgpt.models.scorer import Scorer
from instructgpt.reward.model import RewardModel
from instructgpt.run.progress import say
from instructgpt.run.seeds import derive
from instructgpt.sft.model import SFTModel


class PPOModel:
    """Policy, reference, reward model and value function (section 3.5; appendix C.4).

    The value function starts as a copy of the reward model, shift included. Where the reward model
    reads another vocabulary than the policy writes, it is reached through text, and the value
    function starts from the policy's trunk with a new head instead, because it must read the
    policy's tokens.

    Args:
        policy: is trained in place.
        reward: is frozen.
        critic: start the value function from this instead; it must read the policy's vocabulary.
        seed: decides a new head, where one is needed.

    Attributes:
        policy: π, the network that is trained.
        reference: a frozen copy of the policy as it came (the SFT model).
        reward_model: r, frozen.
        critic: V, trained.
        shares_vocabulary: whether tokens pass from the policy to the reward model as they are.

    Raises:
        UserError: a critic with another vocabulary.
    """

    def __init__(
        self, policy: SFTModel, reward: RewardModel, *, critic: Scorer | None = None, seed: int = 0
    ) -> None:
        self.policy = policy
        self.reference = _frozen(
            SFTModel(
                copy.deepcopy(policy.model),
                policy.tokenizer,
                template=policy.text.template,
                device=str(policy.device),
            )
        )
        self.reward_model = _frozen(reward)
        self.shares_vocabulary = (
            same_vocabulary(policy.tokenizer, reward.tokenizer)
            and policy.text.template == reward.text.template
        )
        if critic is not None and not same_vocabulary(policy.tokenizer, critic.tokenizer):
            raise UserError(
                "the critic reads another vocabulary than the policy writes; start it from a "
                "model of the policy's"
            )
        self.critic = critic or self._new_critic(seed)
        self.critic.model.requires_grad_(True)

    def _new_critic(self, seed: int) -> Scorer:
        policy, reward = self.policy, self.reward_model
        if self.shares_vocabulary:
            return Scorer(
                copy.deepcopy(reward.model),
                reward.tokenizer,
                template=reward.text.template,
                device=str(policy.device),
            )
        say(
            "the reward model has another vocabulary: the value function starts from the policy's "
            "trunk, with a new head"
        )
        model = scorer_from_policy(policy.model, seed=derive(seed, "ppo/critic"))
        return Scorer(
            model, policy.tokenizer, template=policy.text.template, device=str(policy.device)
        )


M = TypeVar("M", SFTModel, RewardModel)


def _frozen(model: M) -> M:
    model.model.requires_grad_(False)
    return model
