"""`PPOModel`: the four networks of the RL stage."""

import copy
from collections.abc import Sequence
from typing import TypeVar

from instructgpt.data.text import same_reading, same_vocabulary
from instructgpt.errors import UserError
from instructgpt.models.fit import embedding_rows, require_fit, size_of, widen_embedding
from instructgpt.models.load import scorer_from_policy
from instructgpt.models.scorer import Scorer
from instructgpt.reward.model import RewardModel
from instructgpt.run.progress import say
from instructgpt.run.seeds import derive
from instructgpt.sft.model import SFTModel


class PPOModel:
    """Policy, reference, reward model and value function (section 3.5; appendix C.4).

    The value function starts as a copy of the reward model, shift included. Where the reward model
    reads another vocabulary or template than the policy, it is reached through text, and the value
    function starts from the policy's trunk with a new head instead, because it must read the
    policy's tokens. Where it has the same vocabulary but fewer rows in its embedding than the
    policy, which may write a token that stands for nothing, it is given the rows that it lacks.

    Args:
        policy: is trained in place.
        reward: is frozen, and widened where it lacks rows.
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
        self.shares_vocabulary = same_reading(policy.text, reward.text)
        rows = embedding_rows(policy.model)
        if self.shares_vocabulary:
            widen_embedding(reward.model, rows)
        else:
            reward.on_long = "truncate"  # another tokenizer may make more of an answer
        if critic is not None and not same_vocabulary(policy.tokenizer, critic.tokenizer):
            raise UserError(
                "the critic reads another vocabulary than the policy writes; start it from a "
                "model of the policy's"
            )
        self.critic = critic or self._new_critic(seed)
        widen_embedding(self.critic.model, rows)
        self.critic.model.requires_grad_(True)

    def require_room(self, prompts: Sequence[Sequence[int]], response_length: int) -> None:
        """What reads the policy's tokens must have positions for the longest prompt and its answer.

        Raises:
            UserError: one has too few.
        """
        readers = {"the value function": self.critic}
        if self.shares_vocabulary:
            readers["the reward model"] = self.reward_model
        longest = max(map(len, prompts)) + response_length
        text = f"the longest prompt with response_length {response_length}"
        for role, reader in readers.items():
            if hasattr(reader, "model"):  # a reward need not be a network
                require_fit(size_of(reader.model), longest=longest, role=role, text=text)

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
            "the reward model has another vocabulary or template: the value function starts from "
            "the policy's trunk, with a new head"
        )
        model = scorer_from_policy(policy.model, seed=derive(seed, "ppo/critic"))
        return Scorer(
            model, policy.tokenizer, template=policy.text.template, device=str(policy.device)
        )


M = TypeVar("M", SFTModel, RewardModel)


def _frozen(model: M) -> M:
    model.model.requires_grad_(False)
    return model
