"""All stages: what configures each, what looks at its inputs beforehand, and what runs it.

A new stage is one line here. What a line names stands in rooms above and is imported when it is
asked for, so that a help text or a dry run waits for no trainer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from instructgpt.run.config import Config
    from instructgpt.run.directory import Run


@dataclass(frozen=True)
class StageKind:
    """A kind of stage, by where its parts are: `room.module:name`.

    Attributes:
        config_at: its configuration, which is also its section's in a file.
        look_at: what reads and checks all its inputs.
        run_at: what runs it.
        takes_name: whether what runs it takes the name of the stage, which in a later round of a
            pipeline is another (`ppo-2`).
        by_one: whether one process does it for all.
        in_pipeline: whether a pipeline has it.
    """

    config_at: str
    look_at: str
    run_at: str
    takes_name: bool = True
    by_one: bool = False
    in_pipeline: bool = True

    @property
    def config(self) -> "type[Config]":
        """The class of its configuration."""
        return _imported(self.config_at)

    @property
    def look(self) -> Callable[..., Any]:
        """What reads and checks all that it reads."""
        return _imported(self.look_at)

    def run(self, config: Any, name: str) -> "Run":
        """Run it under a name, or find it finished."""
        return _imported(self.run_at)(config, **({"stage": name} if self.takes_name else {}))


def _imported(place: str) -> Any:
    module, name = place.split(":")
    return getattr(import_module(f"instructgpt.{module}"), name)


_SFT = StageKind("sft.config:SFTConfig", "sft.inputs:look", "sft.stage:train")
KINDS = {
    "init": StageKind(
        "models.config:InitConfig",
        "models.init:look",
        "models.init:init",
        takes_name=False,
        by_one=True,
    ),
    "pretrain": _SFT,
    "sft": _SFT,
    "sample": StageKind(
        "pipeline.config:SampleConfig", "pipeline.sample:look", "pipeline.sample:sample"
    ),
    "rank": StageKind(
        "pipeline.config:RankConfig",
        "pipeline.rank:look",
        "pipeline.rank:rank_candidates",
        by_one=True,
    ),
    "label": StageKind(
        "label.simulated.config:LabelConfig",
        "label.simulated.stage:look",
        "label.simulated.stage:simulate_labels",
        takes_name=False,
        by_one=True,
        in_pipeline=False,
    ),
    "reward": StageKind("reward.config:RewardConfig", "reward.inputs:look", "reward.stage:train"),
    "ppo": StageKind("ppo.config:PPOConfig", "ppo.inputs:look", "ppo.stage:train"),
    "evaluate": StageKind(
        "evaluation.config:CompareConfig",
        "pipeline.evaluate:look",
        "pipeline.evaluate:evaluate",
        takes_name=False,
    ),
    "benchmark": StageKind(
        "evaluation.benchmark.config:BenchmarkConfig",
        "evaluation.benchmark.stage:look",
        "evaluation.benchmark.stage:evaluate",
        takes_name=False,
        in_pipeline=False,
    ),
    "suite": StageKind(
        "evaluation.benchmark.config:SuiteConfig",
        "evaluation.benchmark.stage:look",
        "evaluation.benchmark.stage:suite",
        takes_name=False,
        in_pipeline=False,
    ),
}
"""By name, in the order of a pipeline."""
SECTIONS = tuple(name for name, kind in KINDS.items() if kind.in_pipeline)
"""Those that a pipeline's configuration has a section for."""
