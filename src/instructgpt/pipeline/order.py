"""Which stages a pipeline has, and what each takes from those before it.

One round is: base model → SFT → samples → rankings → reward model → PPO → evaluation. A further
round samples from the last policy, ranks again, and trains the reward model and the policy anew on
all labels, from the same SFT model (section 3.1: steps 2 and 3 are iterated).
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from instructgpt.distributed.world import world
from instructgpt.evaluation.config import CompareConfig
from instructgpt.models.config import InitConfig
from instructgpt.models.init import init
from instructgpt.models.init import look as look_init
from instructgpt.models.outlook import Looked
from instructgpt.pipeline.config import RankConfig, SampleConfig
from instructgpt.pipeline.evaluate import evaluate
from instructgpt.pipeline.evaluate import look as look_evaluate
from instructgpt.pipeline.rank import look as look_rank
from instructgpt.pipeline.rank import rank_candidates
from instructgpt.pipeline.sample import look as look_sample
from instructgpt.pipeline.sample import sample
from instructgpt.ppo.config import PPOConfig
from instructgpt.ppo.inputs import look as look_ppo
from instructgpt.ppo.stage import train as train_ppo
from instructgpt.reward.config import RewardConfig
from instructgpt.reward.inputs import look as look_reward
from instructgpt.reward.stage import train as train_reward
from instructgpt.run.config import Config
from instructgpt.run.directory import Run
from instructgpt.sft.config import SFTConfig
from instructgpt.sft.inputs import look as look_sft
from instructgpt.sft.stage import train as train_sft

Source = tuple[str, str]
"""A stage's name, and a file in its directory."""
Sources = tuple[Source, ...]
SFT: Sources = (("sft", "model"),)
PLAIN = "ppo-plain"
"""The arm without pretraining mix (the paper's "PPO", beside "PPO-ptx")."""


@dataclass(frozen=True)
class Kind:
    """A kind of stage: its configuration, which is also its section's, what runs it, and what looks
    at all its inputs beforehand.
    """

    config: type[Config]
    run: Callable[..., Run]
    look: Callable[..., Looked]


def _by_one(run: Callable[..., Run]) -> Callable[..., Run]:
    """A stage that the first process does for all."""

    def call(*args: Any, **kwargs: Any) -> Run:
        return world().once(lambda: run(*args, **kwargs))

    return call


KINDS = {
    "init": Kind(InitConfig, _by_one(init), look_init),
    "pretrain": Kind(SFTConfig, train_sft, look_sft),
    "sft": Kind(SFTConfig, train_sft, look_sft),
    "sample": Kind(SampleConfig, sample, look_sample),
    "rank": Kind(RankConfig, _by_one(rank_candidates), look_rank),
    "reward": Kind(RewardConfig, train_reward, look_reward),
    "ppo": Kind(PPOConfig, train_ppo, look_ppo),
    "evaluate": Kind(CompareConfig, evaluate, look_evaluate),
}
NAMED = frozenset({"pretrain", "sft", "sample", "rank", "reward", "ppo"})
"""Kinds whose runner takes the stage's name."""


@dataclass(frozen=True)
class Stage:
    """One stage of a plan.

    Attributes:
        name: unique in the plan.
        kind: its key in `KINDS`, and its section of the configuration.
        round: 1 for the first.
        inputs: where it takes its inputs from, by configuration key.
        fixed: values that make this stage what it is.
    """

    name: str
    kind: str
    round: int = 1
    inputs: Mapping[str, Sources] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def run(self, config: Any) -> Run:
        """Run it, or find it finished."""
        runner = KINDS[self.kind].run
        return runner(config, stage=self.name) if self.kind in NAMED else runner(config)


def stages_of(
    sections: Collection[str], *, rounds: int = 1, plain_arm: bool = False
) -> list[Stage]:
    """The stages for the sections that are configured, in order.

    Args:
        sections: the kinds that have a section.
        rounds: how often answers are sampled, ranked and trained on.
        plain_arm: whether the last round also trains a policy without pretraining mix.
    """
    stages: list[Stage] = []

    def add(stage: Stage) -> None:
        if stage.kind in sections:
            made = {stage.name for stage in stages}
            inputs = {
                key: tuple(source for source in sources if source[0] in made)
                for key, sources in stage.inputs.items()
            }
            stages.append(replace(stage, inputs={k: given for k, given in inputs.items() if given}))

    base = next((kind for kind in ("pretrain", "init") if kind in sections), "")
    add(Stage("init", "init"))
    add(Stage("pretrain", "pretrain", inputs={"model": (("init", "model"),)}))
    add(Stage("sft", "sft", inputs={"model": ((base, "model"),)}))
    newest, rankings, policies = "sft", [], []
    for number in range(1, rounds + 1):
        sampled, ranked, rewarding, trained = (
            _named(kind, number) for kind in ("sample", "rank", "reward", "ppo")
        )
        rankings.append((ranked, "rankings.jsonl"))
        add(Stage(sampled, "sample", number, {"model": ((newest, "model"),)}))
        add(Stage(ranked, "rank", number, {"data": ((sampled, "candidates.jsonl"),)}))
        add(Stage(rewarding, "reward", number, {"model": SFT, "data": tuple(rankings)}))
        learning = {"model": SFT, "reward_model": ((rewarding, "model"),)}
        if plain_arm and number == rounds:
            add(Stage(PLAIN, "ppo", number, learning, {"ptx_coef": 0.0}))
            policies.append((PLAIN, "model"))
        add(Stage(trained, "ppo", number, learning))
        policies.append((trained, "model"))
        newest = trained
    *others, best = policies
    compared = {"a": (best,), "b": SFT, "others": tuple(others)}
    add(Stage("evaluate", "evaluate", rounds, compared))
    return stages


def _named(kind: str, number: int) -> str:
    return kind if number == 1 else f"{kind}-{number}"
