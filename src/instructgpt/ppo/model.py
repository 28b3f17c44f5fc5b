"""`PPOModel`: the four networks of the RL stage."""

import copy
from collections.abc import Sequence
from typing import Any

from instructgpt.errors import UserError, require_a
from instructgpt.models.fit import embedding_rows, require_fit, size_of, widen_embedding
from instructgpt.models.load import scorer_from_policy
from instructgpt.models.scorer import Scorer
from instructgpt.models.text import same_reading, same_vocabulary
from instructgpt.ppo.plugin import PluggedReward
from instructgpt.rollout.policy import SFTModel
from instructgpt.run.progress import say
from instructgpt.run.seeds import derive


class PPOModel:
    """Policy, reference, reward model and value function (section 3.5; appendix C.4).

    The value function starts as a copy of the reward model, shift included. Where the reward model
    reads another vocabulary or template than the policy, it is reached through text, and the value
    function starts from the policy's trunk with a new head instead, because it must read the
    policy's tokens; so it does where the reward is no model. Where the reward model has the same
    vocabulary but fewer rows in its embedding than the policy, which may write a token that stands
    for nothing, it is given the rows that it lacks.

    Policy and reward model may be trained further until RL begins: with the first `PPOTrainer`, or
    when `reference` or `critic` is first read. Then the reference is copied, the reward model
    frozen and the value function made.

    Args:
        policy: is trained in place.
        reward: a reward model; or a function `(prompts, responses) -> scores`, or an object with
            such a method `score` (see `PluggedReward`).
        critic: start the value function from this instead; it must read the policy's vocabulary.
        seed: decides a new head, where one is needed.

    Attributes:
        policy: π, the network that is trained.
        reward_model: r, frozen once RL has begun.
        shares_vocabulary: whether tokens pass from the policy to the reward model as they are.

    Raises:
        UserError: an argument of another kind, or a critic with another vocabulary.
    """

    def __init__(
        self, policy: SFTModel, reward: Any, *, critic: Scorer | None = None, seed: int = 0
    ) -> None:
        self.policy = require_a(SFTModel, policy, "PPOModel's policy")
        if isinstance(reward, SFTModel):
            raise UserError(
                "PPOModel's reward is a policy; give a RewardModel, or a function "
                "(prompts, responses) -> scores"
            )
        is_known = isinstance(reward, Scorer | PluggedReward)
        self.reward_model: Any = reward if is_known else PluggedReward(reward)
        self.shares_vocabulary = isinstance(reward, Scorer) and same_reading(
            policy.text, reward.text
        )
        if critic is not None:
            require_a(Scorer, critic, "PPOModel's critic")
            if not same_vocabulary(policy.tokenizer, critic.tokenizer):
                raise UserError(
                    "the critic reads another vocabulary than the policy writes; start it from a "
                    "model of the policy's"
                )
        self._given_critic, self._seed = critic, seed
        self._frozen: tuple[SFTModel, Scorer] | None = None

    @property
    def reference(self) -> SFTModel:
        """A frozen copy of the policy as it was when RL began (the SFT model)."""
        return self.begin()[0]

    @property
    def critic(self) -> Scorer:
        """V, trained."""
        return self.begin()[1]

    def begin(self) -> tuple[SFTModel, Scorer]:
        """RL begins, once: freeze the reward model, copy the reference, make the value function.

        Returns:
            The reference and the value function.
        """
        if self._frozen is None:
            policy, reward = self.policy, self.reward_model
            copied = SFTModel(
                copy.deepcopy(policy.model),
                policy.tokenizer,
                template=policy.text.template,
                device=str(policy.device),
            )
            copied.model.requires_grad_(False)
            rows = embedding_rows(policy.model)
            if isinstance(reward, Scorer):
                reward.model.requires_grad_(False)
                if self.shares_vocabulary:
                    widen_embedding(reward.model, rows)
                else:
                    reward.on_long = "truncate"  # another tokenizer may make more of an answer
            critic = self._given_critic or self._new_critic()
            widen_embedding(critic.model, rows)
            critic.model.requires_grad_(True)
            self._frozen = copied, critic
        return self._frozen

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

    def _new_critic(self) -> Scorer:
        policy, reward = self.policy, self.reward_model
        if self.shares_vocabulary:
            return Scorer(
                copy.deepcopy(reward.model),
                reward.tokenizer,
                template=reward.text.template,
                device=str(policy.device),
            )
        why = (
            "model has another vocabulary or template"
            if isinstance(reward, Scorer)
            else "is no model"
        )
        say(f"the reward {why}: the value function starts from the policy's trunk, with a new head")
        model = scorer_from_policy(policy.model, seed=derive(self._seed, "ppo/critic"))
        return Scorer(
            model, policy.tokenizer, template=policy.text.template, device=str(policy.device)
        )
