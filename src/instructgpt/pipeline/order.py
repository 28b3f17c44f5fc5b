"""Which stages a pipeline has, and what each takes from those before it.

One round is: base model → SFT → samples → rankings → reward model → PPO → evaluation. A further
round samples from the last policy, ranks again, and trains the reward model and the policy anew on
all labels, from the same SFT model (section 3.1: steps 2 and 3 are iterated).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from instructgpt.distributed.world import world
from instructgpt.run.directory import Run
from instructgpt.run.stages import KINDS

Source = tuple[str, str]
"""A stage's name, and a file in its directory."""
Sources = tuple[Source, ...]
SFT: Sources = (("sft", "model"),)
PLAIN = "ppo-plain"
"""The arm without pretraining mix (the paper's "PPO", beside "PPO-ptx")."""


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
        kind = KINDS[self.kind]
        if kind.by_one:
            return world().once(lambda: kind.run(config, self.name))
        return kind.run(config, self.name)


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
