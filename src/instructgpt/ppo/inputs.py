"""What a PPO run reads: opened, encoded and checked before the first weight is loaded."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from instructgpt.data.records import Prompt
from instructgpt.errors import UserError, placed
from instructgpt.models.facts import ModelFacts
from instructgpt.models.outlook import Looked, Outlook, described, open_outlook
from instructgpt.models.prompts import Room, prompts_described, prompts_to_answer, room_behind
from instructgpt.models.text import TextCodec, same_vocabulary
from instructgpt.ppo.config import PPOConfig
from instructgpt.ppo.plugin import named_reward
from instructgpt.run.outline import Row, counted
from instructgpt.run.plausible import say_unreached_peak
from instructgpt.training.mix import Pretraining, open_pretraining


@dataclass(frozen=True)
class Inputs(Looked):
    """All that a run reads.

    Attributes:
        policy: the model to start from, and the reference.
        reward_model: the reward model; None where a function is the reward.
        critic: what the value function starts from, unless it is the reward model, or the policy
            where there is none.
        prompts: what is answered in training.
        held_out: the validation prompts.
        pretraining: the text that is mixed in.
        config: the stage's settings.
    """

    policy: ModelFacts
    reward_model: ModelFacts | None
    critic: ModelFacts | None
    prompts: list[Prompt]
    held_out: list[Prompt]
    pretraining: Pretraining | None
    config: PPOConfig

    @property
    def models(self) -> dict[str, ModelFacts]:
        """What is known of the models that the run will write."""
        template = self.policy.text(self.config.template).template
        policy = self.policy.trained_with(template)
        critic = self.critic or self.reward_model or replace(self.policy, is_scorer=True)
        critic = critic.trained_with(template)
        return {"model": policy, "model-ema": policy, "critic": critic}

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.config.total_iterations * self.config.updates_per_iteration

    def outline(self) -> Iterator[Row]:
        """What there is to do, for a dry run."""
        config, text = self.config, self.policy.text(self.config.template)
        yield "model", described(self.policy)
        if self.reward_model:
            yield "reward_model", described(self.reward_model)
        else:
            yield "reward", config.reward
        if self.critic:
            yield "critic", described(self.critic)
        for key, prompts in (("data", self.prompts), ("eval_data", self.held_out)):
            if prompts:
                yield key, prompts_described(prompts, text)
        if self.pretraining:
            yield from self.pretraining.rows("pretrain_data")
        iterations, updates = config.total_iterations, config.updates_per_iteration
        episodes, longest = iterations * config.batch_size, config.response_length
        yield "steps", f"{self.steps:,}: {counted(iterations, 'iteration')} of {updates:,}"
        yield "episodes", f"{episodes:,} of at most {counted(longest, 'token')}"
        yield "tokens", f"{episodes * longest:,} sampled at most"


def look(config: PPOConfig, outlook: Outlook | None = None) -> Inputs:
    """Read and check everything.

    Raises:
        UserError: something cannot be used; the sentence names its key.
    """
    outlook = open_outlook(config, outlook)
    policy = outlook.model("model", config.model, "policy")
    reward = None
    if config.reward:
        with placed("reward"):
            named_reward(config.reward)
    else:
        reward = outlook.model("reward_model", config.reward_model, "scorer")
    critic = outlook.model("critic", config.critic, "scorer") if config.critic else None
    if critic and not same_vocabulary(policy.tokenizer, critic.tokenizer):
        raise UserError(
            "critic: it reads another vocabulary than the policy writes; start it from a model of "
            "the policy's"
        )
    text = policy.text(config.template)
    longest = config.response_length
    rooms = [Room("policy", text, policy.context, longest)]
    if reward:
        rooms.append(room_behind("reward model", reward, policy, config.template, longest))
    if critic:  # which reads the policy's tokens, whatever template it was trained with
        rooms.append(Room("critic", text, critic.context, longest))
    held_out = prompts_to_answer("eval_data", config.eval_data, config, rooms, outlook)
    say_unreached_peak(config.warmup, config.total_iterations, "iterations")
    return Inputs(
        policy,
        reward,
        critic,
        prompts_to_answer("data", config.data, config, rooms, outlook),
        held_out[: config.eval_prompts],
        _pretraining(config, text, policy),
        config,
    )


def _pretraining(config: PPOConfig, text: TextCodec, policy: ModelFacts) -> Pretraining | None:
    if not config.ptx_coef:
        return None
    length = min(config.ptx_length, policy.context or config.ptx_length)
    with placed("pretrain_data"):
        return open_pretraining(
            config.pretrain_data,
            text,
            length,
            seed=config.seed,
            stream="ppo/pretraining",
            on_error=config.on_error,
        )
